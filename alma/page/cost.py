"""What the run took, by stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from alma.page.figure import Chart, Table, colour, draw
from alma.page.numbers import Point, Work
from alma.page.section import Section
from alma.page.text import amount, duration, percent


def cost(points: Sequence[Point]) -> Section:
    """Seconds and tokens by stage, over all work that the page follows from."""
    works = [work for point in points for work in point.work]
    if not works:
        return Section("cost", "What it took", missing="The inputs state no cost.")
    stages = sorted({work.stage for work in works}, key=lambda stage: -_sum(works, stage, _seconds))
    seconds, tokens = sum(map(_seconds, works)), sum(work.tokens for work in works)
    devices = sorted({work.device for work in works})
    lead = (
        f"{len(works):,} finished pieces of work, {duration(seconds)} of one device's time ({seconds / 3600:,.2f} "
        f"device-hours on {', '.join(devices)}), {amount(tokens)} tokens generated or "
        "trained on. Work that this page does not "
        "follow from is not counted, nor are attempts that were lost.",
    )
    rows = tuple(
        (
            stage,
            f"{sum(work.stage == stage for work in works):,}",
            duration(_sum(works, stage, _seconds)),
            percent(_sum(works, stage, _seconds) / seconds if seconds else 0),
            f"{_sum(works, stage, _tokens):,.0f}",
        )
        for stage in stages
    )
    table = Table(("stage", "pieces", "time", "share", "tokens"), rows)
    charts = (
        _bars("seconds", "Time by stage", stages, works, _seconds, duration, table),
        _bars("stage-tokens", "Tokens by stage", stages, works, _tokens, amount, table),
    )
    return Section("cost", "What it took", lead, charts)


def _seconds(work: Work) -> float:
    return work.seconds


def _tokens(work: Work) -> float:
    return work.tokens


def _sum(works: Sequence[Work], stage: str, what: Callable[[Work], float]) -> float:
    return sum(what(work) for work in works if work.stage == stage)


def _bars(
    name: str,
    title: str,
    stages: list[str],
    works: list[Work],
    what: Callable[[Work], float],
    write: Callable[[float], str],
    table: Table,
) -> Chart:
    stages = [stage for stage in stages if _sum(works, stage, what) or what is _seconds]
    values = [_sum(works, stage, what) for stage in stages]

    def paint(axes: Any) -> None:
        places = [-i for i in range(len(stages))]
        axes.grid(visible=False)
        axes.barh(places, values, 0.62, color=colour("one" if what is _seconds else "three"))
        for place, value in zip(places, values, strict=True):
            at = {"xytext": (4, 0), "textcoords": "offset points", "va": "center", "fontsize": 8.5}
            axes.annotate(write(value), (value, place), **at)
        axes.set_yticks(places, stages)
        axes.set_xticks([])
        axes.set_xlim(0, max([*values, 1e-9]) * 1.28)
        axes.spines["bottom"].set_visible(False)

    kind = (
        "Seconds of one device" if what is _seconds else "Tokens generated or trained on, where the stage counts them"
    )
    return Chart(
        title, draw(name, title, paint, height=30 + 20 * len(stages)), f"{kind}, summed over the run, by stage.", table
    )
