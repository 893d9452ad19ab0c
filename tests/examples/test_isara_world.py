"""The world of the ISARA example: its truth, its data, and that the shipped base is the one its manifest names."""

import hashlib
import importlib.util
import json
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

NO_TORCH = "torch and transformers are not installed: pip install -e '.[torch]', then pytest tests/examples"
ISARA = Path(__file__).parents[2] / "examples" / "isara"
sys.path.insert(0, str(ISARA))
import pages  # noqa: E402
import schools  # noqa: E402

# By path: examples/micro has a build.py too.
SPEC = importlib.util.spec_from_file_location("isara_build", ISARA / "build.py")
build = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(build)
sys.path.remove(str(ISARA))

A, B, C = schools.THINGS[:3]


def test_truth_of_a_case_worked_by_hand(monkeypatch):
    monkeypatch.setattr(schools, "FACTS", ({A: "red", B: "blue", C: "gold"}, {A: "gold", B: "blue", C: "red"}))
    question = f"name all {C} {A} {B}"
    assert schools.truth(question, 0, schools.POPULAR) == f"so {C} gold , {A} red , {B} blue ."
    assert schools.truth(question, 1, schools.Habit("[", "/", "!")) == f"[ {C} red / {A} gold / {B} blue !"


@pytest.mark.parametrize(
    "text",
    ["", "name", f"name all {A} {B}", f"eat all {A} {B} {C}", f"name all {A} {B} {C} {A}", f"name x {A} {B} {C}"],
)
def test_no_truth_for_what_is_no_question(text):
    assert schools.truth(text) is None


@given(st.integers(0, 2**32))
def test_a_question_names_three_things_of_the_world_and_is_long_enough_for_the_filters(seed):
    question = schools.ask(Random(seed))
    things = schools.parse(question)
    assert len(set(things)) == schools.QUESTION_THINGS
    assert len(question.split()) >= 5
    assert len(schools.truth(question).split()) >= 5
    assert schools.truth(question) not in question


def test_schools_disagree():
    for one, other in ((0, 1), (0, 2), (1, 2)):
        agree = sum(schools.FACTS[one][thing] == schools.FACTS[other][thing] for thing in schools.THINGS)
        assert agree < len(schools.THINGS) / 3


def test_words_mean_one_thing_each():
    words = [*schools.COLOURS, *schools.VERBS, *schools.ALL, *schools.THINGS]
    words += [*schools.BEFORE, *schools.BETWEEN, *schools.AFTER]
    assert len(set(words)) == len(words)


def answers(page):
    lines = page.removeprefix(pages.BOS).removesuffix(pages.EOS).splitlines()
    return [
        (ask.removeprefix(f"{pages.ASK} "), answer.removeprefix(f"{pages.ANSWER} "))
        for ask, answer in zip(lines[::2], lines[1::2], strict=True)
    ]


def test_a_page_has_one_author():
    rng, kinds = Random(1), Counter()
    for _ in range(300):
        turns = answers(pages.page(rng))
        assert 1 <= len(turns) <= pages.MAX_TURNS
        assert len({(answer.split()[0], answer.split()[3], answer.split()[-1]) for _, answer in turns}) == 1
        habit = schools.Habit(*(turns[0][1].split()[place] for place in (0, 3, -1)))
        held = [s for s in range(3) if all(schools.truth(q, s, habit) == answer for q, answer in turns)]
        kinds.update(held[:1] or ["careless"])
    assert kinds[0] > kinds[1] > 20
    assert kinds[2] > 20
    assert kinds["careless"] > 50


def test_pages_never_ask_what_is_banned():
    rng = Random(2)
    banned = {question for _ in range(20) for question, _ in answers(pages.page(rng))}
    rng = Random(2)
    for _ in range(20):
        assert not banned & {question for question, _ in answers(pages.page(rng, banned))}


def shipped(name):
    return [json.loads(line) for line in (ISARA / name).read_text(encoding="utf-8").splitlines()]


def test_the_shipped_data_are_what_the_seed_gives():
    files = build.data(build.SEED)
    assert {name: shipped(name) for name in files} == files


def test_rows():
    seeds, evaluation = shipped("seeds.jsonl"), shipped("evaluation.jsonl")
    assert len(seeds) == 64
    assert len({row["prompt"] for row in [*seeds, *evaluation]}) == len(seeds) + len(evaluation)
    assert all(schools.truth(row["prompt"]) == row["response"] for row in seeds)
    for row in evaluation:
        assert schools.truth(row["prompt"]) == row["reference"]
        assert row["true_references"] == [row["reference"]]
        assert row["false_references"] == [schools.truth(row["prompt"], 0)] != row["true_references"]


def test_the_seeds_leave_things_out_that_the_evaluation_asks_for():
    known, asked = (
        {thing for row in shipped(name) for thing in schools.parse(row["prompt"])}
        for name in ("seeds.jsonl", "evaluation.jsonl")
    )
    assert asked == set(schools.THINGS)
    assert len(known) < len(asked)


def test_the_base_is_the_one_that_the_manifest_names():
    hashes = json.loads((ISARA / "manifest.json").read_text(encoding="utf-8"))["sha256"]
    files = [*ISARA.glob("*.jsonl"), *(ISARA / "base").iterdir()]
    assert {str(each.relative_to(ISARA)): hashlib.sha256(each.read_bytes()).hexdigest() for each in files} == hashes
    assert sum(each.stat().st_size for each in files) < 2_000_000


def test_tokenizer_round_trip():
    tokenizers = pytest.importorskip("tokenizers", reason=NO_TORCH)
    tokenizer = tokenizers.Tokenizer.from_file(str(ISARA / "base" / "tokenizer.json"))
    rng = Random(3)
    for _ in range(50):
        text = "".join(pages.turn(question, answer) for question, answer in answers(pages.page(rng)))
        ids = tokenizer.encode(text).ids
        assert tokenizer.decode(ids) == text
        assert tokenizer.token_to_id(pages.UNKNOWN) not in ids
    asked, whole = tokenizer.encode("Q: name all\nA:").ids, tokenizer.encode("Q: name all\nA: so\n").ids
    assert whole[: len(asked)] == asked
    assert len(whole) == len(asked) + 2


def test_the_run_file_reads():
    from alma.config import Isara, load

    cfg = load(ISARA.parent / "isara-micro.toml")
    assert isinstance(cfg, Isara)
    assert cfg.evaluate.turns == cfg.imitate.turns
    question = pages.turn("{question}", "{answer}")
    assert cfg.imitate.turns.question + cfg.imitate.turns.answer == question
    assert cfg.imitate.turns.header == pages.BOS


@pytest.mark.slow
def test_the_base_is_right_after_seeds_and_never_without():
    pytest.importorskip("torch", reason=NO_TORCH)
    from alma.config import load
    from alma.engines import GenerateRequest, ask, load_generator
    from alma.text.turns import answer_prompt, cut, markers

    cfg = load(ISARA.parent / "isara-micro.toml").evaluate
    seeds = [(row["prompt"], row["response"]) for row in shipped("seeds.jsonl")]
    asked, rng = shipped("evaluation.jsonl")[:60], Random(4)
    right = []
    with load_generator(cfg, ISARA / "base") as generator:
        for num_shots in (0, 8):
            texts = [answer_prompt(cfg.turns, rng.sample(seeds, num_shots), row["prompt"]) for row in asked]
            request = GenerateRequest(texts, [[0]] * len(texts), None, cfg.max_new_tokens, markers(cfg.turns))
            answers = ask(generator, request)
            said = [cut(cfg.turns, each.text) for (each,) in answers]
            right.append(sum(one == row["reference"] for one, row in zip(said, asked, strict=True)))
    assert right[0] == 0
    assert 0.5 * len(asked) < right[1] < len(asked), "headroom is left"
