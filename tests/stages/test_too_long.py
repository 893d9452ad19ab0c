"""Prompts that leave no room in the context: set aside and counted by every stage, up to a stated share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alma.artifact import Model
from alma.errors import StageError
from alma.sections import Curate, Judge, Respond, Sampling, Synthesize
from alma.stages import curate, judge, respond, synthesize
from tests.builders.bench import Bench

BASE = Path(__file__).parents[2] / "examples" / "micro" / "base"
TEMPLATE = "{% for message in messages %}<user>{{ message['content'] }}{% endfor %}<assistant>"
LONG = "a" * 300  # the context holds 256 tokens
SAMPLING = Sampling(temperature=1.0, max_new_tokens=4)


@pytest.fixture
def base(bench: Bench) -> Model:
    return bench.model(BASE, TEMPLATE)


def test_a_few_shot_list_that_fills_the_context(bench: Bench, base: Model) -> None:
    prompts = ["what is 1+1?", LONG, "sort b, a"]
    seeds = bench.rows("pair", [{"source_id": p[:3], "prompt": p, "response": "x"} for p in prompts])
    cfg = Synthesize(num_attempts=30, part_rows=8, min_shots=1, max_shots=1, header="", item="{prompt}\n")
    cfg = cfg.changed(stop=("\n",), sampling=SAMPLING)
    with pytest.raises(StageError, match=r"(?s)of 30 rows leave no room.*max_too_long_share = 0.05.*max_shots"):
        bench.run(synthesize, cfg, model=base, seeds=seeds)
    found = bench.run(synthesize, cfg.changed(max_too_long_share=1.0), model=base, seeds=seeds)
    rows = found.table().to_pylist()
    long = seeds.table(["id"], 1, 2)["id"][0].as_py()
    aside = [row for row in rows if row["seed_ids"] == [long]]
    assert 0 < len(aside) < 30
    assert {(row["prompt"], row["ended"], row["num_tokens"]) for row in aside} == {("", False, 0)}
    assert found.metrics["num_too_long"] == len(aside) == sum(row["num_tokens"] == 0 for row in rows)
    held_out = bench.rows("evaluation_prompt", [{"source_id": "1", "prompt": "of its own"}])
    pool = bench.run(
        curate, Curate(min_chars=1, require_end=False, near_duplicate="off"), candidates=found, evaluation=held_out
    )
    assert set(pool.table(["candidate_id"])["candidate_id"].to_pylist()) <= {
        row["id"] for row in rows if row["num_tokens"]
    }


def test_a_prompt_that_fills_the_context_is_answered_and_rated_by_nobody(bench: Bench, base: Model) -> None:
    asked: list[dict[str, Any]] = [{"candidate_id": "c", "prompt": each} for each in ("1+1", LONG, "2+2", "3+3")]
    prompts = bench.rows("prompt", asked)
    cfg = Respond(num_samples=3, num_prompts=None, part_rows=6, sampling=SAMPLING)
    with pytest.raises(StageError, match=r"the prompts of 3 of 12 rows leave no room"):
        bench.run(respond, cfg, prompts=prompts, first=base)
    responses = bench.run(respond, cfg.changed(max_too_long_share=0.25), prompts=prompts, first=base)
    rows = responses.table().to_pylist()
    assert [row["num_tokens"] == 0 for row in rows] == [False] * 3 + [True] * 3 + [False] * 6
    assert responses.metrics["num_too_long"] == 3
    scoring = Judge(template="<review>{prompt}<assistant>{response}<rating>", part_rows=4, min_mass=1e-9)
    judged = bench.run(judge, scoring, judge=base, responses=responses)
    rated = judged.table(["parsed", "mass", "response_id"]).to_pylist()
    assert [row["parsed"] for row in rated] == [True] * 3 + [False] * 3 + [True] * 6
    assert judged.metrics["num_unparsable"] == 0, "what was never asked is no fault of the judge"
    assert [row["response_id"] for row in rated] == [row["id"] for row in rows]
