"""How every training went, step by step: a chart per quantity, a small panel per group of trainings.

Trainings of one arm, or from equal inputs with other seeds, are a group. What was not recorded is not drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from alma.objectives import OBJECTIVES
from alma.page.figure import SERIES, Chart, Table, colour, draw, multiples
from alma.page.numbers import Numbers, Point, check_lengths
from alma.page.proof import proven
from alma.page.section import Section
from alma.page.text import amount
from alma.text.visible import visible

POINTS = 100
"""Most points of a line; more steps are averaged."""

MOST = 1e30
"""Of a value that is drawn."""

MAX_PANELS = 18
"""Most panels of a chart; the latest are shown."""

_JUDGES = {name for name, objective in OBJECTIVES.items() if objective.trains == "judge"}


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a step may record: its name there, and how it is told."""

    name: str
    title: str
    write: Callable[[float], str]
    caption: str
    from_zero: bool = True
    unit: float = 1.0
    """What is written as 1."""


QUANTITIES = (
    Quantity("loss", "Training loss", "{:.2g}".format, "Of one token, pair or rating. It should fall and level off."),
    Quantity(
        "grad_norm", "Gradient norm", "{:.2g}".format, "Before clipping at 1. A spike is a step that went astray."
    ),
    Quantity(
        "learning_rate",
        "Learning rate",
        lambda value: f"{value:.0e}" if value else "0",
        "After warm-up it falls to zero.",
    ),
    Quantity("margin", "Reward margin", "{:.2g}".format, "DPO: how far chosen is rated above rejected.", False),
    Quantity(
        "accuracy", "Pairs in order", "{:.0%}".format, "DPO: fraction of pairs whose chosen side is rated higher."
    ),
    Quantity("router_loss", "Router loss", "{:.2g}".format, "Of experts used unevenly, by its weight."),
    Quantity("tokens_per_second", "Tokens per second", amount, "Of all devices, padding left out."),
    Quantity("memory_bytes", "Memory in GiB", "{:.3g}".format, "The most that a device held until then.", unit=2**30),
)


class TrainingCurve(Numbers):
    """One training."""

    ref: str
    objective: str
    origin: str
    """What it was trained from: equal for trainings that differ in their seed."""
    label: str | None = None
    """The point or arm whose training it is, where it is one's."""
    num_steps: Annotated[int, Field(ge=1)]
    num_tokens: int
    rows: Literal["joined", "padded", "one by one"] | None = None
    """How the rows of a forward pass lay together, as ``packing`` asks or as was possible."""
    step: Annotated[tuple[int, ...], Field(min_length=1)]
    """The last step of each point of the lines."""
    columns: Mapping[str, tuple[float, ...]]
    """By the name of a quantity; those that every step recorded."""

    @model_validator(mode="after")
    def _of_each_step(self) -> Self:
        for name, values in self.columns.items():
            check_lengths(step=self.step, **{name: values})
        return self


def training_curve(
    ref: str,
    objective: str,
    origin: str,
    num_tokens: int,
    lines: Sequence[Mapping[str, Any]],
    speeds: Sequence[Mapping[str, Any]] = (),
) -> TrainingCurve | None:
    """Lines of ``curve.jsonl`` and ``speed.jsonl`` as a curve; ``None`` of no steps. Steps are averaged in blocks."""
    if not lines:
        return None
    speed_of = {line["step"]: line for line in speeds}
    steps = [{**speed_of.get(line["step"], {}), **line} for line in lines]
    blocks = np.array_split(np.arange(len(steps)), min(len(steps), POINTS))
    columns = {}
    for quantity in QUANTITIES:
        values = [line.get(quantity.name) for line in steps]
        if all(isinstance(value, int | float) and abs(value) < MOST for value in values):
            given = np.array(values, dtype=np.float64)
            columns[quantity.name] = tuple(float(f"{given[block].mean():.6g}") for block in blocks)
    return TrainingCurve(
        ref=ref,
        objective=objective,
        origin=origin,
        num_steps=int(steps[-1]["step"]),
        rows=_lay(steps[-1]),
        num_tokens=num_tokens,
        step=tuple(int(steps[block[-1]]["step"]) for block in blocks),
        columns=columns,
    )


def _lay(step: Mapping[str, Any]) -> Literal["joined", "padded", "one by one"] | None:
    if step.get("joined") is None:
        return None
    if step["micro_batch_rows"] == 1:
        return "one by one"
    return "joined" if step["joined"] else "padded"


def training(points: Sequence[Point], curves: Sequence[TrainingCurve] = ()) -> Section:
    """A chart per quantity with a panel per group; without curves, the losses of the points in one panel."""
    if not curves:
        return _losses(points)
    groups = grouped(curves)
    shown = dict(list(groups.items())[-MAX_PANELS:])
    charts = []
    for quantity in QUANTITIES:
        having = {name: [each for each in several if quantity.name in each.columns] for name, several in shown.items()}
        having = {name: several for name, several in having.items() if several}
        if having:
            charts.append(_chart(quantity, having))
    left_out = len(groups) - len(shown)
    lead = (
        "Each panel is a training from its first step to its last; several lines are its repeats with "
        "other seeds: a is blue, b orange, c green."
        + (f" The first {left_out} groups are left out of the charts." if left_out else ""),
    )
    rows = tuple(
        _row(f"{name} {letter}" if len(several) > 1 else name, each)
        for name, several in groups.items()
        for letter, each in zip(_letters(several), several, strict=True)
    )
    columns = ("training", "steps", "first loss", "last loss", "tokens", "tokens/s", "memory", "rows")
    return Section(
        "training", "Training", lead, tuple(charts), tables=(("Trainings", Table(columns, rows)), *proven(points))
    )


def grouped(curves: Sequence[TrainingCurve]) -> dict[str, list[TrainingCurve]]:
    """Curves by what they are called: their label, that of a training from the same inputs, or their objective.

    Judges come last.
    """
    labels = {each.origin: each.label for each in reversed(curves) if each.label}
    groups: dict[str, list[TrainingCurve]] = {}
    for each in sorted(curves, key=lambda each: each.objective in _JUDGES):
        groups.setdefault(each.label or labels.get(each.origin) or each.objective, []).append(each)
    return groups


def _letters(several: Sequence[TrainingCurve]) -> list[str]:
    return [chr(ord("a") + place) if place < 26 else f"{place + 1}" for place in range(len(several))]


def _chart(quantity: Quantity, groups: Mapping[str, Sequence[TrainingCurve]]) -> Chart:
    from matplotlib.ticker import MaxNLocator

    def painter(several: Sequence[TrainingCurve]) -> Callable[[Any], None]:
        def paint(axes: Any) -> None:
            for place, each in enumerate(several):
                role = SERIES[place % len(SERIES)]
                done = [step / each.num_steps for step in each.step]
                values = [value / quantity.unit for value in each.columns[quantity.name]]
                axes.plot(done, values, color=colour(role), linewidth=1.3)
            axes.set_xticks([0, 1], ["start", "end"])
            axes.set_xlim(0, 1)
            if quantity.from_zero:
                axes.set_ylim(bottom=0)
            axes.yaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
            axes.yaxis.set_major_formatter(lambda value, _: quantity.write(value))

        return paint

    panels = [(_short(visible(name)), painter(several)) for name, several in groups.items()]
    svg = multiples(f"training-{quantity.name}", quantity.title, panels)
    return Chart(quantity.title, svg, quantity.caption, None)


def _short(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "…"


def _row(name: str, each: TrainingCurve) -> tuple[str, ...]:
    loss, speed, memory = (each.columns.get(column) for column in ("loss", "tokens_per_second", "memory_bytes"))
    return (
        name,
        f"{each.num_steps:,}",
        f"{loss[0]:.3f}" if loss else "–",
        f"{loss[-1]:.3f}" if loss else "–",
        amount(each.num_tokens),
        amount(float(np.median(speed))) if speed else "–",
        f"{max(memory) / 2**30:.3g} GiB" if memory else "–",
        each.rows or "–",
    )


def _losses(points: Sequence[Point]) -> Section:
    found = [(point.label, point.training) for point in points if point.training is not None]
    if not found:
        return Section("training", "Training", missing="No training curve was given.")

    def paint(axes: Any) -> None:
        for label, each in found:
            last = label == found[-1][0]
            axes.plot(
                each.step,
                each.loss,
                color=colour("one" if last else "eight"),
                alpha=1 if last else 0.4,
                linewidth=1.8 if last else 1.1,
                zorder=3 if last else 2,
            )
        axes.plot([], [], color=colour("one"), label=visible(found[-1][0]))
        if len(found) > 1:
            axes.plot([], [], color=colour("eight"), alpha=0.5, label="earlier trainings")
        axes.legend(loc="upper right")
        axes.set_xlabel("optimizer step")
        axes.set_ylabel("loss per response token")
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))

    rows = tuple(
        (label, f"{each.num_steps:,}", f"{each.loss[0]:.3f}", f"{each.loss[-1]:.3f}", amount(each.num_tokens))
        for label, each in found
    )
    title = "Training loss"
    caption = "Each line is one training from its start; it should fall and level off."
    columns = ("point", "steps", "first loss", "last loss", "tokens")
    return Section(
        "training", "Training", charts=(Chart(title, draw("loss", title, paint), caption, None),),
        tables=(("Trainings", Table(columns, rows)),),
    )  # fmt: skip
