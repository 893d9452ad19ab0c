"""Who judges the run from outside: scores with their intervals, and where the judge and an evaluator part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from alma.page.divergence import JUDGE, Change, changes, followed, judge_measure, lines
from alma.page.figure import HEIGHT, SERIES, Chart, Table, colour, draw, key, rounds, series
from alma.page.numbers import Estimate, OutsideMeasure, Point
from alma.page.section import Section
from alma.page.text import percent, signed_interval
from alma.text.visible import visible

TITLE = "Outside evaluators"
NOBODY = "the only score is the judge's own, which the run optimises"
KINDS = {
    "reward": "a reward model, raw rewards",
    "chat": "a served model, grades of 1 to 10",
    "answers": "answers of another model to compare with",
    "harness": "tasks of lm-evaluation-harness",
    "safety": "answers to harmful and harmless prompts",
}
ROLES = ("two", *(role for role in SERIES if role != "two"))
"""The judge's colour is the one of its scores elsewhere on the page."""

COLUMNS = 5
"""Most measures of a table: more of them stand in several."""


def outside(points: Sequence[Point]) -> Section:
    """A table checkpoint × evaluator, the change since the first trained point, and both in one drawing."""
    evaluators = {each.name: each for point in points for each in point.outside}
    if not evaluators:
        return Section(
            "outside",
            TITLE,
            missing=f"No outside evaluator was asked ([[alma.evaluators]] of the run file): {NOBODY}.",
        )
    named = "; ".join(
        f"{visible(name)} is {KINDS.get(each.kind, each.kind)}{f' ({visible(each.judged_by)})' * bool(each.judged_by)}"
        for name, each in sorted(evaluators.items())
    )
    lead = [f"Nobody here selects anything or is trained on: {named}.", *_missing(points)]
    paid = sum(each.num_paid_tokens for point in points for each in point.outside)
    if paid:
        lead.append(f"{paid:,} tokens were paid for at endpoints.")
    told = changes(points)
    charts = [chart] if (chart := _chart(points)) is not None else []
    wide = (*_tables(points), *([(f"Change up to {visible(told[0][1].end)}", _changes(told))] if told else []))
    return Section("outside", TITLE, tuple(lead), tuple(charts), wide=wide)


def warnings(points: Sequence[Point]) -> list[str]:
    """A sentence for every outside measure that surely fell while the judge's score surely rose."""
    told = changes(points)
    found = []
    for ours, theirs in told:
        if ours.verdict > 0 and theirs.verdict < 0:
            found.append(
                f"From {visible(theirs.start)} to {visible(theirs.end)} the judge's score rose by "
                f"{ours.estimate.value:.2f} while {visible(theirs.name)} got worse by {_worse(theirs)}: the judge "
                "is being gamed, or likes what this evaluator does not."
            )
    return found


def _worse(told: Change) -> str:
    """A fall as an amount: ``0.42 (95% interval 0.21 to 0.63)``."""
    each = told.estimate
    if each.low is None or each.high is None:
        return _number(-each.value)
    return f"{_number(-each.value)} (95% interval {_number(-each.high)} to {_number(-each.low)})"


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _missing(points: Sequence[Point]) -> list[str]:
    found = []
    for name, by_point in followed(points).items():
        label, worst = max(by_point.items(), key=lambda item: item[1].num_missing)
        if worst.num_missing:
            total = worst.estimate.num + worst.num_missing
            found.append(
                f"{visible(name)} is not known of up to {worst.num_missing:,} of {total:,} answers ({visible(label)}); "
                "they are in no mean."
            )
    return found


def _tables(points: Sequence[Point]) -> tuple[tuple[str, Table], ...]:
    """Points × measures, the judge's own score first; an evaluator to a table where there are many."""
    judged = {point.label: each for point in points if (each := judge_measure(point.quality)) is not None}
    columns = followed(points)
    names = list(columns)
    groups = [names[start : start + COLUMNS] for start in range(0, len(names), COLUMNS)]
    found = []
    for number, group in enumerate(groups):
        shown = {**({JUDGE: judged} if judged else {}), **{name: columns[name] for name in group}}
        labels = [point.label for point in points if any(point.label in each for each in columns.values())]
        rows = tuple((label, *(_cell(by_point.get(label)) for by_point in shown.values())) for label in labels)
        heads = ("point", *(f"{visible(name)}{_arrow(by_point)}" for name, by_point in shown.items()))
        title = "Scores, with 95% intervals" + (f", {number + 1} of {len(groups)}" if len(groups) > 1 else "")
        found.append((title, Table(heads, rows)))
    return tuple(found)


def _arrow(by_point: dict[str, OutsideMeasure]) -> str:
    return {1: " ↑", -1: " ↓", 0: ""}[next(iter(by_point.values())).better]


def _cell(measure: OutsideMeasure | None) -> str:
    return "–" if measure is None else estimated(measure.estimate, measure.fraction)


def estimated(each: Estimate, fraction: bool) -> str:
    """``0.42 (0.21 to 0.63)``; fractions as percentages."""
    write = percent if fraction else _number
    if each.low is None or each.high is None:
        return write(each.value)
    ends = [f"{100 * end:.1f}" if fraction else _number(end) for end in (each.low, each.high)]
    return f"{write(each.value)} ({ends[0]} to {ends[1]})"


def _changes(told: Sequence[tuple[Change, Change]]) -> Table:
    """Every outside measure beside the judge, over the points of both; up is better."""
    verdicts = {1: "better", -1: "worse", 0: "not certain"}
    rows = tuple(
        (
            theirs.name,
            theirs.start,
            signed_interval(ours.estimate),
            signed_interval(theirs.estimate),
            _p(theirs.p),
            verdicts[theirs.verdict],
        )
        for ours, theirs in told
    )
    return Table(("measure", "since", JUDGE, "change (95%), up is better", "p, adjusted", "verdict"), rows)


def _p(value: float) -> str:
    return "–" if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _elsewhere(points: Sequence[Point], start: str) -> str:
    """Whose line is not drawn, since it did not look at the point where lines start."""
    names = [
        name for name, found in followed(points).items() if start not in found and any(x.better for x in found.values())
    ]
    return (
        f" Not looked at in {visible(start)}, and only in the tables: {', '.join(map(visible, names))}."
        if names
        else ""
    )


def _chart(points: Sequence[Point]) -> Chart | None:
    """All changes in one unit; ``None`` where nothing but the judge was followed."""
    drawn = lines(points)
    if len(drawn) < 2:
        return None
    kept = drawn[: len(SERIES)]
    labels = [point.label for point in points if any(point.label == label for line in kept for label, _ in line.points)]
    start = labels[0]

    def paint(axes: Any) -> None:
        axes.axhline(0, linewidth=0.7, color=colour("muted"))
        for line, role in zip(kept, ROLES, strict=False):
            by_label = dict(line.points)
            shown = [by_label.get(label) for label in labels]
            series(axes, range(len(labels)), shown, role, visible(line.name))
        rounds(axes, labels)
        axes.set_ylabel(f"change since {visible(start)}, in spreads")
        key(axes)
        axes.margins(y=0.2)

    title = "The judge and the outsiders"
    caption = (
        f"Change since {visible(start)}, up being better, each in units of the spread that its scores have over the "
        "prompts there; bars are 95% intervals of the change, paired by prompt where scores are told by prompt. Lines "
        "that part say that the judge likes what others do not."
        + (f" The first {len(kept)} of {len(drawn)} measures." if len(kept) < len(drawn) else "")
        + _elsewhere(points, start)
    )
    rows = tuple((label, *(signed_interval(dict(line.points).get(label)) for line in kept)) for label in labels)
    height = HEIGHT + 14 * -(-len(kept) // 2)
    return Chart(
        title,
        draw("outside", title, paint, height=height),
        caption,
        Table(("point", *(line.name for line in kept)), rows),
    )
