"""The templates of published models, as TRL ships them, can be trained on and asked in one way."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import trl
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from alma.engines.chat import prompt_text, render_prompt, render_turn
from alma.engines.encoding import encode
from alma.engines.template import Template, render, render_dialogue
from alma.errors import DataError

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
    earlier = [("Who?", "Me: *you*."), ("a\n\nb", "1")]
    turns = [turn for asked, answered in earlier for turn in (("user", asked), ("assistant", answered))]
    rendered = render_dialogue(tokenizer, [*turns, ("user", "And {x}?")], ask=True)
    given = template.opening[: template.num_given]
    assert prompt_text(tokenizer, "And {x}?", earlier) in (rendered, rendered.removesuffix(template.left_out) + given)


def test_a_template_without_earlier_turns_shows_none() -> None:
    tokenizer = tokenizer_of("llama3")
    tokenizer.chat_template = (
        "<s>{{ messages[0].content }}{% if messages[1] %} {{ messages[1].content }}</s>{% endif %}"
    )
    assert prompt_text(tokenizer, "a") == "<s>a "
    with pytest.raises(DataError, match=r"does not write earlier turns as they are.*base_shots = 0"):
        prompt_text(tokenizer, "a", [("b", "c")])
