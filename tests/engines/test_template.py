"""What templates write around an answer: given to the model, or taken off what it writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from alma.engines.chat import check_chat, turns_template
from alma.engines.continuation import answer_of
from alma.engines.dialogue import asking
from alma.engines.requests import Completion
from alma.engines.template import Template, render
from alma.engines.tokenizer import load_tokenizer, special_texts, stop_ids
from alma.errors import DataError
from alma.prompts.conversation import exchanges
from alma.sections import Turns
from alma.text.turns import answer_prompt
from tests.builders.rendering import render_prompt, render_turn

SPECIAL = [
    "<|im_start|>",
    "<|im_end|>",
    "</s>",
    "<s>",
    "<|channel|>",
    "<|message|>",
    "<|start|>",
    "<|return|>",
    "<|end|>",
]

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}{ASSISTANT}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n{OPEN}' }}{% endif %}"
)


def chatml(assistant: str, opened: str = "") -> str:
    """ChatML whose assistant's content is written by ``assistant`` and the user's as it is."""
    turn = "{% if message.role == 'user' %}{{ message.content }}{% else %}" + assistant + "{% endif %}"
    return CHATML.replace("{ASSISTANT}", turn).replace("{OPEN}", opened)


THINKING = (
    "{% set content = message.content %}{% set reasoning = '' %}{% if '</think>' in content %}"
    "{% set reasoning = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}"
    "{% set content = content.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "{{ '<think>\n' + reasoning.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}"
)
"""As Qwen 3 writes the last turn."""

BLOCK = "<think>\n\n</think>\n\n"

LLAMA_2 = (
    "{% for message in messages %}{% if message.role == 'user' %}"
    "{{ '<s>[INST] ' + message.content.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + message.content.strip() + ' ' + '</s>' }}{% endif %}{% endfor %}"
)
HARMONY = (
    "<|start|>system<|message|>Current date: {{ strftime_now('%Y-%m-%d') }}<|end|>{% for message in messages %}"
    "{% if message.role == 'user' %}<|start|>user<|message|>{{ message.content }}<|end|>{% else %}"
    "<|start|>assistant<|channel|>final<|message|>{{ message.content }}<|return|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
"""As gpt-oss writes it."""

R1 = (
    "{% for message in messages %}{% if message.role == 'user' %}{{ '<|start|>' + message.content }}{% else %}"
    "{% set content = message.content %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}"
    "{% endif %}{{ '<|end|>' + content + '</s>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|end|><think>\n' }}{% endif %}"
)
"""As DeepSeek R1 writes it: thinking is begun for it where it generates, and left out of its turns."""

SYSTEM = (
    "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nYou are kind.<|im_end|>\n' }}{% endif %}"
    + chatml("{{ message.content | trim }}")
)


@pytest.fixture(scope="module")
def raw() -> Tokenizer:
    """Byte-level pairs, with words that begin with their space, and two line breaks as one token."""
    raw = Tokenizer(models.BPE())
    words = Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")  # Qwen's
    split = pre_tokenizers.Split(words, "isolated")
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    raw.decoder = decoders.ByteLevel()
    texts = [" Yes No answer", "\n\n", " final", " 15 5"] * 20
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=330, special_tokens=SPECIAL, initial_alphabet=alphabet)
    )
    raw.add_tokens(["<think>", "</think>"])
    return raw


def written(folder: Path, raw: Tokenizer, template: str, ends: str = "<|im_end|>") -> Path:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=ends)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text("{}")
    return folder


CASES = [
    pytest.param(chatml("{{ message.content }}"), "<|im_end|>", "", "", id="ChatML"),
    pytest.param(SYSTEM, "<|im_end|>", "", "", id="a system prompt by default"),
    pytest.param(chatml(THINKING), "<|im_end|>", BLOCK, "", id="an empty thinking block"),
    pytest.param(chatml(THINKING, "<think>\n"), "<|im_end|>", "\n</think>\n\n", "", id="thinking that is begun"),
    pytest.param(chatml("{{ ' ' + message.content }}"), "<|im_end|>", " ", " ", id="a space"),
    pytest.param(chatml("{{ '\n' + message.content + '\n' }}"), "<|im_end|>", "\n", "", id="line breaks"),
    pytest.param(LLAMA_2, "</s>", " ", " ", id="Llama 2"),
    pytest.param(HARMONY, "<|return|>", "<|channel|>final<|message|>", "", id="gpt-oss"),
    pytest.param(R1, "</s>", "", "", id="DeepSeek R1"),
]


@pytest.mark.parametrize(("chat", "end", "opening", "learnt"), CASES)
def test_generation_begins_where_the_completion_begins(
    tmp_path: Path, raw: Tokenizer, chat: str, end: str, opening: str, learnt: str
) -> None:
    """The row is the template's own rendering; its border is where the model is asked."""
    folder = written(tmp_path, raw, chat, end)
    check_chat(folder)
    tokenizer = load_tokenizer(folder)
    template = Template.of(tokenizer)
    assert (template.opening, template.opening[template.num_given :]) == (opening, learnt)
    for prompt, response in (("1 + 1?", "Yes"), ("a\nb", "15\n\nNo"), ("q", "# <b>é</b>")):
        turn = render_turn(tokenizer, prompt, response, stop_ids(folder, tokenizer))
        assert turn is not None
        assert turn.prompt_ids == render_prompt(tokenizer, prompt)
        theirs = tokenizer(render(tokenizer, prompt, response), add_special_tokens=False)["input_ids"]
        assert turn.prompt_ids + turn.completion_ids == theirs[: len(turn.prompt_ids) + len(turn.completion_ids)]
        text = tokenizer.decode(turn.completion_ids)
        assert text.startswith(learnt + response)
        generated = Completion(text.removesuffix(end), len(turn.completion_ids), ended=True)
        said = answer_of(generated, asking(tokenizer, prompt), special_texts(tokenizer))
        assert said.text == response


@pytest.mark.parametrize(
    ("chat", "generated", "answer"),
    [
        (chatml(THINKING), BLOCK + "5", "5"),
        (chatml(THINKING), "<think>\nso\n</think>\n\n5", "<think>\nso\n</think>\n\n5"),
        (chatml(THINKING), "5" + BLOCK, "5" + BLOCK),
        (chatml("{{ ' ' + message.content }}"), "5", "5"),
        (chatml("{{ ' ' + message.content }}"), "  5", " 5"),
        (HARMONY, "<|channel|>final<|message|>5", "5"),
        (HARMONY, "<|channel|>analysis<|message|>5", ""),
    ],
)
def test_only_what_the_template_writes_is_taken_off(
    tmp_path: Path, raw: Tokenizer, chat: str, generated: str, answer: str
) -> None:
    tokenizer = load_tokenizer(written(tmp_path, raw, chat))
    text = asking(tokenizer, "q")
    assert answer_of(Completion(generated, 3, ended=True), text, special_texts(tokenizer)).text == answer
    assert answer_of(Completion(generated, 3, ended=True), str(text), frozenset()).text == generated


def test_a_text_that_did_not_end_keeps_its_end(tmp_path: Path, raw: Tokenizer) -> None:
    tokenizer = load_tokenizer(written(tmp_path, raw, chatml("{{ message.content + '\n' }}")))
    text = asking(tokenizer, "q")
    for ended, said in ((True, "a"), (False, "a\n")):
        assert answer_of(Completion("a\n", 3, ended=ended), text, special_texts(tokenizer)).text == said


def test_an_answer_that_brings_the_block_has_it_once(tmp_path: Path, raw: Tokenizer) -> None:
    folder = written(tmp_path, raw, chatml(THINKING))
    tokenizer = load_tokenizer(folder)
    stops = stop_ids(folder, tokenizer)
    assert render_turn(tokenizer, "q", BLOCK + "5", stops) == render_turn(tokenizer, "q", "5", stops)


def test_an_answer_that_names_the_block_is_kept_whole(tmp_path: Path, raw: Tokenizer) -> None:
    """The template itself would take the part before ``</think>`` for thoughts."""
    folder = written(tmp_path, raw, chatml(THINKING))
    tokenizer = load_tokenizer(folder)
    turn = render_turn(tokenizer, "q", "Write </think> last", stop_ids(folder, tokenizer))
    assert turn is not None
    assert tokenizer.decode(turn.completion_ids) == "Write </think> last<|im_end|>"


@pytest.mark.parametrize("space", [" ", "\n", "\t", "\u3000"])
@pytest.mark.parametrize(
    ("written_as", "left", "right"),
    [("content", "", ""), ("content.strip()", " \n\t\u3000", " \n\t\u3000"), ("content.lstrip('\n')", "\n", "")],
)
def test_white_space_goes_where_the_template_takes_it_off(
    tmp_path: Path, raw: Tokenizer, space: str, written_as: str, left: str, right: str
) -> None:
    chat = chatml("{{ message." + written_as + " }}").replace(
        "{{ message.content }}", "{{ message." + written_as + " }}"
    )
    tokenizer = load_tokenizer(written(tmp_path, raw, chat))
    text = f"{space}{space}a{space}"
    kept = ("" if space in left else 2 * space) + "a" + ("" if space in right else space)
    assert Template.of(tokenizer).turn(text, text) == render(tokenizer, text, text)
    assert Template.of(tokenizer).prompt(text) == f"<|im_start|>user\n{kept}<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("chat", "message"),
    [
        (chatml("{{ message.content | length }}: {{ message.content }}"), "depend|changes what it is given"),
        (chatml("{{ message.content | upper }}"), "leaves the assistant's content out"),
        (chatml("{{ message.content.replace('\n', ' ') }}"), "changes what it is given"),
        (chatml("{{ message.content }}{{ message.content }}"), "writes a text again behind the answer"),
        (chatml("x").replace("{{ message.content }}", ""), "leaves the prompt out"),
        (chatml("{{ message.content }}", "Answer:"), None),
    ],
)
def test_a_template_that_cannot_be_made_consistent(
    tmp_path: Path, raw: Tokenizer, chat: str, message: str | None
) -> None:
    folder = written(tmp_path, raw, chat)
    if message is None:  # said where it generates and not in its turns: left out where it generates
        check_chat(folder)
        assert Template.of(load_tokenizer(folder)).left_out == "Answer:"
        return
    with pytest.raises(DataError, match=message):
        check_chat(folder)


def test_no_clock_is_read(tmp_path: Path, raw: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers.utils.chat_template_utils as templates

    class Never:
        @staticmethod
        def now(_: Any = None) -> None:
            raise AssertionError("the clock was read")

    monkeypatch.setattr(templates, "datetime", Never)
    tokenizer = load_tokenizer(written(tmp_path, raw, HARMONY, "<|return|>"))
    assert "Current date: 2024-07-26<|end|>" in asking(tokenizer, "q")


@pytest.mark.parametrize(
    ("turns", "ends", "whole"),
    [
        pytest.param(Turns(), "<|im_end|>", "### Human: a\n### Assistant: Yes<|im_end|>\n", id="ours"),
        pytest.param(
            Turns(header="<|im_start|>", question="Q: {question}\n", answer="A: {answer}\n\n"),
            "\n\n",
            "<|im_start|>Q: a\nA: Yes\n\n",
            id="ends with its own line break",
        ),
        pytest.param(
            Turns(question='{%"\\{question}🙂\n', answer="\t'{answer}}}\n"),
            "<|im_end|>",
            "{%\"\\a🙂\n\t'Yes<|im_end|>}}\n",
            id="what Jinja would read",
        ),
    ],
)
def test_turns_are_a_template(tmp_path: Path, raw: Tokenizer, turns: Turns, ends: str, whole: str) -> None:
    """What is trained on and asked in is what examples are written as."""
    folder = written(tmp_path, raw, "")
    (folder / "config.json").write_text(json.dumps({"eos_token_id": raw.encode(ends).ids[0]}))
    tokenizer = load_tokenizer(folder)
    tokenizer.chat_template = turns_template(folder, turns)
    template = Template.of(tokenizer)
    assert template.turn("a", "Yes") == whole
    assert template.prompt("a").rstrip() == answer_prompt(turns, [], "a").rstrip()
    earlier = [("a", "Yes"), ("b", "No")]
    spoken = asking(tokenizer, "c", exchanges(earlier)).replace("<|im_end|>", "")
    assert spoken.rstrip() == answer_prompt(turns, earlier, "c").rstrip()
    turn = render_turn(tokenizer, "a", "Yes", stop_ids(folder, tokenizer))
    assert turn is not None
    assert tokenizer.decode(turn.completion_ids).endswith(ends)
