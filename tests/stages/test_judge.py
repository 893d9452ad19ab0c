"""The stage ``judge``: several readings of one response, and a base that is shown how others were rated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alma.artifact import Artifact, Model
from alma.engines.judging import ScoredRow, averaged, score_request
from alma.engines.requests import UNREADABLE, Rating
from alma.errors import ConfigError
from alma.sections import Judge
from alma.sections.judge import check_variants
from alma.stages import judge
from tests.builders.bench import Bench

TEMPLATE = "Ask: {prompt}\nAnswer: {response}\nRating: [["
OTHER = "Question: {prompt}\nAnswer: {response}\nRating: [["
ECHO = Judge(engine="echo", template=TEMPLATE, part_rows=3, max_bad_share=1.0)
SAMPLED = {"prompt_id": "x", "checkpoint_id": "c", "num_tokens": 3, "ended": True, "sample_index": 0, "sample_seed": 0}
RESPONSES = [SAMPLED | {"prompt": f"p{i // 2}", "response": f"r{i}"} for i in range(7)]
SCORES = [{"source_id": str(i), "prompt": f"p{i}", "response": f"s{i}", "score": i + 0.5} for i in range(5)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def model(bench: Bench, name: str) -> Model:
    out = bench.out("finetune")
    (out.folder / "config.json").write_text(name)
    out.seal(kind="model", version=1, section={}, inputs={}, identity={}, metrics={}, device="cpu")
    found = Artifact.open(bench.store, out.ref)
    assert isinstance(found, Model)
    return found


def judged(bench: Bench, cfg: Judge, **inputs: Any) -> list[dict[str, Any]]:
    return bench.run(judge, cfg, responses=bench.rows("response", RESPONSES), **inputs).table().to_pylist()


def raw(rows: list[dict[str, Any]]) -> Any:
    """Probabilities before they were renormalised, (rows, 11)."""
    return np.array([np.array(row["probs"]) * row["mass"] for row in rows])


def test_a_judgement_of_several_judges_and_prompts_is_the_mean_of_their_readings(bench: Bench) -> None:
    first, second = model(bench, "a"), model(bench, "b")
    single = [
        judged(bench, ECHO.changed(template=t), judge=each) for each in (first, second) for t in (TEMPLATE, OTHER)
    ]
    several = judged(bench, ECHO.changed(variants=[OTHER]), judge=first, second=second)
    assert raw(several) == pytest.approx(np.mean([raw(each) for each in single], axis=0), abs=1e-6)
    assert {row["judge_id"] for row in several} == {str(first.ref)}
    assert [row["response"] for row in several] == [row["response"] for row in RESPONSES]
    assert sum(several[0]["probs"]) == pytest.approx(1)


def test_a_reading_of_little_mass_counts_little() -> None:
    low, high = [1.0, *[0.0] * 10], [*[0.0] * 10, 1.0]
    found = averaged([Rating(tuple(low), 0.1), Rating(tuple(high), 0.9), UNREADABLE])
    assert found.probs_R == pytest.approx([0.1, *[0.0] * 9, 0.9])
    assert found.mass == pytest.approx(1 / 3)
    assert averaged([UNREADABLE, UNREADABLE]) == UNREADABLE
    assert averaged([Rating(tuple(high), 0.9)]) == Rating(tuple(high), 0.9)


def test_shots_stand_rated_before_the_response_in_the_judges_template() -> None:
    shots = [ScoredRow("{response}?", "yes", 7.5), ScoredRow("b", "no", 0)]
    request = score_request(ECHO, [("q", "one"), ("q", "two")], None, lambda _: shots, "]]\n\n")
    assert request.prefixes_P == [
        "Ask: {response}?\nAnswer: yes\nRating: [[8]]\n\nAsk: b\nAnswer: no\nRating: [[0]]\n\nAsk: q\nAnswer: "
    ]
    assert request.suffixes_PN == [["one\nRating: [[", "two\nRating: [["]]


def test_shots_are_drawn_by_the_prompt_and_never_ask_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: dict[str, list[str]] = {}
    plain = judge.score_request

    def spy(cfg: Any, pairs: Any, template: Any, shots: Any, end: str) -> Any:
        shown.update({prompt: [shot.prompt for shot in shots(prompt)] for prompt, _ in pairs})
        return plain(cfg, pairs, template, shots, end)

    monkeypatch.setattr(judge, "score_request", spy)
    scores, base = bench.rows("score", SCORES), model(bench, "base")
    judged(bench, ECHO.changed(num_shots=3, seed=1), judge=base, shots=scores)
    assert sorted(shown) == ["p0", "p1", "p2", "p3"]
    assert all(len(set(prompts)) == 3 and prompt not in prompts for prompt, prompts in shown.items())
    first = dict(shown)
    judged(bench, ECHO.changed(num_shots=3, seed=1, part_rows=100), judge=base, shots=scores)
    assert shown == first
    judged(bench, ECHO.changed(num_shots=3, seed=2), judge=base, shots=scores)
    assert shown != first


def test_shots_that_are_not_given_or_not_wanted_are_refused(bench: Bench) -> None:
    base, scores = model(bench, "base"), bench.rows("score", SCORES)
    with pytest.raises(ConfigError, match="num_shots = 3 and the input shots is not given"):
        judged(bench, ECHO.changed(num_shots=3), judge=base)
    with pytest.raises(ConfigError, match="num_shots = 0 and the input shots is given"):
        judged(bench, ECHO, judge=base, shots=scores)
    with pytest.raises(ConfigError, match="holds 5 rows"):
        judged(bench, ECHO.changed(num_shots=6), judge=base, shots=scores)


def test_a_variant_ends_as_the_template_does() -> None:
    check_variants(TEMPLATE, (OTHER,))
    with pytest.raises(ValueError, match="so that ratings are read alike"):
        check_variants(TEMPLATE, ("{prompt} {response} [",))
    with pytest.raises(ValueError, match="another text"):
        check_variants(TEMPLATE, (TEMPLATE,))
    with pytest.raises(ValueError, match="each once"):
        check_variants(TEMPLATE, ("{prompt}",))
