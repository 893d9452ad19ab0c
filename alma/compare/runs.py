"""What a person calls a run: its name, its last report, or a file of that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from alma.artifact import Artifact, Page, Ref
from alma.errors import ConfigError, DataError
from alma.faults import first_fault
from alma.monitor import journal
from alma.page.numbers import Point, Quality, Report
from alma.regular import DOCUMENT_BYTES, read_regular
from alma.store import Store, open_store
from alma.text.twice import first_twice


class Run(NamedTuple):
    """A run by the numbers of its last page."""

    name: str
    report: Report

    @property
    def evaluated(self) -> list[tuple[Point, Quality]]:
        """Its points with an evaluation, in order."""
        return [(point, point.quality) for point in self.report.points if point.quality is not None]


def find(names: Sequence[str], store_uri: str) -> list[Run]:
    """The runs, in the order of ``names``: a run's name or ``report/KEY`` in the store, or a path to a report's file.

    Raises ``ConfigError`` where one is given twice, ``DataError`` where it is no run or has evaluated nothing.
    """
    repeated = first_twice(names)
    if repeated is not None:
        raise ConfigError(f"{repeated} is given twice; name each run once")
    runs = [_find(name, store_uri) for name in names]
    for run in runs:
        if not run.evaluated:
            raise DataError(
                f"{run.name}: nothing was evaluated yet, so there is nothing to compare; wait for its first report"
            )
    return runs


def _find(name: str, store_uri: str) -> Run:
    path = Path(name)
    if path.suffix in (".html", ".json") or path.is_dir():
        folder = path if path.is_dir() else path.parent
        return Run(name, _read(folder / "report.json"))
    store = open_store(store_uri)
    ref = Ref.parse(name) if "/" in name else _last_report(store, name)
    artifact = Artifact.open(store, ref)
    if not isinstance(artifact, Page):
        raise DataError(f"{name} is no report; it holds {artifact.manifest.kind}")
    return Run(name, _read(artifact.folder / "report.json"))


def _last_report(store: Store, run: str) -> Ref:
    """The report that the run sealed last; each holds all points before it."""
    entries = [entry for entry in journal.read(store, run) if entry.stage == "report" and entry.state == "sealed"]
    if not entries:
        known = ", ".join(journal.runs(store)[:20])
        raise DataError(f"{store.uri}: run {run!r} has sealed no report; runs there: {known or 'none'}")
    pages = [Artifact.open(store, Ref.parse(str(entry.ref))) for entry in entries]
    depth: dict[Ref, int] = {}
    for page in pages:
        _count(store, page, depth)
    return max((page.ref for page in pages), key=lambda ref: depth[ref])


def _count(store: Store, page: Artifact, depth: dict[Ref, int]) -> None:
    """Notes of a report, and of all before it, how many each has before it; those that are noted are not read again."""
    above: list[Ref] = []
    ref: Ref | None = page.ref
    while ref is not None and ref not in depth:
        above.append(ref)
        page = page if page.ref == ref else Artifact.open(store, ref)
        before = page.manifest.inputs.get("previous")
        ref = None if before is None else Ref.parse(before)
    start = 0 if ref is None else depth[ref] + 1
    depth |= {each: start + place for place, each in enumerate(reversed(above))}


def _read(path: Path) -> Report:
    try:
        return Report.model_validate_json(read_regular(path, DOCUMENT_BYTES))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; a report's folder holds report.html and report.json") from error
    except ValidationError as error:
        raise DataError(
            f"{path}: these are no numbers of a report: {first_fault(error)}; name the folder of a report that this "
            "version of alma wrote, or make that report again"
        ) from error
