"""Text is text: a special token that a person or a model spelled is encoded as its characters.

A tokenizer finds special tokens anywhere in a text, before anything else. So a second one is made whose special tokens
have names that do not occur in the text, the template's own markers are written by these names, and whatever else looks
like a marker is none. All other steps of tokenization see the same text as ever.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from alma.engines.tokenizer import settle, special_texts
from alma.errors import DataError
from alma.prompts.prompt import quoted_in

_NONCHARACTERS = [chr(code) for code in range(0xFDD0, 0xFDF0)]
"""Code points that Unicode never gives to a character; a name is made of one that the text does not hold."""


class _Marks(NamedTuple):
    """The special tokens of a tokenizer as a pattern, and its copies by the noncharacter of their names."""

    pattern: re.Pattern[str]
    ids: dict[str, int]
    copies: dict[str, Any]


_MARKS: WeakKeyDictionary[Any, _Marks] = WeakKeyDictionary()


def spells(tokenizer: Any, text: str) -> bool:
    """Whether what ``text`` quotes spells a special token, or a part of one that its surroundings would complete."""
    quoted = quoted_in(text)
    if not quoted:
        return False
    found = [match.span() for match in _marks(tokenizer).pattern.finditer(text)]
    return any(first < end and last > start for first, last in found for start, end in quoted)


def encode_quoting(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a text, special tokens outside of what it quotes only, and no BOS added.

    Raises ``DataError`` for a tokenizer that is not one of the library ``tokenizers``.
    """
    marks = _marks(tokenizer)
    sign = next((each for each in _NONCHARACTERS if each not in text), None)
    if sign is None:
        raise DataError(f"a text holds all of Unicode's noncharacters U+FDD0 to U+FDEF: {str(text)[:60]!r}; remove one")
    if sign not in marks.copies:
        marks.copies[sign] = _renamed(tokenizer, marks, sign)

    def named(template: str) -> str:
        return marks.pattern.sub(lambda match: _name(sign, marks.ids[match.group()]), template)

    parts, start = [], 0
    for first, last in quoted_in(text):
        parts += [named(text[start:first]), text[first:last]]
        start = last
    whole = "".join([*parts, named(text[start:])])
    ids: list[int] = marks.copies[sign].encode(whole, add_special_tokens=False).ids
    return ids


def _marks(tokenizer: Any) -> _Marks:
    marks = _MARKS.get(tokenizer)
    if marks is None:
        known = {each: tokenizer.convert_tokens_to_ids(each) for each in special_texts(tokenizer) if each}
        ids = {text: token for text, token in known.items() if tokenizer.convert_ids_to_tokens(token) == text}
        longest_first = sorted(ids, key=lambda each: (-len(each), each))
        pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        marks = _MARKS[tokenizer] = _Marks(pattern, ids, {})
    return marks


def _name(sign: str, token: int) -> str:
    return f"{sign}{token}{sign}"


def _renamed(tokenizer: Any, marks: _Marks, sign: str) -> Any:
    """The tokenizer with other names for its special tokens; their old spellings are in no part of it."""
    from tokenizers import Tokenizer

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise DataError(
            f"a text spells a special token, and {type(tokenizer).__name__} of {tokenizer.name_or_path} cannot be told "
            "that it is text; convert the tokenizer to tokenizer.json, or mend the text"
        )
    names = {text: _name(sign, token) for text, token in marks.ids.items()}
    whole = json.loads(backend.to_str())
    whole["post_processor"] = None
    for token in whole["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    _rename_pieces(whole["model"], names)
    copy = Tokenizer.from_str(json.dumps(whole))
    settle(copy)
    for text, token in marks.ids.items():
        if copy.token_to_id(names[text]) != token or copy.encode(names[text], add_special_tokens=False).ids != [token]:
            raise DataError(
                f"a text spells a special token, and the tokenizer of {tokenizer.name_or_path} knows {text!r} in no "
                "other way than as that token; mend the text"
            )
    return copy


def _rename_pieces(model: dict[str, Any], names: dict[str, str]) -> None:
    """Changes the pieces of a tokenizer's model, and takes out the merges that would write one of the old names."""
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, dict):
        model["vocab"] = {names.get(piece, piece): token for piece, token in vocabulary.items()}
    elif vocabulary is not None:
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in vocabulary]
    if model.get("unk_token") is not None:
        model["unk_token"] = names.get(model["unk_token"], model["unk_token"])
    if model.get("merges"):
        pairs = [each.split(" ", 1) if isinstance(each, str) else each for each in model["merges"]]
        model["merges"] = [pair for pair in pairs if names.keys().isdisjoint([*pair, "".join(pair)])]
