"""The tables of score readings and of selection rules."""

from typing import Any, get_args

import numpy as np
import pytest

from alma.artifact.records import SCHEMAS
from alma.prompts import RATINGS
from alma.sections import Select
from alma.selection.readings import COLUMNS, READINGS, columns, score
from alma.selection.rules import RULES, select


def choices(name: str) -> set[Any]:
    """What a setting of ``Select`` may be."""
    annotation = Select.model_fields[name].annotation
    inner = [each for part in get_args(annotation) for each in get_args(part)]
    return set(inner) or set(get_args(annotation))


def test_the_settings_name_the_readings_and_rules_of_the_tables() -> None:
    assert choices("score") == set(READINGS)
    assert choices("pairs") | {None} == set(RULES)


def test_the_readings_are_columns_of_a_judgement() -> None:
    assert set(COLUMNS) <= set(SCHEMAS["judgement"].names)


def test_columns_of_a_distribution() -> None:
    probs = [0.0] * len(RATINGS)
    probs[2], probs[8] = 0.25, 0.75
    assert columns(probs) == {"mean": 6.5, "std": pytest.approx(np.sqrt(0.25 * 4.5**2 + 0.75 * 1.5**2)), "integer": 8}


def judgement(place: int, mean: float, tokens: int = 5) -> dict[str, Any]:
    row = {"id": str(place), "response": f"r{place}", "mean": mean, "std": 0.5, "integer": round(mean)}
    return row | {"num_tokens": tokens}


@pytest.mark.parametrize(("reading", "expected"), [("real", 6.6), ("integer", 7.0), ("risk_averse", 5.6)])
def test_scores(reading: Any, expected: float) -> None:
    assert score(Select(score=reading, risk=2.0), judgement(0, 6.6)) == pytest.approx(expected)


@pytest.mark.parametrize("pairs", sorted(choices("pairs")))
def test_a_rule_for_pairs_gives_a_better_and_a_worse_response_or_nothing(pairs: Any) -> None:
    cfg = Select(pairs=pairs)
    rows = [judgement(i, mean) for i, mean in enumerate([3.0, 9.0, 1.0, 5.0])]
    seen = set()
    for prompt in "abcdefghijklmnopqrst":
        chosen, rejected = select(cfg, prompt, rows) or pytest.fail("no pair")
        assert chosen["mean"] > rejected["mean"]
        seen.add((chosen["id"], rejected["id"]))
    if pairs == "best_vs_worst":
        assert seen == {("1", "2")}
    if pairs == "best_vs_random":
        assert seen == {("1", worse) for worse in "023"}
    if pairs == "ordered_pair":
        assert len(seen) > 3
    for few in ([], rows[:1], [judgement(0, 4.0), judgement(1, 4.0)]):
        assert select(cfg, "a", few) is None


def test_the_best_is_the_shortest_within_the_tolerance() -> None:
    rows = [judgement(0, 9.0, 50), judgement(1, 8.8, 10), judgement(2, 8.7, 10), judgement(3, 2.0, 1)]
    assert select(Select(), "a", rows) == (rows[0],)
    assert select(Select(length_tolerance=0.5), "a", rows) == (rows[1],)
    assert select(Select(), "a", []) is None
