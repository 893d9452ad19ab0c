"""Methods beside each other: a table of arms and measures, and each measure as dots with whiskers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from alma.artifact.measures import LABELS
from alma.page.arms import Arm, Mean, arms
from alma.page.difference import Difference, against_others
from alma.page.figure import Chart, Table, colour, draw, percent_axis
from alma.page.numbers import Point
from alma.page.section import Section
from alma.page.text import percent, signed
from alma.statistics import t_interval
from alma.text.visible import visible

TITLE = "Methods compared"
SINGLE = "*"
"""Marks an error over prompts in tables."""


@dataclass(frozen=True, slots=True)
class Shown:
    """How a measure is written: ``better`` is +1 where more is better, -1 where less is, 0 where neither is."""

    name: str
    label: str
    better: int
    digits: int
    role: str
    fraction: bool = False
    caption: str = ""


SHOWN = (
    Shown(
        "exact_match",
        LABELS["exact_match"],
        1,
        1,
        "one",
        True,
        "Exact match: fraction of the answers that equal the reference.",
    ),
    Shown(
        "harmful", LABELS["harmful"], -1, 1, "six", True, "Fraction of the answers that the classifier finds harmful."
    ),
    Shown(
        "rouge_difference",
        LABELS["rouge_difference"],
        1,
        3,
        "three",
        caption="Best ROUGE-L with a true reference minus best with a false one, averaged over the answers.",
    ),
    Shown(
        "fraction_truthful",
        LABELS["fraction_truthful"],
        1,
        1,
        "seven",
        True,
        "Fraction of answers nearer to a true reference.",
    ),
    Shown("judge_score", LABELS["judge_score"], 1, 2, "two", caption="The judge's real-valued score, 0 to 10."),
    Shown(
        "response_tokens",
        LABELS["response_tokens"],
        0,
        1,
        "eight",
        caption="Length of the answers, end token included: no merit by itself, and a reason to doubt other columns.",
    ),
    Shown(
        "fraction_ended",
        LABELS["fraction_ended"],
        0,
        1,
        "four",
        True,
        "Fraction of the answers that ended before the token limit.",
    ),
)
"""The measures of the comparison, the first that an arm has being the one it is ranked by."""

OVERLAP = (
    Shown("prompts_seen", "the same prompt", 0, 1, "five", True),
    Shown("prompts_near", "with a ROUGE-L of 0.7 or more", 0, 1, "five", True),
)

_GIVEN_AWAY = {
    "prompts_seen": "are among the seeds",
    "prompts_near": "have a ROUGE-L of 0.7 or more with one",
}


def comparison(points: Sequence[Point]) -> Section:
    """The table and a panel per measure."""
    compared = arms(points)
    if not compared:
        return Section("comparison", TITLE, missing="No evaluation was given to this report.")
    shown = present(compared, SHOWN)
    prompts = max(mean.num for arm in compared for mean in arm.means.values())
    lead = [f"{len(compared)} arms, {prompts:,} held-out prompts, answered greedily. {errors(compared)}"]
    still = [
        visible(arm.name) for arm in compared if arm.repeats > 1 and all(mean.error == 0 for mean in arm.means.values())
    ]
    if still:
        lead.append(f"Nothing is drawn at random in {', '.join(still)}: equal repeats, and so no spread.")
    tables = [("Means ± standard errors", table(compared, shown))]
    if found := differences(compared):
        tables.append(found)
    told, listed = overlap(compared)
    if listed is not None:
        tables.append((told, listed))
    elif told:
        lead.append(told)
    charts = tuple(_dots(each, compared) for each in shown)
    return Section("comparison", TITLE, tuple(lead), charts, wide=tuple(tables))


def errors(compared: Sequence[Arm]) -> str:
    """What the errors are, in words."""
    over = {mean.over for arm in compared for mean in arm.means.values()}
    if over == {"prompts"}:
        return "Every arm was run once: errors are standard errors over prompts; what another seed changes is unknown."
    counts = sorted({arm.repeats for arm in compared if arm.repeats > 1})
    times = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    once = f"; those marked {SINGLE}, of arms that were run once, are over prompts" if "prompts" in over else ""
    quantiles = [f"{t_interval(0.0, 1.0, count - 1)[1]:.1f} of {count} repeats" for count in dict.fromkeys(counts)]
    few = f" A 95% interval is as many of them to each side as Student's t says: {', '.join(quantiles)}."
    return (
        f"Errors are standard errors over {times} repeats, each with a seed of its own{once}.{few} What other prompts "
        "would change is not in an error over repeats."
    )


def ranking(compared: Sequence[Arm]) -> tuple[Shown, list[Arm]] | None:
    """The first measure by which arms are better or worse, and the arms by it, best first."""
    first = next((each for each in present(compared, SHOWN) if each.better), None)
    if first is None:
        return None
    having = [arm for arm in compared if first.name in arm.means]
    return first, sorted(having, key=lambda arm: -first.better * arm.means[first.name].value)


def differences(compared: Sequence[Arm]) -> tuple[str, Table] | None:
    """The best arm minus each other, with intervals and p-values; ``None`` of a single arm."""
    found = ranking(compared)
    if found is None or len(found[1]) < 2:
        return None
    shown, (best, *others) = found
    against = against_others(best, others, shown.name)
    scale, tries = 100 if shown.fraction else 1, sum(not math.isnan(each.p) for each in against)
    rows = tuple(
        (each.other, _signed(scale * each.value, shown), *_told(each, scale, shown), each.paired) for each in against
    )
    unit = " in points" if shown.fraction else ""
    title = (
        f"“{shown.label}”: {visible(best.name)} minus each other arm{unit}; {tries} comparisons, p-values adjusted for "
        "their number (Holm)"
    )
    return title, Table(("arm", "difference", "95% interval (Student's t)", "p", "paired"), rows)


def _told(each: Difference, scale: float, shown: Shown) -> tuple[str, str]:
    if math.isnan(each.p):
        return "–", "–"
    low, high = (_signed(scale * end, shown) for end in (each.low, each.high))
    return f"{low} to {high}", "< 0.001" if each.p < 0.001 else f"{each.p:.3f}"


def _signed(value: float, shown: Shown) -> str:
    return signed(value, shown.digits)


def overlap(compared: Sequence[Arm]) -> tuple[str, Table | None]:
    """The evaluation prompts that the seeds give away: a sentence where it is the same for all arms, else a table."""
    known = [[arm.means[each.name].value for each in OVERLAP if each.name in arm.means] for arm in compared]
    if not any(known):
        return "", None
    if all(values == known[0] for values in known):
        means = compared[0].means
        told = [f"{percent(means[name].value)} {words}" for name, words in _GIVEN_AWAY.items() if name in means]
        return f"Of the prompts, {'; '.join(told)}.", None
    return "Evaluation prompts among the seeds", table(compared, present(compared, OVERLAP))


def present(compared: Sequence[Arm], among: Sequence[Shown]) -> list[Shown]:
    """The measures that at least one arm has."""
    return [each for each in among if any(each.name in arm.means for arm in compared)]


def table(compared: Sequence[Arm], shown: Sequence[Shown]) -> Table:
    """Arms × measures."""
    marked = len({mean.over for arm in compared for mean in arm.means.values()}) > 1
    columns = ("arm", "repeats", *(f"{each.label}{_arrow(each)}" for each in shown))
    rows = tuple(
        (arm.name, f"{arm.repeats}", *(written(arm.means.get(each.name), each, marked=marked) for each in shown))
        for arm in compared
    )
    return Table(columns, rows)


def written(mean: Mean | None, shown: Shown, *, marked: bool = False) -> str:
    """``61.2% ± 1.3``; a dash for nothing, ``*`` for an error over prompts beside errors over repeats."""
    if mean is None:
        return "–"
    scale = 100 if shown.fraction else 1
    value = f"{scale * mean.value:.{shown.digits}f}".replace("-", "−") + ("%" if shown.fraction else "")
    if mean.error is None:
        return value
    star = SINGLE if marked and mean.over == "prompts" else ""
    return f"{value} ± {scale * mean.error:.{shown.digits}f}{star}"


def dots(axes: Any, names: Sequence[str], means: Sequence[Mean], role: str, write: Callable[[float], str]) -> None:
    """A row per arm, the first on top: its mean with its standard error, its repeats as faint dots."""
    places = [-i for i in range(len(names))]
    for place, mean in zip(places, means, strict=True):
        if len(mean.values) > 1:
            each = [value for _, value in mean.values]
            axes.plot(each, [place] * len(each), "o", color=colour(role), alpha=0.35, markersize=3.5, markeredgewidth=0)
        error = mean.error or 0.0
        axes.plot([mean.value - error, mean.value + error], [place, place], color=colour(role), linewidth=2)
        axes.plot([mean.value], [place], "o", color=colour(role), markeredgecolor=colour("surface"), zorder=4)
        at = {"xytext": (0, 6), "textcoords": "offset points", "ha": "center", "fontsize": 8}
        axes.annotate(write(mean.value), (mean.value, place), **at)
    axes.set_yticks(places, [visible(name) if len(name) <= 24 else visible(name)[:23] + "…" for name in names])
    axes.set_ylim(places[-1] - 0.6, 0.8)
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.12)


def height(num_arms: int) -> float:
    """Points that ``dots`` of this many arms need."""
    return 46 + 26 * num_arms


def _dots(shown: Shown, compared: Sequence[Arm]) -> Chart:
    found = [(arm.name, arm.means[shown.name]) for arm in compared if shown.name in arm.means]

    def paint(axes: Any) -> None:
        write = f"{{:.{shown.digits}%}}" if shown.fraction else f"{{:.{shown.digits}f}}"
        dots(axes, [name for name, _ in found], [mean for _, mean in found], shown.role, write.format)
        if shown.fraction:
            axes.set_xlim(max(axes.get_xlim()[0], -0.06), min(axes.get_xlim()[1], 1.06))
            percent_axis(axes, "x")

    title = f"{shown.label[:1].upper()}{shown.label[1:]}{_arrow(shown)}"
    caption = f"{shown.caption} Bars are one standard error to each side; faint dots are the repeats."
    svg = draw(f"comparison-{shown.name}", title, paint, height=height(len(found)))
    return Chart(title, svg, caption, None)


def _arrow(shown: Shown) -> str:
    return {1: " ↑", -1: " ↓", 0: ""}[shown.better]
