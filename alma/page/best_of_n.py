"""Best-of-n: what drawing more samples buys, and where the judge is the limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alma.page.figure import Chart, Table, band, draw, having, percent_axis
from alma.page.numbers import BestOfN, Point
from alma.page.section import Section
from alma.page.text import interval, percent, percent_interval
from alma.text.visible import visible

TITLE = "Best of n"


def best_of_n(points: Sequence[Point]) -> Section:
    """Two panels over n: the judge's score of its pick, and whether the pick is correct, beside the oracle."""
    found = having(points, "best_of_n")
    if not found:
        return Section("best-of-n", TITLE, missing="No samples on the evaluation prompts were given.")
    point, it = found[-1], found[-1].best_of_n
    assert it is not None
    lead = [
        f"At {visible(point.label)}, {it.num_samples} samples of each of {it.num_prompts:,} evaluation prompts "
        "were judged. Every n is the exact mean over all subsets of n samples, so the curve has no noise of its own."
    ]
    charts = [_score(it)]
    if it.pick:
        charts.append(_correct(it))
        lead.append(
            f"With one sample {percent(it.pick[0].value)} are correct, with the judge's pick of {it.n[-1]} "
            f"{percent(it.pick[-1].value)}; a perfect judge would reach {percent(it.any_correct[-1].value)}."
        )
    else:
        lead.append("The evaluation prompts have no references, so whether the picks are correct is unknown.")
    return Section("best-of-n", TITLE, tuple(lead), tuple(charts))


def _score(it: BestOfN) -> Chart:
    def paint(axes: Any) -> None:
        band(axes, it.n, it.score, "two", "")
        _n_axis(axes, it.n)
        axes.margins(y=0.15)

    title = "The judge's score of its pick"
    rows = tuple((f"{n}", interval(each)) for n, each in zip(it.n, it.score, strict=True))
    caption = (
        "Expected best score among n samples; the band is the 95% interval over prompts. "
        "It always rises: this is the judge's own opinion."
    )
    return Chart(title, draw("best-of-n-score", title, paint), caption, Table(("n", "score (95%)"), rows))


def _correct(it: BestOfN) -> Chart:
    def paint(axes: Any) -> None:
        band(axes, it.n, it.any_correct, "three", "any correct (oracle)")
        band(axes, it.n, it.pick, "one", "the judge's pick")
        _n_axis(axes, it.n)
        axes.margins(y=0.15)
        percent_axis(axes)
        axes.legend(loc="upper left" if it.any_correct[0].value < 0.5 else "lower right")

    title = "Correct picks"
    rows = tuple(
        (f"{n}", percent_interval(pick), percent_interval(best))
        for n, pick, best in zip(it.n, it.pick, it.any_correct, strict=True)
    )
    caption = (
        "Fraction of prompts whose picked sample is correct, and whose n samples hold a correct one at all: the gap "
        "between the lines is what a better judge could win, a falling lower line is a judge being gamed."
    )
    return Chart(
        title, draw("best-of-n-correct", title, paint), caption, Table(("n", "judge's pick", "any correct"), rows)
    )


def _n_axis(axes: Any, n: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(n, [str(each) for each in n])
    axes.minorticks_off()
    axes.set_xlabel("n, samples to choose from")
