"""What ``alma plan`` prints."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from alma.objectives import OBJECTIVES
from alma.plan.hours import FLOPS_PER_PARAMETER, Means, StageWork, work_by_stage
from alma.plan.paid import VERDICT_TOKENS, rows
from alma.plan.step import Step, Work
from alma.prompts.mt_bench import PROMPT_TOKENS
from alma.sections import Finetune

HOW = (
    "For FLOP: --parameters 8.03e9 (the base model's size). For hours: also --rates FILE, which benchmarks/ writes on "
    "your device, or --flops-per-second and --utilisation."
)
WIDTH = 120
"""Columns where the output is no terminal: numbers must not be cut."""


def print_tables(steps: list[Step], means: Means | None) -> None:
    """Rows and tokens by step; then, if there are ``means``, operations and hours by stage."""
    console = Console(markup=False)
    if not console.is_terminal:
        console.width = max(console.width, WIDTH)
    console.print(_steps(steps))
    console.print(
        "Rows of sources without a limit are unknown before they are read and count as 0. The pool is counted before "
        "curation. Models are not counted as stored: each finetune leaves one, the size of the base."
    )
    console.print(_trainings(steps))
    if paid := rows(step.paid for step in steps if step.paid is not None):
        console.print(_paid(paid))
        console.print(
            f"Paid are tokens sent and written; a verdict is taken for {VERDICT_TOKENS} tokens, the words around an "
            f"answer for {PROMPT_TOKENS}. Where the evaluation prompts have no limit their number is unknown here: "
            "multiply what an answer takes."
        )
    if means is None:
        console.print(HOW)
        return
    work = work_by_stage(steps)
    console.print(_compute(work, means))
    for line in notes(work, means):
        console.print(line, markup=False, highlight=False)


def print_notes(found: Sequence[str]) -> None:
    """What a person should know of the settings (``Method.notes``), a line each."""
    for line in found:
        Console(soft_wrap=True).print(f"Note: {line}.", markup=False, highlight=False)


def _steps(steps: list[Step]) -> Table:
    names = ("step", "rows", "tokens generated", "tokens read", "tokens trained", "stored")
    table = _table("what the run will take", names)
    for step in steps:
        table.add_row(step.label, *_cells([step]))
    table.add_section()
    for stage in dict.fromkeys(step.stage for step in steps):
        table.add_row(f"all {stage}", *_cells([step for step in steps if step.stage == stage]))
    table.add_section()
    table.add_row("everything", *_cells(steps))
    return table


def _trainings(steps: list[Step]) -> Table:
    """How each model is trained, those that are trained alike in one line."""
    table = _table("how models are trained", ("step", "objective", "learning rate", "epochs", "batch", "its own"))
    alike: dict[tuple[str, ...], list[str]] = {}
    for step in steps:
        if step.trains:
            alike.setdefault(_training(step.trains), []).append(step.label)
    for cells, (first, *more) in alike.items():
        table.add_row(f"{first} and {len(more)} more" if more else first, *cells)
    return table


def _paid(paid: Sequence[tuple[str, ...]]) -> Table:
    """What is paid to endpoints."""
    names = ("served model", "it", "requests", "tokens sent", "tokens written", "tokens per answer")
    table = _table("what endpoints are paid for", names)
    for cells in paid:
        table.add_row(*map(escape, cells))
    return table


def _training(cfg: Finetune) -> tuple[str, ...]:
    own = ", ".join(f"{name} {getattr(cfg, name):g}" for name in OBJECTIVES[cfg.objective].own)
    return cfg.objective, f"{cfg.learning_rate:g}", f"{cfg.epochs:g}", f"{cfg.batch_rows:,}", own or "–"


def _cells(steps: list[Step]) -> list[str]:
    def tokens(*kinds: Work) -> int:
        return sum(step.tokens.get(kind, 0) for step in steps for kind in kinds)

    totals = (sum(step.rows for step in steps), tokens("generate"), tokens("read", "embed"), tokens("train"))
    return [*(f"{total:,}" if total else "–" for total in totals), _bytes(sum(step.num_bytes for step in steps))]


def _compute(work: list[StageWork], means: Means) -> Table:
    names = ["stage", "work", "engine", "tokens", "FLOP"]
    if means.flops_per_second is not None:
        names.append("h by FLOP")
    if means.rates:
        names.append("h measured")
    table = _table("operations, and hours of one device", names)
    for each in work:
        table.add_row(each.stage, each.work, each.engine, f"{each.tokens:,}", *_hours([each], means))
    table.add_section()
    table.add_row("everything", "", "", f"{sum(each.tokens for each in work):,}", *_hours(work, means))
    return table


def _hours(work: Sequence[StageWork], means: Means) -> list[str]:
    cells = [f"{sum(means.flops(each.work, each.tokens) for each in work):.2e}"]
    if means.flops_per_second is not None:
        cells.append(hours([means.arithmetic_hours(each.work, each.tokens) for each in work]))
    if means.rates:
        cells.append(hours([means.measured_hours(each.work, each.engine, each.tokens) for each in work]))
    return cells


def hours(parts: Sequence[float | None]) -> str:
    """A sum of hours. Where some parts are unknown, it is "> " the known ones; where all are, "–"."""
    known = [part for part in parts if part is not None]
    if not known:
        return "–"
    total = sum(known)
    # Below a hundred hours three digits, so that no stage of a small run comes out as 0.
    text = f"{total:,.0f}" if total >= 100 else f"{total:.3g}"
    return text if len(known) == len(parts) else f"> {text}"


def notes(work: Sequence[StageWork], means: Means) -> list[str]:
    """Where every number of the table comes from, and which are missing and why."""
    lines = [
        f"FLOP: {means.parameters:,.0f} parameters × tokens × "
        + ", ".join(f"{factor} ({work})" for work, factor in FLOPS_PER_PARAMETER.items())
        + "; attention's own, which grow with the length, are not counted."
    ]
    if means.flops_per_second is not None and means.utilisation is not None:
        lines.append(
            f"h by FLOP: at {means.utilisation:g} of {means.flops_per_second:.3g} FLOP/s, as you gave them; not "
            "measured."
        )
    if means.rates:
        for kind, engine in dict.fromkeys((each.work, each.engine) for each in work):
            lines.append(_source(kind, engine, means))
        lines.append("h measured: generation and what is read before it are added, each at its own rate.")
    else:
        lines.append("No rates were given (--rates FILE): nothing here was measured.")
    return lines


def _source(work: Work, engine: str, means: Means) -> str:
    found = means.rate(work, engine)
    if found is None:
        others = [rate for rate in means.rates if (rate.work, rate.engine) == (work, engine)]
        if not others:
            return f"{work} with {engine}: no rate in the file."
        sizes = ", ".join(f"{rate.parameters:,}" for rate in others)
        return (
            f"{work} with {engine}: measured on a model of {sizes} parameters, not of {means.parameters:,.0f}; "
            "--scale-by-parameters makes an estimate of it."
        )
    rate, factor = found
    devices = f"{rate.num_devices} × {rate.device}" if rate.num_devices > 1 else rate.device
    said = (
        f"{work} with {engine}: {rate.tokens_per_second:,.0f} tokens/s on {devices}, {rate.model} "
        f"({rate.parameters:,} parameters, {rate.dtype}), {rate.workload}, {rate.date}: {rate.command}"
    )
    if factor == 1.0:
        return said
    return f"{said}\n    ESTIMATE: taken × {factor:.3g}, the ratio of the models' sizes; not measured at this size."


def _table(title: str, names: Sequence[str]) -> Table:
    table = Table(title=title)
    for name in names:
        left = name in ("step", "stage", "work", "engine", "objective", "served model", "it")
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    return table


def _bytes(amount: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} TB"
