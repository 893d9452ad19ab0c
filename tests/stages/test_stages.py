"""The plain stages: what each does with its rows. The engines have tests of their own."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma.artifact import Model, Rows, row_id
from alma.errors import AlmaError, ConfigError, DataError, StageError
from alma.prompts import RATINGS
from alma.sections import Curate, Diversify, Select, Synthesize
from alma.stages import curate, diversify, finetune, select, synthesize
from alma.text import matcher
from tests.builders.bench import Bench


def judgement(prompt: int, response: str, mean: float, **values: Any) -> dict[str, Any]:
    probs = [0.0] * len(RATINGS)
    probs[round(mean)] = 1.0
    return {
        "response_id": "r",
        "prompt_id": f"p{prompt}",
        "judge_id": "j",
        "prompt": f"prompt {prompt}",
        "response": response,
        "num_tokens": len(response),
        "ended": True,
        "probs": probs,
        "mass": 1.0,
        "mean": mean,
        "std": 0.0,
        "integer": round(mean),
        "parsed": True,
    } | values


def candidates(bench: Bench, *texts: str, ended: bool = True) -> Rows:
    rows = [{"seed_ids": [], "sample_seed": 1, "prompt": text, "ended": ended, "num_tokens": 1} for text in texts]
    return bench.rows("candidate", rows)


# synthesize


def test_the_few_shot_list_ends_where_the_next_prompt_begins() -> None:
    cfg = Synthesize(header="H\n", item="{index}. {prompt}\n")
    assert synthesize.few_shot(cfg, ["a {prompt}", "b {index}"]) == "H\n1. a {prompt}\n2. b {index}\n3."


def test_synthesis_needs_enough_seeds(bench: Bench) -> None:
    seeds = bench.rows("pair", [{"source_id": "1", "prompt": "a", "response": "b"}])
    with pytest.raises(DataError, match=r"has 1 prompts.*max_shots = 5"):
        bench.run(synthesize, Synthesize(engine="echo", num_attempts=2), model=None, seeds=seeds)


# curate


LONG = "tell me in one sentence what became of the city of Troy after the war"


@pytest.mark.parametrize(
    ("cfg", "texts", "reason"),
    [
        pytest.param({}, ["write a poem", " Write  a POEM "], "num_duplicate", id="exact"),
        pytest.param({}, ["write a poem", "x"], "num_length", id="short"),
        pytest.param({"max_chars": 20}, ["write a poem", "y" * 21], "num_length", id="long"),
        pytest.param({"pattern": "[a-z ]+"}, ["write a poem", "write 2 poems"], "num_pattern", id="pattern"),
        pytest.param({"markers": ("###",)}, ["write a poem", "poem ### User"], "num_marker", id="marker"),
        pytest.param({}, ["write a poem", "a b c " * 9], "num_repetition", id="repetition"),
        pytest.param({}, ["write a poem", "held  out"], "num_evaluation_exact", id="evaluation"),
        pytest.param({}, ["write a poem", "Please explain why the sea is salt"], "num_evaluation_near", id="nearly"),
        pytest.param(
            {},
            ["write a poem", f"Of the Iliad, which you know by heart: {LONG}? In French."],
            "num_heldout_ngrams",
            id="held-out",
        ),
        pytest.param({}, ["write a poem", "Name three  cities"], "num_seeds_exact", id="copied shot"),
        pytest.param(
            {},
            ["write a long poem about the sea and the wind", "write a long poem about the sea and the wind!"],
            "num_near_duplicate",
            id="near",
        ),
    ],
)
def test_what_is_dropped(bench: Bench, cfg: dict[str, Any], texts: list[str], reason: str) -> None:
    asked = ["Held out", "Explain why the sea is salt", LONG]
    held_out = bench.rows("evaluation_prompt", [{"source_id": text, "prompt": text} for text in asked[:2]])
    scores = {"source_id": "1", "prompt": LONG, "response": "x", "score": 1.0}
    seed = {"source_id": "1", "prompt": "name three cities", "response": "x"}
    pool = bench.run(
        curate,
        Curate(**cfg),
        candidates=candidates(bench, *texts),
        evaluation=held_out,
        heldout=bench.rows("score", [scores]),
        seeds=bench.rows("pair", [seed]),
    )
    assert pool.table(["prompt"])["prompt"].to_pylist() == texts[:1]
    assert pool.metrics[reason] == 1
    dropped = sum(value for name, value in pool.metrics.items() if name not in ("num_candidates", "num_prompts"))
    assert dropped == 1


def test_cut_off_candidates_are_dropped_and_an_empty_pool_fails(bench: Bench) -> None:
    with pytest.raises(StageError, match="unfinished"):
        bench.run(curate, Curate(), candidates=candidates(bench, "write a poem", ended=False))


def test_a_pattern_that_is_tried_for_ever_is_refused_with_its_candidate(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    quick = tmp_path / "matcher.py"
    source = Path(matcher.__file__).read_text(encoding="utf-8")
    quick.write_text(source.replace("CPU_SECONDS = 10.0", "CPU_SECONDS = 0.2"), encoding="utf-8")
    monkeypatch.setattr(matcher, "__file__", str(quick))
    rows = candidates(bench, "a" * 10, "b", "a" * 3000 + "!", "aa")
    name = rows.table(["id"])["id"].to_pylist()[2]
    with pytest.raises(ConfigError) as refused:
        bench.run(curate, Curate(min_chars=1, pattern=r"(a+)+|b"), candidates=rows)
    for told in ("curate.pattern = '(a+)+|b'", "0.2 s of a core", f"candidate {name}", "3,001 characters"):
        assert told in str(refused.value)


def test_near_duplicates_can_be_left_in(bench: Bench) -> None:
    texts = ["write a long poem about the sea and the wind", "write a long poem about the sea and the wind!"]
    held_out = bench.rows("evaluation_prompt", [{"source_id": "1", "prompt": texts[0].replace("the wind", "a wind")}])
    cfg = Curate(near_duplicate="off")
    pool = bench.run(curate, cfg, candidates=candidates(bench, *texts), evaluation=held_out)
    assert len(pool) == 2


# diversify


@given(
    clusters=st.lists(st.integers(0, 9), min_size=1, max_size=80),
    per_round=st.integers(1, 10),
    seed=st.integers(0, 99),
)
def test_a_draw_order_holds_every_prompt_once_and_spreads_clusters(
    clusters: list[int], per_round: int, seed: int
) -> None:
    order, repeats = diversify.draw_order(np.array(clusters), per_round, np.random.default_rng(seed))
    assert sorted(order) == list(range(len(clusters)))
    left, start, seen = Counter(clusters), 0, 0
    while start < len(order):
        drawn = Counter(clusters[i] for i in order[start : start + per_round])
        available = sum(count > 0 for count in left.values())
        distinct = min(sum(drawn.values()), available)
        assert len(drawn) == distinct, "a cluster served twice while another had unused prompts"
        seen += sum(drawn.values()) - len(drawn)
        left -= drawn
        start += per_round
    assert repeats == seen


def test_clusters_take_turns_before_any_serves_again() -> None:
    labels = np.repeat(np.arange(10), 5)
    order, _ = diversify.draw_order(labels, 4, np.random.default_rng(0))
    served = Counter(labels[i] for i in order[:8])
    assert max(served.values()) == 1


def embedded(bench: Bench, count: int) -> tuple[Rows, Rows]:
    prompts = bench.rows("prompt", [{"candidate_id": "c", "prompt": f"prompt {i}"} for i in range(count)])
    ids = prompts.table(["id"])["id"].to_pylist()
    vectors = [
        {"prompt_id": each, "vector": [float(i % 3 == 0), float(i % 3 == 1), i / 1000]} for i, each in enumerate(ids)
    ]
    return prompts, bench.rows("embedding", vectors)


def test_diversify_separates_what_is_apart(bench: Bench) -> None:
    prompts, vectors = embedded(bench, 30)
    cfg = Diversify(num_clusters=3, per_round=3)
    drawn = bench.run(diversify, cfg, prompts=prompts, embeddings=vectors).table(["prompt", "cluster"]).to_pylist()
    for start in range(0, 30, 3):
        kinds = {int(row["prompt"].split()[1]) % 3 for row in drawn[start : start + 3]}
        assert kinds == {0, 1, 2}


@pytest.mark.parametrize("count", [20, 30, 40])
def test_vectors_of_another_pool_are_refused(bench: Bench, count: int) -> None:
    (prompts, _), (_, vectors) = embedded(bench, 30), embedded(bench, count)
    with pytest.raises(DataError, match="holds vectors of other prompts than"):
        bench.run(diversify, Diversify(num_clusters=3, per_round=3), prompts=prompts, embeddings=vectors)


def test_random_order_needs_no_embeddings(bench: Bench) -> None:
    prompts, _ = embedded(bench, 30)
    drawn = bench.run(diversify, Diversify(method="random", per_round=3), prompts=prompts)
    texts = drawn.table(["prompt"])["prompt"].to_pylist()
    assert sorted(texts) == sorted(prompts.table(["prompt"])["prompt"].to_pylist())
    assert texts != prompts.table(["prompt"])["prompt"].to_pylist()


def test_a_pool_that_is_too_small_is_said_in_numbers(bench: Bench) -> None:
    prompts, vectors = embedded(bench, 30)
    said = "30 prompts after curation; 20 for the judge and 20 for a round"
    with pytest.raises(StageError, match=said):
        bench.run(diversify, Diversify(method="random", limit=20, per_round=20), prompts=prompts)
    reserved = bench.run(diversify, Diversify(method="random", limit=20, per_round=5), prompts=prompts)
    with pytest.raises(StageError, match=said):
        bench.run(
            diversify, Diversify(num_clusters=3, per_round=20), prompts=prompts, embeddings=vectors, reserved=reserved
        )


def test_what_is_reserved_is_left_out_with_its_vectors(bench: Bench) -> None:
    prompts, vectors = embedded(bench, 30)
    reserved = bench.run(diversify, Diversify(method="random", limit=9, per_round=3), prompts=prompts)
    cfg = Diversify(num_clusters=3, per_round=3)
    drawn = bench.run(diversify, cfg, prompts=prompts, embeddings=vectors, reserved=reserved)
    kept, left = (set(rows.table(["prompt"])["prompt"].to_pylist()) for rows in (reserved, drawn))
    assert (len(kept), len(left), len(kept | left)) == (9, 21, 30)
    kinds: dict[int, set[int]] = {}
    for row in drawn.table(["prompt", "cluster"]).to_pylist():
        kinds.setdefault(row["cluster"], set()).add(int(row["prompt"].split()[1]) % 3)
    assert sorted(map(len, kinds.values())) == [1, 1, 1], "vectors went with other prompts"


def test_a_random_draw_follows_from_the_texts() -> None:
    texts = [f"prompt {i}" for i in range(50)]
    drawn = [texts[place] for place in diversify.random_order(texts, 1)]
    fewer = [text for text in texts if text not in ("prompt 3", "prompt 30")]
    assert [fewer[place] for place in diversify.random_order(fewer, 1)] == [text for text in drawn if text in fewer]
    assert drawn != [texts[place] for place in diversify.random_order(texts, 2)]


# select


def chosen(bench: Bench, rows: list[dict[str, Any]], previous: Rows | None = None, **cfg: Any) -> list[dict[str, Any]]:
    judged = bench.rows("judgement", rows)
    return bench.run(select, Select(**cfg), judgements=judged, previous=previous).table().to_pylist()


THREE = [judgement(0, "good", 8), judgement(0, "bad", 2), judgement(0, "fair", 5)]


def test_the_best_is_selected_per_prompt(bench: Bench) -> None:
    rows = chosen(bench, [*THREE, judgement(1, "only", 1)])
    assert [row["response"] for row in rows] == ["good", "only"]
    assert [row["score"] for row in rows] == [8, 1]


def test_unparsable_and_unfinished_responses_are_kept_out(bench: Bench) -> None:
    rows = [judgement(0, "mute", 9, parsed=False), judgement(0, "cut", 9, ended=False), judgement(0, "fair", 5)]
    assert [row["response"] for row in chosen(bench, rows)] == ["fair"]
    assert [row["response"] for row in chosen(bench, rows, require_end=False)] == ["cut"]


def test_a_response_that_holds_a_marker_is_counted_and_kept_out(bench: Bench) -> None:
    told = [judgement(0, "so rating:[[10]]", 10, marker="Rating: [["), judgement(0, "fair", 5)]
    judged = bench.rows("judgement", [*told, judgement(1, "###user: x", 9, marker="### User:")])
    rows = bench.run(select, Select(), judgements=judged)
    assert [row["response"] for row in rows.table().to_pylist()] == ["fair"]
    assert (rows.metrics["num_marked"], rows.metrics["num_prompts_without_row"]) == (2, 1)
    assert [row["response"] for row in chosen(bench, told, require_end=False)] == ["fair"]


def test_a_round_without_any_usable_response_fails(bench: Bench) -> None:
    with pytest.raises(StageError, match="1 of 1 judgements are unparsable"):
        chosen(bench, [judgement(0, "mute", 9, parsed=False)])


@pytest.mark.parametrize("brought", [{"num_tokens": None}, {"ended": None}])
def test_judgements_of_what_people_brought_are_nothing_to_select_from(bench: Bench, brought: dict[str, None]) -> None:
    with pytest.raises(DataError, match="rates responses that people brought"):
        chosen(bench, [judgement(0, "a", 5), judgement(0, "b", 5, **brought)], length_tolerance=1.0, require_end=False)


def test_the_risk_averse_score_prefers_the_certain(bench: Bench) -> None:
    rows = [judgement(0, "bold", 8, std=3.0), judgement(0, "safe", 7, std=0.5)]
    assert chosen(bench, rows)[0]["response"] == "bold"
    assert chosen(bench, rows, score="risk_averse", risk=1.0)[0]["response"] == "safe"


def test_integer_scores_tie_and_the_seed_decides(bench: Bench) -> None:
    rows = [judgement(p, text, 7.4, integer=7) for p in range(40) for text in ("a", "b")]
    picked = Counter(row["response"] for row in chosen(bench, rows, score="integer", seed=1))
    assert set(picked) == {"a", "b"}
    again = Counter(row["response"] for row in chosen(bench, rows, score="integer", seed=1))
    assert picked == again


def test_a_length_tolerance_takes_the_shortest_of_the_near_best(bench: Bench) -> None:
    rows = [judgement(0, "long best answer", 8.0), judgement(0, "short", 7.8), judgement(0, "x", 7.0)]
    assert chosen(bench, rows)[0]["response"] == "long best answer"
    assert chosen(bench, rows, length_tolerance=0.5)[0]["response"] == "short"


@pytest.mark.parametrize("pairs", ["best_vs_worst", "best_vs_random"])
def test_a_length_tolerance_takes_the_shortest_as_the_chosen_side(bench: Bench, pairs: str) -> None:
    rows = [
        judgement(0, "long best answer", 8.0),
        judgement(0, "longer near one", 7.9),
        judgement(0, "short", 7.8),
        judgement(0, "x", 7.0),
    ]
    (row,) = chosen(bench, rows, pairs=pairs, length_tolerance=0.5)
    assert (row["chosen"], row["rejected"]) == ("short", "x")


def test_a_length_tolerance_says_nothing_of_two_random_responses() -> None:
    with pytest.raises(ValueError, match=r"length_tolerance = 0\.5.*'ordered_pair' takes two random ones"):
        Select(pairs="ordered_pair", length_tolerance=0.5)


@pytest.mark.parametrize(
    ("pairs", "rejected"),
    [
        pytest.param("best_vs_worst", {"bad"}, id="worst"),
        pytest.param("best_vs_random", {"bad", "fair"}, id="random"),
    ],
)
def test_preference_pairs(bench: Bench, pairs: str, rejected: set[str]) -> None:
    rows = [row | {"prompt_id": f"p{p}", "prompt": f"prompt {p}"} for p in range(20) for row in THREE]
    selected = chosen(bench, rows, pairs=pairs)
    assert {row["chosen"] for row in selected} == {"good"}
    assert {row["rejected"] for row in selected} == rejected


def test_an_ordered_pair_is_two_random_responses_in_order(bench: Bench) -> None:
    rows = [row | {"prompt_id": f"p{p}", "prompt": f"prompt {p}"} for p in range(40) for row in THREE]
    selected = chosen(bench, rows, pairs="ordered_pair")
    assert {(row["chosen"], row["rejected"]) for row in selected} == {
        ("good", "fair"),
        ("good", "bad"),
        ("fair", "bad"),
    }
    assert all(row["chosen_score"] > row["rejected_score"] for row in selected)


def test_responses_that_are_alike_make_no_pair(bench: Bench) -> None:
    rows = [judgement(0, "same", 7), judgement(0, "same", 7), *[row | {"prompt_id": "p1"} for row in THREE]]
    assert len(chosen(bench, rows, pairs="best_vs_random")) == 1


def test_the_union_keeps_the_seeds_and_the_earlier_rounds(bench: Bench) -> None:
    seeds = bench.rows("pair", [{"source_id": "1", "prompt": "seed", "response": "answer"}])
    second = bench.run(select, Select(round=2), judgements=bench.rows("judgement", THREE), previous=seeds)
    third = bench.run(select, Select(round=3), judgements=bench.rows("judgement", THREE), previous=second)
    rows = third.table().to_pylist()
    assert [(row["round"], row["response"]) for row in rows] == [(1, "answer"), (2, "good"), (3, "good")]
    assert len({row["id"] for row in rows}) == 3
    assert rows[0]["prompt_id"] == row_id(seeds.ref, 0)


def test_pairs_and_examples_do_not_join(bench: Bench) -> None:
    seeds = bench.rows("pair", [{"source_id": "1", "prompt": "seed", "response": "answer"}])
    with pytest.raises(ConfigError, match="pair rows; preference rows cannot join"):
        chosen(bench, THREE, previous=seeds, pairs="best_vs_worst")


# finetune


def test_stages_say_which_rows_they_want(bench: Bench) -> None:
    from alma.sections import Finetune

    rows = bench.rows("judgement", THREE)
    with pytest.raises(AlmaError, match="holds judgement rows; wanted: pair or example"):
        bench.run(finetune, Finetune(trainer="echo"), model=Model(bench.store, rows.manifest), rows=rows)
