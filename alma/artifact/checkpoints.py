"""A training's checkpoints in the store, so that another machine can resume the training of one that died.

They lie beside the artifact that the training will leave: ``<stage>/<key>/checkpoints/<step>/…``. ``<step>.json``, its
statement, is written last and lists the files with their hashes: a checkpoint without one is ignored, and one whose
files are not as stated is removed. Sealing the artifact removes all.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from alma.artifact.manifest import File, Ref
from alma.errors import AlmaError
from alma.parallel import FILES, in_order
from alma.store import Store
from alma.store.cache import sha256_file
from alma.store.names import is_name

KEPT = 2
"""Checkpoints of one training that stay in the store: the newest, and the one before it in case that is damaged."""


class Statement(BaseModel):
    """States that a checkpoint is whole."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    step: int
    files: tuple[File, ...]


class Checkpoints:
    """``alma.engines.checkpoints.Remote`` in a store; used in a ``with`` block by one thread.

    A thread of its own sends one checkpoint at a time. A failed upload never ends the training: ``tell`` reports it,
    and the next checkpoint is tried. A block that ends with an error first finishes its uploads; one that ends well
    cancels them, because the model itself is there.
    """

    def __init__(self, store: Store, ref: Ref, note: Callable[[str], None]) -> None:
        self._store = store
        self._manifest = f"{ref}/manifest.json"
        self._folder = f"{ref}/checkpoints"
        self._most_rows = f"{self._folder}/most_rows"
        self._note = note
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="alma-checkpoints")
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._waiting: tuple[int, Path] | None = None
        self._sending: Path | None = None
        self._last: Future[None] | None = None
        self._unexpected: BaseException | None = None
        self._problem: str | None = None
        self._newest: int | None = None
        self._unreported: deque[str] = deque()

    def __enter__(self) -> Self:
        """Raises ``AccessError`` now, and not after hours, where we may not remove objects of the store."""
        self._store.remove(self._statement_of(0))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._cancelled.set()
        self._sender.shutdown(cancel_futures=kind is None)
        self.tell()

    @property
    def sending(self) -> Path | None:
        """The folder that is being sent."""
        return self._sending

    def say(self, message: str) -> None:
        """Reports a message."""
        self._note(message)

    def tell(self) -> None:
        """Reports the messages of the sending thread."""
        while self._unreported:
            self._note(self._unreported.popleft())

    # There and back

    def fetch(
        self, into: Path, newest_here: int, here: Path | None, problem: Callable[[Collection[str]], str | None]
    ) -> Path | None:
        """See ``Remote``. Removes and reports what is not whole, ``here`` too. Resumes a fetch that was killed."""
        there = self._store.list(self._folder)
        for step in sorted(self._stated(there), reverse=True):
            if step < newest_here:
                break
            folder = into / str(step)
            try:
                statement = self._read(step, there)
                if found := problem([file.name for file in statement.files]):
                    raise _NotWholeError(found)
                if step == newest_here and here is not None:
                    if all(in_order(partial(_is, here), statement.files, FILES)):
                        self._newest = step
                        return None
                    self.say(f"the checkpoint of step {step} on this machine is damaged: not used")
                    shutil.rmtree(here)
                in_order(partial(self._get, step, folder), statement.files, FILES)
            except _NotWholeError as refusal:
                self.say(f"the checkpoint of step {step} in the store {refusal}: not used")
                self._remove(name for name in there if self._step_of(name) == step)
                continue
            self._newest = step
            self.say(f"resumes the checkpoint of step {step} in the store")
            return folder
        return None

    def send(self, step: int, folder: Path) -> None:
        """See ``Remote``."""
        self._raise_unexpected()
        if step != self._newest:
            with self._lock:
                self._waiting = (step, folder)
            self._last = self._sender.submit(self._send_newest)

    def flush(self) -> str | None:
        """See ``Remote``."""
        if self._last:
            self._last.result()
        self._raise_unexpected()
        self.tell()
        return self._problem

    def most_rows(self) -> int | None:
        """See ``Remote``. One that cannot be read is reported and not used."""
        try:
            text = self._store.read(self._most_rows)
        except FileNotFoundError:
            return None
        if not re.fullmatch(rb"[1-9]\d{0,17}", text):
            self.say(f"{self._most_rows} is no number of rows: {text[:40]!r}; not used")
            return None
        return int(text)

    def set_most_rows(self, rows: int) -> None:
        """See ``Remote``."""
        self._store.write(self._most_rows, str(rows).encode())

    def clear(self) -> None:
        """Removes all checkpoints, once the artifact is sealed."""
        self._remove(self._store.list(self._folder))

    # In the sending thread

    def _send_newest(self) -> None:
        with self._lock:
            taken, self._waiting = self._waiting, None
            self._sending = taken and taken[1]
        if taken is None:  # an earlier call has sent a newer checkpoint in its place
            return
        step, folder = taken
        try:
            self._publish(step, folder)
        except _CancelledError:
            return
        except (AlmaError, OSError) as error:
            self._problem = str(error)
            self._unreported.append(
                f"the checkpoint of step {step} did not reach the store: {error}; the next is tried"
            )
        except BaseException as error:
            self._unexpected = error
            self._unreported.append(f"the checkpoint of step {step} did not reach the store: {error!r}")
            raise
        else:
            self._problem = None
        finally:
            self._sending = None

    def _publish(self, step: int, folder: Path) -> None:
        if self._store.exists(self._manifest):  # another machine, which took this one for dead, has sealed the model
            return
        self._store.remove(self._statement_of(step))  # of an earlier attempt: its files are replaced now

        def put(path: Path) -> File:
            if self._cancelled.is_set():
                raise _CancelledError
            name = path.relative_to(folder).as_posix()
            file = File(name=name, size=path.stat().st_size, sha256=sha256_file(path))
            self._store.upload(path, self._file_of(step, name))
            return file

        files = in_order(put, sorted(path for path in folder.rglob("*") if path.is_file()), FILES)
        statement = Statement(step=step, files=tuple(files))
        self._store.write(self._statement_of(step), statement.model_dump_json().encode())
        self._newest = step
        there = self._store.list(self._folder)
        kept = sorted(self._stated(there))[-KEPT:]
        # Another machine may be sending a later step that has no statement yet.
        self._remove(name for name in there if (of := self._step_of(name)) not in kept and 0 <= of < kept[-1])

    # Names and files

    def _statement_of(self, step: int) -> str:
        return f"{self._folder}/{step:08d}.json"

    def _file_of(self, step: int, name: str) -> str:
        return f"{self._folder}/{step:08d}/{name}"

    def _step_of(self, name: str) -> int:
        """The step that an object belongs to; -1 if it is not part of a checkpoint."""
        found = re.match(r"(\d+)(\.json$|/)", name.removeprefix(f"{self._folder}/"))
        return int(found[1]) if found else -1

    def _stated(self, there: Iterable[str]) -> set[int]:
        return {step for name in there if name == self._statement_of(step := self._step_of(name))}

    def _read(self, step: int, there: Mapping[str, int]) -> Statement:
        try:
            statement = Statement.model_validate_json(self._store.read(self._statement_of(step)))
        except (ValidationError, FileNotFoundError) as error:
            raise _NotWholeError("has no statement that can be read") from error
        if statement.step != step or not all(is_name(file.name) for file in statement.files):
            raise _NotWholeError("has a statement that is not its own")
        for file in statement.files:
            size = there.get(self._file_of(step, file.name))
            if size != file.size:
                has = "is missing" if size is None else f"has {size} bytes"
                raise _NotWholeError(f"is torn: {file.name} {has} where its statement says {file.size} bytes")
        return statement

    def _get(self, step: int, folder: Path, file: File) -> None:
        path = folder / file.name
        if _is(folder, file):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(2):  # once more where it arrived damaged, or resumed damaged bytes
            try:
                found = self._store.download(self._file_of(step, file.name), path)
            except FileNotFoundError as error:
                raise _NotWholeError(f"is torn: {file.name} is missing") from error
            if found == file.sha256:
                return
            path.unlink()
        raise _NotWholeError(
            f"is damaged: {file.name} has SHA-256 {found[:12]}… where its statement says {file.sha256[:12]}…"
        )

    def _remove(self, names: Iterable[str]) -> None:
        """Removes objects, statements first, so that no statement lists files that are gone."""
        for objects in _statements_first(names):
            assert all(name.startswith(f"{self._folder}/") for name in objects), "only checkpoints are ever removed"
            in_order(self._store.remove, objects, FILES)

    def _raise_unexpected(self) -> None:
        if self._unexpected:
            raise self._unexpected


def _is(folder: Path, file: File) -> bool:
    """Whether a file of this machine is the one that is stated."""
    path = folder / file.name
    return path.is_file() and path.stat().st_size == file.size and sha256_file(path) == file.sha256


class _NotWholeError(Exception):
    """Why a checkpoint is not used."""


class _CancelledError(Exception):
    """The training has ended well: the rest need not be sent."""


def _statements_first(names: Iterable[str]) -> tuple[list[str], list[str]]:
    given = list(names)
    statements = [name for name in given if re.search(r"/checkpoints/\d+\.json$", name)]
    return statements, [name for name in given if name not in statements]
