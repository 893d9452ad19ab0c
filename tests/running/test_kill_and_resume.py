"""A run that is killed at any moment goes on, repeats one part at most, and ends as if nothing had happened.

Real processes and real signals: ``killed.py`` runs the command line and SIGKILLs itself at a named point.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN_FILE = ROOT / "examples" / "micro.toml"
ECHO = [
    "alma.engine=echo",
    "alma.rounds=1",
    "alma.synthesize.num_attempts=300",
    "alma.synthesize.part_rows=100",
    "alma.diversify.num_clusters=20",
    "alma.distill.num_prompts=20",
    "alma.respond.num_prompts=20",
    "alma.respond.num_samples=4",
    "alma.respond.part_rows=16",
    "alma.judge.part_rows=16",
    "alma.curve.enabled=false",
]
REAL = [
    "alma.rounds=1",
    "alma.synthesize.num_attempts=300",
    "alma.synthesize.part_rows=100",
    "alma.diversify.num_clusters=20",
    "alma.distill.enabled=false",
    "alma.distill.num_prompts=10",
    "alma.respond.num_prompts=20",
    "alma.respond.num_samples=4",
    "alma.respond.part_rows=16",
    "alma.initial.epochs=1",
    "alma.initial.checkpoint_steps=4",
    "alma.judge_seed.epochs=1",
    "alma.train.epochs=1",
    "alma.curve.enabled=false",
]


def arguments(store: Path, overrides: list[str]) -> list[str]:
    changes = [word for override in overrides for word in ("--set", override)]
    return ["run", str(RUN_FILE), "--store", str(store), "--in-process", *changes]


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}


def run(store: Path, overrides: list[str]) -> list[dict[str, object]]:
    """Runs to the end in a process; returns its events."""
    command = [sys.executable, "-m", "alma", *arguments(store, overrides)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]


def killed(store: Path, overrides: list[str], where: str, pattern: str, count: int) -> None:
    script = str(ROOT / "tests" / "builders" / "killed.py")
    command = [sys.executable, script, where, pattern, str(count), "--", *arguments(store, overrides)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == -signal.SIGKILL, f"was not killed: {done.stderr[-3000:]}"


def manifests(store: Path) -> dict[str, bytes]:
    """Every manifest but those of reports, whose pages state seconds."""
    found = {path.parent.relative_to(store).as_posix(): path.read_bytes() for path in store.glob("*/*/manifest.json")}
    return {name: data for name, data in found.items() if not name.startswith("report/")}


def parts(store: Path, stage: str) -> dict[str, int]:
    """Published parts and when they were written."""
    return {str(path): path.stat().st_mtime_ns for path in store.glob(f"{stage}/*/parts/*.json")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    store = tmp_path_factory.mktemp("undisturbed")
    run(store, ECHO)
    return manifests(store)


@pytest.mark.parametrize(
    ("where", "pattern", "count"),
    [
        pytest.param("before", r"^respond/.*\.parquet$", 7, id="before-a-part"),
        pytest.param("after", r"^respond/.*\.parquet$", 7, id="between-a-part-and-its-statement"),
        pytest.param("after", r"^judge/.*parts/.*\.json$", 8, id="after-a-part"),
        pytest.param("before", r"^judge/.*/manifest\.json$", 1, id="between-the-last-part-and-the-manifest"),
        pytest.param("before", r"^finetune/.*/model\.safetensors$", 2, id="before-a-model-is-published"),
        pytest.param("after", r"^finetune/.*/model\.safetensors$", 3, id="between-a-model-and-its-manifest"),
        pytest.param("before", r"^ingest/.*/manifest\.json$", 3, id="in-ingest"),
    ],
)
def test_a_killed_run_ends_like_an_undisturbed_one(
    undisturbed: dict[str, bytes], tmp_path: Path, where: str, pattern: str, count: int
) -> None:
    killed(tmp_path, ECHO, where, pattern, count)
    left = parts(tmp_path, "*")
    assert manifests(tmp_path).items() < undisturbed.items()
    run(tmp_path, ECHO)
    assert manifests(tmp_path) == undisturbed
    assert {path: when for path, when in parts(tmp_path, "*").items() if path in left} == left, "a part was repeated"
    assert not list(tmp_path.glob(".scratch/*/*/*")), "scratch files were left behind"


def test_real_engines_killed_in_generation_and_in_training(tmp_path: Path) -> None:
    """Four kills on one store: in the sampling, twice in training, once with the machine lost, and in the responses."""
    whole, store = tmp_path / "whole", tmp_path / "killed"
    run(whole, REAL)
    killed(store, REAL, "after", r"^synthesize/.*\.parquet$", 2)
    killed(store, REAL, "step", "steps", 6)  # the first training: 13 steps, a checkpoint at the 4th
    killed(store, REAL, "after", r"^finetune/.*/checkpoints/00000008\.json$", 1)
    shutil.rmtree(store / ".scratch")
    killed(store, REAL, "after", r"^respond/.*parts/.*\.json$", 3)
    before = parts(store, "respond")
    assert len(before) == 3
    events = run(store, REAL)
    assert manifests(store) == manifests(whole)
    assert {path: when for path, when in parts(store, "respond").items() if path in before} == before
    assert next(e["label"] for e in events if e["event"] == "end") == "round 02 · respond"


def test_a_stopped_run_says_so_and_goes_on(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    """SIGTERM, with each stage in a process of its own: exit 75, nothing orphaned, nothing half-written."""
    command = [sys.executable, "-m", "alma", *arguments(tmp_path, ECHO)]
    command.remove("--in-process")
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, env=environment(), **pipes) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if 'synthesize"' in line and '"progress"' in line:
                process.send_signal(signal.SIGTERM)
                break
        else:
            pytest.fail("no progress of synthesize was told, so nothing was stopped")
        said = process.stderr.read()
    assert process.returncode == 75, said
    assert re.search("run the same command again|run again to go on", said)
    assert not children_of_store(tmp_path)
    assert manifests(tmp_path).items() < undisturbed.items()
    run(tmp_path, ECHO)
    assert manifests(tmp_path) == undisturbed


def children_of_store(store: Path) -> list[str]:
    """Command lines of processes that still work on ``store``, after a moment to end."""
    for _ in range(50):
        lines = [
            path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if path.exists()
        ]
        found = [line for line in lines if str(store) in line and "alma stage" in line]
        if not found:
            return []
        time.sleep(0.1)
    return found
