"""What a former user left in a tokenizer's files bends no text's tokens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from alma.engines.chat import chat_faults
from alma.engines.encoding import encode
from alma.engines.tokenizer import load_tokenizer, stop_ids
from alma.errors import DataError
from alma.prompts import CHAT_TEMPLATE
from alma.remedies import Terminated
from alma.sources.lengths import Lengths
from alma.sources.values import Fault
from tests.builders.rendering import render_prompt, render_turn

BASE = Path(__file__).parents[2] / "examples" / "micro" / "base"
LONG = "ab 12 " * 60


def changed(folder: Path, file: str, **values: Any) -> Path:
    if not folder.exists():
        shutil.copytree(BASE, folder)
        (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return folder


CHANGES = [
    (
        "tokenizer.json",
        {"truncation": {"direction": "Right", "max_length": 9, "strategy": "LongestFirst", "stride": 0}},
    ),
    (
        "tokenizer.json",
        {
            "padding": {
                "strategy": {"Fixed": 512},
                "direction": "Right",
                "pad_to_multiple_of": None,
                "pad_id": 0,
                "pad_type_id": 0,
                "pad_token": "<pad>",
            }
        },
    ),
    ("tokenizer_config.json", {"split_special_tokens": True}),
    ("tokenizer_config.json", {"add_eos_token": True}),
    ("tokenizer_config.json", {"model_max_length": 8, "truncation_side": "left", "padding_side": "right"}),
]


@pytest.mark.parametrize(
    ("file", "values"), CHANGES, ids=lambda each: next(iter(each)) if isinstance(each, dict) else ""
)
def test_tokens_follow_from_the_text(tmp_path: Path, file: str, values: dict[str, Any]) -> None:
    plain = changed(tmp_path / "plain", "tokenizer_config.json")
    bent = changed(tmp_path / "bent", file, **values)
    theirs, ours = load_tokenizer(plain), load_tokenizer(bent)
    texts = [LONG, "<s>ab</s>", "a"]
    assert encode(ours, texts) == encode(theirs, texts)
    assert ours.backend_tokenizer.encode(LONG).ids[-3:] == theirs.backend_tokenizer.encode(LONG).ids[-3:]
    assert render_prompt(ours, LONG) == render_prompt(theirs, LONG)
    assert render_turn(ours, "a", LONG, stop_ids(bent, ours)) == render_turn(theirs, "a", LONG, stop_ids(plain, theirs))
    assert chat_faults(bent) == chat_faults(plain) == []


def test_merges_are_not_left_out_at_random(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"a": 0, "b": 1, "ab": 2, "</s>": 3}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[("a", "b")], dropout=0.5))
    PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="</s>").save_pretrained(tmp_path)
    assert encode(load_tokenizer(tmp_path), ["ab" * 20]) == [[2] * 20]


@pytest.mark.parametrize(("file", "values"), CHANGES[:2], ids=["truncation", "padding"])
def test_lengths_are_counted_whole(tmp_path: Path, file: str, values: dict[str, Any]) -> None:
    lengths = Lengths(changed(tmp_path / "bent", file, **values))
    lengths.check({"prompt": "a", "response": "b"})
    with pytest.raises(Fault, match="450 tokens"):
        lengths.check({"prompt": "a " * 200, "response": "b" * 50})


@pytest.mark.parametrize("word", ["random", "lipsum", "now"])
def test_a_template_that_draws_is_refused(tmp_path: Path, word: str) -> None:
    folder = changed(tmp_path / "base", "tokenizer_config.json")
    drawn = {
        "random": "{{ ['a'] | random }}",
        "lipsum": "{{ lipsum(n=1) }}",
        "now": "{% if now %}{{ now() }}{% endif %}",
    }
    (folder / "chat_template.jinja").write_text("{# a #}\n\n" + drawn[word] + CHAT_TEMPLATE)
    (said,) = [each for each in chat_faults(folder) if f"the chat template holds {word}" in each]
    assert " in line 3: what it writes would differ" in said
    (folder / "chat_template.jinja").write_text("{# | random, now() #}| random (now)" + CHAT_TEMPLATE)
    assert chat_faults(folder) == []


def test_a_tokenizer_that_cannot_write_a_text_is_named(tmp_path: Path) -> None:
    words = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "no such token"}
    folder = changed(tmp_path / "words", "tokenizer.json", model=words, added_tokens=[], pre_tokenizer=None)
    with pytest.raises(DataError, match=r"words cannot write a text as tokens: .*UNK.*mend its tokenizer\.json"):
        encode(load_tokenizer(folder), ["b"])


def test_what_stops_the_process_is_no_fault_of_a_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise Terminated

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", stopped)
    with pytest.raises(Terminated):
        load_tokenizer(BASE)
