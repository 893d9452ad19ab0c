"""The last task of a layer: what the cache knew joins the run's journal, and why a layer could not be handed on."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from alma.artifact import Ref
from alma.artifact.shard import Shard
from alma.cli import main
from alma.errors import EXIT_TRANSIENT, ConfigError, DataError, TransientError
from alma.monitor import journal
from alma.monitor.dashboard import write_executor_output
from alma.monitor.journal import Journal, Place
from alma.running import local
from alma.running.executor_input import fill
from alma.running.finish import final_state
from alma.running.form import resolve
from alma.running.hand_on import hand_on, read_made
from alma.running.ledger import GENERATION, Ledger, generation
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


@pytest.mark.parametrize(
    "parameters",
    [{"ref_x": "a"}, {"ref_²": "a"}, {"ref_" + "9" * 5000: "a"}, {"ref_1": GONE}, {"label_2": "x", "ref_02": "a"}],
)
def test_parameters_of_other_names_are_no_artifacts(parameters: dict[str, str]) -> None:
    given = json.dumps({"inputs": {"parameterValues": parameters}})
    filled = fill(Namespace(executor_input=given, made=[]))
    assert filled.made == ([f"None={GONE}"] if "ref_1" in parameters else [])


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, "[]", '{"inputs": [1]}'])
def test_what_is_no_executor_input_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--executor-input"):
        fill(Namespace(executor_input=text, made=[]))
    with pytest.raises(ConfigError, match="--executor-input"):
        write_executor_output(text, {}, {})


def test_a_label_that_no_file_can_be_called_by_is_refused() -> None:
    with pytest.raises(ConfigError, match="--made: a label has 201 characters; give at most 200"):
        read_made(f"{'x' * 201}={GONE}")
    longest = Place("run", "x" * 200, str(Shard(10**19, 10**19 + 1))).name
    assert all(len(part) <= 255 for part in longest.split("/"))


@pytest.mark.parametrize(
    "line",
    [
        '{"event": 5}',
        '{"event": ["error"]}',
        '{"event": "error"}',
        '{"event": "progress", "done": 1}',
        f'{{"event": "x", "a": {"9" * 5000}}}',
        '{"event": ' + "[" * 100_000,
    ],
)
def test_json_of_a_librarys_own_is_no_event_of_a_stage(line: str) -> None:
    assert local._event(line) is None


def test_scalars_that_json_has_none_of_are_left_out(tmp_path: Path) -> None:
    outputs = {"outputFile": str(tmp_path / "out.json"), "artifacts": {"metrics": {"artifacts": [{"name": "m"}]}}}
    write_executor_output(json.dumps({"outputs": outputs}), {"a": 1, "b": math.nan, "c": math.inf}, {})
    (written,) = json.loads((tmp_path / "out.json").read_text())["artifacts"]["metrics"]["artifacts"]
    assert written["metadata"] == {"a": 1}


def test_the_final_state_of_a_run_is_said_to_be_none() -> None:
    with pytest.raises(DataError, match="--state"):
        final_state("[" * 100_000)


@pytest.mark.parametrize("compiled", [{}, {"alma": {}, "isara": {}}, {"alma": 1}, {"x": {}}, {"alma": {"base": 1}}])
def test_a_compiled_run_file_has_one_method(compiled: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"--run-file|--source"):
        resolve(compiled, "", {"base": "model"})


@pytest.mark.parametrize("written", [b"[" * 100_000, b"{}", b'{"generation": "x"}', b'{"generation": 1e999}'])
def test_a_damaged_generation_is_named(store: Store, written: bytes) -> None:
    store.write(GENERATION, written)
    with pytest.raises(DataError, match=r"generation.*remove it"):
        generation(store)
