"""The published parts of an artifact that is not sealed yet.

A part is two objects: the Parquet file, and a small JSON written after it, its statement. A part without a statement
does not count as published. A later attempt resumes after the published parts, after it has compared each with its
bytes (``statement``); a part that is not as it is stated is computed again, and that is said.

Several attempts at the same work may write at once: one whose machine was taken for dead, or a shard that was started
twice. On a GPU they may compute different bytes. So a file's name holds the hash of its content, no file is ever
overwritten with other content, and a statement names its file: whichever statement is written last matches its file.
Files of the slower attempt, which no statement or manifest names, stay in the store and are never read.

How many rows a part has is no part of the artifact's key. An attempt that cuts the rows otherwise than an earlier one
did goes on from those of its parts that cover the rows which its own would, and computes the others again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from alma.artifact.manifest import Ref
from alma.artifact.statement import Statement, file_name
from alma.errors import DataError, IntegrityError, InternalError, TransientError
from alma.parallel import FILES, in_order
from alma.store import Store
from alma.store.cache import sha256_file


class Part(NamedTuple):
    """Rows ``start`` to ``stop`` of the artifact."""

    number: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """Name within the artifact: the statement appends ``.json``, the file the content's hash and ``.parquet``."""
        return f"parts/{self.number:05d}"


class Parts:
    """The parts of one artifact in the store; ``scratch`` is a folder of this machine, ``note`` tells a person."""

    def __init__(self, store: Store, ref: Ref, scratch: Path, note: Callable[[str], None]) -> None:
        self._store = store
        self._ref = ref
        self._scratch = scratch
        self._note = note
        self._layout: dict[str, Part] | None = None
        self._checked: dict[str, Statement] = {}
        self._problems: dict[str, str] = {}
        self._settled: list[Statement] | None = None
        self._said_other_rows = False

    def lay_out(self, parts: Sequence[Part]) -> None:
        """Says of which parts the artifact is made: statements of others do not count from here on."""
        self._layout = {part.name: part for part in parts}
        self._settled = None

    def publish(
        self, part: Part, path: Path, schema: str, rows: int, counts: Mapping[str, int], seconds: float
    ) -> None:
        """Publishes the Parquet file at ``path`` as ``part``, whole or not at all."""
        digest = sha256_file(path)
        statement = Statement(
            start=part.start,
            file=file_name(part.name, digest),
            sha256=digest,
            size=path.stat().st_size,
            rows=rows,
            schema_name=schema,
            counts=dict(counts),
            seconds=round(seconds, 3),
        )
        self._store.upload(path, f"{self._ref}/{statement.file}")
        self._store.write(f"{self._ref}/{part.name}.json", statement.model_dump_json().encode())
        self._checked[part.name] = statement
        self._settled = None

    def stated(self, wanted: Callable[[Part], bool] | None = None) -> dict[str, Statement]:
        """Part → its current statement, of the wanted parts of the layout in their order.

        Left out are statements that cannot be read, are of other rows, or are not what their file is, which is said.
        """
        there = self._store.list(f"{self._ref}/parts")
        layout = [part for part in (self._layout or {}).values() if wanted is None or wanted(part)]
        stated = [part for part in layout if f"{self._ref}/{part.name}.json" in there]
        found = in_order(self._statement_of, stated, FILES)
        return {part.name: statement for part, statement in zip(stated, found, strict=True) if statement}

    def _statement_of(self, part: Part) -> Statement | None:
        try:
            statement = Statement.model_validate_json(self._store.read(f"{self._ref}/{part.name}.json"))
        except ValidationError:  # written by another version, or damaged
            self._complain(part, "it cannot be read")
            return None
        except (FileNotFoundError, IntegrityError) as error:
            self._complain(part, str(error))
            return None
        if (statement.start, statement.start + statement.rows) != (part.start, part.stop):
            self._say_other_rows(part, statement)
            return None
        if statement != self._checked.get(part.name):
            problem = self._problem(part, statement)
            if problem:
                self._complain(part, problem)
                return None
            self._checked[part.name] = statement
        return statement

    def _problem(self, part: Part, statement: Statement) -> str | None:
        if statement.file != file_name(part.name, statement.sha256):
            return f"it names {statement.file!r}, which is not the name of its file"
        name = f"{self._ref}/{statement.file}"
        place = self._store.local(name)
        path = place or self._scratch / f"check-{part.number:05d}.parquet"
        try:
            found = sha256_file(path) if place else self._store.download(name, path)
            return statement.problem(path, found, self._ref)
        except (FileNotFoundError, IsADirectoryError):
            return "its file is missing"
        except (IntegrityError, DataError) as error:  # DataError: a pipe or a device in the file's place
            return str(error)
        finally:
            if not place:
                path.unlink(missing_ok=True)

    def _say_other_rows(self, part: Part, statement: Statement) -> None:
        """Once, whatever the number: usually all are the parts of an attempt with another ``part_rows``."""
        if not self._said_other_rows:
            self._note(
                f"{self._ref}/{part.name} is stated to be {statement.rows} rows from row {statement.start} on, here "
                f"rows {part.start} to {part.stop - 1}: an earlier attempt had another part_rows, or the statement was "
                "altered; parts that do not fit are computed again"
            )
        self._said_other_rows = True

    def _complain(self, part: Part, problem: str) -> None:
        self._problems[part.name] = problem
        self._note(f"the statement of {self._ref}/{part.name} is not believed: {problem}; the part is computed again")

    def settled(self) -> list[Statement]:
        """The statements in order, read once after the last publication by this object.

        So metrics and manifest describe the same files, whatever another attempt publishes meanwhile. Raises
        ``TransientError`` where a part of the layout is not there, or not any more; ``InternalError`` where nothing was
        laid out: the stage forgot it, and whatever it has published would be left out.
        """
        if self._layout is None:
            raise InternalError(
                f"{self._ref}: the stage laid out no parts, so nothing says which rows it has; this is a fault of "
                "alma, not yours; please report it to the project's issues"
            )
        if self._settled is None:
            stated = self.stated()
            missing = [name for name in self._layout if name not in stated]
            if missing:
                problem = self._problems.get(missing[0])
                raise TransientError(
                    f"{self._ref}: the statement of {missing[0]} is not believed: {problem}; run again to compute it"
                    if problem
                    else f"{self._ref}: {', '.join(missing[:3])} of {len(self._layout)} parts were replaced "
                    "meanwhile by an attempt with another part_rows; run again, with one part_rows for all attempts"
                )
            self._settled = list(stated.values())
        return self._settled
