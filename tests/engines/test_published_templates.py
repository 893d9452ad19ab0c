"""The templates of published models, as TRL ships them, can be trained on and asked in one way."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import trl
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from alma.engines.chat import Exchange
from alma.engines.dialogue import answering, asking
from alma.engines.encoding import encode
from alma.engines.learnt import all_answers, last_answers
from alma.engines.template import Template, render, render_dialogue
from alma.errors import DataError
from alma.prompts import CHAT_TEMPLATE, TOKEN_TEMPLATES
from alma.prompts.conversation import Message, exchanges
from tests.builders.rendering import render_prompt, render_turn

FOLDER = Path(trl.__file__).parent / "chat_templates"
NAMES = sorted(path.stem for path in FOLDER.glob("*.jinja") if not path.stem.endswith("_training"))
WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PICTURES = {"idefics3", "llava_next", "smolvlm"}
"""Their contents are lists of texts and pictures."""

OPENINGS = {
    "qwen3": "<think>\n\n</think>\n\n",
    "qwen3_5_think": "\n</think>\n\n",
    "gptoss": "<|channel|>final<|message|>",
    "glm4moe": "\n<think></think>\n",
    "nemotron_3_nano": "</think>",
    "llama3_2": "",
    "gemma3": "",
}
LEFT_OUT = {"deepseek_r1_distill": "<think>\n", "nemotron_3_nano": "\n", "qwen3": ""}


def tokenizer_of(name: str) -> Any:
    """Bytes, and the markers that the template spells as special tokens."""
    chat = (FOLDER / f"{name}.jinja").read_text(encoding="utf-8")
    markers = sorted(set(re.findall(r"<\|?[^<>\s'\"{}]{1,40}\|?>|\[/?[A-Z_]+\]", chat)) | {"<s>", "</s>"})
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE(vocab={each: place for place, each in enumerate(alphabet)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens(markers)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>")
    tokenizer.chat_template = chat
    return tokenizer


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_the_template_s_own_and_begin_where_generation_does(name: str) -> None:
    tokenizer = tokenizer_of(name)
    if name in PICTURES:
        with pytest.raises(DataError, match="leaves the prompt out"):
            Template.of(tokenizer)
        return
    template = Template.of(tokenizer)
    assert template.fault is None
    assert template.opening == OPENINGS.get(name, template.opening)
    assert template.left_out == LEFT_OUT.get(name, template.left_out)
    for prompt, response in (("Who?", "Me: *you*.\n\nAnd them"), ("a\n\nb", "1")):
        whole = encode(tokenizer, [render(tokenizer, prompt, response)])[0]
        asked = render_prompt(tokenizer, prompt)
        assert whole[: len(asked)] == asked
        # Whatever token comes last, as if it were what generation stops at.
        turn = render_turn(tokenizer, prompt, response, {whole[-1], *tokenizer.added_tokens_decoder})
        assert turn is not None
        assert turn.prompt_ids + turn.completion_ids == whole[: len(asked) + len(turn.completion_ids)]
        assert response in tokenizer.decode(turn.completion_ids)
    earlier = exchanges([("Who?", "Me: *you*."), ("a\n\nb", "1")])
    rendered = render_dialogue(tokenizer, [*earlier, ("user", "And {x}?")], ask=True)
    given = template.opening[: template.num_given]
    assert asking(tokenizer, "And {x}?", earlier) in (rendered, rendered.removesuffix(template.left_out) + given)


EARLIER = exchanges([("Who? ", " Me: *you*."), ("a\n\nb", "1")])
SYSTEM = Message("system", " Be {kind}\n")


@pytest.mark.parametrize("name", ["cohere2", "deepseekv3", "gemma3", "gptoss", "llama3_1", "phi3", "qwen3", "lfm2"])
@pytest.mark.parametrize("earlier", [(SYSTEM,), (SYSTEM, *EARLIER)], ids=["system", "conversation"])
def test_a_conversation_with_its_system_turn_is_the_template_s_own(name: str, earlier: tuple[Message, ...]) -> None:
    """White space is taken off where the template takes it off, and contents are never a part of it."""
    tokenizer = tokenizer_of(name)
    template = Template.of(tokenizer)
    rendered = render_dialogue(tokenizer, [*earlier, ("user", "And {x}?")], ask=True)
    given = template.opening[: template.num_given]
    assert asking(tokenizer, "And {x}?", earlier) in (rendered, rendered.removesuffix(template.left_out) + given)
    answered = render_dialogue(tokenizer, [*earlier, ("user", "And {x}?"), ("assistant", "Aye")], ask=False)
    assert answering(tokenizer, "And {x}?", "Aye", earlier) == answered


def test_a_template_that_refuses_a_system_turn_says_what_to_do() -> None:
    tokenizer = tokenizer_of("gemma")
    with pytest.raises(DataError, match=r'System role not supported; in the section .* system_turn = "prepend"'):
        asking(tokenizer, "a", (SYSTEM,))
    assert "Be" not in asking(tokenizer, "a", EARLIER)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("llama3_1", None),
        ("gemma3", None),
        ("qwen3_instruct_2507", None),
        ("qwen3", r"writes an earlier answer otherwise.*think.*loss_on = \"last\""),
        ("gptoss", r"is ' Me: \*you\*\.<\|return\|>' where it is the last"),
    ],
)
def test_all_answers_are_learnt_as_generation_writes_them(name: str, fault: str | None) -> None:
    """Answers and their end tokens, and nothing between them; or the template is refused that writes them otherwise."""
    tokenizer = tokenizer_of(name)
    whole = encode(tokenizer, [render_dialogue(tokenizer, [*EARLIER, ("user", "q"), ("assistant", "yes")], ask=False)])
    stops = set(tokenizer.added_tokens_decoder)
    exchange = Exchange("q", "yes", EARLIER)
    if fault:
        with pytest.raises(DataError, match=fault):
            all_answers(tokenizer, [exchange], stops)
        return
    [row], [last] = all_answers(tokenizer, [exchange], stops), last_answers(tokenizer, [exchange], stops)
    assert row is not None
    assert last is not None
    assert (row.ids, row.spans[-1:]) == (last.ids, last.spans)
    assert row.ids == whole[0][: len(row.ids)]
    learnt = [tokenizer.decode(row.ids[start:stop]) for start, stop in row.spans]
    end = tokenizer.decode(row.ids[-1:])
    assert [text.strip().removesuffix(end) for text in learnt] == ["Me: *you*.", "1", "yes"]
    for start, stop in row.spans:
        assert [each in stops for each in row.ids[start:stop]] == [False] * (stop - start - 1) + [True]
        assert render_prompt(tokenizer, *asked_before(row.spans.index((start, stop)))) == row.ids[:start]


@pytest.mark.parametrize("template", [CHAT_TEMPLATE, *TOKEN_TEMPLATES.values()], ids=["plain", "headers", "ChatML"])
def test_the_templates_that_we_give_write_whole_conversations(template: str) -> None:
    tokenizer = tokenizer_of("llama3")
    tokenizer.chat_template = template
    earlier = (Message("system", "Be kind"), *EARLIER)
    [row] = all_answers(tokenizer, [Exchange("q", "yes", earlier)], {tokenizer.eos_token_id})
    assert row is not None
    learnt = [tokenizer.decode(row.ids[start:stop]) for start, stop in row.spans]
    assert learnt == [" Me: *you*.</s>", "1</s>", "yes</s>"]
    rendered = render_dialogue(tokenizer, [*earlier, ("user", "q"), ("assistant", "yes")], ask=False)
    assert row.ids == encode(tokenizer, [rendered])[0][: len(row.ids)]


def asked_before(place: int) -> tuple[str, tuple[Message, ...]]:
    """What is asked before an answer of ``EARLIER`` and "yes", and the turns before that."""
    turns = (*EARLIER, Message("user", "q"))
    return turns[2 * place].content, turns[: 2 * place]


def test_a_template_without_earlier_turns_shows_none() -> None:
    tokenizer = tokenizer_of("llama3")
    tokenizer.chat_template = (
        "<s>{{ messages[0].content }}{% if messages[1] %} {{ messages[1].content }}</s>{% endif %}"
    )
    assert asking(tokenizer, "a") == "<s>a "
    with pytest.raises(DataError, match=r"leaves out a turn of the user.*base_shots = 0"):
        asking(tokenizer, "a", exchanges([("b", "c")]))
