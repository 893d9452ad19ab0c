"""The stage ``judge``: several readings of one response, and a base that is shown how others were rated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alma.artifact import Artifact, Model
from alma.engines import GenerateRequest, ScoreRequest, ask, load_generator, load_scorer
from alma.engines.judging import ScoredRow, averaged, judge_requests, score_request
from alma.engines.requests import UNREADABLE, Rating
from alma.errors import ConfigError
from alma.sections import Judge
from alma.sections.judge import check_variants
from alma.seeds import sample_seed
from alma.stages import judge
from tests.builders.bench import Bench
from tests.builders.sealed import seal
from tests.builders.training import TEMPLATE as TRAINED
from tests.builders.training import write_model

TEMPLATE = "Ask: {prompt}\nAnswer: {response}\nRating: [["
OTHER = "Question: {prompt}\nAnswer: {response}\nRating: [["
ECHO = Judge(engine="echo", template=TEMPLATE, part_rows=3, max_bad_share=1.0)
SAMPLED = {"prompt_id": "x", "checkpoint_id": "c", "num_tokens": 3, "ended": True, "sample_index": 0, "sample_seed": 0}
RESPONSES = [SAMPLED | {"prompt": f"p{i // 2}", "response": f"r{i}"} for i in range(7)]
SCORES = [{"source_id": str(i), "prompt": f"p{i}", "response": f"s{i}", "score": i + 0.5} for i in range(5)]


def model(bench: Bench, name: str) -> Model:
    out = bench.out("finetune")
    (out.folder / "config.json").write_text(name)
    seal(out, "model")
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
    pairs = [("q", "one"), ("q", "two")]
    [request] = judge_requests(ECHO, pairs, lambda _: shots)
    assert request.prefixes_P == [
        "Ask: {response}?\nAnswer: yes\nRating: [[8]]\n\nAsk: b\nAnswer: no\nRating: [[0]]\n\nAsk: q\nAnswer: "
    ]
    assert request.suffixes_PN == [["one\nRating: [[", "two\nRating: [["]]
    assert judge_requests(ECHO, pairs) == (score_request(ECHO, pairs),)


def test_shots_are_drawn_by_the_prompt_and_never_ask_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: dict[str, list[str]] = {}

    def spy(cfg: Any, pairs: Any, shots: Any) -> Any:
        shown.update({prompt: [shot.prompt for shot in shots(prompt)] for prompt, _ in pairs})
        return judge_requests(cfg, pairs, shots)

    monkeypatch.setattr(judge, "judge_requests", spy)
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


@pytest.mark.slow
def test_a_rating_is_read_behind_what_the_judge_wrote(tmp_path: Path) -> None:
    """Against the same engine, asked for the reasons and for the rating apart."""
    folder = write_model(tmp_path)
    cfg = Judge(
        engine="hf",
        dtype="float32",
        template=TRAINED,
        seed=5,
        rationale={"ask": " why?", "sampling": {"temperature": 1.0, "max_new_tokens": 9}},
    )
    pairs = [("x", "ab"), ("x", "c"), ("y", "ab"), ("x", "ab" * 40)]  # the last leaves no room
    [request] = judge_requests(cfg, pairs)
    with load_scorer(cfg, folder) as judge_:
        found = [rating for several in ask(judge_, request) for rating in several]
    texts = list(request.distinct().values())
    seeds = [[sample_seed(5, "rationale", text)] for text in texts]
    with load_generator(cfg, folder) as generator:
        written = ask(generator, GenerateRequest(texts, seeds, cfg.rationale and cfg.rationale.sampling, 9))
    assert len({each.text for [each] in written[:3]}) > 1
    whole = [f"<s><user>{p}<assistant>{r} why?{each.text}" for (p, r), [each] in zip(pairs, written, strict=True)]
    with load_scorer(cfg.changed(rationale=None), folder) as scorer:
        wanted = [ask(scorer, ScoreRequest([text], [["<rating>"]], 8192))[0][0] for text in whole[:3]]
    for rating, alone in zip(found, wanted, strict=False):
        assert rating.probs_R == pytest.approx(alone.probs_R, abs=1e-5)
    assert found[3] == UNREADABLE


def test_a_judge_that_writes_is_asked_by_the_stage(bench: Bench) -> None:
    first = model(bench, "a")
    plain = judged(bench, ECHO, judge=first)
    seeded = [judged(bench, ECHO.changed(rationale={}, seed=seed), judge=first) for seed in (1, 1, 2)]
    assert raw(seeded[0]) == pytest.approx(raw(seeded[1]))
    assert not np.allclose(raw(seeded[0]), raw(plain))
    assert not np.allclose(raw(seeded[0]), raw(seeded[2]))


def test_engines_that_cannot_write_and_rate_are_refused() -> None:
    with pytest.raises(ValueError, match="an endpoint either answers or rates"):
        Judge(engine="openai", openai={"endpoint": "http://a/v1", "model": "m"}, rationale={})
    with pytest.raises(ValueError, match="two vLLM engines"):
        Judge(engine="vllm", rationale={})
    assert Judge(engine="vllm", vllm={"gpu_memory_share": 0.4}, rationale={}).draws


def test_a_variant_ends_as_the_template_does() -> None:
    check_variants(TEMPLATE, (OTHER,))
    with pytest.raises(ValueError, match="so that ratings are read alike"):
        check_variants(TEMPLATE, ("{prompt} {response} [",))
    with pytest.raises(ValueError, match="another text"):
        check_variants(TEMPLATE, (TEMPLATE,))
    with pytest.raises(ValueError, match="each once"):
        check_variants(TEMPLATE, ("{prompt}",))
