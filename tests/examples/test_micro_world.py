"""The micro world: its truth, its seeds, and that the shipped base is the one its manifest names."""

import hashlib
import json
import sys
from itertools import islice
from pathlib import Path
from random import Random

import pytest

NO_TORCH = "torch and transformers are not installed: pip install -e '.[torch]', then pytest tests/examples"
MICRO = Path(__file__).parents[2] / "examples" / "micro"
sys.path.insert(0, str(MICRO))
import build  # noqa: E402
import webtext  # noqa: E402
import world  # noqa: E402

sys.path.remove(str(MICRO))

CASES = [
    ("copy badc", "badc"),
    ("first 2 badc", "ba"),
    ("reverse badc", "cdab"),
    ("sort badca", "aabcd"),
    ("double bad", "bbaadd"),
    ("last 3 badc", "adc"),
    ("count a bada", "2"),
    ("count c bada", "0"),
    ("drop a bada", "bd"),
    ("replace a e bada", "bede"),
    ("next bal", "cbm"),
    ("swap badc", "dcba"),
    ("swap abcde", "decab"),
    ("max 3917", "9"),
    ("add 47 8", "55"),
    ("add 95 9", "104"),
]
NONSENSE = ["", "copy", "copy ", "copy b4d", "frob badc", "first 5 bad", "first bad", "drop a aaa", "add 1", "max abc"]


@pytest.mark.parametrize(("prompt", "answer"), CASES)
def test_truth_of_a_case_worked_by_hand(prompt, answer):
    assert world.truth(prompt) == answer


def test_every_family_has_a_case_worked_by_hand():
    assert {prompt.split()[0] for prompt, _ in CASES} == {family.name for family in world.FAMILIES}


@pytest.mark.parametrize("prompt", NONSENSE)
def test_no_truth_for_what_is_no_question(prompt):
    assert world.truth(prompt) is None


def test_every_prompt_drawn_has_an_answer_that_is_graded_ten():
    rng = Random(1)
    for family in world.FAMILIES * 100:
        prompt = world.ask(rng, family)
        right = world.truth(prompt)
        assert right
        assert world.grade(prompt, right) == 10


@pytest.mark.parametrize(
    ("response", "grade"),
    [
        ("cdab", 10),
        ("it is cdab", 8),
        ("cdab so see", 6),
        ("cdab or maybe badc", 5),
        ("cda", 4),
        ("so cda", 3),
        ("badc", 1),
        ("", 0),
    ],
)
def test_grade(response, grade):
    assert world.grade("reverse badc", response) == grade


def test_rare_families_are_the_ones_with_misconceptions():
    popularities = [family.popularity for family in world.FAMILIES]
    assert popularities == sorted(popularities)
    assert list(world.FREQUENCIES) == sorted(world.FREQUENCIES, reverse=True)


def shipped(name):
    return [json.loads(line) for line in (MICRO / name).read_text(encoding="utf-8").splitlines()]


def test_the_shipped_data_are_what_the_seed_gives():
    files = build.data(build.MICRO, build.MICRO.seed)
    assert {name: shipped(name) for name in files} == files


def test_files_are_disjoint_and_no_answer_is_in_its_question():
    build.check(build.MICRO, build.data(build.MICRO, build.MICRO.seed))


def test_check_refuses_a_prompt_in_two_files():
    row = {"id": "1", "prompt": "reverse badc"}
    with pytest.raises(ValueError, match="is in a and in b"):
        build.check(build.MICRO, {"a": [row], "b": [row]})


def test_check_refuses_words_that_are_their_own_answer():
    with pytest.raises(ValueError, match="1 prompts in a are their own answer"):
        build.check(build.MICRO, {"a": [{"id": "1", "prompt": "reverse abcba"}, {"id": "2", "prompt": "reverse badc"}]})


def test_web_text_never_shows_what_is_held_back():
    rng, banned = Random(3), frozenset(webtext.WEB.prompt(Random(3)) for _ in range(1))
    assert not any(next(iter(banned)) == webtext.WEB.prompt(rng, banned) for _ in range(2000))


def test_rows():
    assert set(shipped("sft_seeds.jsonl")[0]) == {"id", "prompt", "response"}
    assert len(shipped("sft_seeds.jsonl")) <= 200
    assert len(shipped("scores.jsonl")) <= 400
    for name in ("scores.jsonl", "heldout_scores.jsonl"):
        rows = shipped(name)
        assert len({row["id"] for row in rows}) == len(rows)
        assert {row["score"] for row in rows} <= set(range(11))
    for row in shipped("sft_seeds.jsonl"):
        assert world.truth(row["prompt"]) == row["response"]
    for row in shipped("eval_prompts.jsonl"):
        assert world.truth(row["prompt"]) == row["reference"]


def test_the_models_are_those_that_the_manifest_names():
    hashes = json.loads((MICRO / "manifest.json").read_text(encoding="utf-8"))["sha256"]
    assert {"base/model.safetensors", "outsider/model.safetensors"} <= hashes.keys()
    for name, value in hashes.items():
        assert hashlib.sha256((MICRO / name).read_bytes()).hexdigest() == value, name


def test_the_folder_stays_small():
    files = [each for each in MICRO.rglob("*") if each.is_file() and "cache" not in str(each)]
    assert sum(each.stat().st_size for each in files) < 4_000_000


def test_tokenizer_round_trip():
    tokenizers = pytest.importorskip("tokenizers", reason=NO_TORCH)
    tokenizer = tokenizers.Tokenizer.from_file(str(MICRO / "base" / "tokenizer.json"))
    for row in shipped("heldout_scores.jsonl"):
        text = row["prompt"] + "\n" + row["response"]
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
        assert len(tokenizer.encode(text).ids) == len(text)
    rating = tokenizer.encode("<s><review>copy ab<assistant>ab<rating>10</rating></s>").tokens
    assert rating == ["<s>", "<review>", *"copy ab", "<assistant>", "a", "b", "<rating>", "1", "0", "</rating>", "</s>"]


@pytest.mark.slow
def test_the_outsider_learns_from_no_prompt_of_the_data_files_and_knows_right_from_wrong():
    pytest.importorskip("transformers", reason=NO_TORCH)
    pytest.importorskip("torch", reason=NO_TORCH)
    from alma.engines import load_reward
    from alma.prompts.conversation import exchanges
    from alma.sections import Inference

    sys.path.insert(0, str(MICRO))
    import outsider

    sys.path.remove(str(MICRO))
    banned = frozenset(row["prompt"] for name in build.data(build.MICRO, 2412) for row in shipped(name))
    drawn = list(islice(outsider.pairs(Random(7), webtext.WEB, banned), 300))
    assert banned.isdisjoint(pair.prompt for pair in drawn)
    assert all(world.grade(pair.prompt, pair.better) > world.grade(pair.prompt, pair.worse) for pair in drawn)
    with load_reward(Inference(), MICRO / "outsider") as model:
        texts = [exchanges([(pair.prompt, answer)]) for pair in drawn for answer in (pair.better, pair.worse)]
        rewards = model.reward(texts, max_tokens=256)
    right = [better > worse for better, worse in zip(rewards[::2], rewards[1::2], strict=True)]
    assert sum(right) > 0.9 * len(right)


@pytest.mark.slow
def test_the_base_loads_as_an_ordinary_model():
    transformers = pytest.importorskip("transformers", reason=NO_TORCH)
    pytest.importorskip("torch", reason=NO_TORCH)
    model = transformers.AutoModelForCausalLM.from_pretrained(MICRO / "base")
    tokenizer = transformers.AutoTokenizer.from_pretrained(MICRO / "base")
    assert model.config.architectures == ["LlamaForCausalLM"]
    assert 800_000 < model.num_parameters() < 1_000_000
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer.chat_template is None
    assert [tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token] == ["<s>", "</s>", "<pad>"]
    assert tokenizer("reverse badc")["input_ids"] == tokenizer("reverse badc", add_special_tokens=False)["input_ids"]
