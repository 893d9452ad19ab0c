"""Chat templates: which ones can be trained on, and which tokens a row becomes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from alma.engines.chat import chat_notes, check_chat
from alma.engines.dialogue import asking
from alma.engines.encoding import encode
from alma.engines.tokenizer import load_tokenizer, stop_ids
from alma.errors import DataError
from tests.builders.rendering import render_prompt, render_turn

SPECIAL = ("<pad>", "<s>", "</s>", "<user>", "<assistant>", "<end>")
CHAT = (
    "{% for m in messages %}{% if m['role'] == 'user' %}<user>{{ m['content'] }}"
    "{% else %}<assistant>{{ m['content'] }}</s>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def write(folder: Path, *, chat: str | None = CHAT, ends: int | list[int] = 2, split: str = r"[\s\S]") -> Path:
    """A tokenizer with a token per character, and one for two line breaks if ``split`` keeps them together."""
    vocabulary = {token: place for place, token in enumerate((*SPECIAL, *map(chr, range(32, 127)), "\n", "\n\n"))}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    raw.pre_tokenizer = pre_tokenizers.Split(Regex(split), "isolated")
    raw.decoder = decoders.Fuse()
    raw.add_special_tokens(list(SPECIAL))
    raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="</s>")
    tokenizer.chat_template = chat
    tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "eos_token_id": 5}))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("chat"))


def test_a_good_chat_template_passes(folder: Path) -> None:
    check_chat(folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (CHAT, "", "has no chat template; set chat_template"),
        ("<assistant>{{", "<s><assistant>{{", "is not the beginning of the assistant's turn"),
        (
            "</s>\n",
            "\n",
            r"nothing ends the assistant's turn 'Yes.\\n' where generation stops, which is at '</s>' \(2\)",
        ),
        ("{{ m['content'] }}</s>", "</s>", "leaves the assistant's content out"),
        ("<user>", "{{ raise_exception('no') }}", "cannot render a dialogue: no"),
        ("{% else %}", "{% otherwise %}", "cannot render a dialogue: .*otherwise"),
    ],
    ids=["no template", "no prefix", "no end", "no content", "refuses", "broken"],
)
def test_a_chat_template_that_cannot_be_trained_on(tmp_path: Path, old: str, new: str, message: str) -> None:
    write(tmp_path, chat=CHAT.replace(old, new, 1) or None)
    with pytest.raises(DataError, match=message):
        check_chat(tmp_path)


def test_an_end_token_that_only_the_generation_config_knows(tmp_path: Path) -> None:
    chat = CHAT.replace("</s>", "<end>")
    with pytest.raises(DataError, match="nothing ends the assistant's turn"):
        check_chat(write(tmp_path / "not known", chat=chat))
    known = write(tmp_path / "known", chat=chat, ends=[2, 5])
    check_chat(known)
    assert stop_ids(known, load_tokenizer(known)) == {2, 5}


def test_what_is_no_tokens_number_ends_nothing(tmp_path: Path) -> None:
    """Such as no library can hold."""
    known = write(tmp_path, ends=[2, -1, 10**30])
    check_chat(known)
    assert stop_ids(known, load_tokenizer(known)) == {2}


def test_the_config_names_the_end_where_there_is_no_generation_config(tmp_path: Path) -> None:
    write(tmp_path, chat=CHAT.replace("</s>", "<end>"))
    (tmp_path / "generation_config.json").unlink()
    check_chat(tmp_path)


def test_a_folder_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no tokenizer"):
        check_chat(tmp_path)


@pytest.mark.parametrize(
    ("response", "completion"),
    [
        ("ab", "ab</s>"),  # the template's line break after the end is never generated
        ("a</s>b", "a</s>b</s>"),
        ("", "</s>"),
        ("</s>", "</s></s>"),
        (" a\n", " a\n</s>"),
    ],
)
def test_the_completion_is_what_generation_would_write(folder: Path, response: str, completion: str) -> None:
    tokenizer = load_tokenizer(folder)
    turn = render_turn(tokenizer, "q?", response, stop_ids(folder, tokenizer))
    assert turn is not None
    assert turn.prompt_ids == render_prompt(tokenizer, "q?")
    assert tokenizer.decode(turn.prompt_ids) == "<s><user>q?<assistant>"
    assert tokenizer.decode(turn.completion_ids) == completion
    assert [each for each in turn.completion_ids if each < len(SPECIAL)] == [2], "one end token, and no other"


def test_an_end_token_that_was_not_added_as_special(tmp_path: Path) -> None:
    """Only generation_config.json says that it ends a turn; a response that spells it goes on all the same."""
    folder = write(tmp_path, chat=CHAT.replace("</s>", "<stop>"))
    added = Tokenizer.from_file(str(folder / "tokenizer.json"))
    added.add_tokens(["<stop>"])
    added.save(str(folder / "tokenizer.json"))
    stop = added.token_to_id("<stop>")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": stop}))
    check_chat(folder)
    tokenizer = load_tokenizer(folder)
    turn = render_turn(tokenizer, "q<stop>", "a<stop>b", stop_ids(folder, tokenizer))
    assert turn is not None
    assert (turn.prompt_ids + turn.completion_ids).count(stop) == 1
    assert tokenizer.decode(turn.completion_ids) == "a<stop>b<stop>"


@pytest.mark.parametrize(
    ("old", "new", "note"),
    [
        ("<assistant>{{", "<assistant>[]{{", "writes '[]' before every answer"),
        ("<assistant>{% endif %}", "<assistant>So:{% endif %}", "ends with 'So:', which its own turns do not have"),
        ("<user>", "<user>", None),
    ],
)
def test_what_is_done_by_itself_is_said(tmp_path: Path, old: str, new: str, note: str | None) -> None:
    notes = chat_notes(write(tmp_path, chat=CHAT.replace(old, new)))
    assert len(notes) == (note is not None)
    assert note is None or note in notes[0]


def test_a_second_end_token_is_left_out(tmp_path: Path) -> None:
    folder = write(tmp_path, chat=CHAT.replace("</s>", "<end>\n</s>"), ends=[2, 5])
    tokenizer = load_tokenizer(folder)
    turn = render_turn(tokenizer, "q?", "a", stop_ids(folder, tokenizer))
    assert turn is not None
    assert tokenizer.decode(turn.completion_ids) == "a<end>"


def test_the_beginning_token_is_written_once(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    text = asking(tokenizer, "q")
    assert encode(tokenizer, [text]) == encode(tokenizer, ["<s>" + text]) == [tokenizer(text)["input_ids"]]


def test_a_response_that_merges_with_the_prompt_is_none(tmp_path: Path) -> None:
    folder = write(tmp_path, chat=CHAT.replace("<assistant>", "<assistant>\n"), split=r"\n\n|[\s\S]")
    tokenizer = load_tokenizer(folder)
    assert render_turn(tokenizer, "q", "\na", stop_ids(folder, tokenizer)) is None
    assert render_turn(tokenizer, "q", "a", stop_ids(folder, tokenizer)) is not None
