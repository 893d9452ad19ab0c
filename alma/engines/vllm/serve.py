"""What runs in the process of one of several vLLM engines: ``python -m alma.engines.vllm.serve DESCRIPTOR``."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Iterator
from itertools import count
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import Any

from alma.engines.loading import load_embedder, load_generator, load_scorer
from alma.engines.requests import Request
from alma.engines.vllm.process import Answer, Cancel, Failure, Piece, Start, Swap
from alma.errors import AlmaError, StageError

_LOADERS: dict[str, Any] = {"generate": load_generator, "score": load_scorer, "embed": load_embedder}


class _Cancelled(Exception):  # noqa: N818 - no fault
    """The stage wants no more of what it asked."""


class _Queue:
    """What the stage asks, as the engine has room for it.

    A thread reads the connection: were it read between two steps only, both sides could wait for the other to read.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._inbox: SimpleQueue[Any] = SimpleQueue()
        self.open: dict[int, int] = {}
        """Place in the present stream → name, of what is not answered."""
        self.swap: Swap | None = None
        Thread(target=self._read, name="inbox", daemon=True).start()

    def _read(self) -> None:
        try:
            while True:
                self._inbox.put(self._connection.recv())
        except (EOFError, OSError):
            self._inbox.put(EOFError("the stage is gone"))

    def requests(self) -> Iterator[Request | None]:
        """Ends where another checkpoint is asked for."""
        self.open.clear()
        for place in count():
            while self.open and self._inbox.empty():
                yield None
            message = self._inbox.get()
            if isinstance(message, EOFError):
                raise message
            if isinstance(message, Swap):
                assert not self.open, "a swap while requests run"
                self.swap = message
                return
            if isinstance(message, Cancel):
                raise _Cancelled
            assert isinstance(message, Piece), message
            self.open[place] = message.name
            yield message.request


def serve(connection: Connection) -> None:
    """Answers until the stage closes the connection, which raises ``EOFError`` or ``ConnectionError``."""
    start = connection.recv()
    assert isinstance(start, Start), start
    with _LOADERS[start.verb](start.cfg, start.model) as engine:
        connection.send("ready")
        queue, heard = _Queue(connection), [0]

        def hear(num_tokens: int) -> None:
            heard[0] += num_tokens

        while True:
            try:
                for answered in engine.answer(queue.requests(), on_tokens=hear):
                    name = queue.open.pop(answered.place)
                    connection.send(Answer(name, answered.answer, answered.num_tokens, heard[0]))
                    heard[0] = 0
            except _Cancelled:
                connection.send("cancelled")
                continue
            assert queue.swap is not None, "a stream ends with a swap alone"
            engine.swap(queue.swap.model)
            queue.swap = None
            connection.send("swapped")


def main() -> None:
    """Ends quietly with the stage; says what else it ends with."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    connection = Connection(int(sys.argv[1]))
    try:
        serve(connection)
    except (EOFError, ConnectionError):
        return
    except Exception as error:  # noqa: BLE001 - the stage has to hear of every one
        known = isinstance(error, AlmaError)
        if not known:
            traceback.print_exc()
        told = error if known else StageError(f"a vLLM process failed: {type(error).__name__}: {error}")
        connection.send(Failure(told))
        sys.exit(1)


if __name__ == "__main__":
    main()
