"""A training in several processes of this machine, one per device, started by torchrun and followed from here.

Other machines may do the same with theirs (``alma.nodes``): then the processes of all of them train together.

What the processes need lies in ``Training.scratch``: the rows as they are read, and ``launch.json``. The first of them
says what happens, a line of JSON on its standard output each; what else they print is kept for the case that they fail.
The store, its credentials and its checkpoints stay with this process.

``alma.engines.trl.agent`` is torchrun, ended with this process.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset

from alma import errors
from alma.bounded import unbounded
from alma.engines.protocols import Training
from alma.engines.trl.attempt import Outcome
from alma.engines.trl.together import torchrun_options
from alma.errors import AlmaError, StageError, Stopped, TransientError
from alma.nodes import Nodes
from alma.sections import Finetune

SPEC, ROWS, STOP, OUTCOME = "launch.json", "rows.arrow", "stop", "outcome.json"
"""Files in ``Training.scratch``. That ``STOP`` is there asks the processes to stop."""

KEPT_LINES = 40
"""Lines of the processes' other output that are shown when they fail."""

POLL_SECONDS = 0.2


class OutOfMemory(Exception):  # noqa: N818 - a finding of a trial, which goes on
    """A device had too little memory."""


def launch(
    cfg: Finetune, training: Training, rows: Dataset, checkpoint: Path | None, saved: Callable[[int], None]
) -> Outcome:
    """``alma.engines.trl.attempt.attempt`` by ``cfg.num_devices`` processes; an error of theirs is raised here.

    Raises ``OutOfMemory``, what the attempt raises, ``TransientError`` for a process that was killed.
    """
    scratch = training.scratch
    _prepare(cfg, training, rows, checkpoint)
    others: list[str] = []
    failure: Exception | None = None
    nodes, begun = Nodes.here(), False
    with _processes(cfg, scratch, torchrun_options(nodes, training.stopping)) as (lines, wait):
        for line in lines:
            if training.stopping():
                (scratch / STOP).touch()
                if not begun and nodes.count > 1:  # they wait for another machine, and do not look
                    raise Stopped("stopped as asked while the machines of the training had not met")
            if line is None:
                continue
            event = _event(line)
            if event is None:
                others = [*others[1 - KEPT_LINES :], line]
            elif event["event"] == "begun":
                begun = True
            elif event["event"] in ("step", "said", "saved"):
                _pass_on(event, training, saved)
            else:
                failure = failure or _raised(event)
        code = wait()
    if failure:
        raise failure
    if code:
        text = "".join(others).rstrip()
        if "Signal 9 (SIGKILL)" in text:
            raise TransientError(f"a training process was killed by signal 9\n{text}")
        ended = StageError if nodes.count == 1 else TransientError  # the cause may be another machine's end
        raise ended(f"the training processes ended with exit code {code}\n{text}")
    return Outcome(**json.loads((scratch / OUTCOME).read_text(encoding="utf-8")))


def _prepare(cfg: Finetune, training: Training, rows: Dataset, checkpoint: Path | None) -> None:
    """Writes what the processes read, and forgets what earlier ones left."""
    scratch = training.scratch
    scratch.mkdir(parents=True, exist_ok=True)
    for name in (STOP, OUTCOME):
        (scratch / name).unlink(missing_ok=True)
    with pa.OSFile(str(scratch / ROWS), "wb") as file, pa.ipc.new_stream(file, rows.data.schema) as stream:
        stream.write_table(rows.data.table)
    spec = {
        "section": cfg.model_dump(mode="json"),
        "model": str(training.model),
        "out": str(training.out),
        "scratch": str(scratch),
        "checkpoint": checkpoint and str(checkpoint),
    }
    (scratch / SPEC).write_text(json.dumps(spec), encoding="utf-8")


@contextmanager
def _processes(
    cfg: Finetune, scratch: Path, options: list[str]
) -> Iterator[tuple[Iterator[str | None], Callable[[], int]]]:
    """Starts them; yields their lines (``None`` now and then, where there is none) and what waits for their end.

    They end with the block, and with this process however it ends.
    """
    torchrun = [*options, f"--nproc-per-node={cfg.num_devices}", "-m", "alma.engines.trl.worker"]
    command = [sys.executable, "-m", "alma.engines.trl.agent", str(os.getpid()), *torchrun, str(scratch / SPEC)]
    threads = max(len(os.sched_getaffinity(0)) // (cfg.num_devices or 1), 1)  # torchrun would give each one
    # ninja, which DeepSpeed compiles with, lies beside python.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    with unbounded():
        torchrun_process = subprocess.Popen(  # noqa: S603 - our own interpreter, arguments as a list
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={"OMP_NUM_THREADS": str(threads)} | os.environ | {"PATH": path},
            start_new_session=True,  # a signal to our group reaches us alone, and STOP passes it on
        )
    with torchrun_process:
        read: queue.Queue[str | None] = queue.Queue()

        def reader() -> None:
            assert torchrun_process.stdout is not None
            for line in torchrun_process.stdout:
                read.put(line)
            read.put(None)

        thread = threading.Thread(target=reader, name="alma-training", daemon=True)
        thread.start()

        def lines() -> Iterator[str | None]:
            while thread.is_alive() or not read.empty():
                try:
                    yield read.get(timeout=POLL_SECONDS)
                except queue.Empty:
                    yield None

        try:
            yield lines(), torchrun_process.wait
        finally:
            torchrun_process.kill()  # and with it the others, which die with their parent
            thread.join()


def _pass_on(event: dict[str, Any], training: Training, saved: Callable[[int], None]) -> None:
    if event["event"] == "step":
        training.on_step(event["step"], event["num_steps"], event["row"])
    elif event["event"] == "said":
        training.remote.say(event["message"])
    else:
        saved(event["step"])


def _event(line: str) -> dict[str, Any] | None:
    """A line of the first process that says what happens."""
    if not line.startswith('{"event": '):
        return None
    try:
        event: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError:
        return None
    return event


def _raised(event: dict[str, Any]) -> Exception:
    """The error that a process has told of."""
    if event["event"] == "out of memory":
        return OutOfMemory(event["message"])
    kind = getattr(errors, event["kind"], AlmaError)
    assert issubclass(kind, AlmaError)
    error: AlmaError = kind(event["message"])
    return error
