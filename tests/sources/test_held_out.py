"""Held-out prompts that are among what is trained on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from alma.artifact import Rows
from alma.errors import DataError, Stopped
from alma.sections import IngestRows
from alma.sources import held_out
from alma.stages import ingest
from tests.builders.bench import Bench
from tests.builders.ingested import write_lines

ASKED = ["Explain how tides work.", "Name three cities", "Please write a long poem about the sea", "What is 7 + 8?"]
TRAINED = ["explain how TIDES work.", "Write a long poem about the sea", "Sing"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    write_lines(tmp_path / "asked.jsonl", [{"id": f"e{i}", "prompt": text} for i, text in enumerate(ASKED)])
    return Bench(tmp_path)


def taken_in(bench: Bench, **settings: Any) -> tuple[Rows, list[str]]:
    seeds = [{"source_id": f"s{i}", "prompt": text, "response": "x"} for i, text in enumerate(TRAINED)]
    scores = [{"source_id": "j1", "prompt": "name three cities!", "response": "x", "score": 1.0}]
    cfg = IngestRows.model_validate(
        {"source": "asked.jsonl", "kind": "prompts", "likeness": {"near_duplicate": 0.6}} | settings
    )
    out = bench.out("ingest")
    notes: list[str] = []
    out.note = lambda message, **_: notes.append(message)  # type: ignore[method-assign]  # what a person is told
    given = {"seeds": bench.rows("pair", seeds), "scores": bench.rows("score", scores)}
    metrics = ingest.run(cfg, base=bench.folder, identity=ingest.identify(cfg, bench.folder), out=out, **given)
    return bench.seal(out, metrics), notes


def test_a_prompt_that_is_trained_on_is_refused_by_name(bench: Bench) -> None:
    with pytest.raises(DataError, match=r"(?s)1 of 4 prompts are among the 3 SFT seeds.*  e0: .*\(there s0\).*'drop'"):
        taken_in(bench)


@pytest.mark.parametrize(("overlap", "left"), [("drop", ["e3"]), ("keep", ["e0", "e1", "e2", "e3"])])
def test_what_is_common_is_counted_by_set_and_kind(bench: Bench, overlap: str, left: list[str]) -> None:
    rows, notes = taken_in(bench, overlap=overlap)
    assert rows.table(["source_id"])["source_id"].to_pylist() == left
    counts = {name: num for name, num in rows.metrics.items() if name.startswith(("num_seeds", "num_scores"))}
    assert counts == {
        **{"num_seeds_exact": 1, "num_seeds_near": 1, "num_seeds_ngrams": 0},
        **{"num_scores_exact": 0, "num_scores_near": 1, "num_scores_ngrams": 0},
    }
    assert rows.metrics["num_overlapping_dropped"] == 4 - len(left)
    told = "left out" if overlap == "drop" else "kept"
    assert notes == [
        f"asked.jsonl: 2 of 4 prompts are in the SFT seeds (1 word for word, 1 nearly); they are {told}",
        f"asked.jsonl: 1 of 4 prompts are in the judge's seeds (1 nearly); they are {told}",
    ]


def test_what_is_only_nearly_trained_on_is_told_and_kept(bench: Bench) -> None:
    write_lines(bench.folder / "asked.jsonl", [{"prompt": text} for text in ASKED[2:]])
    rows, notes = taken_in(bench)
    assert (len(rows), rows.metrics["num_seeds_near"], len(notes)) == (2, 1, 1)


def test_a_set_of_nothing_else_is_refused(bench: Bench) -> None:
    write_lines(bench.folder / "asked.jsonl", [{"prompt": "Sing"}])
    with pytest.raises(DataError, match="no row is left"):
        taken_in(bench, overlap="drop")


def test_conversations_are_compared_by_what_they_ask_with_what_was_said_before(bench: Bench) -> None:
    """A first turn that is trained on is found in the midst of a conversation; a last turn that is alike is nothing."""
    talk = [{"role": "user", "content": "Say it once."}, {"role": "assistant", "content": "It."}]
    system = [{"role": "system", "content": "You are kind and helpful, and you speak in rhymes at all times."}]
    seeds = [{"source_id": "s0", "earlier": system + talk, "prompt": "Why?", "response": "x"}]
    asked = [
        {"id": "first", "prompt": "say it once."},
        {"id": "last", "prompt": "Why?"},
        {"id": "whole", "messages": [*talk, {"role": "user", "content": "Why?"}]},
        {"id": "other", "messages": [{**talk[0], "content": "Do it."}, talk[1], {"role": "user", "content": "Why?"}]},
        {"id": "system", "messages": [*system, {"role": "user", "content": "Sing a song about a river."}]},
    ]
    write_lines(bench.folder / "asked.jsonl", asked)
    cfg = IngestRows(
        source="asked.jsonl", kind="prompts", turns="all", overlap="drop", likeness={"near_duplicate": "off"}
    )
    out = bench.out("ingest")
    identity = ingest.identify(cfg, bench.folder)
    metrics = ingest.run(cfg, base=bench.folder, identity=identity, out=out, seeds=bench.rows("pair", seeds))
    left = bench.seal(out, metrics).table(["source_id"])["source_id"].to_pylist()
    assert left == ["last", "other", "system"]
    assert metrics["num_seeds_exact"] == 2


def test_a_comparison_that_takes_long_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, str]] = []

    @contextmanager
    def waiting(whom: str, state: str) -> Iterator[None]:
        said.append((whom, state))
        yield

    monkeypatch.setattr(held_out, "waiting", waiting)
    taken_in(bench, overlap="keep")
    assert said == [("asked.jsonl", "is being compared with what is trained on for")]


@pytest.mark.parametrize("after", [1, len(ASKED) + 1])
def test_a_comparison_ends_when_it_is_asked_to_stop(bench: Bench, after: int) -> None:
    """While our prompts are read, and between theirs."""
    out = bench.out("ingest")
    asked = iter(range(100))
    out.stopping = lambda: next(asked) >= after
    cfg = IngestRows.model_validate({"source": "asked.jsonl", "kind": "prompts", "likeness": {}, "overlap": "keep"})
    seeds = [{"source_id": f"s{i}", "prompt": text, "response": "x"} for i, text in enumerate(TRAINED)]
    identity = ingest.identify(cfg, bench.folder)
    with pytest.raises(Stopped):
        ingest.run(cfg, base=bench.folder, identity=identity, out=out, seeds=bench.rows("pair", seeds))
