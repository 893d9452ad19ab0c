"""The ``hf`` engines on tiny random models in float32, against transformers and against the naive way.

The models see about forty tokens; a wide initialisation makes their distributions uneven enough to tell rows apart.
"""

from __future__ import annotations

import random
import shutil
import weakref
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerFast,
)

from alma.engines import TOO_LONG, Completion, load_embedder, load_generator, load_scorer
from alma.engines.hf.choose import choose
from alma.engines.hf.ngrams import Ban
from alma.engines.rating import RatingTokens
from alma.errors import ConfigError, DataError
from alma.sections import Inference, Judge, Sampling
from tests.builders.asking import embed, generate, score
from tests.builders.models import (
    PREFIXES,
    SUFFIXES,
    TEMPLATE,
    TEXTS,
    gpt2,
    llama,
    mistral,
    saved,
)

torch.set_num_threads(1)
CFG = Inference(batch_rows=64)
SAMPLING = Sampling(temperature=1.0, top_p=0.95)


@pytest.fixture(
    scope="module",
    params=[(llama, False), (llama, True), (mistral, False), (gpt2, True)],
    ids=["llama-chars", "llama-merges", "mistral-chars", "gpt2-merges"],
)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    make, ten = request.param
    return saved(tmp_path_factory.mktemp("model"), make, ten)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("plain"), llama, False)


def test_greedy_is_what_transformers_generates(folder: Path) -> None:
    model, tokens = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    with load_generator(CFG, folder) as engine:
        found = generate(engine, TEXTS, [[0]] * len(TEXTS), None, max_new_tokens=24)
    for text, [completion] in zip(TEXTS, found, strict=True):
        ids = tokens(text, return_tensors="pt").input_ids
        written = model.generate(ids, do_sample=False, max_new_tokens=24)[0, ids.shape[1] :].tolist()
        ended = written[-1] == tokens.eos_token_id
        whole = tokens.decode(written[:-1] if ended else written)
        special = [place for place in map(whole.find, tokens.all_special_tokens) if place >= 0]
        answer = whole[: min(special)] if special else whole
        assert completion == Completion(answer, len(written), ended and not special)


def test_samples_depend_on_text_and_seed_only(folder: Path) -> None:
    rng = random.Random(0)
    wanted = [(rng.choice(TEXTS), seed % 25) for seed in range(100)]
    with load_generator(CFG, folder) as engine:
        together = generate(engine, TEXTS, [list(range(25))] * len(TEXTS), SAMPLING, max_new_tokens=12)
        alone = generate(
            engine, [text for text, _ in wanted], [[seed] for _, seed in wanted], SAMPLING, max_new_tokens=12
        )
    with load_generator(Inference(batch_rows=37), folder) as engine:
        shuffled = rng.sample(wanted, len(wanted))
        other = generate(
            engine, [text for text, _ in shuffled], [[seed] for _, seed in shuffled], SAMPLING, max_new_tokens=12
        )
    assert [each for [each] in alone] == [together[TEXTS.index(text)][seed] for text, seed in wanted]
    assert [other[shuffled.index(each)] for each in wanted] == alone
    assert len({each.text for [each] in alone}) > 50  # seeds differ
    assert {each.ended for [each] in alone} == {True, False}


def test_a_longer_limit_only_continues_a_sample(plain: Path) -> None:
    with load_generator(CFG, plain) as engine:
        short = generate(engine, ["abc"], [range(20)], SAMPLING, max_new_tokens=5)[0]
        long = generate(engine, ["abc"], [range(20)], SAMPLING, max_new_tokens=30)[0]
    assert all(b.text.startswith(a.text) for a, b in zip(short, long, strict=True))
    assert all(a == b for a, b in zip(short, long, strict=True) if a.ended)


def test_samples_have_the_distribution_of_the_nucleus() -> None:
    probs_V = np.array([0.4, 0.05, 0.3, 0.15, 0.1])
    logits = torch.tensor(probs_V).log().float().repeat(10_000, 1) * 0.5  # as a temperature of 0.5 undoes
    uniform = torch.arange(10_000) / 10_000
    drawn = choose(logits, uniform, Sampling(temperature=0.5, top_p=0.8)).numpy()
    kept = np.array([0.4, 0.0, 0.3, 0.15, 0.0]) / 0.85  # 0.4 + 0.3 do not reach 0.8, with 0.15 they do
    np.testing.assert_allclose(np.bincount(drawn, minlength=5) / 10_000, kept, atol=1e-3)


def test_the_largest_uniform_stays_in_the_nucleus() -> None:
    uniform = torch.full((4,), 1 - 2**-24)
    drawn = choose(torch.tensor([[0.0, 0.0, -1e9, -1e9]] * 4), uniform, Sampling(temperature=1.0, top_p=1.0))
    assert drawn.tolist() == [1] * 4


def test_stop_texts_cut_and_end(folder: Path) -> None:
    stop = ["ab", "7", "r ", "\n"]
    seeds = [list(range(20))] * len(TEXTS)
    heard: list[int] = []
    with load_generator(CFG, folder) as engine:
        free = generate(engine, TEXTS, seeds, SAMPLING, max_new_tokens=20)
        stopped = generate(engine, TEXTS, seeds, SAMPLING, max_new_tokens=20, stop=stop, on_tokens=heard.append)
    num_cut = 0
    for a, b in zip(chain(*free), chain(*stopped), strict=True):
        places = [place for place in map(a.text.find, stop) if place >= 0]
        if not places:
            # After a special token, which cuts both, a stop text may still have saved tokens.
            assert (b.text, b.ended) == (a.text, a.ended)
            assert b.num_tokens == a.num_tokens if a.ended else b.num_tokens <= a.num_tokens
            continue
        num_cut += 1
        assert b.text == a.text[: min(places)]
        assert b.ended
        assert b.num_tokens <= a.num_tokens
    assert 10 < num_cut < 110
    assert sum(heard) == sum(each.num_tokens for row in stopped for each in row)


@pytest.mark.parametrize("stop", [(), ("b",)], ids=["free", "stop"])
def test_num_tokens_and_end(plain: Path, stop: tuple[str, ...]) -> None:
    heard: list[int] = []
    with load_generator(CFG, plain) as engine:
        [found] = generate(engine, ["abc"], [range(60)], SAMPLING, max_new_tokens=9, stop=stop, on_tokens=heard.append)
    # One token per character, so the text says how many there were; what ended it is one more.
    assert all(each.num_tokens == len(each.text) + 1 for each in found if each.ended)
    assert all(len(each.text) <= each.num_tokens <= 9 for each in found)
    assert {each.ended for each in found} == {True, False}
    assert sum(heard) == sum(each.num_tokens for each in found)


def test_model_text_never_holds_a_special_token() -> None:
    """The micro base goes on after its answer with the next turn's marker, which later prompts would read as one."""
    base = Path(__file__).parents[2] / "examples" / "micro" / "base"
    texts = ["<s><user>copy fhil<assistant>", "<s><user>copy abcd<assistant>"]
    with load_generator(CFG, base) as engine:
        found = [each for row in generate(engine, texts, [range(8)] * 2, SAMPLING, max_new_tokens=20) for each in row]
    assert not any("<" in each.text for each in found)
    assert any(each.text in ("fhil", "abcd") and not each.ended for each in found)


def test_end_tokens_of_the_generation_config_end_too(plain: Path, tmp_path: Path) -> None:
    shutil.copytree(plain, tmp_path, dirs_exist_ok=True)
    dot = AutoTokenizer.from_pretrained(plain).convert_tokens_to_ids(".")
    (tmp_path / "generation_config.json").write_text(f'{{"eos_token_id": [2, {dot}]}}')
    with load_generator(CFG, plain) as engine:
        [before] = generate(engine, ["abc"], [range(60)], SAMPLING, max_new_tokens=30)
    with load_generator(CFG, tmp_path) as engine:
        [after] = generate(engine, ["abc"], [range(60)], SAMPLING, max_new_tokens=30)
    assert any("." in each.text for each in before)
    assert [each.text for each in after] == [each.text.partition(".")[0] for each in before]
    assert all(b.ended for a, b in zip(before, after, strict=True) if "." in a.text)


def test_bos_is_there_once_raw_or_rendered(plain: Path) -> None:
    with load_generator(CFG, plain) as engine:
        asked = engine.chat("abc")
        assert asked == "<s>q abc a "
        raw, rendered = generate(engine, ["q abc a ", asked], [[1], [1]], SAMPLING, max_new_tokens=10)
    assert raw == rendered


def test_a_space_that_begins_the_continuation_is_kept(plain: Path, tmp_path: Path) -> None:
    """SentencePiece-like decoders drop the space before the first word of what they are given."""
    shutil.copytree(plain, tmp_path, dirs_exist_ok=True)
    vocabulary = {each: place for place, each in enumerate(("<pad>", "<s>", "</s>", "<unk>", "▁a", "▁b", "c"))}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Split(Regex("▁[ab]|c"), "isolated")]
    )
    raw.decoder = decoders.Metaspace()
    tokens = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="</s>", unk_token="<unk>")
    tokens.save_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    model.resize_token_embeddings(len(tokens))
    model.save_pretrained(tmp_path)
    with load_generator(CFG, tmp_path) as engine:
        [found] = generate(engine, ["a b"], [range(30)], SAMPLING, max_new_tokens=8)
        [cut] = generate(engine, ["a b"], [range(30)], SAMPLING, max_new_tokens=8, stop=[" a"])
        [space] = generate(engine, ["a b"], [range(30)], SAMPLING, max_new_tokens=8, stop=["c "])
    assert any(each.text.startswith((" a", " b")) for each in found)
    assert any(each.text.startswith("c") for each in found)
    assert [each.text for each in cut] == [each.text.partition(" a")[0] for each in found]
    assert [each.text for each in space] == [each.text.partition("c ")[0] for each in found]
    assert any("c " in each.text for each in found)


def test_the_context_is_a_limit(plain: Path) -> None:
    with load_generator(CFG, plain) as engine:
        [[last], [first]] = generate(engine, ["a" * 94, "a"], [[0], [0]], None, max_new_tokens=200)
        assert last.num_tokens == 1  # the BOS is the 95th token of 96
        assert first.num_tokens <= 94
        fits, long = generate(engine, ["a", "a" * 95], [[0], [0]], None, max_new_tokens=1)
        assert (fits[0].num_tokens, long) == (1, [TOO_LONG])
        with pytest.raises(ConfigError, match="empty text"):
            generate(engine, ["a"], [[0]], None, max_new_tokens=1, stop=[""])


def judge(**settings: Any) -> Judge:
    return Judge(template=TEMPLATE, **{"batch_rows": 16} | settings)


def test_ratings_are_those_of_one_call_per_pair(folder: Path) -> None:
    model, tokens = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    ratings = RatingTokens.of(tokens, TEMPLATE)
    with load_scorer(judge(), folder) as engine:
        found = score(engine, PREFIXES, SUFFIXES, max_tokens=90)
    for prefix, suffixes, row in zip(PREFIXES, SUFFIXES, found, strict=True):
        for suffix, rating in zip(suffixes, row, strict=True):
            ids = tokens(prefix + suffix, return_tensors="pt").input_ids
            with torch.inference_mode():
                first = model(ids).logits[0, -1].log_softmax(-1)
                second = 0.0
                if ratings.ten is not None:
                    longer = torch.cat([ids, torch.tensor([[ratings.ten[0]]])], 1)
                    second = model(longer).logits[0, -1].log_softmax(-1)[ratings.ten[1]].item()
            probs_R, mass = ratings.probs(first[list(ratings.first_ids)].numpy(), np.array(second))
            np.testing.assert_allclose(rating.probs_R, probs_R, atol=1e-5)
            assert rating.mass == pytest.approx(mass, abs=1e-5)
    assert len({each.probs_R for each in found[3]}) == 30


def test_equal_responses_are_computed_once_and_prefixes_too(plain: Path) -> None:
    heard: list[int] = []
    with load_scorer(judge(), plain) as engine:
        found = score(
            engine, ["q aaaaaaaaaaaa a "], [["b r: [[", "c r: [[", "b r: [["]], max_tokens=90, on_tokens=heard.append
        )
    shared = 1 + len("q aaaaaaaaaaaa a ")
    assert sum(heard) == shared + 2 * len("b r: [[1")
    assert found[0][0] == found[0][2] != found[0][1]


def test_a_rating_prompt_too_long_is_unreadable_and_its_neighbours_are_not(plain: Path) -> None:
    with load_scorer(judge(), plain) as engine:
        [row] = score(engine, ["q a a "], [["b r: [[", "b" * 30 + " r: [[", "c r: [["]], max_tokens=30)
        [both] = score(engine, ["q a a "], [["b r: [[", "c r: [["]], max_tokens=30)
        [[full], [over]] = score(engine, ["q a a "] * 2, [["b" * 82 + " r: [["], ["b" * 83 + " r: [["]], max_tokens=999)
    assert row[1].mass == 0.0
    assert row[1].probs_R == pytest.approx([1 / 11] * 11)
    assert [row[0], row[2]] == both
    assert full.mass > 0.0  # 1 + 6 + 88 tokens and the "1" fill the context of 96
    assert over.mass == 0.0


def test_embeddings_are_means_over_the_texts_own_tokens(folder: Path) -> None:
    model, tokens = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    texts = [*TEXTS, "a" * 200]
    with load_embedder(Inference(batch_rows=3), folder) as engine:
        found = embed(engine, texts, max_tokens=11)
        with pytest.raises(DataError, match="text 1 "):
            embed(engine, ["a", ""], max_tokens=11)
    for text, vector in zip(texts, found, strict=True):
        ids = tokens(text, return_tensors="pt").input_ids[:, :12]  # BOS and eleven of its own
        with torch.inference_mode():
            hidden = model(ids, output_hidden_states=True).hidden_states[-1]
        np.testing.assert_allclose(vector, hidden[0, 1:].mean(0).numpy(), atol=1e-5)
    assert found.dtype == np.float64


def test_leaving_gives_the_memory_back(plain: Path) -> None:
    with load_generator(CFG, plain) as engine:
        generate(engine, ["a"], [[0]], None, max_new_tokens=3)
        model = weakref.ref(engine.model)  # type: ignore[attr-defined]
    assert model() is None


def test_where_every_token_would_repeat_a_text_goes_on_all_the_same() -> None:
    """A small vocabulary is used up; a draw from nothing would end the stage."""
    ban = Ban(1, [[0, 1], [0]])
    rows, logits = torch.tensor([0, 1]), torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    for _ in range(4):
        left = ban.laid_on(logits, rows)
        tokens = choose(left, torch.tensor([0.5, 0.5]), Sampling(no_repeat_ngram_size=1))
        ban.add(rows, tokens)
    assert torch.equal(ban.laid_on(logits, rows), logits)


def swap(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def code(path: Path) -> None:
    """A model that brings code, which would leave a mark if it ran."""
    (path / "theirs.py").write_text(f"open({str(path / 'ran')!r}, 'w')\nclass Config: ...\n")
    swap(path / "config.json", '"model_type": "llama"', '"model_type": "theirs"')
    swap(path / "config.json", "{", '{"auto_map": {"AutoConfig": "theirs.Config"},')


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda path: (path / "config.json").unlink(), "no config.json"),
        (lambda path: (path / "model.safetensors").rename(path / "pytorch_model.bin"), "from safetensors"),
        (lambda path: (path / "model.safetensors").write_bytes(b"\x08"), "cannot be loaded"),
        (lambda path: (path / "config.json").write_text('{"model_type": "unheard-of"}'), "unheard-of"),
        (
            lambda path: swap(path / "config.json", '"num_hidden_layers": 2', '"num_hidden_layers": 3'),
            "9 weights are missing",
        ),
        (
            lambda path: swap(path / "config.json", '"num_hidden_layers": 2', '"num_hidden_layers": 1'),
            r"fewer layers or experts than there are weights of: 9 have no place in the model, model\.layers\.1\.",
        ),
        (lambda path: swap(path / "config.json", '"intermediate_size": 64', '"intermediate_size": 65'), "6 weights"),
        (code, "without code of its own"),
        (lambda path: swap(path / "config.json", '"pad_token_id": 0', '"pad_token_id": 9999'), "Padding_idx must"),
        (lambda path: swap(path / "config.json", '"head_dim": 8', '"head_dim": 0'), "cannot be raised.*bring the"),
        (lambda path: (path / "tokenizer.json").unlink(), "tokenizer"),
    ],
    ids=[
        *(
            "no-config",
            "pickle",
            "torn",
            "unknown",
            "missing-weights",
            "left-over",
            "other-shape",
            "own-code",
            "padding",
        ),
        *("division", "no-tokenizer"),
    ],
)
def test_a_folder_that_is_no_usable_model_is_refused(plain: Path, tmp_path: Path, harm: Any, message: str) -> None:
    shutil.copytree(plain, tmp_path, dirs_exist_ok=True)
    harm(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        load_generator(CFG, tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_tokenizer_larger_than_the_model_is_refused_where_it_matters(plain: Path, tmp_path: Path) -> None:
    shutil.copytree(plain, tmp_path, dirs_exist_ok=True)
    tokens = AutoTokenizer.from_pretrained(plain)
    tokens.add_tokens(["zzz"])
    tokens.save_pretrained(tmp_path)
    with load_generator(CFG, tmp_path) as engine:
        generate(engine, ["abc"], [[0]], None, max_new_tokens=2)
        with pytest.raises(DataError, match=r"token \d+ and the model knows \d+"):
            generate(engine, ["abczzz"], [[0]], None, max_new_tokens=2)
