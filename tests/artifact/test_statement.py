"""A part is what its bytes are: a statement that says otherwise is not believed, and the part is computed again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alma.artifact import Manifest, row_id
from alma.artifact.out import Out
from alma.errors import ConfigError, TransientError
from alma.store import Store, open_store
from tests.builders.sealed import named, seal

REF = named("respond", "rows")
NUM_ROWS, PART_ROWS = 6, 2


def attempt(store: Store, scratch: Path, told: list[Any], num_parts: int = 3) -> Manifest | None:
    out = Out(store, REF, scratch, emit=told.append)
    for part, _ in out.each(NUM_ROWS, PART_ROWS, "rows"):
        if part.number == num_parts:
            return None
        rows = [{"id": row_id(REF, i), "candidate_id": "c", "prompt": f"{i}"} for i in range(part.start, part.stop)]
        out.publish(part, "prompt", rows, {"num_tokens": sum(range(part.start, part.stop))})
    read = len(out.read_back(["prompt"]))
    return seal(out, "rows", {"read": read})


def changed(**fields: Any) -> Callable[[Store, str], None]:
    def change(store: Store, name: str) -> None:
        store.write(name, json.dumps(json.loads(store.read(name)) | fields).encode())

    return change


def bytes_of(what: Callable[[bytes], bytes]) -> Callable[[Store, str], None]:
    def change(store: Store, name: str) -> None:
        file = f"{REF}/{json.loads(store.read(name))['file']}"
        store.write(file, what(store.read(file)))

    return change


def swapped(store: Store, name: str) -> None:
    """Says the file of the next part, which has as many rows, and is whole."""
    other = json.loads(store.read(f"{REF}/parts/00001.json"))
    changed(**{key: other[key] for key in ("file", "sha256", "size", "counts")})(store, name)


def forged_name(store: Store, name: str) -> None:
    """The next part's file under this one's name."""
    other = json.loads(store.read(f"{REF}/parts/00001.json"))
    file = f"parts/00000-{other['sha256'][:16]}.parquet"
    store.write(f"{REF}/{file}", store.read(f"{REF}/{other['file']}"))
    changed(file=file, **{key: other[key] for key in ("sha256", "size", "counts")})(store, name)


def gone(store: Store, name: str) -> None:
    store.remove(f"{REF}/{json.loads(store.read(name))['file']}")


ALTERED = {
    "counts": changed(counts={"num_tokens": 10**6}),
    "a count more": changed(counts={"num_tokens": 1, "num_too_long": 1}),
    "no counts": changed(counts={}),
    "size": changed(size=1),
    "rows": changed(rows=1),
    "first row": changed(start=3),
    "negative rows": changed(rows=-2),
    "kind of rows": changed(schema_name="response"),
    "hash": changed(sha256="0" * 64),
    "no hash": changed(sha256="../../../etc/passwd"),
    "file": changed(file="parts/00001-0123456789abcdef.parquet"),
    "file elsewhere": changed(file="../../../../etc/passwd"),
    "seconds": changed(seconds=-1.0),
    "another part's file": swapped,
    "another part's file by name": forged_name,
    "file gone": gone,
    "file cut": bytes_of(lambda data: data[:-9]),
    "file empty": bytes_of(lambda data: b""),
    "a bit turned": bytes_of(lambda data: data[:50] + bytes([data[50] ^ 4]) + data[51:]),
    "statement cut": lambda store, name: store.write(name, store.read(name)[:20]),
    "statement empty": lambda store, name: store.write(name, b""),
}


@pytest.mark.parametrize("alter", ALTERED.values(), ids=ALTERED)
def test_an_altered_part_is_computed_again(tmp_path: Path, alter: Callable[[Store, str], None]) -> None:
    whole = attempt(open_store(str(tmp_path / "whole")), tmp_path / "a", [])
    store = open_store(str(tmp_path / "store"))
    attempt(store, tmp_path / "b", [], num_parts=2)
    alter(store, f"{REF}/parts/00000.json")
    told: list[Any] = []
    assert attempt(store, tmp_path / "b", told) == whole
    said = [event["message"] for event in told if "computed again" in event.get("message", "")]
    assert ("another part_rows" if alter in (ALTERED["rows"], ALTERED["first row"]) else "is not believed") in said[0]


@pytest.mark.parametrize("place", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"])
@pytest.mark.parametrize("of", ["statement", "file"])
@pytest.mark.timeout(20)
def test_what_has_no_end_is_not_read(tmp_path: Path, place: Callable[[Path], None], of: str) -> None:
    store = open_store(str(tmp_path / "store"))
    attempt(store, tmp_path / "b", [], num_parts=2)
    file = json.loads(store.read(f"{REF}/parts/00000.json"))["file"] if of == "file" else "parts/00000.json"
    path = tmp_path / "store" / str(REF) / file
    path.unlink()
    place(path)
    with pytest.raises(ConfigError, match=f"{path.name}: is a folder, a device or a pipe; remove it"):
        attempt(store, tmp_path / "b", [])


def test_so_it_is_where_the_store_is_elsewhere(
    s3_store_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALMA_CACHE", str(tmp_path / "cache"))
    whole = attempt(open_store(str(tmp_path / "whole")), tmp_path / "a", [])
    for name in ("counts", "file gone", "a bit turned"):
        store = open_store(f"{s3_store_uri}/{name}")
        attempt(store, tmp_path / "b", [], num_parts=2)
        ALTERED[name](store, f"{REF}/parts/00000.json")
        assert attempt(store, tmp_path / "b", []) == whole
        assert not list((tmp_path / "b").glob("check-*"))


def test_a_part_that_is_altered_later_is_not_sealed(tmp_path: Path) -> None:
    """By another attempt, after this one has looked: the next attempt computes it."""
    store = open_store(str(tmp_path / "store"))
    slow = Out(store, REF, tmp_path / "slow")
    slow.parts(NUM_ROWS, PART_ROWS)
    for number in range(3):
        attempt(store, tmp_path / "fast", [], num_parts=number)
    ALTERED["counts"](store, f"{REF}/parts/00001.json")
    with pytest.raises(TransientError, match=r"parts/00001 is not believed: it says another place.*run again"):
        slow.counts()
