"""The judge: what it says about the round, and how far people agree with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from alma.page.figure import Chart, Table, colour, draw, having, percent_axis
from alma.page.numbers import JudgeValidation, Point, Reading, Sampling
from alma.page.section import Section
from alma.page.text import interval, percent, percent_interval
from alma.text.visible import visible

NO_HELDOUT = "No held-out human scores were given, so the judge itself is not validated."


def judge(points: Sequence[Point]) -> Section:
    """Histogram of the latest round; calibration and accuracy against held-out people."""
    lead, charts, tables = [], [], []
    judged, validated = having(points, "sampling"), having(points, "judge")
    if judged:
        now = judged[-1].sampling
        assert now is not None
        lead.append(
            f"In {visible(judged[-1].label)} it read {now.num_responses:,} responses; {now.num_unparsed:,} "
            f"({percent(now.num_unparsed / max(now.num_responses, 1))}) could not be read as a rating and were kept "
            f"out. It gave {percent(now.mass.value) if now.mass else '–'} of its probability to the scale, and its own "
            f"standard deviation within one judgement is {now.spread:.2f} points."
        )
        charts.append(_histogram(visible(judged[-1].label), now))
    if validated:
        final, first, base = validated[-1].judge, validated[-1].judge_first, validated[-1].judge_base
        assert final is not None
        named = _named(final, first, base)
        ordered = percent_interval(final.readings[-1].accuracy)
        lead.append(
            f"Against {final.num_rows:,} held-out human scores it orders {ordered} "
            f"of the pairs as people do (two responses to one prompt), and is off by {final.readings[-1].error:.2f} "
            "points on average."
        )
        charts += [_calibration(final), _accuracy(named)]
        tables.append(("The judge against people", _table(named)))
    else:
        lead.append(NO_HELDOUT)
    if not judged and not validated:
        return Section("judge", "The judge", missing=f"No judgements were given yet. {NO_HELDOUT}")
    return Section("judge", "The judge", tuple(lead), tuple(charts), tables=tuple(tables))


def _histogram(label: str, now: Sampling) -> Chart:
    edges = np.linspace(0, 10, len(now.histogram) + 1)

    def paint(axes: Any) -> None:
        axes.bar(edges[:-1], now.histogram, width=np.diff(edges) * 0.88, align="edge", color=colour("two"))
        axes.set_xlim(-0.1, 10.1)
        axes.set_xticks(range(11))
        axes.set_xlabel("real-valued score")

    title = f"Scores in {label}"
    rows = tuple((f"{low:g} – {low + 1}", f"{sum(_within(now, edges, low)):,}") for low in range(10))
    caption = "Responses of the round by their score; the best of each prompt is taken from the right-hand side."
    return Chart(title, draw("histogram", title, paint), caption, Table(("score", "responses"), rows))


def _within(now: Sampling, edges: Any, low: int) -> list[int]:
    return [count for count, edge in zip(now.histogram, edges[:-1], strict=True) if low <= edge + 1e-9 < low + 1]


def _calibration(it: JudgeValidation) -> Chart:
    x, y, counts = (np.array(values, dtype=float) for values in zip(*it.density, strict=True))
    bins = [each for each in it.bins if each.human.low is not None and each.human.high is not None]

    def paint(axes: Any) -> None:
        axes.grid(visible=True, axis="x")
        axes.plot([0, 10], [0, 10], color=colour("muted"), linestyle=(0, (2, 2)), linewidth=1)
        axes.scatter(x, y, s=90 * counts / counts.max() + 2, color=colour("eight"), alpha=0.4, linewidth=0)
        for each in bins:
            axes.plot([each.predicted] * 2, [each.human.low, each.human.high], color=colour("one"), linewidth=1.6)
        axes.plot(
            [each.predicted for each in it.bins],
            [each.human.value for each in it.bins],
            "o-",
            color=colour("one"),
            markeredgecolor=colour("surface"),
        )
        axes.set(xlim=(-0.4, 10.4), ylim=(-0.4, 10.4), xticks=range(0, 11, 2), yticks=range(0, 11, 2))
        axes.set_xlabel("the judge's score")
        axes.set_ylabel("people's score")

    title = "Calibration against people"
    rows = tuple(
        (f"{b.low:g} – {b.high:g}", f"{b.predicted:.2f}", interval(b.human), f"{b.human.num:,}") for b in it.bins
    )
    caption = (
        "Grey discs are held-out responses (area = how many); the line is people's mean score, with 95% intervals, of "
        "what the judge scored alike: on the dashed diagonal its scores mean what people's do."
    )
    return Chart(
        title, draw("calibration", title, paint), caption, Table(("judge", "mean", "people (95%)", "rows"), rows)
    )


def _named(
    final: JudgeValidation, first: JudgeValidation | None, base: JudgeValidation | None
) -> list[tuple[str, Reading]]:
    judges = [
        ("base, shown examples", base),
        ("human labels only", first if first is not None else final if base is not None else None),
        ("+ self-distillation", None if first is None else final),
    ]
    named = [(f"{name}, {each.name}", each) for name, judge in judges if judge is not None for each in judge.readings]
    return named or [(reading.name, reading) for reading in final.readings]


def _accuracy(named: list[tuple[str, Reading]]) -> Chart:
    shown = [(name, reading.accuracy) for name, reading in named if reading.accuracy is not None]

    def paint(axes: Any) -> None:
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x")
        for place, (name, each) in enumerate(shown):
            role = "one" if name.endswith("real-valued") else "eight"
            axes.plot([each.low, each.high], [-place, -place], color=colour(role), linewidth=2.2, alpha=0.55)
            axes.plot(each.value, -place, "o", color=colour(role), markeredgecolor=colour("surface"), markersize=7)
            axes.text(each.value, -place + 0.2, percent(each.value), ha="center", va="bottom", fontsize=8.5)
        axes.set_yticks([-i for i in range(len(shown))], [name.replace(", ", "\n") for name, _ in shown])
        axes.set_ylim(-len(shown) + 0.45, 0.65)
        axes.margins(x=0.08)
        percent_axis(axes, "x")

    title = "Pairs ordered as people do"
    caption = (
        "Fraction of pairs of responses to one prompt that the judge orders as people did, ties counting one half, "
        "with 95% intervals; 50% is chance."
    )
    return Chart(title, draw("accuracy", title, paint), caption, None)


def _table(named: list[tuple[str, Reading]]) -> Table:
    rows = tuple(
        (
            name,
            percent_interval(each.accuracy),
            "–" if each.tied is None else percent(each.tied),
            "–" if each.spearman is None else f"{each.spearman:.3f}".replace("-", "−"),
            f"{each.error:.2f}",
        )
        for name, each in named
    )
    return Table(("judge", "as people (95%)", "tied", "Spearman ρ", "abs. error"), rows)
