"""A checkpoint's files are those of its statement, by their hashes, here and in the store, before any is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alma.artifact import Ref
from alma.artifact.checkpoints import Checkpoints
from alma.store import open_store

REF = Ref("finetune", "0123456789abcdef0123")
FILES = {"model.safetensors": b"weights", "global_step7/shard.pt": b"a pickle", "empty": b""}


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    """A checkpoint of this machine that the store has too."""
    for name, data in FILES.items():
        path = tmp_path / "checkpoint-7" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    with Checkpoints(open_store(str(tmp_path / "store")), REF, print) as sender:
        sender.send(7, tmp_path / "checkpoint-7")
        assert sender.flush() is None
    return tmp_path / "checkpoint-7"


def fetch(sent: Path, here: int) -> tuple[Path | None, list[str]]:
    told: list[str] = []
    with Checkpoints(open_store(str(sent.parent / "store")), REF, told.append) as fetcher:
        found = fetcher.fetch(sent.parent / "there", here, sent if here else None, lambda names: None)
    return found, told


def test_one_that_is_whole_here_stays(sent: Path) -> None:
    assert fetch(sent, 7) == (None, [])


@pytest.mark.parametrize("data", [b"A pickle", b"a pickle!", None], ids=["turned", "longer", "gone"])
def test_one_that_is_damaged_here_is_fetched(sent: Path, data: bytes | None) -> None:
    shard = sent / "global_step7" / "shard.pt"
    shard.unlink()
    if data:
        shard.write_bytes(data)
    found, told = fetch(sent, 7)
    assert found is not None
    assert {
        path.relative_to(found).as_posix(): path.read_bytes() for path in found.rglob("*") if path.is_file()
    } == FILES
    assert "on this machine is damaged" in told[0]


@pytest.mark.parametrize("here", [0, 7])
def test_one_that_was_altered_there_is_not_used(sent: Path, here: int) -> None:
    """Neither a file, nor a statement that says the hash of another."""
    store = open_store(str(sent.parent / "store"))
    store.write(f"{REF}/checkpoints/00000007/global_step7/shard.pt", b"A pickle")
    if here:
        (sent / "global_step7" / "shard.pt").write_bytes(b"a Pickle")
    found, told = fetch(sent, here)
    assert found is None
    assert "is damaged: global_step7/shard.pt has SHA-256" in told[-1]
    assert store.list(f"{REF}/checkpoints") == {}
    assert sent.exists() == (here == 0), "neither is used"


def test_a_statement_that_leads_elsewhere_is_none(sent: Path) -> None:
    store = open_store(str(sent.parent / "store"))
    name = f"{REF}/checkpoints/00000007.json"
    said = json.loads(store.read(name))
    said["files"][0]["name"] = "../../../escape"
    store.write(name, json.dumps(said).encode())
    found, told = fetch(sent, 0)
    assert (found, "not its own" in told[0]) == (None, True)
