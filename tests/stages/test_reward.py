"""Rewards of an evaluation's answers: one for each, none where nothing can be read, resumed by part."""

import pytest

from alma.artifact import Artifact, Rows
from alma.engines import load_reward
from alma.errors import Stopped
from alma.prompts.conversation import exchanges
from alma.sections import Reward
from alma.stages import reward
from tests.builders.bench import Bench
from tests.builders.sealed import seal

CFG = Reward(name="outsider", engine="echo", model={"source": "model"}, part_rows=2, max_tokens=6)
BLANK = {
    "judge_id": "finetune/j",
    "checkpoint_id": "finetune/c",
    "ended": True,
    "mean": 5.0,
    "std": 0.0,
    "parsed": True,
}
ANSWERS = [("one", "a b"), ("two", "c"), ("three", ""), ("four", "d e f g h i"), ("five", "a b")]


@pytest.fixture
def model(bench):
    """Any folder will do for the echo engine."""
    out = bench.out("ingest")
    (out.folder / "config.json").write_text("{}", encoding="utf-8")
    seal(out, "model")
    return Artifact.open(bench.store, out.ref)


def results(bench: Bench) -> Rows:
    rows = [
        BLANK | {"prompt_id": f"p{i}", "family": "f", "prompt": prompt, "response": response}
        for i, (prompt, response) in enumerate(ANSWERS)
    ]
    return bench.rows("result", [row | {"num_tokens": len(row["response"].split())} for row in rows])


def test_every_answer_has_a_reward_or_a_reason(bench, model):
    evaluated = results(bench)
    found = bench.run(reward, CFG, results=evaluated, model=model)
    rows = found.table().to_pylist()
    with load_reward(CFG, model.folder) as loaded:
        expected = loaded.reward([exchanges([pair]) for pair in ANSWERS], max_tokens=6)
    assert [row["score"] for row in rows] == [expected[0], expected[1], None, None, expected[4]]
    assert [row["fault"] for row in rows] == [None, None, "unanswered", "too_long", None]
    given = evaluated.table().to_pylist()
    assert [row["result_id"] for row in rows] == [row["id"] for row in given]
    assert {row["evaluator"] for row in rows} == {str(model.ref)}
    assert [row["num_chars"] for row in rows] == [len(response) for _, response in ANSWERS]
    metrics = found.manifest.metrics
    assert metrics["num_unscored"] == 2
    assert metrics["num_tokens"] == 3 + 2 + 3
    assert metrics["reward"] == pytest.approx((expected[0] + expected[1] + expected[4]) / 3)


def test_a_comparators_answers_have_rewards_too(bench, model):
    rows = [{"source_id": prompt, "prompt": prompt, "response": response} for prompt, response in ANSWERS[:2]]
    found = bench.run(reward, CFG, results=bench.rows("pair", rows), model=model)
    assert all(row["score"] is not None and row["prompt_id"] is None for row in found.table().to_pylist())


def test_a_stopped_attempt_goes_on_from_its_parts(bench, model):
    evaluated = results(bench)
    out = bench.out("reward")
    calls: list[bool] = []
    out.stopping = lambda: calls.append(True) or len(calls) > 2
    with pytest.raises(Stopped):
        reward.run(CFG, results=evaluated, model=model, out=out)
    out.stopping = lambda: False
    again = bench.seal(out, reward.run(CFG, results=evaluated, model=model, out=out))
    whole = bench.run(reward, CFG, results=evaluated, model=model)
    columns = ["result_id", "score", "fault"]
    assert again.table(columns).equals(whole.table(columns))


def test_settings_of_where_and_when_are_no_part_of_the_key():
    other = CFG.changed(name="other", every="ends", model={"source": "elsewhere"}, batch_rows=1)
    assert other.keyed() == CFG.keyed()
    assert CFG.changed(max_tokens=7).keyed() != CFG.keyed()
