"""What is sealed is what its name says, whatever is written to a source while it is taken in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from alma.artifact import Manifest, Ref, Rows
from alma.errors import TransientError
from alma.running import stage as running
from alma.running.scratch import locked_scratch
from alma.sections import IngestRows
from alma.stages import ingest
from alma.stages.ingest import model as ingest_model
from alma.store import Store, open_store

BASE = Path(__file__).parents[2] / "examples" / "micro" / "base"
WEIGHTS = "model.safetensors"
CHANGED = "changed while it was being taken in"


def rows(text: str) -> str:
    return "".join(json.dumps({"prompt": f"{text} {i}?", "response": f"{text} {i}."}) + "\n" for i in range(9))


def other_weights(path: Path) -> bytes:
    data = bytearray(path.read_bytes())
    for place in range(8 + int.from_bytes(data[:8], "little"), len(data), 4):
        data[place] ^= 1
    return bytes(data)


def take_in(tmp_path: Path, **section: Any) -> Manifest:
    return running.run("ingest", section, {}, open_store(str(tmp_path / "store")), base=tmp_path)


@pytest.fixture
def while_waiting(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Lets something happen while the stage waits for another process."""

    def happens(change: Callable[[], object]) -> None:
        @contextmanager
        def lock(store: Store, ref: Ref, shard: str) -> Iterator[Path]:
            with locked_scratch(store, ref, shard) as scratch:
                change()
                yield scratch

        monkeypatch.setattr(running, "locked_scratch", lock)

    return happens


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, which is not tried: that takes seconds."""
    monkeypatch.setattr(ingest_model, "_prove", lambda *_: 0)
    return shutil.copytree(BASE, tmp_path / "base")


def test_rows_that_were_written_anew_meanwhile_get_no_name_of_the_old_ones(
    tmp_path: Path, while_waiting: Callable[[Callable[[], object]], None]
) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text(rows("old"))
    while_waiting(lambda: source.write_text(rows("new")))
    with pytest.raises(
        TransientError, match=f"^a.jsonl: {CHANGED}: .*; wait until nothing writes to it, and run again"
    ):
        take_in(tmp_path, source="a.jsonl", kind="pairs")
    assert [path for path in (tmp_path / "store").rglob("*") if path.suffix in (".parquet", ".jsonl")] == []
    while_waiting(lambda: None)
    source.write_text(rows("old"))
    manifest = take_in(tmp_path, source="a.jsonl", kind="pairs")
    assert Rows(open_store(str(tmp_path / "store")), manifest).table()["prompt"][0].as_py() == "old 0?"


def test_rows_that_are_written_anew_while_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text(rows("old"))
    read = ingest._read

    def late(cfg: IngestRows, *given: Any) -> Any:
        source.write_text("cut off")
        return read(cfg, *given)

    monkeypatch.setattr(ingest, "_read", late)
    manifest = take_in(tmp_path, source="a.jsonl", kind="pairs")
    assert Rows(open_store(str(tmp_path / "store")), manifest).table()["prompt"].to_pylist()[-1] == "old 8?"


def test_tasks(tmp_path: Path, while_waiting: Callable[[Callable[[], object]], None]) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "a.yaml").write_text("task: a\n")
    while_waiting(lambda: (tmp_path / "tasks" / "a.yaml").write_text("task: b\n"))
    with pytest.raises(TransientError, match=f"^tasks: {CHANGED}"):
        take_in(tmp_path, source="tasks", kind="tasks")


@pytest.mark.parametrize("name", [WEIGHTS, "tokenizer_config.json", "chat_template.jinja"])
@pytest.mark.parametrize("when", ["while it waits", "while it is checked"])
def test_a_model(
    tmp_path: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    while_waiting: Callable[[Callable[[], object]], None],
    name: str,
    when: str,
) -> None:
    """Weights are linked: of what is written into the file itself, the last is published."""

    def change() -> int:
        data = other_weights(model / name) if name == WEIGHTS else (model / name).read_bytes() + b"\n"
        (model / name).write_bytes(data)
        return 0

    (model / "chat_template.jinja").write_text(TEMPLATE)
    if when == "while it waits":
        while_waiting(change)
    else:
        monkeypatch.setattr(ingest_model, "_prove", lambda *_: change())
    if when == "while it waits" or name == WEIGHTS:
        with pytest.raises(TransientError, match=f"^base: {CHANGED}"):
            take_in(tmp_path, source="base", kind="model")
        assert [*(tmp_path / "store").rglob("files")] == []
    else:
        before = (model / name).read_bytes()
        manifest = take_in(tmp_path, source="base", kind="model")
        [taken] = (tmp_path / "store" / str(manifest.ref)).rglob(name)
        assert taken.read_bytes() == before


def test_weights_that_are_replaced_while_they_are_checked(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (model / WEIGHTS).read_bytes()

    def replace(*_: Any) -> int:
        (tmp_path / "other").write_bytes(other_weights(model / WEIGHTS))
        (tmp_path / "other").replace(model / WEIGHTS)
        return 0

    monkeypatch.setattr(ingest_model, "_prove", replace)
    manifest = take_in(tmp_path, source="base", kind="model")
    [taken] = (tmp_path / "store" / str(manifest.ref)).rglob(WEIGHTS)
    assert taken.read_bytes() == before


def test_a_model_whose_file_goes_away(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = ingest_model.models.copy_model

    def late(*given: Any) -> None:
        (model / "tokenizer.json").unlink(missing_ok=True)
        copy(*given)

    monkeypatch.setattr(ingest_model.models, "copy_model", late)
    with pytest.raises(TransientError, match=r"^base: .*tokenizer\.json went away while the model was being taken in"):
        take_in(tmp_path, source="base", kind="model")


TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{% if loop.first %}<s>{% endif %}<user>{{ m['content'] }}"
    "{% else %}<assistant>{{ m['content'] }}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
