"""What ``alma plan --gpu-memory`` prints."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from alma.plan.fit import Fit
from alma.plan.machine import Machine
from alma.plan.shape import Shape
from alma.plan.size import gb
from alma.plan.table import WIDTH

HOW = (
    "Arithmetic over what is kept, by the formulas of docs/plan.md: nothing here was measured. Trainings: rows of "
    "max_tokens, activations estimated, 10% of each GPU left free; where the rows of a forward pass are too many, the "
    "trainer halves them by itself."
)


def print_fits(found: list[Fit], shape: Shape, machine: Machine, uncounted: list[str], pool: str) -> None:
    """The table, where its numbers come from, and what the ``pool`` takes of the machine."""
    console = Console(markup=False)
    if not console.is_terminal:
        console.width = max(console.width, WIDTH)
    gpus = f"{machine.gpus} GPU{'s' if machine.gpus > 1 else ''} of {gb(machine.gpu_bytes)}"
    nodes = f" on each of {machine.nodes} machines" if machine.nodes > 1 else ""
    table = Table(title=f"what fits where: {shape.parameters / 1e9:.3g}e9 parameters, {gpus}{nodes}")
    for name in ("step", "how", "a GPU holds", "of", "fits"):
        table.add_column(name, justify="right" if name in ("a GPU holds", "of") else "left", no_wrap=name != "step")
    for fit in found:
        table.add_row(fit.label, fit.how, gb(fit.held), gb(fit.room), "no" if fit.problem else "yes")
        for name, num_bytes in fit.parts:
            table.add_row("", f"  {name}", gb(num_bytes), "", "")
        if fit.said:
            table.add_row("", f"  {fit.said}", "", "", "")
        if fit.host:
            table.add_row("", "  memory of the machine, besides", gb(fit.host), "", "")
    console.print(table)
    console.print(HOW, markup=False, highlight=False)
    if pool:
        console.print(pool, markup=False, highlight=False)
    if uncounted:
        console.print(f"Not counted, models of sizes that are not known here: {', '.join(uncounted)}.", markup=False)
