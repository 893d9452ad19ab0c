"""One of several vLLM engines: the process that it runs in, seen from the stage's.

The two talk over a socket pair that nobody else can open, in pickles. A process outlives the stage's by one step: it
ends when the socket is closed. Signals of the terminal do not reach it: the stage decides what a stop means.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, TypeAlias

from alma.bounded import unbounded
from alma.engines.requests import Request
from alma.errors import StageError, TransientError
from alma.sections import Inference

Verb: TypeAlias = Literal["generate", "score", "embed"]
CLOSE_SECONDS = 30.0
"""How long a process may take to end before it is killed."""
STDERR = 2
_GONE = (EOFError, ConnectionError)


class Start(NamedTuple):
    """The first message to a process; it answers ``"ready"``."""

    verb: Verb
    cfg: Inference
    model: Path


class Piece(NamedTuple):
    """A request to be answered by ``Answer``."""

    name: int
    request: Request


class Swap(NamedTuple):
    """Go on with another checkpoint; answered by ``"swapped"``."""

    model: Path


class Cancel(NamedTuple):
    """Forget what was asked; answered by ``"cancelled"``."""


class Answer(NamedTuple):
    """The answer to a piece. ``num_heard`` are the tokens that were computed since the last one."""

    name: int
    answer: Any
    num_tokens: int
    num_heard: int


class Failure(NamedTuple):
    """The last message of a process: why it ends."""

    error: Exception


class Replica:
    """A process with an engine; leave the ``with`` block and it is gone."""

    def __init__(self, cfg: Inference, model: Path, verb: Verb, device: str | None) -> None:
        """``device`` is what the process finds in ``CUDA_VISIBLE_DEVICES``; ``None`` = as here."""
        self.device = device
        self._weights: dict[int, int] = {}  # rows of each piece that is not answered
        ours, theirs = socket.socketpair()
        environment = os.environ | ({} if device is None else {"CUDA_VISIBLE_DEVICES": device})
        with theirs, unbounded():
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "alma.engines.vllm.serve", str(theirs.fileno())],
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=STDERR,  # vLLM prints; ours is for results
                start_new_session=True,  # Ctrl-C goes to the stage alone
            )
        self.connection = Connection(ours.detach())
        self._send(Start(verb, cfg, model))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()
        try:
            self.process.wait(CLOSE_SECONDS if error is None else 0)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)  # with what vLLM started beside it
            self.process.wait()

    @property
    def num_rows(self) -> int:
        """Rows that were asked for and not answered."""
        return sum(self._weights.values())

    def ask(self, name: int, request: Request) -> None:
        """Sends a piece; ``answer`` returns it once it is there."""
        self._weights[name] = len(request)
        self._send(Piece(name, request))

    def answer(self) -> Answer:
        """The next answer. Raises the process's error."""
        answer = self._receive()
        assert isinstance(answer, Answer), answer
        del self._weights[answer.name]
        return answer

    def swap(self, model: Path) -> None:
        """Asks for another checkpoint; then ``expect("swapped")``."""
        self._send(Swap(model))

    def cancel(self) -> None:
        """Takes back what was asked. A process that is gone has nothing to forget."""
        self._weights.clear()
        with suppress(StageError, TransientError):
            self._send(Cancel())
            while self._receive() != "cancelled":
                pass

    def expect(self, word: str) -> None:
        """Waits for the process to say ``word``. Raises its error."""
        said = self._receive()
        assert said == word, said

    def _send(self, message: Any) -> None:
        try:
            self.connection.send(message)
        except _GONE:
            # What it said last is still to be read.
            with suppress(*_GONE):
                while True:
                    self._receive()
            raise self._death() from None

    def _receive(self) -> Any:
        try:
            message = self.connection.recv()
        except _GONE:
            raise self._death() from None
        if isinstance(message, Failure):
            raise message.error
        return message

    def _death(self) -> Exception:
        where = "" if self.device is None else f" of GPU {self.device}"
        try:
            status = self.process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            return StageError(
                f"the vLLM process{where} (pid {self.process.pid}) closed its connection and does not end"
            )
        if status in (-signal.SIGKILL, -signal.SIGTERM):
            return TransientError(
                f"the vLLM process{where} was killed by {signal.Signals(-status).name}: its memory ran out, or "
                "somebody killed it; run again to go on, with more memory or a smaller vllm.data_parallel if it recurs"
            )
        return StageError(f"the vLLM process{where} ended with status {status}; the cause is in the log above")
