"""Runs of the command line without the seconds of its imports: forked from a process that has imported all of it.

Each is a process with arguments, environment and signals of its own, as if a shell had started it. ``python warm.py``
is the process that they are forked from: it reads a line of JSON for each run and answers one with its process id, and
then, as the runs end, lines with their exit codes (negative: the signal).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]
IMPORTED = (
    *("boto3", "botocore.httpchecksum", "pyarrow.parquet", "scipy.stats", "sklearn.cluster"),
    *("matplotlib.backends.backend_svg", "matplotlib.figure", "transformers"),
    *(f"transformers.models.auto.{each}_auto" for each in ("modeling", "tokenization", "configuration")),
    *("alma.running.recipe", "alma.store.s3", "alma.page.cost", "alma.engines.ways", "alma.engines.echo"),
    *("alma.config", "alma.recipes.isara"),
)
"""All that a run with the echo engine imports, beside the stages."""


@dataclass
class Run:
    """One process; what it printed is in ``log``."""

    pid: int
    log: Path
    ended: threading.Event = field(default_factory=threading.Event)
    code: int | None = None

    def wait(self, seconds: float) -> int:
        """Its exit code. One that takes longer is killed, and fails the test."""
        if not self.ended.wait(seconds):
            self.signal(signal.SIGKILL)
            self.ended.wait(60)
            raise AssertionError(f"did not end within {seconds} seconds:\n{self.said}")
        assert self.code is not None
        return self.code

    def signal(self, which: signal.Signals) -> None:
        """Sends a signal, unless the process has ended."""
        if not self.ended.is_set():
            os.kill(self.pid, which)

    @property
    def said(self) -> str:
        """The end of what it printed."""
        return self.log.read_text(errors="replace")[-4000:]


class Warm:
    """The process that runs are forked from; used in a ``with`` block. ``also`` is imported beside all the rest."""

    def __init__(self, also: Sequence[str] = ()) -> None:
        self._also = also

    def __enter__(self) -> Self:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [sys.executable, __file__, *self._also], stdin=pipe, stdout=pipe, text=True, env=environment
        )
        self._runs: dict[int, Run] = {}
        self._begun: list[int] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for run in self._runs.values():
            run.signal(signal.SIGKILL)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._reader.join(60)
        self._process.stdout.close()

    def run(
        self,
        arguments: list[str],
        log: Path,
        environment: dict[str, str] | None = None,
        before: str = "",
        errors: Path | None = None,
    ) -> Run:
        """Starts ``alma ARGUMENTS`` with these variables beside this process's; ``before`` is Python it runs first.

        Standard error goes to ``errors``, or into the log.
        """
        variables = os.environ | (environment or {})
        asked = {"arguments": arguments, "log": str(log), "environment": variables, "before": before}
        asked["errors"] = str(errors or log)
        log.touch()
        assert self._process.stdin is not None
        with self._changed:
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            assert self._changed.wait_for(lambda: self._begun, 600), "the warm process does not answer"
            run = Run(self._begun.pop(), log)
            self._runs[run.pid] = run
            self._changed.notify_all()
        return run

    def script(self, script: Path, arguments: Sequence[str], log: Path, errors: Path) -> Run:
        """Starts ``python SCRIPT ARGUMENTS`` where the project is."""
        argv = [str(script), *arguments]
        folders = [str(script.parent), str(ROOT)]
        return self.run(
            [],
            log,
            before=f"import runpy, sys\nsys.argv, sys.path[:2] = {argv!r}, {folders!r}\n"
            f"runpy.run_path({argv[0]!r}, run_name='__main__')\nraise SystemExit(0)",
        )

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            with self._changed:
                if "code" in told:
                    self._changed.wait_for(lambda told=told: told["pid"] in self._runs)
                    run = self._runs.pop(told["pid"])
                    run.code = told["code"]
                    run.ended.set()
                else:
                    self._begun.append(told["pid"])
                    self._changed.notify_all()


def main() -> None:
    """The process that runs are forked from."""
    import_all(sys.argv[1:])
    os.set_blocking(sys.stdin.fileno(), False)
    unread, children = b"", set[int]()
    while True:
        while children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            children.discard(pid)
            tell({"pid": pid, "code": os.waitstatus_to_exitcode(status)})
        try:
            read = os.read(sys.stdin.fileno(), 2**20)
        except BlockingIOError:
            time.sleep(0.01)
            continue
        if not read:
            return
        *lines, unread = (unread + read).split(b"\n")
        for line in lines:
            asked = json.loads(line)
            pid = os.fork()
            if not pid:
                become(asked)
            children.add(pid)
            tell({"pid": pid})


def import_all(also: Sequence[str]) -> None:
    """All that a run with the echo engine imports, so that it is there when runs are forked."""
    import importlib
    import pkgutil

    import alma.stages

    for stage in pkgutil.iter_modules(alma.stages.__path__):
        importlib.import_module(f"alma.stages.{stage.name}")
    for name in (*IMPORTED, *also):
        importlib.import_module(name)


def become(asked: dict[str, Any]) -> None:
    """Goes on as the run: with its environment, its output and the usual signals."""
    from alma import cli

    os.environ.clear()
    os.environ.update(asked["environment"])
    out, errors = (os.open(asked[to], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666) for to in ("log", "errors"))
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (out, 1), (errors, 2)):
        os.dup2(source, target)
    os.set_blocking(0, True)
    code = 1
    try:
        exec(asked["before"], {})
        cli.main(asked["arguments"])
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - as the interpreter does
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def tell(what: dict[str, int]) -> None:
    """A line to whoever asked."""
    os.write(1, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    main()
