"""What the rounds sampled and what they kept: duplicates, spread, and who wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alma.page.figure import Chart, Table, colour, draw, key, percent_axis, rounds, series
from alma.page.numbers import Checkpoint, Estimate, Point, Sampling
from alma.page.section import Section
from alma.page.text import interval, percent, percent_interval
from alma.text.visible import visible

TITLE = "Samples and selection"
WRITERS = ("initial a", "initial b", "latest", "others")


def selection(points: Sequence[Point]) -> Section:
    """Four panels over the rounds that sampled."""
    found = [(point, point.sampling) for point in points if point.sampling is not None]
    if not found:
        return Section("selection", TITLE, missing="No round has sampled responses yet.")
    point, now = found[-1]
    lead = [
        f"In {visible(point.label)}, {now.num_responses:,} responses to {now.num_prompts:,} prompts were drawn, "
        f"{now.num_responses / max(now.num_prompts, 1):.0f} to each."
    ]
    if point.selection is not None:
        rows = "preference pairs" if point.selection.kind == "pairs" else "best responses"
        lead.append(
            f"{point.selection.num:,} {rows} were kept up to here, {point.selection.num_new:,} of them of this round."
        )
    lead.append(_marked(found))
    labels = [point.label for point, _ in found]
    charts = [_distinct(found, labels), _spread(found, labels), _writers(found, labels), _tokens(found, labels)]
    return Section("selection", TITLE, tuple(lead), tuple(chart for chart in charts if chart))


Found = list[tuple[Point, Sampling]]


def _marked(found: Found) -> str:
    """Of responses that spell a template's marker otherwise than the template does, so that it did not end them."""
    marked, drawn = sum(each.num_marked for _, each in found), sum(each.num_responses for _, each in found)
    if not marked:
        return "No response holds a marker of the chat template or of the judge's."
    by_round = ", ".join(f"{visible(point.label)}: {each.num_marked:,}" for point, each in found if each.num_marked)
    return (
        f"{marked:,} of all {drawn:,} responses hold a marker of the chat template or of the judge's in another "
        f"spelling, and were left out ({by_round}): a judge may take what stands behind it for a rating of its own."
    )


def _lines(
    name: str,
    title: str,
    labels: list[str],
    lines: list[tuple[str, str, list[Estimate | None]]],
    caption: str,
    *,
    fractions: bool = False,
) -> Chart:
    def paint(axes: Any) -> None:
        for label, role, estimates in lines:
            series(axes, range(len(labels)), estimates, role, label)
        rounds(axes, labels)
        axes.margins(y=0.25)
        if fractions:
            percent_axis(axes)
        key(axes, len(lines))

    write = percent_interval if fractions else interval
    rows = tuple((label, *(write(values[i]) for _, _, values in lines)) for i, label in enumerate(labels))
    return Chart(title, draw(name, title, paint), caption, Table(("point", *(label for label, _, _ in lines)), rows))


def _distinct(found: Found, labels: list[str]) -> Chart:
    kept = [point.selection.distinct if point.selection else None for point, _ in found]
    lines = [("of a prompt", "one", [each.distinct for _, each in found]), ("of all selected", "four", kept)]
    caption = (
        "Fraction of the responses to a prompt that differ from each other, and of all selected responses so far: "
        "where the first falls, drawing more samples buys less."
    )
    return _lines(
        "distinct", "Distinct responses", labels, [line for line in lines if any(line[2])], caption, fractions=True
    )


def _spread(found: Found, labels: list[str]) -> Chart:
    lines = [
        ("best", "three", [each.best for _, each in found]),
        ("mean", "two", [each.average for _, each in found]),
        ("worst", "eight", [each.worst for _, each in found]),
    ]
    caption = (
        "The judge's best, mean and worst score of a prompt, averaged over prompts: best minus mean is what selection "
        "gains."
    )
    return _lines("spread", "Score spread within a prompt", labels, [line for line in lines if any(line[2])], caption)


def _tokens(found: Found, labels: list[str]) -> Chart | None:
    kept = [point.selection.tokens_new if point.selection else None for point, _ in found]
    lines = [("sampled", "eight", [each.tokens for _, each in found]), ("selected", "three", kept)]
    lines = [line for line in lines if any(line[2])]
    caption = (
        "Mean length in tokens of what was sampled and of what was selected: a gap is the judge's taste in length."
    )
    return _lines("tokens", "Length, sampled and selected", labels, lines, caption) if lines else None


def _writers(found: Found, labels: list[str]) -> Chart | None:
    """Stacked fractions of the selected responses."""
    if not any(each.checkpoints for _, each in found):
        return None
    initial = _initial(found[0][1])
    kinds = [_kinds(each.checkpoints, initial) for _, each in found]
    shown = [name for name in WRITERS if any(name in each for each in kinds)]

    def paint(axes: Any) -> None:
        axes.grid(visible=False)
        left = [0.0] * len(found)
        for role, name in zip(("one", "seven", "two", "eight"), WRITERS, strict=True):
            if name not in shown:
                continue
            widths = [fraction.get(name, (0.0, 0.0))[1] for fraction in kinds]
            axes.bar(range(len(found)), widths, 0.62, bottom=left, color=colour(role), label=name, alpha=0.9)
            for place, (low, width) in enumerate(zip(left, widths, strict=True)):
                if width > 0.08:
                    text = percent(width, 0)
                    axes.text(
                        place, low + width / 2, text, ha="center", va="center", color=colour("surface"), fontsize=8
                    )
            left = [low + width for low, width in zip(left, widths, strict=True)]
        rounds(axes, labels)
        axes.set_xlim(-0.6, len(found) - 0.4)
        axes.set_ylim(0, 1)
        percent_axis(axes)
        key(axes, len(shown))

    rows = tuple(
        (label, *(f"{percent(each[n][1])} of {percent(each[n][0])}" if n in each else "–" for n in shown))
        for label, each in zip(labels, kinds, strict=True)
    )
    title = "Who wrote what was selected"
    caption = (
        "Fraction of the selected responses by the checkpoint that wrote them; the table has each one's fraction of "
        "the samples beside it, so that a checkpoint that wins more often than it writes can be seen."
    )
    columns = ("point", *(f"{name}: selected of sampled" for name in shown))
    return Chart(title, draw("writers", title, paint), caption, Table(columns, rows))


def writers(points: Sequence[Point]) -> dict[str, str]:
    """Checkpoint → how the page names it, for the latest round that sampled."""
    found = [point.sampling for point in points if point.sampling is not None]
    return _names(found[-1].checkpoints, _initial(found[0])) if found else {}


def _initial(first: Sampling) -> list[str]:
    """The first round's checkpoints are the initial ones, in the order in which they answered."""
    return [each.id for each in first.checkpoints][:2]


def _names(checkpoints: Sequence[Checkpoint], initial: list[str]) -> dict[str, str]:
    new = [each.id for each in checkpoints if each.id not in initial]
    names = {each: WRITERS[place] for place, each in enumerate(initial)}
    return names | {each: WRITERS[2 if place == 0 else 3] for place, each in enumerate(new)}


def _kinds(checkpoints: Sequence[Checkpoint], initial: list[str]) -> dict[str, tuple[float, float]]:
    """Kind of writer → its fractions of the sampled and of the selected responses."""
    sampled, selected = sum(each.sampled for each in checkpoints), sum(each.selected for each in checkpoints)
    names = _names(checkpoints, initial)
    fractions: dict[str, tuple[float, float]] = {}
    for each in checkpoints:
        before = fractions.get(names[each.id], (0.0, 0.0))
        fractions[names[each.id]] = (
            before[0] + each.sampled / max(sampled, 1),
            before[1] + each.selected / max(selected, 1),
        )
    return fractions
