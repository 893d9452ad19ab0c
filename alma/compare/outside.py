"""Outside scores of runs side by side: the last point of each, with differences to the first run where prompts pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from alma.compare.runs import Run
from alma.page.divergence import change, followed
from alma.page.figure import Table
from alma.page.numbers import Estimate, OutsideMeasure
from alma.page.outside import estimated
from alma.page.text import signed_interval
from alma.text.visible import visible


class OutsideRow(NamedTuple):
    """What one outside measure says of one run at its last point. Intervals are 95%."""

    measure: str
    """Evaluator and measure."""
    run: str
    point: str
    value: Estimate
    fraction: bool
    difference: Estimate | None
    """To the first run of the same evaluator, up being better: paired by prompt where that can be. ``None`` of that run
    itself, of a measure that is neither better nor worse, and where another model judged."""


def outside_rows(runs: Sequence[Run]) -> list[OutsideRow]:
    """A row for each measure and run that has it, measures in the order in which they first appear."""
    lasts = {run.name: _last(run) for run in runs}
    found = []
    for name in dict.fromkeys(name for last in lasts.values() for name in last):
        first: tuple[OutsideMeasure, str] | None = None
        for run, last in lasts.items():
            if name not in last:
                continue
            point, measure, judged_by = last[name]
            difference = None
            if first is None:
                first = measure, judged_by
            elif first[1] == judged_by and measure.better:
                difference = change(name, {"first": first[0], "other": measure}, "first", "other").estimate
            found.append(OutsideRow(name, run, point, measure.estimate, measure.fraction, difference))
    return found


def outside_table(found: Sequence[OutsideRow]) -> Table:
    """The rows as people read them."""
    return Table(
        ("measure", "run", "point", "value (95%)", "difference, up is better"),
        tuple(
            (
                visible(row.measure),
                visible(row.run),
                visible(row.point),
                estimated(row.value, row.fraction),
                signed_interval(row.difference, 100 if row.fraction else 1),
            )
            for row in found
        ),
    )


def _last(run: Run) -> Mapping[str, tuple[str, OutsideMeasure, str]]:
    """Measure → the last point that has it, the measure there, and who judged."""
    points = run.report.points
    judges = {(point.label, each.name): each.judged_by for point in points for each in point.outside}
    found = {}
    for name, by_point in followed(points).items():
        label, measure = list(by_point.items())[-1]
        evaluator = name.partition(":")[0].partition(" by ")[0]  # whose own name holds neither
        found[name] = (label, measure, judges[label, evaluator])
    return found
