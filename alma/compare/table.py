"""The last points of runs side by side, with differences to the first run, as CSV, as Markdown and in words."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

from alma.compare.outside import OutsideRow, outside_table
from alma.compare.runs import Run
from alma.page.headline import Headline, Tile, paired
from alma.page.numbers import Estimate
from alma.page.text import interval, percent, percent_interval, signed_interval
from alma.text.visible import visible
from alma.win_rate import WinRate, win_rate


class Row(NamedTuple):
    """One run at its last evaluated point. Intervals are 95%; differences are to the first run, paired by prompt."""

    run: str
    point: str
    num_prompts: int
    correct: Estimate | None
    score: Estimate | None
    tokens: Estimate | None
    correct_difference: Estimate | None
    """``None`` where the two runs were evaluated on other prompts, or without references."""
    score_difference: Estimate | None
    score_wins: WinRate | None
    """How often the judges' scores prefer its answers to the first run's; equal scores count one half. Each run's are
    by its own judge."""


def rows(runs: Sequence[Run]) -> list[Row]:
    """A row per run, in order."""
    _, first = runs[0].evaluated[-1]
    found = []
    for run in runs:
        point, last = run.evaluated[-1]
        other = run is not runs[0]
        wins = None
        if other and last.prompts_digest == first.prompts_digest:
            pairs = [(a, b) for a, b in zip(first.scores, last.scores, strict=True) if a is not None and b is not None]
            wins = win_rate([(b > a) + 0.5 * (b == a) for a, b in pairs]) if pairs else None
        found.append(
            Row(
                run.name,
                point.label,
                last.num_prompts,
                last.exact_match,
                last.score,
                last.tokens,
                paired(first, last, "correct") if other else None,
                paired(first, last, "scores") if other else None,
                wins,
            )
        )
    return found


def as_csv(found: Sequence[Row], outside: Sequence[OutsideRow] = ()) -> str:
    """Every number, in columns; an empty field is one that there is not. So are outside measures."""
    text = io.StringIO()
    estimates = ("correct", "score", "tokens", "correct_difference", "score_difference", "score_wins")
    measures = list(dict.fromkeys(row.measure for row in outside))
    theirs = {(row.measure, row.run): (row.value, row.difference) for row in outside}
    names = [*estimates, *(f"{name}{what}" for name in measures for what in ("", ", difference"))]
    columns = [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "point", "num_prompts", *columns])
    for row in found:
        cells = [cell for name in estimates for cell in _three(getattr(row, name))]
        for name in measures:
            cells += [cell for each in theirs.get((name, row.run), (None, None)) for cell in _three(each)]
        writer.writerow([row.run, row.point, row.num_prompts, *cells])
    return text.getvalue()


def _three(estimate: Estimate | WinRate | None) -> list[float | str]:
    if estimate is None:
        return ["", "", ""]
    middle = estimate.mean if isinstance(estimate, WinRate) else estimate.value
    return [middle, *("" if each is None else each for each in (estimate.low, estimate.high))]


COLUMNS = ("run", "point", "prompts", "correct", "judge's score", "tokens", "correct, difference", "score, difference")


def cells(row: Row) -> tuple[str, ...]:
    """A row as people read it, in ``COLUMNS``."""
    return (
        row.run,
        row.point,
        f"{row.num_prompts:,}",
        percent_interval(row.correct),
        interval(row.score),
        interval(row.tokens, 1),
        signed_interval(row.correct_difference, 100, 1),
        signed_interval(row.score_difference, 1, 2),
    )


def as_markdown(found: Sequence[Row], outside: Sequence[OutsideRow] = ()) -> str:
    """A table for an issue or a page, and one of outside scores; differences of correct answers in points."""
    own = _lines(COLUMNS, [cells(row) for row in found])
    if not outside:
        return own
    table = outside_table(outside)
    return f"{own}\n{_lines(table.columns, table.rows)}"


def _lines(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(_cell(text) for text in line) + " |\n" for line in lines)


def _cell(text: str) -> str:
    plain = "".join(c if c.isprintable() else " " for c in text)
    return plain.replace("|", "\\|").replace("<", "&lt;")


def head(runs: Sequence[Run]) -> Headline:
    """What is compared, how, and what to beware of."""
    found = rows(runs)
    sentences = [
        f"{len(runs)} runs at their last evaluated points, each compared with {visible(found[0].run)}.",
        "Differences are paired by prompt, with 95% intervals over prompts: they say nothing about another seed.",
    ]
    tiles = []
    for row in found[:6]:
        if row.correct is not None:
            tiles.append(Tile(visible(row.run), percent(row.correct.value), f"correct answers · {visible(row.point)}"))
        elif row.score is not None:
            tiles.append(Tile(visible(row.run), f"{row.score.value:.2f}", f"judge's score · {visible(row.point)}"))
    warnings = []
    digests = {run.evaluated[-1][1].prompts_digest for run in runs}
    if len(digests) > 1:
        warnings.append("The runs were not all evaluated on the same prompts: only those that were are paired.")
    if sum(row.score is not None for row in found) > 1:
        warnings.append(
            "A judge's score is by the judge of that run. Scores of runs with judges of their own are not comparable."
        )
    if len(runs) > 2:
        warnings.append(
            f"{len(runs) - 1} comparisons were made: one in twenty of such intervals misses the truth by chance."
        )
    return Headline(tuple(sentences), tuple(tiles), tuple(warnings))
