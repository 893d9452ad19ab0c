"""What a store, and the network before it, do wrong: to requests that a seed chooses, or to what lies in the store."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from typing import Any

from alma.store import Store
from tests.builders.proxy import ANSWERS, CODES, ON_THE_WAY, Fault, Request

KINDS = (*CODES, *ON_THE_WAY, *ANSWERS, "gone")
"""Of faults of a server: those of the proxy, and that it is gone for a while."""


def disturbed(draw: random.Random, kind: str) -> Callable[[Request], Fault]:
    """``kind`` for some requests: of some methods, from a certain one on, so often and so many times."""
    methods = draw.choice([("GET", "HEAD", "PUT", "POST", "DELETE"), ("GET",), ("PUT",), ("GET", "HEAD"), ("HEAD",)])
    if kind.endswith(" up"):
        methods = ("PUT",)
    first, most = draw.randint(0, 60), draw.choice([1, 3, 20, 10**6])
    share = 1.0 if kind == "gone" else draw.choice([0.1, 0.5, 1.0])
    if kind == "gone":
        methods, most = ("GET", "HEAD", "PUT", "POST", "DELETE"), draw.choice([5, 20, 10**6])
    if kind in ("stall", "slow"):
        most = min(most, 3)  # each takes seconds
    seen, done, lock = 0, 0, threading.Lock()

    def fault(request: Request) -> Fault:
        nonlocal seen, done
        with lock:
            seen += 1
            if seen > first and done < most and request.method in methods and draw.random() < share:
                done += 1
                return "reset" if kind == "gone" else kind
        return None

    return fault


# What lies in the store

Change = Callable[[Store, str, random.Random], None]


def cut(store: Store, name: str, draw: random.Random) -> None:
    """Only its beginning is there."""
    data = store.read(name)
    store.write(name, data[: draw.randrange(len(data))])


def emptied(store: Store, name: str, _: random.Random) -> None:
    """It has no byte."""
    store.write(name, b"")


def removed(store: Store, name: str, _: random.Random) -> None:
    """It is gone."""
    store.remove(name)


def turned(store: Store, name: str, draw: random.Random) -> None:
    """A bit of it is turned."""
    data = bytearray(store.read(name))
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    store.write(name, bytes(data))


def noise(store: Store, name: str, draw: random.Random) -> None:
    """Other bytes, as many."""
    store.write(name, draw.randbytes(len(store.read(name))))


def longer(store: Store, name: str, draw: random.Random) -> None:
    """Some bytes follow."""
    store.write(name, store.read(name) + draw.randbytes(9))


FILES: tuple[Change, ...] = (cut, emptied, removed, turned, noise, longer)


def field(name: str, *values: Any) -> Change:
    """A statement says something else of ``name``."""

    def change(store: Store, path: str, draw: random.Random) -> None:
        store.write(path, json.dumps(json.loads(store.read(path)) | {name: draw.choice(values)}).encode())

    change.__name__ = f"states other {name}"
    return change


def counted(store: Store, path: str, draw: random.Random) -> None:
    """A statement counts otherwise."""
    said = json.loads(store.read(path))
    counts = said["counts"] or {"num_tokens": 0}
    name = draw.choice(sorted(counts))
    said["counts"] = {**counts, name: counts[name] + draw.choice([1, -1, 10**6])}
    store.write(path, json.dumps(said).encode())


STATEMENTS: tuple[Change, ...] = (
    *(*FILES, counted),
    field("rows", 0, 1, 7, 8, 61, -1, "8", None),
    field("start", 0, 8, 60, -8),
    field("size", 0, 1, 10**9, -1),
    field("sha256", "0" * 64, "", "x" * 64, "../" * 20),
    field("file", "parts/00000-0123456789abcdef.parquet", "../../../../etc/passwd", "", "manifest.json", "a\0b"),
    field("schema_name", "judgement", "", "nothing"),
    field("counts", {}, {"num_tokens": 10**9}, None, {"accuracy": -5}),
)
"""What is done to a statement."""
