"""The curves of runs in one drawing, and the table of their last points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from alma.compare.outside import outside_rows, outside_table
from alma.compare.runs import Run
from alma.compare.table import COLUMNS, Row, cells
from alma.page.figure import SERIES, Chart, Table, draw, key, percent_axis, rounds, series
from alma.page.numbers import Estimate, Quality
from alma.page.section import Section
from alma.page.text import interval, percent_interval
from alma.text.visible import visible

CURVES: tuple[tuple[str, str, Callable[[Quality], Estimate | None], bool, str], ...] = (
    (
        "correct",
        "Correct answers",
        lambda each: each.exact_match,
        True,
        "Exact match, with 95% intervals over prompts.",
    ),
    (
        "score",
        "The judge's mean score",
        lambda each: each.score,
        False,
        "0 to 10, each run by its own judge, with 95% intervals over prompts: no proof that the answers are better.",
    ),
    ("tokens", "Tokens per answer", lambda each: each.tokens, False, "Mean length, end token included."),
    ("ended", "Answers that ended", lambda each: each.ended, True, "Fraction that came to the end marker."),
)
"""Name, title, what is drawn of a point, whether it is a fraction, how to read it."""


def sections(runs: Sequence[Run], found: Sequence[Row]) -> list[Section]:
    """The table, then the curves."""
    table = Table(COLUMNS, tuple(tuple(map(visible, cells(row))) for row in found))
    drawn = [_chart(runs, *each) for each in CURVES]
    outside = outside_rows(runs)
    by_others = Section(
        "outside",
        "Outside evaluators",
        missing="" if outside else "No outside evaluator was asked: each score is by that run's own judge.",
        wide=(("At the last points", outside_table(outside)),) if outside else (),
    )
    return [
        Section("last", "The last points", wide=(("By run", table),)),
        by_others,
        Section("curves", "Point by point", charts=tuple(chart for chart in drawn if chart is not None)),
    ]


def _chart(
    runs: Sequence[Run],
    name: str,
    title: str,
    of: Callable[[Quality], Estimate | None],
    fractions: bool,
    caption: str,
) -> Chart | None:
    """One line per run over the points of all; ``None`` where no run has this."""
    labels = list(dict.fromkeys(point.label for run in runs for point, _ in run.evaluated))
    lines = {run.name: {point.label: of(each) for point, each in run.evaluated} for run in runs}
    if not any(each for line in lines.values() for each in line.values()):
        return None

    def paint(axes: Any) -> None:
        for place, (run, line) in enumerate(lines.items()):
            series(
                axes,
                range(len(labels)),
                [line.get(label) for label in labels],
                SERIES[place % len(SERIES)],
                _short(run),
            )
        rounds(axes, labels)
        key(axes)
        axes.margins(y=0.18)
        if fractions:
            percent_axis(axes)

    write = percent_interval if fractions else interval
    rows = tuple((label, *(write(line.get(label)) for line in lines.values())) for label in labels)
    return Chart(title, draw(name, title, paint), caption, Table(("point", *map(visible, lines)), rows))


def _short(name: str) -> str:
    """What is left of a path: its end says which run it is."""
    shown = visible(name)
    return shown if len(shown) <= 28 else "…" + shown[-27:]
