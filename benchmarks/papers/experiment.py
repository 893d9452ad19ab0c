"""One table or figure of a paper as a file of examples/paper states it: rows, what each measures, what is claimed."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "paper"


@dataclass(frozen=True)
class Row:
    """One row of a table, a bar or a point of a figure."""

    name: str
    paper: str
    """What the paper says there, as text: "7.89"; empty where it says nothing."""
    settings: tuple[str, ...]
    """The run file's settings to change, such as ``alma.rounds=1``; the experiment's own come first."""
    at: str
    """The label of the step that measures: "round 02 · evaluate"; ``{seed}`` stands for the seed."""
    metric: str
    """Of that step's metrics, or one of those that ``papers.measure`` computes from its rows."""
    search: tuple[tuple[str, ...], ...] = ()
    """Settings to choose between; all are run."""
    search_by: str = ""
    """The metric at ``at`` whose mean over seeds decides; never one that knows the truth."""
    not_run: str = ""
    """Why this row is not run."""

    @property
    def choices(self) -> tuple[tuple[str, ...], ...]:
        """The settings of every run that the row needs."""
        return tuple(self.settings + each for each in self.search) or (self.settings,)


@dataclass(frozen=True)
class Claim:
    """What the paper says of two rows: the first is better."""

    better: str
    than: str
    says: str
    """In words, with the paper's figures."""


@dataclass(frozen=True)
class Experiment:
    """A file of examples/paper."""

    name: str
    """The file's name without its ending."""
    title: str
    source: str
    """Paper and table, figure or section."""
    run: str
    """The run file, relative to ``examples``."""
    order: int
    """Its place by value: what is run first when time is short."""
    minutes: float
    """Expected, of one seed on one core, after the pieces before it."""
    measures: str
    """What our figures are."""
    theirs: str
    """What the paper's figures are."""
    lower_is_better: bool
    note: str
    rows: tuple[Row, ...]
    claims: tuple[Claim, ...]

    def row(self, name: str) -> Row:
        """The row of that name."""
        return next(each for each in self.rows if each.name == name)


def read(path: Path) -> Experiment:
    """An experiment's file. Raises ``ValueError`` that names the file and what is wrong with it."""
    tree = tomllib.loads(path.read_text(encoding="utf-8"))
    try:
        common = tuple(tree.pop("settings", ()))
        at, metric = tree.pop("at", ""), tree.pop("metric", "")
        rows = tuple(_row(each, common, at, metric) for each in tree.pop("rows"))
        claims = tuple(Claim(**each) for each in tree.pop("claims", ()))
        defaults = {"note": "", "lower_is_better": False}
        found = Experiment(name=path.stem, rows=rows, claims=claims, **(defaults | tree))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error
    names = [row.name for row in found.rows]
    for missing in {name for claim in found.claims for name in (claim.better, claim.than)} - set(names):
        raise ValueError(f"{path}: a claim names the row {missing!r}; there are {', '.join(names)}")
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: two rows have one name")
    return found


def read_all(folder: Path = FOLDER) -> list[Experiment]:
    """Every experiment, the most valuable first."""
    return sorted((read(path) for path in folder.glob("*.toml")), key=lambda each: each.order)


def _row(values: dict[str, Any], common: tuple[str, ...], at: str, metric: str) -> Row:
    own = {name: tuple(values.pop(name, ())) for name in ("settings", "search")}
    return Row(
        **({"paper": "", "at": at, "metric": metric} | values),
        settings=common + own["settings"],
        search=tuple(tuple(each) for each in own["search"]),
    )
