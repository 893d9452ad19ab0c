"""``alma plan``: what a run will take, by stage, before anything is launched.

The recipe is traced with a ``do`` that counts; nothing is read but the run file. Tokens are the generated ones and
those that are read again (prompts, responses to judge, training rows times epochs).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from rich.console import Console
from rich.table import Table

from alma.config import Alma
from alma.recipes.alma import alma
from alma.sections import (
    Diversify,
    Embed,
    Evaluate,
    Finetune,
    IngestModel,
    IngestRows,
    Judge,
    Respond,
    Section,
    Select,
    Synthesize,
)

BYTES_PER_TOKEN = 4
"""Of English text, before compression."""
ROW_BYTES = 120
"""Ids and numbers of a row."""
JUDGE_TEMPLATE_TOKENS = 100


@dataclass(frozen=True, slots=True)
class Step:
    """One use of a stage: rows written, tokens generated and read, bytes left in the store."""

    label: str
    stage: str
    rows: int = 0
    generated_tokens: int = 0
    read_tokens: int = 0
    num_bytes: int = 0
    prompts: int = 0


def plan(cfg: Alma, *, prompt_tokens: int, response_tokens: int) -> list[Step]:
    """Every step of the run, in order, given mean lengths in tokens (cut at the run's own limits)."""
    steps: list[Step] = []
    lengths = _Lengths(prompt_tokens, response_tokens, cfg)

    def do(stage: str, section: Section, *, label: str, **inputs: Any) -> Step:
        given = {port: step for port, step in inputs.items() if isinstance(step, Step)}
        step = _COUNT[stage](section, label, given, lengths)
        steps.append(step)
        return step

    alma(cfg, do)
    return steps


@dataclass(frozen=True, slots=True)
class _Lengths:
    prompt_tokens: int
    response_tokens: int
    cfg: Alma

    @property
    def prompt(self) -> int:
        return min(self.prompt_tokens, self.cfg.synthesize.sampling.max_new_tokens)

    @property
    def response(self) -> int:
        return min(self.response_tokens, self.cfg.respond.sampling.max_new_tokens)

    def row(self, tokens: int) -> int:
        return ROW_BYTES + tokens * BYTES_PER_TOKEN


Count = Callable[[Section, str, dict[str, Step], _Lengths], Step]


def _ingest(cfg: Section, label: str, given: dict[str, Step], lengths: _Lengths) -> Step:
    if isinstance(cfg, IngestModel):
        return Step(label, "ingest")
    rows = cast(IngestRows, cfg).limit or 0
    return Step(label, "ingest", rows=rows, num_bytes=rows * lengths.row(lengths.prompt + lengths.response))


def _synthesize(cfg: Section, label: str, given: dict[str, Step], lengths: _Lengths) -> Step:
    section = cast(Synthesize, cfg)
    rows = section.num_attempts
    shots = (section.min_shots + section.max_shots) // 2
    return Step(
        label,
        "synthesize",
        rows,
        rows * lengths.prompt,
        rows * shots * lengths.prompt,
        rows * lengths.row(lengths.prompt),
        rows,
    )


def _curate(cfg: Section, label: str, given: dict[str, Step], lengths: _Lengths) -> Step:
    rows = given["candidates"].rows
    return Step(label, "curate", rows, num_bytes=rows * lengths.row(lengths.prompt), prompts=rows)


def _embed(cfg: Section, label: str, given: dict[str, Step], lengths: _Lengths) -> Step:
    rows = given["prompts"].rows
    dimensions = cast(Embed, cfg).dimensions
    width = 4096 if dimensions == "all" else dimensions
    return Step(label, "embed", rows, read_tokens=rows * lengths.prompt, num_bytes=rows * (ROW_BYTES + 4 * width))


def _diversify(cfg: Section, label: str, given: dict[str, Step], lengths: _Lengths) -> Step:
    rows = given["prompts"].rows
    assert isinstance(cfg, Diversify)
    return Step(label, "diversify", rows, num_bytes=rows * lengths.row(lengths.prompt), prompts=rows)


def _respond(cfg: Section, label: str, given: dict[str, Step], lengths: _Lengths) -> Step:
    section = cast(Respond, cfg)
    prompts = section.num_prompts or given["prompts"].rows
    rows = prompts * section.num_samples
    models = sum(port in given for port in ("first", "second", "latest"))
    return Step(
        label,
        "respond",
        rows,
        rows * lengths.response,
        prompts * models * lengths.prompt,
        rows * lengths.row(lengths.response) + prompts * lengths.prompt * BYTES_PER_TOKEN,
        prompts,
    )


def _judge(cfg: Section, label: str, given: dict[str, Step], lengths: _Lengths) -> Step:
    source = given["responses"]
    assert isinstance(cfg, Judge)
    read = source.rows * lengths.response + source.prompts * (lengths.prompt + JUDGE_TEMPLATE_TOKENS)
    num_bytes = source.rows * (lengths.row(lengths.response) + 11 * 4)
    return Step(label, "judge", source.rows, 0, read, num_bytes, source.prompts)


def _select(cfg: Section, label: str, given: dict[str, Step], lengths: _Lengths) -> Step:
    sides = 2 if cast(Select, cfg).pairs else 1
    earlier = given["previous"].rows if "previous" in given else 0
    rows = earlier + given["judgements"].prompts
    return Step(label, "select", rows, num_bytes=rows * lengths.row(lengths.prompt + sides * lengths.response))


def _finetune(cfg: Section, label: str, given: dict[str, Step], lengths: _Lengths) -> Step:
    section = cast(Finetune, cfg)
    rows = given["rows"].rows + (given["replay"].rows if "replay" in given else 0)
    # DPO reads both sides of a pair, and each once more with the reference model.
    sides = 4 if section.objective == "dpo" else 1
    tokens = rows * min(section.max_tokens, lengths.prompt + sides * lengths.response)
    return Step(label, "finetune", rows, read_tokens=int(tokens * section.epochs))


def _evaluate(cfg: Section, label: str, given: dict[str, Step], lengths: _Lengths) -> Step:
    rows = given["prompts"].rows
    response = min(lengths.response, cast(Evaluate, cfg).max_new_tokens)
    read = rows * (2 * lengths.prompt + response + JUDGE_TEMPLATE_TOKENS)
    return Step(label, "evaluate", rows, rows * response, read, rows * lengths.row(response))


def _report(cfg: Section, label: str, given: dict[str, Step], lengths: _Lengths) -> Step:
    return Step(label, "report", num_bytes=2_000_000)


_COUNT: dict[str, Count] = {
    "ingest": _ingest,
    "synthesize": _synthesize,
    "curate": _curate,
    "embed": _embed,
    "diversify": _diversify,
    "respond": _respond,
    "judge": _judge,
    "select": _select,
    "finetune": _finetune,
    "evaluate": _evaluate,
    "report": _report,
}


def print_plan(steps: list[Step]) -> None:
    """A line per step, and the sums by stage."""
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 120)  # a pipe has no width, and numbers must not be cut
    table = Table(title="what the run will take")
    for name in ("step", "rows", "tokens generated", "tokens read", "stored"):
        table.add_column(name, justify="left" if name == "step" else "right", no_wrap=True)
    for step in steps:
        table.add_row(step.label, *_cells([step]))
    table.add_section()
    for stage in dict.fromkeys(step.stage for step in steps):
        table.add_row(f"all {stage}", *_cells([step for step in steps if step.stage == stage]))
    table.add_section()
    table.add_row("everything", *_cells(steps))
    console.print(table)
    console.print(
        "Rows of sources without a limit are unknown before they are read and count as 0. The pool is counted before "
        "curation. Models are not counted as stored: each finetune leaves one, the size of the base."
    )


def _cells(steps: list[Step]) -> list[str]:
    totals = (
        sum(step.rows for step in steps),
        sum(step.generated_tokens for step in steps),
        sum(step.read_tokens for step in steps),
    )
    return [*(f"{total:,}" if total else "–" for total in totals), _bytes(sum(step.num_bytes for step in steps))]


def _bytes(amount: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} TB"
