"""The last task of a layer: what the cache knew joins the run's journal, and why a layer could not be handed on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alma.artifact import Ref
from alma.cli import main
from alma.errors import EXIT_TRANSIENT, TransientError
from alma.monitor import journal
from alma.monitor.journal import Journal, Place
from alma.running.hand_on import hand_on
from alma.running.ledger import Ledger
from alma.store import Store, open_store

BASE = Path(__file__).parents[2] / "examples"
GONE = f"respond/{'0' * 20}"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def sealed(store: Store, capsys: pytest.CaptureFixture[str]) -> Ref:
    section = {"kind": "pairs", "source": "micro/sft_seeds.jsonl"}
    words = ["stage", "ingest", "--store", store.uri, "--base", str(BASE), "--config", json.dumps(section)]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    return Ref.parse(capsys.readouterr().out.strip())


def entries(store: Store) -> dict[str, tuple[str, str | None, int | None]]:
    return {entry.label: (entry.state, entry.ref, entry.exit_code) for entry in journal.read(store, "night")}


def test_what_no_step_of_this_run_told_is_told_by_handing_on(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    ref = sealed(store, capsys)
    state = Ledger(settings="", artifacts={}, generation=0).write(store)
    Journal(store, Place("night", "human scores", "0-of-2"), "ingest").end("published", ref)
    made = [f"{label}={ref}" for label in ("SFT seeds", "human scores")]
    hand_on(store.uri, state, made, run="night")
    assert entries(store) == {"SFT seeds": ("sealed", str(ref), None), "human scores": ("published", str(ref), None)}
    hand_on(store.uri, state, made)
    assert journal.runs(store) == ["night"], "without a run nothing is told"


def test_why_a_layer_could_not_be_handed_on_is_told(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    ref = sealed(store, capsys)
    state = Ledger(settings="", artifacts={}, generation=0).write(store)
    with pytest.raises(TransientError, match="is there no more"):
        hand_on(store.uri, state, [f"round 02 · respond={GONE}"], run="night")
    assert entries(store) == {"round 02 · hand on": ("failed", None, EXIT_TRANSIENT)}
    hand_on(store.uri, state, [f"round 02 · respond={ref}"], run="night")
    assert entries(store)["round 02 · hand on"] == ("sealed", None, None)


def test_an_input_that_is_gone_is_told_by_the_step(store: Store) -> None:
    state = Ledger(settings="", artifacts={"base model": GONE}, generation=0).write(store)
    with pytest.raises(SystemExit) as ended:
        main(["stage", "respond", "--store", store.uri, "--state", state, "--use", "respond", "--run", "night"])
    assert ended.value.code != 0
    (entry,) = journal.read(store, "night")
    assert (entry.state, entry.exit_code) == ("failed", ended.value.code)
