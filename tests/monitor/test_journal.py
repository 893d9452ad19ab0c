"""What a run says of itself in the store, who reads it, and devices that are asked for and not there."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma import devices
from alma.artifact import Ref
from alma.artifact.shard import Shard
from alma.errors import ConfigError, DataError, NoSpaceError, StageError, Stopped, TransientError
from alma.monitor import journal
from alma.monitor.journal import Journal, Place, kept
from alma.running.finish import final_state, finish
from alma.store import open_store
from alma.store.names import is_name

ROOT = Path(__file__).parents[2]
REF = Ref("respond", "0123456789abcdef0123")
BASE = ROOT / "examples"


def alma(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "alma", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"COLUMNS": "200"}, check=False)


@given(label=st.text(max_size=60), shard=st.sampled_from([None, "0-of-8", "seal"]))
def test_every_label_is_an_object_of_its_own_run(label: str, shard: str | None) -> None:
    assert is_name(Place("run-1", "x" + label, shard).name)


def test_labels_of_a_run_do_not_collide() -> None:
    from alma.config import load
    from alma.recipes.graph import graph

    labels = [step.label for step in graph(load(BASE / "llama3-8b.toml"))]
    assert len({journal.slug(label) for label in labels}) == len(labels)


@pytest.mark.parametrize("run", ["", "../x", "a/b", "x" * 200, "-x"])
def test_a_runs_name_is_a_folder(run: str) -> None:
    with pytest.raises(ConfigError, match="a run's name"):
        journal.folder(run)


def test_the_journal_says_how_a_step_ended(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    for error, state in [(Stopped("asked"), "stopped"), (StageError("bad"), "failed"), (ValueError("x"), "failed")]:
        with pytest.raises(type(error)), kept(Journal(store, Place("run", state), "respond")):
            raise error
        (entry,) = (each for each in journal.read(store, "run") if each.label == state)
        assert entry.state == state
        assert str(error) in (entry.message or "")
        assert (entry.kind, entry.exit_code) == (type(error).__name__, getattr(error, "exit_code", 1))
    done = Journal(store, Place("run", "round 02 · respond", "0-of-2"), "respond")
    done.start()
    done.hear({"event": "progress", "done": 3, "total": 9, "unit": "responses", "tokens": 5, "seconds": 2.0,
               "per_second": 1.5, "left_seconds": 4.0})  # fmt: skip
    done.end("published", REF)
    written = Path(tmp_path, Place("run", "round 02 · respond", "0-of-2").name).read_bytes()
    Journal(store, Place("run", "round 02 · respond", "0-of-2"), "respond").found_sealed(Ref("respond", "f" * 20))
    assert journal.read(store, "run")[-1].ref == f"respond/{'f' * 20}", "it is of another artifact now"
    sealed = Journal(store, Place("run", "x"), "respond")
    sealed.end("sealed", REF)
    kept_as_it_was = Path(tmp_path, Place("run", "x").name).read_bytes()
    Journal(store, Place("run", "x"), "respond").found_sealed(REF)
    assert Path(tmp_path, Place("run", "x").name).read_bytes() == kept_as_it_was
    Path(tmp_path, Place("run", "x").name).unlink()
    Path(tmp_path, Place("run", "round 02 · respond", "0-of-2").name).write_bytes(written)
    entry = journal.read(store, "run")[-1]
    assert (entry.state, entry.done, entry.total, entry.ref, entry.shard) == ("published", 3, 9, str(REF), "0-of-2")


def test_status_shows_each_shards_rates_and_its_last_error(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    event = {"event": "progress", "done": 30, "total": 90, "unit": "responses", "tokens": 2400, "seconds": 4.0,
             "per_second": 7.5, "left_seconds": 8.0}  # fmt: skip
    for shard, error in [("0-of-2", None), ("1-of-2", "the disk is full")]:
        entry = Journal(store, Place("run", "round 02 · respond", shard), "respond")
        entry.hear(event)
        if error:
            entry.end("failed", error=NoSpaceError(error))
    lines = alma("status", "run", "--store", tmp_path).stdout.splitlines()
    (first,) = (i for i, line in enumerate(lines) if "(0-of-2)" in line)
    assert re.search(r"running .* 30/90 responses .* 7\.5/s .* 8 s", lines[first])
    assert "600 tokens/s" in lines[first + 1]
    (second,) = (i for i, line in enumerate(lines) if "(1-of-2)" in line)
    assert "failed" in lines[second]
    assert any("the disk is full" in line for line in lines[second:])


@pytest.mark.slow
def test_status_of_a_running_and_a_killed_step(tmp_path: Path) -> None:
    store = tmp_path / "store"
    config = json.dumps({"engine": "echo", "num_attempts": 2_000_000, "part_rows": 500})
    sources = {
        "model": {"kind": "model", "source": "micro/base"},
        "seeds": {"kind": "pairs", "source": "micro/sft_seeds.jsonl"},
    }
    refs = []
    for port, section in sources.items():
        done = alma("stage", "ingest", "--store", store, "--base", BASE, "--config", json.dumps(section))
        assert done.returncode == 0, done.stderr
        refs += ["--in", f"{port}={done.stdout.strip()}"]
    command = [sys.executable, "-m", "alma", "stage", "synthesize", "--store", str(store), "--config", config, *refs]
    command += ["--run", "night", "--label", "prompts · synthesize"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not list(store.glob("synthesize/*/parts/00001.json")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        shown = alma("status", "--store", store)
        assert shown.returncode == 0, shown.stderr
        assert re.search(r"prompts · synthesize\s.*running", shown.stdout)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == TransientError.exit_code
    shown = alma("status", "night", "--store", store)
    assert re.search(r"prompts · synthesize\s.*stopped", shown.stdout)
    assert "run again to go on" in shown.stdout
    (path,) = store.glob("runs/night/steps/*.json")
    entry = json.loads(path.read_text()) | {"state": "running", "time": time.time() - 300}
    path.write_text(json.dumps(entry))
    assert "silent for 5 min" in alma("status", "night", "--store", store).stdout


def test_status_of_nothing_says_what_there_is(tmp_path: Path) -> None:
    asked = alma("status", "--store", tmp_path)
    assert asked.returncode == 2
    assert "no run has written here" in asked.stderr
    Journal(open_store(str(tmp_path)), Place("night", "x"), "respond").start()
    asked = alma("status", "day", "--store", tmp_path)
    assert asked.returncode == 2
    assert "there are: night" in asked.stderr


def test_the_last_page_shows_messages_as_text(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    nasty = "<script>alert(1)</script> | [x](javascript:1)\n# heading"
    with pytest.raises(StageError), kept(Journal(store, Place("run", "round 02 · judge"), "judge")):
        raise StageError(nasty)
    unfinished = finish(
        store.uri,
        "run",
        state='{"state": "FAILED"}',
        out_html=str(tmp_path / "page"),
        out_markdown=str(tmp_path / "md"),
    )
    assert [entry.label for entry in unfinished] == ["round 02 · judge"]
    assert "<script>" not in (tmp_path / "page").read_text()
    text = (tmp_path / "md").read_text()
    assert text.startswith("## failed: 0 steps sealed")
    assert "    <script>" in text, "indented, so that it is shown as it stands"
    assert "    # heading" in text


def test_a_final_status_that_is_none_is_refused() -> None:
    assert final_state("") == "UNKNOWN"
    assert final_state('{"state": "SUCCEEDED"}') == "SUCCEEDED"
    with pytest.raises(DataError, match="final status"):
        final_state("[1]")


@given(index=st.integers(0, 40), count=st.integers(1, 40), parts=st.integers(0, 200))
def test_shares_are_disjoint_and_hold_every_part(index: int, count: int, parts: int) -> None:
    if index >= count:
        with pytest.raises(ConfigError, match="there are 0/"):
            Shard.parse(f"{index}/{count}")
        return
    assert Shard.parse(f"{index}/{count}") == Shard(index, count)
    shards = [Shard(i, count) for i in range(count)]
    assert all(sum(shard.holds(part) for shard in shards) == 1 for part in range(parts))


@pytest.mark.parametrize("text", ["", "1", "1/", "/2", "2/2", "-1/2", "a/b", "1/2/3", "²/3", "0/" + "9" * 5000])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="shard"):
        Shard.parse(text)


def test_a_gpu_that_is_not_there_is_said_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = alma("stage", "respond", "--store", tmp_path / "store", "--gpus", "4096")
    assert asked.returncode == 2
    assert re.search(r"4096 GPUs asked for, \d+ visible", asked.stderr)
    assert not (tmp_path / "store").exists()
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.setattr(devices, "DEVICES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices.count_gpus() == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert devices.count_gpus() == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert devices.count_gpus() == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("done", 10**400),
        ("total", 10**400),
        ("tokens", 10**400),
        ("done", -1),
        ("time", math.nan),
        ("seconds", math.inf),
    ],
)
def test_an_entry_with_a_number_that_none_can_be_is_left_out(tmp_path: Path, name: str, value: float) -> None:
    store = open_store(str(tmp_path))
    for label in ("one", "two"):
        Journal(store, Place("run", label), "respond").end("sealed", REF)
    place = Place("run", "two").name
    store.write(place, json.dumps(json.loads(store.read(place)) | {name: value}).encode())
    assert [entry.label for entry in journal.read(store, "run")] == ["one"]
