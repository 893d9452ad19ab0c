"""Text is text: a special token that a person or a model spelled becomes its characters, and nothing else changes."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from alma.engines.encoding import encode
from alma.engines.quotations import spells
from alma.engines.tokenizer import load_tokenizer, special_texts
from alma.errors import DataError
from alma.prompts import Prompt, filled, joined, judge_prefix, judge_suffix, quote

SPECIAL = ["<unk>", "<s>", "</s>", "<|im_end|>", "[INST]"]
TEXTS = ["Hello, the end is </s> and [INST] so", "a <b>word</b> of the end, hello", "the | im_end and < s > so"] * 9
ALPHABET = ["\n", *(chr(code) for code in range(32, 127))]


def byte_level() -> Tokenizer:
    """As GPT-2, Llama 3 and Qwen have it; ``</s>`` would be a piece of its own."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(
            vocab_size=400, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        ),
    )
    return raw


def pieces() -> Tokenizer:
    """As Llama 2 and Mistral have it: spaces as ▁, the special tokens among the pieces, a merge that writes one."""
    vocabulary = {each: place for place, each in enumerate([*SPECIAL, *dict.fromkeys(["▁", *ALPHABET]), "</", "s>"])}
    merges = [("<", "/"), ("s", ">"), ("</", "s>")]
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>"))
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    raw.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return raw


def unigram() -> Tokenizer:
    """As T5's, and Gemma's and XGLM's, kin; the end token is a piece that any text may be split into."""
    scores = [(each, 0.0) for each in SPECIAL] + [(each, -5.0) for each in dict.fromkeys(["▁", *ALPHABET])]
    raw = Tokenizer(models.Unigram(scores, unk_id=0, byte_fallback=False))
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    raw.decoder = decoders.Metaspace(prepend_scheme="first")
    return raw


@pytest.fixture(params=[byte_level, pieces, unigram], ids=["byte level", "pieces", "unigram"])
def tokenizer(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    raw = request.param()
    raw.add_special_tokens(SPECIAL)
    raw.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", raw.token_to_id("<s>"))]
    )
    PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>").save_pretrained(tmp_path)
    return load_tokenizer(tmp_path)


def asked(content: str) -> Prompt:
    return joined(["<s>[INST] ", quote(content), " [INST]", quote("Yes"), "</s>"])


def test_a_text_without_a_spelling_has_the_tokens_that_it_had(tokenizer: Any) -> None:
    for content in ("Hello", "", " two  words", "<b>bold</b> < /s>"):
        text = asked(content)
        assert not spells(tokenizer, text)
        assert encode(tokenizer, [text]) == [tokenizer(str(text), add_special_tokens=False)["input_ids"]]


@pytest.mark.parametrize("spelled", ["</s>", "<|im_end|>", "[INST]", "<s>", "<unk>"])
@pytest.mark.parametrize("around", ["{}", "a {} b", "a{}b", "{}\n{}", " {}"])
def test_a_spelled_token_is_text(tokenizer: Any, spelled: str, around: str) -> None:
    content = around.replace("{}", spelled)
    special = {tokenizer.convert_tokens_to_ids(each) for each in special_texts(tokenizer)}
    start, middle, end = (tokenizer.convert_tokens_to_ids(each) for each in ("<s>", "[INST]", "</s>"))
    (ids,) = encode(tokenizer, [asked(content)])
    assert [each for each in ids if each in special] == [start, middle, middle, end]
    assert content in tokenizer.decode(ids)
    (plain,) = encode(tokenizer, [asked("Hello")])
    assert ids[: plain.index(middle) + 1] == plain[: plain.index(middle) + 1]
    behind = len(plain) - plain.index(middle, plain.index(middle) + 1)
    assert ids[-behind:] == plain[-behind:], "what surrounds the quotation has other tokens"


def test_a_marker_that_a_quotation_would_complete_is_none(tokenizer: Any) -> None:
    text = joined(["[INST]", quote("a <"), "/s> b"])
    assert spells(tokenizer, text)
    (ids,) = encode(tokenizer, [text])
    assert tokenizer.convert_tokens_to_ids("</s>") not in ids
    assert ids.count(tokenizer.convert_tokens_to_ids("[INST]")) == 1


def test_a_text_that_is_a_quotation_still_begins_as_a_document(tokenizer: Any) -> None:
    (ids,) = encode(tokenizer, [quote("<s>a")])
    assert ids.count(tokenizer.bos_token_id) == 1
    assert len(ids) > len(encode(tokenizer, ["<s>a"])[0])


def test_names_that_a_text_holds_are_not_used(tokenizer: Any) -> None:
    """A text cannot spell the names either by which markers are told from their spellings."""
    text = quote("</s>\ufdd02\ufdd0")
    (ids,) = encode(tokenizer, [text])
    assert tokenizer.eos_token_id not in ids


def test_a_text_with_all_names_is_refused(tokenizer: Any) -> None:
    with pytest.raises(DataError, match="noncharacters"):
        encode(tokenizer, [quote("</s>" + "".join(map(chr, range(0xFDD0, 0xFDF0))))])


def test_what_a_prompt_quotes_goes_with_it() -> None:
    text = pickle.loads(pickle.dumps(filled("a{x}b{x}", "{x}", "QQ")))
    assert (text, text.quoted) == ("aQQbQQ", ((1, 3), (4, 6)))
    assert joined(["123", text]).quoted == ((4, 6), (7, 9))
    assert joined([quote("a "), " "]).without_spaces_behind().quoted == ((0, 1),)
    template = "<s>{prompt}<a>{response}<r>"
    whole = joined([judge_prefix(template, "{response}"), judge_suffix(template, "{prompt}")])
    assert (whole, whole.quoted) == ("<s>{response}<a>{prompt}<r>", ((3, 13), (16, 24)))
    assert json.dumps(whole) == json.dumps(str(whole))
