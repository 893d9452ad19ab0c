"""Values that nobody expects, and texts and trees that are spoilt by them."""

from __future__ import annotations

import json
import random
import sys
from typing import Any

TEXTS = (
    "", " ", "\n", "\t", "\0", "a\0b", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\r\x08", "\x9b2J", "\u202eabc",
    "é漢🙂", "\ud800", "a\udcffb", "\udfff", "~", "~nosuchuser", "~nosuchuser/x", "..", "../../../..", "/", "/dev/zero",
    "/dev/full", "/dev/stdin", "/proc/self/mem", "/proc/self/environ", "/nowhere/at/all", "a" * 300, "b/" * 3000,
    "x" * 5000, "y" * 100_000, "%s %d {} {x} $(id) `id` ${HOME} ; rm", "{{ 7 * 7 }}", "{prompt}", "[bold]x[/bold]",
    "[/x]", "s3://", "s3://b", "s3://b/k", "hf://", "hf://a/b", "hf://../..", "http://127.0.0.1:9/", "file:///tmp/x",
    "ftp://x", "null", "nan", "inf", "-inf", "1e999", "0x10", "١٢", "１２", "1_000", "-", "--", "-1", "@", "@/dev/zero",
    "@nothing", "=", "a=", "=b", "a.b.c=1", "alma.rounds=1e400", "pipe", "folder", "folder/x", "rows.jsonl/x", "loop",
    "dangling",
)  # fmt: skip
"""``pipe`` to ``dangling`` lie in every case's folder."""

NUMBERS = (
    0, 1, -1, 2, 7, 255, 2**31, -(2**31), 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**30, 10**400, 0.5,
    -0.5, 1e-320, 1e308, -0.0, float("inf"), float("-inf"), float("nan"),
)  # fmt: skip

OTHERS = (None, True, False, [], {}, [[]], [None], {"a": 1}, {"": ""}, ["a", 1], [{}], {"\x1b[31m": {"\ud800": "\0"}})


def value(draw: random.Random) -> Any:
    """A text, a number, or something else; sometimes deep or wide."""
    chance = draw.random()
    if chance < 0.45:
        return draw.choice(TEXTS)
    if chance < 0.75:
        return draw.choice(NUMBERS)
    if chance < 0.92:
        return draw.choice(OTHERS)
    if chance < 0.96:
        return nested(draw.choice((3, 50, 400)))
    return draw.choice(([0] * 2000, {str(i): i for i in range(2000)}))


def nested(depth: int) -> Any:
    """Lists in lists."""
    found: Any = 1
    for _ in range(depth):
        found = [found]
    return found


def spoil_tree(draw: random.Random, tree: Any) -> Any:
    """One to three changes anywhere in a tree: a value replaced, removed, repeated, or put under another name."""
    tree = json.loads(json.dumps(tree))
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        places = list(_places(tree))
        if not places:
            return value(draw)
        holder, key = draw.choice(places)
        kind = draw.random()
        if kind < 0.7:
            holder[key] = value(draw)
        elif kind < 0.8:
            del holder[key]
        elif isinstance(holder, dict):
            holder[draw.choice(TEXTS)] = holder[key] if kind < 0.9 else value(draw)
        else:
            holder.insert(key, value(draw))
    return tree


def _places(tree: Any) -> Any:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, below in list(items)[:400]:
        yield tree, key
        yield from _places(below)


def spoil_bytes(draw: random.Random, data: bytes) -> bytes:
    """Cut, doubled, or with bytes that are others."""
    for _ in range(draw.choice((1, 1, 2, 4))):
        at = draw.randrange(len(data) + 1)
        to = min(len(data), at + draw.choice((1, 2, 8, 64)))
        kind = draw.random()
        if kind < 0.15:
            data = data[:at]
        elif kind < 0.3:
            data = data[:to] + data[at:]
        elif kind < 0.45:
            data = data[:at] + data[to:]
        elif kind < 0.7:
            data = data[:at] + draw.randbytes(draw.choice((1, 2, 8))) + data[to:]
        else:
            data = data[:at] + draw.choice(JUNK) + data[at:]
    return data


JUNK = (
    b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1b[31m", b"\xed\xa0\x80", b'"', b"'", b"[", b"{", b"}", b"]", b",",
    b"\n", b"\r", b"[" * 1000, b"{" * 1000, b"9" * 5000, b"a" * 100_000, b"NaN", b"Infinity", b"1e999", b"\\ud800",
    b"\\u0000", b"null", b"=",
)  # fmt: skip


def as_json(tree: Any) -> bytes:
    """JSON as a hostile writer makes it: NaN, lone surrogates as escapes."""
    return json.dumps(tree).encode()


def as_toml(tree: dict[str, Any]) -> bytes:
    """TOML of a tree: inline, but for the first two levels."""
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 10_000))  # for what was nested in what was nested
    lines = []
    for root, section in tree.items():
        if not isinstance(section, dict):
            lines.insert(0, f"{_key(root)} = {_toml(section)}")
            continue
        lines.append(f"[{_key(root)}]")
        lines += [f"{_key(name)} = {_toml(each)}" for name, each in section.items()]
    return "\n".join(lines).encode("utf-8", "surrogatepass") + b"\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(name)} = {_toml(each)}" for name, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    if value is None:
        return '"null"'
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") if isinstance(value, str) else str(value)


def _key(name: str) -> str:
    return json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")
