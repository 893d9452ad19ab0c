"""A row's tokens are counted as the model would get them, whatever the tokenizer's file was last used for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from alma.sources.lengths import Lengths
from alma.sources.values import Fault


def cut(tokenizer: Tokenizer) -> None:
    tokenizer.enable_truncation(4)


def filled(tokenizer: Tokenizer) -> None:
    tokenizer.enable_padding(length=64, pad_token="a")


def plain(tokenizer: Tokenizer) -> None:
    """Leaves it as it is."""


@pytest.mark.parametrize("used", [plain, cut, filled])
def test_the_tokenizers_own_cutting_and_filling_count_for_nothing(
    tmp_path: Path, used: Callable[[Tokenizer], None]
) -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0}, "a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    used(tokenizer)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 16}))
    lengths = Lengths(tmp_path)
    lengths.check({"prompt": "aaaa " * 7, "response": "aaaa " * 8})
    with pytest.raises(Fault, match="prompt and response of 16 tokens where the model's context holds 16"):
        lengths.check({"prompt": "aaaa " * 8, "response": "aaaa " * 8})


def test_a_text_that_the_tokenizer_cannot_write_is_a_fault_of_its_row(tmp_path: Path) -> None:
    Tokenizer(models.WordLevel({"a": 0}, "no such token")).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 4}))
    with pytest.raises(Fault, match=r"cannot write 'bbbbb' as tokens: .*UNK"):
        Lengths(tmp_path).check({"prompt": "bbbbb"})


@pytest.mark.parametrize("stated", ["4", [4], True, -1, 4.5, None])
def test_what_is_no_length_is_no_context(tmp_path: Path, stated: object) -> None:
    """Of the names for it only one is the usual one, whose type its ingest looks at."""
    Tokenizer(models.WordLevel({"a": 0}, "a")).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text(json.dumps({"n_positions": stated}))
    Lengths(tmp_path).check({"prompt": "a" * 20})
