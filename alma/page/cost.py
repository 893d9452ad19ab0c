"""What the run took, by stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from alma.page.figure import Chart, Table, colour, draw
from alma.page.numbers import UNKNOWN, Point, StageCost
from alma.page.section import Section
from alma.page.text import amount, device_time, percent


def cost(points: Sequence[Point]) -> Section:
    """Seconds and tokens by stage, over all artifacts that the page follows from."""
    stated = [cost for point in points for cost in point.costs]
    costs = [cost for cost in stated if cost.device != UNKNOWN]
    if not costs:
        return Section("cost", "What it took", missing="The inputs state no cost.")
    stages = sorted({cost.stage for cost in costs}, key=lambda stage: -_sum(costs, stage, _seconds))
    seconds, tokens = sum(map(_seconds, costs)), sum(cost.tokens for cost in costs)
    devices = sorted({cost.device for cost in costs})
    lost = len(stated) - len(costs)
    lead = (
        f"{len(costs):,} artifacts took {device_time(seconds)} of one device's time ({seconds / 3600:,.2f} "
        f"device-hours on {', '.join(devices)}), with {amount(tokens)} tokens generated or trained on. Artifacts that "
        "this page does not follow from are not counted, nor are attempts that were lost."
        + (f" What {lost:,} more took is not known: their cost.json is gone." if lost else ""),
    )
    rows = tuple(
        (
            stage,
            f"{sum(cost.stage == stage for cost in costs):,}",
            device_time(_sum(costs, stage, _seconds)),
            percent(_sum(costs, stage, _seconds) / seconds if seconds else 0),
            f"{_sum(costs, stage, _tokens):,.0f}",
        )
        for stage in stages
    )
    table = Table(("stage", "artifacts", "time", "of the time", "tokens"), rows)
    charts = (
        _bars("seconds", "Time by stage", stages, costs, _seconds, device_time, table),
        _bars("stage-tokens", "Tokens by stage", stages, costs, _tokens, amount, table),
    )
    return Section("cost", "What it took", lead, charts)


def _seconds(cost: StageCost) -> float:
    return cost.seconds


def _tokens(cost: StageCost) -> float:
    return cost.tokens


def _sum(costs: Sequence[StageCost], stage: str, what: Callable[[StageCost], float]) -> float:
    return sum(what(cost) for cost in costs if cost.stage == stage)


def _bars(
    name: str,
    title: str,
    stages: list[str],
    costs: list[StageCost],
    what: Callable[[StageCost], float],
    write: Callable[[float], str],
    table: Table,
) -> Chart:
    stages = [stage for stage in stages if _sum(costs, stage, what) or what is _seconds]
    values = [_sum(costs, stage, what) for stage in stages]

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
