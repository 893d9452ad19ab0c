"""The hard world: its truth, its grades, and that the shipped base is the one its manifest names."""

import hashlib
import importlib.util
import json
import sys
from pathlib import Path
from random import Random

import pytest

HARD = Path(__file__).parents[2] / "examples" / "hard"
SPEC = importlib.util.spec_from_file_location("hard_build", HARD / "build.py")
build = importlib.util.module_from_spec(SPEC)
sys.modules["hard_build"] = build
before = list(sys.path)
SPEC.loader.exec_module(build)
sys.path[:] = before
tasks, micro_build = build.tasks, build.micro_build

CASES = [
    ("copy badc ef", "badc ef"),
    ("first 2 badc ef", "ba ef"),
    ("replace a e bada fa", "bede fe"),
    ("count a bada fa bb", "2 1 0"),
    ("add 47 8 35", "55 82"),
    ("tail badc ef", "adc f"),
    ("ends badc ef", "bc ef"),
    ("rotate badc ef", "adcb fe"),
    ("odd badc efg", "bd eg"),
    ("min 402 87", "0 7"),
    ("prev bad ce", "azc bd"),
    ("unique badab ef", "bad ef"),
]
NONSENSE = [
    "",
    "copy ab",
    "copy ab cd ef gh",
    "frob ab cd",
    "first 3 abc de",
    "drop a aa ab",
    "copy ab  cd",
    "max ab cd",
]


@pytest.mark.parametrize(("prompt", "answer"), CASES)
def test_truth_of_a_case_worked_by_hand(prompt, answer):
    assert tasks.truth(prompt) == answer


@pytest.mark.parametrize("prompt", NONSENSE)
def test_no_truth_for_what_is_no_question(prompt):
    assert tasks.truth(prompt) is None


@pytest.mark.parametrize(
    ("response", "grade"),
    [
        ("cba ed hgf", 10),
        ("so cba ed hgf", 8),
        ("cba ed", 7),
        ("cba de hgf", 7),
        ("ed cba hgf", 3),
        ("cba ed hgf ab", 8),
        ("abc de", 0),
        ("", 0),
        ("well", 0),
    ],
)
def test_grade_is_the_fraction_of_words_in_their_places(response, grade):
    assert tasks.grade("reverse abc de fgh", response) == grade


def test_every_prompt_drawn_has_an_answer_that_is_graded_ten():
    rng = Random(1)
    for family in tasks.FAMILIES * 30:
        prompt = tasks.ask(rng, family)
        assert tasks.grade(prompt, tasks.truth(prompt)) == 10
        assert len(tasks.mistake(prompt).split()) == len(tasks.truth(prompt).split())


def test_reviewers_follow_the_grade_and_are_often_off():
    rng, prompt = Random(2), "reverse abc de fgh"
    scores = {text: [build.WEB.score(rng, prompt, text) for _ in range(500)] for text in ("cba ed hgf", "cba de fgh")}
    means = [sum(each) / len(each) for each in scores.values()]
    assert means[0] > 8 > 5 > means[1] > 2
    assert 0.1 < sum(score != 10 for score in scores["cba ed hgf"]) / 500 < 0.3
    assert 0.6 < sum(score != 3 for score in scores["cba de fgh"]) / 500 < 0.9


def shipped(name):
    return [json.loads(line) for line in (HARD / name).read_text(encoding="utf-8").splitlines()]


def test_the_shipped_data_are_what_the_seed_gives_and_files_are_disjoint():
    files = micro_build.data(build.HARD, build.HARD.seed)
    assert {name: shipped(name) for name in files} == files
    micro_build.check(build.HARD, files)


def test_scores_tie_often():
    rows = shipped("heldout_scores.jsonl")
    ties = sum(a["score"] == b["score"] for a, b in zip(rows[::2], rows[1::2], strict=True))
    assert ties > 0.15 * len(rows) / 2


def test_the_models_are_those_that_the_manifest_names():
    hashes = json.loads((HARD / "manifest.json").read_text(encoding="utf-8"))["sha256"]
    files = [*HARD.glob("*.jsonl"), *(HARD / "base").iterdir(), *(HARD / "outsider").iterdir()]
    assert {str(each.relative_to(HARD)): hashlib.sha256(each.read_bytes()).hexdigest() for each in files} == hashes
    assert all((HARD / name / "model.safetensors").stat().st_size < 2_000_000 for name in ("base", "outsider"))


def test_the_run_file_reads():
    from alma.config import load

    assert load(HARD.parent / "hard.toml").rounds == 4
