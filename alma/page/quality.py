"""Quality and length of the evaluation answers, by point and by family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alma.page.figure import Chart, Table, colour, draw, focus, key, percent_axis, rounds, series
from alma.page.numbers import Estimate, Point, Quality
from alma.page.section import Cell, Heat, Section
from alma.page.text import interval, percent, percent_interval, signed
from alma.text.visible import visible

MISSING = "No evaluation was given to this report."


def qualities(points: Sequence[Point]) -> list[tuple[str, Quality]]:
    """The points with an evaluation, by label; one that was asked behind examples too stands there twice."""
    found = []
    for point in points:
        shown = [(point.label, point.quality)]
        if point.few_shot is not None:
            shown.append((few_shot_label(point.label, point.few_shot), point.few_shot))
        found += [(label, each) for label, each in shown if each is not None]
    return found


def few_shot_label(label: str, few_shot: Quality) -> str:
    """How a point is called where it was asked behind examples."""
    return f"{label}, {few_shot.num_shots}-shot"


def quality(points: Sequence[Point]) -> Section:
    """Correct answers and the judge's score by round, and both by family."""
    found = qualities(points)
    if not found:
        return Section("quality", "Quality by round", missing=MISSING)
    correct = [(label, each.exact_match) for label, each in found]
    scores = [(label, each.score) for label, each in found]
    charts, lead = [], [f"{found[-1][1].num_prompts:,} held-out prompts, answered greedily by every checkpoint."]
    lead += _by_family(found)
    if any(each for _, each in correct):
        charts.append(
            over_rounds(
                "exact-match",
                "Correct answers",
                correct,
                "one",
                "Exact match: fraction of the answers that equal the reference; bars are 95% intervals (Wilson), and "
                "two points differ for sure only where a paired comparison says so.",
                fractions=True,
                over_families=[each.exact_match_by_family for _, each in found],
            )
        )
    else:
        lead.append(
            "The evaluation prompts have no references, so which answers are correct is unknown"
            + (": only the judge's opinion is shown." if any(each for _, each in scores) else ".")
        )
    if any(each for _, each in scores):
        charts.append(
            over_rounds(
                "score",
                "The judge's mean score",
                scores,
                "two",
                "The judge's real-valued score, 0 to 10, averaged over the same answers, with 95% intervals: what "
                "selection improves, and no proof that the answers are correct.",
                over_families=[each.score_by_family for _, each in found],
            )
        )
    return Section("quality", "Quality by round", tuple(lead), tuple(charts), tuple(_heats(found)))


def _by_family(found: Sequence[tuple[str, Quality]]) -> list[str]:
    """The paper averages over its sets of prompts, whatever their sizes; the charts average over prompts."""
    label, last = found[-1]
    if len(last.families) < 2:
        return []
    parts = []
    if last.exact_match_by_family:
        parts.append(f"correct answers {percent_interval(last.exact_match_by_family)}")
    if last.score_by_family:
        parts.append(f"the judge's score {interval(last.score_by_family)}")
    over = f"{visible(label)}, averaged over its {len(last.families)} families as the paper averages over its sets"
    return [f"{over} (below: over prompts): {', '.join(parts)}."] if parts else []


def length(points: Sequence[Point]) -> Section:
    """Answer length by round, and the fraction that ended."""
    found = qualities(points)
    if not found:
        return Section("length", "Length of the answers", missing=MISSING)
    labels = [label for label, _ in found]
    medians = [each.tokens_median for _, each in found]

    def paint(axes: Any) -> None:
        shown = focus(axes, [each.tokens for _, each in found], "{:.1f}".format)
        series(axes, range(len(found)), shown, "three", "mean")
        kept = [place for place, each in enumerate(shown) if each is not None]
        axes.plot(
            kept,
            [medians[place] for place in kept],
            color=colour("eight"),
            linestyle=(0, (3, 2)),
            linewidth=1.5,
            label="median",
        )
        key(axes)
        axes.margins(y=0.25)
        rounds(axes, labels)

    title = "Tokens per answer"
    rows = tuple((label, interval(q.tokens, 1), f"{q.tokens_median:g}") for label, q in found)
    tokens = Chart(
        title,
        draw("length", title, paint),
        "Length of the greedy answers in tokens, end token included. Selection by a score that rises with length would "
        "pull this up without the answers being any better.",
        Table(("point", "mean (95%)", "median"), rows),
    )
    ended = over_rounds(
        "ended",
        "Answers that ended",
        [(label, each.ended) for label, each in found],
        "four",
        "Fraction of the answers that came to the end marker before the token limit; the others were cut off.",
        fractions=True,
    )
    return Section("length", "Length of the answers", charts=(tokens, ended))


def over_rounds(
    name: str,
    title: str,
    estimates: Sequence[tuple[str, Estimate | None]],
    role: str,
    caption: str,
    *,
    fractions: bool = False,
    over_families: Sequence[Estimate | None] = (),
) -> Chart:
    """One line over the points, with intervals; the table also has the means over families, where they are given."""

    def paint(axes: Any) -> None:
        shown = focus(axes, [each for _, each in estimates], percent if fractions else "{:.2f}".format)
        series(axes, range(len(estimates)), shown, role)
        rounds(axes, [label for label, _ in estimates])
        axes.margins(y=0.18)
        if fractions:
            axes.set_ylim(max(axes.get_ylim()[0], -0.03), min(axes.get_ylim()[1], 1.03))
            percent_axis(axes)

    write = percent_interval if fractions else interval
    columns = ["point", "value (95%)", "rows"]
    rows = [[label, write(each), f"{each.num:,}" if each else "–"] for label, each in estimates]
    if any(over_families):
        columns.append("over families (95%)")
        rows = [[*row, write(each)] for row, each in zip(rows, over_families, strict=True)]
    return Chart(title, draw(name, title, paint), caption, Table(tuple(columns), tuple(map(tuple, rows))))


def _heats(found: list[tuple[str, Quality]]) -> list[Heat]:
    """Families × points, the weakest family of the first point on top."""
    heats = []
    columns = ("family", *(label for label, _ in found), "change")
    for kind, title in (("exact_match", "Correct answers by family"), ("score", "The judge's score by family")):
        fractions = kind == "exact_match"
        values: dict[str, list[Estimate | None]] = {}
        for place, (_, each) in enumerate(found):
            for family in each.families:
                row = values.setdefault(family.name, [None] * len(found))
                row[place] = getattr(family, kind)
        rows = [(name, row) for name, row in values.items() if any(row)]
        rows.sort(key=lambda item: next(each.value for each in item[1] if each is not None))
        if not rows:
            continue
        known = [each.value for _, row in rows for each in row if each is not None]
        low, span = min(known), max(max(known) - min(known), 1e-9)
        body = tuple(
            (name, (*(_cell(each, (low, span), fractions) for each in row), _change(row, fractions)))
            for name, row in rows
        )
        caption = (
            "One row per family, weakest at the start on top, one column per point; the deeper the colour the better. "
            + "The last column is the last point minus the first."
        )
        heats.append(Heat(title, caption, "one" if fractions else "two", columns, body))
    return heats


def _cell(estimate: Estimate | None, reach: tuple[float, float], fractions: bool) -> Cell:
    if estimate is None:
        return Cell("–")
    shade = 0.06 + 0.94 * (estimate.value - reach[0]) / reach[1]
    return Cell(percent(estimate.value, 0) if fractions else f"{estimate.value:.1f}", shade)


def _change(row: list[Estimate | None], fractions: bool) -> Cell:
    if row[0] is None or row[-1] is None:
        return Cell("–")
    change = row[-1].value - row[0].value
    return Cell(signed(100 * change, 0) if fractions else signed(change, 1))
