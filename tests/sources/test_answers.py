"""A comparator's answers are held against the evaluation prompts when they are taken in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from alma.artifact import Rows
from alma.errors import DataError
from alma.sections import IngestRows
from alma.stages import ingest
from tests.builders.bench import Bench
from tests.builders.ingested import write_lines

PROMPTS = [f"question {i}" for i in range(9)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def taken_in(bench: Bench, answers: dict[str, str] | list[tuple[str, str]], **settings: Any) -> Rows:
    """As ``ingest`` does it, with the evaluation prompts beside; one of them is asked twice, of two families."""
    listed = [*answers.items()] if isinstance(answers, dict) else answers
    write_lines(bench.folder / "answers.jsonl", [{"prompt": p, "response": r} for p, r in listed])
    asked = [{"source_id": p, "prompt": p} for p in [*PROMPTS, PROMPTS[0]]]
    cfg = IngestRows(kind="pairs", source="answers.jsonl", **settings)
    out = bench.out("ingest")
    given = {"asked": bench.rows("evaluation_prompt", asked)}
    identity = ingest.identify(cfg, bench.folder)
    return bench.seal(out, ingest.run(cfg, **given, base=bench.folder, identity=identity, out=out))


def test_answers_to_other_prompts_are_left_out_and_counted(bench: Bench) -> None:
    found = taken_in(bench, dict.fromkeys([*PROMPTS, "another", "one more"], "a"))
    assert found.table(["prompt"])["prompt"].to_pylist() == PROMPTS
    assert (found.manifest.metrics["num_unasked"], found.manifest.metrics["num_unanswered"]) == (2, 0)


def test_a_file_that_lacks_prompts_says_how_many_and_which(bench: Bench) -> None:
    answers = dict.fromkeys(PROMPTS[:7], "a") | {"QUESTION  8": "a"}
    with pytest.raises(DataError) as caught:
        taken_in(bench, answers)
    said = str(caught.value)
    assert said.startswith("answers.jsonl: has no answer to 2 of 9 evaluation prompts (max_missing_share = 0):\n")
    assert "  'question 7'\n  'question 8'\n1 of them are there in other case or with other white space." in said
    share = re.search(r"max_missing_share = ([0-9.]+) to have", said)
    assert share
    found = taken_in(bench, answers, max_missing_share=float(share[1]))
    assert found.manifest.metrics["num_unanswered"] == 2
    with pytest.raises(DataError, match="no answer to 2 of 9"):
        taken_in(bench, answers, max_missing_share=float(share[1]) - 0.01)


def test_a_file_of_other_prompts_is_refused_whatever_may_be_missing(bench: Bench) -> None:
    with pytest.raises(DataError, match=r"(?s)no answer to 9 of 9 evaluation prompts.*… and 4 more") as caught:
        taken_in(bench, {"another": "a"}, max_missing_share=1.0)
    assert "to have these prompts left out" not in str(caught.value)


def test_several_answers_to_a_prompt_are_refused(bench: Bench) -> None:
    with pytest.raises(DataError, match=r"several answers to 1 of 9 evaluation prompts.*\n  'question 4'\n"):
        taken_in(bench, [(prompt, "a") for prompt in PROMPTS] + [("question 4", "b")])
