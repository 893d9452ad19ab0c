"""Whether this process was asked to stop: by a signal, or by the death of the process that started it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from alma.errors import EXIT_TRANSIENT

PARENT = "ALMA_PARENT_PID"
"""Set for a stage that ``alma.running.local`` started: it stops when that process is gone."""


class Stop:
    """Whether this process was asked to stop; calling it says so. ``then`` is called once when it is asked."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._parent = int(os.environ.get(PARENT, "0"))
        self.then: Callable[[], object] = lambda: None

    def __call__(self) -> bool:
        """Whether to stop."""
        return self._asked.is_set() or (self._parent > 0 and os.getppid() != self._parent)

    def ask(self, signum: int, _: object = None) -> None:
        """The signal handler. A second signal ends the process at once: what was published by then is kept."""
        del signum
        if self._asked.is_set():
            if not self._parent:  # a stage's process is spoken for
                with suppress(OSError):
                    os.write(2, b"alma: stopped at once, as asked twice; run the same command again to resume\n")
            os._exit(EXIT_TRANSIENT)
        self.request()

    def request(self) -> None:
        """Asks from within this process, from any thread."""
        self._asked.set()
        self.then()


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Yields what turns true on SIGTERM, SIGINT or the death of the process that started this stage."""
    stop = Stop()
    before = {number: signal.signal(number, stop.ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
