"""Answers that are shown as they grow: nothing that was shown is taken back, and the last is what ``answer`` gives."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from alma.engines import TOO_LONG, Completion, GenerateRequest, load_streamer
from alma.engines.certain import Certain
from alma.engines.continuation import before_first, continuations
from alma.engines.ways import PROOF, Proof, Ways
from alma.prompts import Prompt
from alma.sections import Inference, Sampling
from tests.builders.asking import generate
from tests.builders.models import TEXTS, llama, saved

torch.set_num_threads(1)
SAMPLING = Sampling(temperature=1.0, top_p=0.95)
STOPS = ("### b", "\n#")
SPECIAL = ("<s>", "</s>")


def of_bytes() -> PreTrainedTokenizerFast:
    """A token per byte, as GPT-2's would be without merges; and the first two bytes of 日 as one."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    [(text, _)] = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str("日")
    raw = Tokenizer(models.BPE({each: place for place, each in enumerate([*letters, text[:2]])}, []))
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens(list(SPECIAL))
    return PreTrainedTokenizerFast(tokenizer_object=raw)


def of_pieces() -> PreTrainedTokenizerFast:
    """Words behind a space, as Llama 2's: what it does not know is written in bytes, each of them a token."""
    pieces = [*(f"<0x{byte:02X}>" for byte in range(256)), "▁", "▁a", "a", "b", "#", "##", "é"]
    raw = Tokenizer(models.BPE({each: place for place, each in enumerate(pieces)}, [], byte_fallback=True))
    raw.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    raw.add_special_tokens(list(SPECIAL))
    return PreTrainedTokenizerFast(tokenizer_object=raw)


TOKENIZERS = {"bytes": of_bytes(), "pieces": of_pieces()}


def ids_of(tokenizer: Any, text: str) -> list[int]:
    """A token per byte of the text."""
    names = tokenizer.get_vocab()
    if "<0x00>" in names:
        return [names[f"<0x{byte:02X}>"] for byte in text.encode()]
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    return [names[each] for word, _ in letters for each in word]


def told(tokenizer: Any, prompt: str, ids: list[int], ended: bool) -> tuple[list[str], Completion]:
    """What is shown after each token, and the whole answer; a stop text ends it, as in ``decode``."""
    before = ids_of(tokenizer, "a")[0]
    certain = Certain(tokenizer, prompt, before, SPECIAL, STOPS)
    shown = []
    for num in range(1, len(ids) + 1):
        [text] = continuations(tokenizer, [before], [ids[:num]])
        cut = before_first(text, STOPS)
        if cut is not None:
            return shown, certain.whole(Completion(cut, num, ended=True))
        said, over = certain.of(ids[:num])
        if over:
            return shown, said
        shown.append(said.text)
    [text] = continuations(tokenizer, [before], [ids])
    return shown, certain.whole(Completion(text, len(ids), ended))


@settings(max_examples=100, deadline=None)
@given(
    name=st.sampled_from(sorted(TOKENIZERS)),
    text=st.lists(st.sampled_from(["a", " ", "\n", "#", "### b", "日", "🙂", "é", "<", "<s>", "</en", "x", "\n\n"])),
    wild=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 262)), max_size=3),
    prompt=st.sampled_from(
        [
            Prompt("q"),
            Prompt("q", openings=["\n\n", "\n"], endings=["\n</end>", "\n", " "]),
            Prompt("q", openings=[" "]),
        ]
    ),
    ended=st.booleans(),
)
@example("pieces", ["日"], [(3, 97)], Prompt("q"), False)  # a whole character, then a byte with which all bytes fail
@example("bytes", ["a", "\n</en"], [], Prompt("q", endings=["\n</end>"]), True)
def test_what_was_shown_stays(
    name: str, text: list[str], wild: list[tuple[int, int]], prompt: Prompt, ended: bool
) -> None:
    tokenizer = TOKENIZERS[name]
    ids = ids_of(tokenizer, "".join(text))
    for place, each in wild:  # bytes and pieces that are no text
        ids.insert(min(place, len(ids)), min(each, len(tokenizer) - 3))
    shown, whole = told(tokenizer, prompt, ids, ended)
    for earlier, later in pairwise([*shown, whole.text]):
        assert later.startswith(earlier)


@pytest.mark.parametrize("name", sorted(TOKENIZERS))
def test_text_is_shown_while_it_comes(name: str) -> None:
    """Held back is one character that is not whole, white space, and what may become a marker: not more."""
    tokenizer = TOKENIZERS[name]
    ids = ids_of(tokenizer, "ab ")
    shown, whole = told(tokenizer, Prompt("q"), [*ids, tokenizer.get_vocab()["#"], *ids_of(tokenizer, "日x")], False)
    assert whole.text == "ab #日x"
    if name == "bytes":
        assert shown == ["a", "ab", "ab", "ab", "ab", "ab", "ab #日", "ab #日x"]
    else:  # bytes wait for what is behind all of them
        assert shown[:4] == ["", "", "", "ab"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = saved(tmp_path_factory.mktemp("model"), llama, ten=True)
    Proof("llama", Ways(), ()).write(folder / PROOF)
    return folder


def test_the_last_is_the_answer(folder: Path) -> None:
    stop = ("ab", "\n")
    with load_streamer(Inference(), folder) as engine:
        for sampling, text, seed in [(None, "abc", 0), *((SAMPLING, text, 7) for text in TEXTS)]:
            *grown, last = engine.stream(GenerateRequest([text], [[seed]], sampling, 24, stop))
            [[whole]] = generate(engine, [text], [[seed]], sampling, 24, stop=stop)
            assert last.text == (whole.text.rstrip() if whole.ended else whole.text)
            assert last.ended == whole.ended
            assert last.num_tokens == whole.num_tokens or not whole.ended
            assert [each.num_tokens for each in grown] == list(range(1, len(grown) + 1))
            assert all(later.text.startswith(each.text) for each, later in pairwise([*grown, last]))


def test_a_full_context_answers_nothing(folder: Path) -> None:
    with load_streamer(Inference(), folder) as engine:
        assert (engine.room("a" * 90), engine.room("a" * 100)) == (5, 0)  # of 96, one of them the beginning's
        assert list(engine.stream(GenerateRequest(["a" * 100], [[0]], None, 8))) == [TOO_LONG]
        assert list(engine.stream(GenerateRequest(["a" * 90], [[0]], None, 8)))[-1].num_tokens <= 5


def test_more_tokens_than_the_context_holds_may_be_asked_for() -> None:
    """No memory is taken for those that cannot come."""
    base = Path(__file__).parents[2] / "examples" / "micro" / "base"
    engine = load_streamer(Inference(engine="hf"), base)
    request = GenerateRequest(["copy ab"], [[1]], SAMPLING, 10**15, ("\n",))
    *_, last = engine.stream(request)
    assert last.num_tokens < 256
    [[whole]] = generate(engine, ["copy ab"], [[1]], SAMPLING, max_new_tokens=10**15, stop=("\n",))
    assert whole.text == last.text
