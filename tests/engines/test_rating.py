"""Reading the rating, against brute force over every continuation on a random model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from alma.engines.rating import RatingTokens
from alma.errors import ConfigError
from alma.prompts import judge_prefix, judge_suffix

torch.set_num_threads(1)
TEMPLATE = "q {prompt} a {response} r: [["
CHARACTERS = "0123456789abqr :[]"


def splits(pattern: str, tokens: Iterable[str]) -> PreTrainedTokenizerFast:
    vocabulary = {each: place for place, each in enumerate(("<unk>", *tokens))}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    raw.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>", name_or_path="splits")


@cache
def two_token_ten() -> PreTrainedTokenizerFast:
    return splits(r"[\s\S]", CHARACTERS)


@cache
def one_token_ten() -> PreTrainedTokenizerFast:
    return splits(r"10|[\s\S]", (*CHARACTERS, "10"))


def without(missing: str) -> PreTrainedTokenizerFast:
    return splits(r"[\s\S]", CHARACTERS.replace(missing, ""))


def three_token_ten() -> PreTrainedTokenizerFast:
    tokenizer = splits(r"[\s\S]", (*CHARACTERS, "|"))
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("10", "1|0")
    tokenizer.backend_tokenizer.decoder = decoders.Sequence([decoders.Replace("|", ""), decoders.Fuse()])
    return tokenizer


def bpe(text: str) -> PreTrainedTokenizerFast:
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    raw.train_from_iterator([text] * 4, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, name_or_path="bpe")


FAMILIES = pytest.mark.parametrize("family", [two_token_ten, one_token_ten], ids=["ten-is-two", "ten-is-one"])


@cache
def random_model(num_ids: int) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=num_ids,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=128,
        initializer_range=1.0,
    )
    return LlamaForCausalLM(config).eval()


def logprobs(model: LlamaForCausalLM, rows: list[list[int]]) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.tensor(rows)).logits[:, -1].double().log_softmax(-1)


@FAMILIES
@settings(max_examples=20, deadline=None)
@given(prompt=st.text("ab10 ", max_size=8), response=st.text("ab10[ ", max_size=8))
def test_probs_are_those_of_all_continuations_that_read_so(
    family: Callable[[], PreTrainedTokenizerFast], prompt: str, response: str
) -> None:
    tokenizer = family()
    model = random_model(len(tokenizer))
    ratings = RatingTokens.of(tokenizer, TEMPLATE)
    ids = tokenizer(judge_prefix(TEMPLATE, prompt) + judge_suffix(TEMPLATE, response))["input_ids"]
    first_V = logprobs(model, [ids])[0]
    second_VV = logprobs(model, [[*ids, each] for each in range(len(tokenizer))])

    expected_R = np.zeros(11)
    for a, b in itertools.product(range(len(tokenizer)), repeat=2):
        texts = tokenizer.convert_ids_to_tokens([a, b])
        # "10" spelled against the tokenizer's habit is the one thing that is not covered.
        read = 10 if texts[0] == "10" or (ratings.ten and texts == ["1", "0"]) else texts[0]
        if str(read).isdigit():
            expected_R[int(read)] += (first_V[a] + second_VV[a, b]).exp().item()

    first_R = first_V[list(ratings.first_ids)].numpy()
    second = None if ratings.ten is None else second_VV[ratings.ten[0], ratings.ten[1]].numpy()
    probs_R, mass = ratings.probs(first_R, second)
    assert mass == pytest.approx(expected_R.sum(), abs=1e-9)
    np.testing.assert_allclose(probs_R, expected_R / expected_R.sum(), atol=1e-9)


distributions = st.lists(st.floats(0, 1), min_size=11, max_size=11).filter(lambda each: sum(each) > 0.1)


@FAMILIES
@settings(max_examples=40, deadline=None)
@given(wanted=distributions, given_=st.lists(st.floats(-5, 0), min_size=11, max_size=11), zero=st.floats(0.01, 0.99))
def test_training_targets_have_the_cross_entropy_of_the_ratings(
    family: Callable[[], PreTrainedTokenizerFast], wanted: list[float], given_: list[float], zero: float
) -> None:
    ratings = RatingTokens.of(family(), TEMPLATE)
    wanted_R = np.array(wanted) / sum(wanted)
    first_R = np.array(given_)
    first_R[10] = first_R[1] if ratings.ten else first_R[10]
    probs_R, mass = ratings.probs(first_R, np.log(zero))
    target_R, weight, target_zero = ratings.targets(wanted_R)
    second = target_zero * np.log(zero) + (1 - target_zero) * np.log(1 - zero)
    assert -(target_R @ first_R) - weight * second == pytest.approx(-(wanted_R @ np.log(probs_R * mass)), abs=1e-9)


@FAMILIES
@settings(max_examples=40, deadline=None)
@given(wanted=distributions)
def test_a_model_that_meets_its_targets_gives_the_wanted_ratings(
    family: Callable[[], PreTrainedTokenizerFast], wanted: list[float]
) -> None:
    ratings = RatingTokens.of(family(), TEMPLATE)
    wanted_BR = np.array([wanted, wanted[::-1]]) / sum(wanted)
    first_BR, weight_B, zero_B = ratings.targets(wanted_BR)
    with np.errstate(divide="ignore"):
        probs_BR, mass_B = ratings.probs(np.log(first_BR), np.log(zero_B))
    np.testing.assert_allclose(probs_BR, wanted_BR, atol=1e-9)
    np.testing.assert_allclose(mass_B, 1.0)
    assert (weight_B > 0).any() == (ratings.ten is not None and (wanted_BR[:, [1, 10]] > 0).any())


def test_tokens_of_each_family() -> None:
    two, one = two_token_ten(), one_token_ten()
    digits = tuple(two.convert_tokens_to_ids(list("0123456789")))
    assert RatingTokens.of(two, TEMPLATE) == RatingTokens((*digits, digits[1]), (digits[1], digits[0]))
    assert RatingTokens.of(one, TEMPLATE) == RatingTokens((*digits, one.convert_tokens_to_ids("10")), None)


@pytest.mark.parametrize(
    ("text", "whole"), [("10 10 10 a 7", True), ("a b a b", False)], ids=["10-is-merged", "10-is-not"]
)
def test_byte_level_bpe(text: str, whole: bool) -> None:
    tokenizer = bpe(text)
    ratings = RatingTokens.of(tokenizer, TEMPLATE)
    assert (ratings.ten is None) == whole
    assert [tokenizer.decode([each]) for each in ratings.first_ids[:10]] == list("0123456789")


@pytest.mark.parametrize(
    ("tokenizer", "template", "fault"),
    [
        pytest.param(bpe("r: 7 r: 7 r: 7"), "{prompt}{response} r: ", "merge with the rating 7", id="space-merges"),
        pytest.param(without("9"), TEMPLATE, "rating 9 is read as '<unk>'", id="digit-unknown"),
        pytest.param(splits(r"10|[\s\S]", CHARACTERS), TEMPLATE, "rating 10 is read as '<unk>'", id="ten-unknown"),
        pytest.param(
            splits(r"\[\[1|[\s\S]", (*CHARACTERS, "[[1")), TEMPLATE, "merge with the rating 1", id="bracket-merges"
        ),
        pytest.param(three_token_ten(), TEMPLATE, "neither one token", id="ten-is-three"),
    ],
)
def test_a_template_whose_end_hides_the_rating_is_refused(
    tokenizer: PreTrainedTokenizerFast, template: str, fault: str
) -> None:
    with pytest.raises(ConfigError, match=fault) as caught:
        RatingTokens.of(tokenizer, template)
    assert repr(tokenizer.name_or_path) in str(caught.value)
    assert repr(judge_suffix(template, "")) in str(caught.value)
    assert "end the template with" in str(caught.value)
