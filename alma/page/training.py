"""The loss of every training, the latest in front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alma.page.figure import Chart, Table, colour, draw
from alma.page.numbers import Point
from alma.page.section import Section
from alma.page.text import amount, visible


def training(points: Sequence[Point]) -> Section:
    """One panel with one line per point."""
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
