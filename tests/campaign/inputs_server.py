"""Runs command lines in forked children of one process that has imported everything: ``python -m …inputs_server``.

A request is a line of JSON on standard input, the answer one on standard output when its child is done. A child has its
own session, folder and limits, ends with the status that a process would end with, and is killed after a while.
"""

from __future__ import annotations

import ctypes
import importlib
import io
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROGRAMS = {"alma": "alma.cli", "pipelines": "pipelines.__main__", "cluster": "cluster.__main__"}

IMPORTED = (
    *("alma.stages.ingest", "alma.running.pod", "alma.running.recipe", "alma.monitor.show", "alma.monitor.status"),
    *("alma.monitor.trace", "alma.monitor.probe", "alma.compare", "alma.export", "alma.convert", "alma.plan.table"),
    *("alma.engines.chat", "alma.engines.probe.prove", "pipelines.trace", "pipelines.package", "kfp.compiler"),
    *("transformers.models.llama.modeling_llama", "cluster.stage"),
)

NOBODY = 65534

CPU_SECONDS = 30
WALL_SECONDS = 400
MORE_BYTES = 6 * 2**30


def main() -> None:
    """Answers until there are no requests."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print while they are imported
    for name in (*PROGRAMS.values(), *IMPORTED):
        importlib.import_module(name)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    waiting, running = True, dict[int, tuple[int, float]]()
    while waiting or running:
        if waiting and select.select([sys.stdin], [], [], 0.005)[0]:
            line = sys.stdin.readline()
            waiting = bool(line)
            if line:
                request = json.loads(line)
                running[fork(request)] = request["number"], time.monotonic()
        for answer in ended(running, base):
            print(json.dumps(answer), file=answers, flush=True)


def fork(request: dict[str, Any]) -> int:
    """Starts a child that is the process of the request."""
    child = os.fork()
    if child == 0:
        _become(request)
    return child


def ended(running: dict[int, tuple[int, float]], base_kib: int) -> Iterator[dict[str, Any]]:
    """How the children that are done have ended; those that have had their time are killed."""
    for child, (_, start) in running.items():
        if time.monotonic() - start > WALL_SECONDS:
            os.kill(child, signal.SIGKILL)
    while running:
        child, status, used = os.wait4(-1, os.WNOHANG)
        if child == 0:
            return
        if child not in running:
            continue
        number, start = running.pop(child)
        yield {
            "number": number,
            "status": os.waitstatus_to_exitcode(status),
            "timed_out": time.monotonic() - start > WALL_SECONDS,
            "wall_seconds": time.monotonic() - start,
            "cpu_seconds": used.ru_utime + used.ru_stime,
            "more_mib": (used.ru_maxrss - base_kib) / 1024,
        }


def _become(request: dict[str, Any]) -> None:
    """Is the process of the request, and ends as that would."""
    code = 70
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(request["cwd"])
        os.environ |= {"HOME": request["cwd"], "TMPDIR": request["cwd"], "ALMA_CACHE": f"{request['cwd']}/cache"}
        os.environ |= request["environment"]
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), number)
        sys.stdout, sys.stderr = (io.TextIOWrapper(os.fdopen(number, "wb", closefd=False)) for number in (1, 2))
        size = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 2))
        resource.setrlimit(resource.RLIMIT_AS, (size + MORE_BYTES, size + MORE_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if os.geteuid() == 0:
            _be_nobody()
        program = PROGRAMS[request["program"]]
        sys.argv = [request["program"], *request["arguments"]]
        try:
            sys.modules[program].main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1 if end.code else 0
        except BaseException:  # noqa: BLE001 - as the interpreter does
            traceback.print_exc()
            code = 1
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                code = 120
    finally:
        os._exit(code)


def _be_nobody() -> None:
    """Gives up root's rights, so that nothing outside can be written, /dev/zero neither; but reads what root may read.

    Python may be installed for root alone. Capabilities by hand (capset(2), capabilities(7)): there is no other way.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(8, 1, 0, 0, 0)  # PR_SET_KEEPCAPS
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    may_read = 1 << 2  # CAP_DAC_READ_SEARCH
    version = (ctypes.c_uint32 * 2)(0x20080522, 0)
    libc.capset(version, (ctypes.c_uint32 * 6)(may_read, may_read, may_read, 0, 0, 0))
    libc.prctl(47, 2, 2, 0, 0)  # PR_CAP_AMBIENT_RAISE, for what a child starts


if __name__ == "__main__":
    main()
