"""What the filters of ``imitate`` kept of what the models wrote, and how diverse it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alma.page.arms import by_arm, over_repeats
from alma.page.comparison import Shown, dots, height, written
from alma.page.figure import SERIES, Chart, Table, colour, draw, key, percent_axis, rounds
from alma.page.numbers import Imitation, Point
from alma.page.section import Section

TITLE = "What the models wrote"
Found = list[tuple[str, list[tuple[int | None, Imitation]]]]

NEAREST = Shown("nearest_rouge", "likeness of a question to its nearest", -1, 3, "five")
DISTINCT = Shown("distinct_words", "distinct words", 1, 1, "three", fraction=True)


def imitation(points: Sequence[Point]) -> Section:
    """Yield by iteration with the reasons of the rest, and two measures of diversity."""
    found: Found = []
    for arm, several in by_arm(points).items():
        wrote = [(point.repeat, point.imitation) for point in several if point.imitation is not None]
        if wrote:
            found.append((arm, wrote))
    if not found:
        return Section("imitation", TITLE, missing="No questions and answers that a model wrote were given.")
    lead = (
        "Questions that a model wrote after a few shots, with its own answers; a filter drops what is too short, too "
        "like another question or unfinished. A yield that falls from one iteration to the next, and questions that "
        "grow alike, are how the method runs dry.",
    )
    charts = (
        _yields(found),
        _diversity(
            found,
            NEAREST,
            "Mean ROUGE-L of a kept question to the nearest other one among seeds and kept questions: higher is less "
            "diverse.",
        ),
        _diversity(found, DISTINCT, "Distinct words over all words of the kept questions; falls with their number."),
    )
    return Section("imitation", TITLE, lead, charts)


def _yields(found: Found) -> Chart:
    """Stacked fractions of the attempts, summed over the repeats of an arm."""
    totals = [sum(each.num_attempts for _, each in several) for _, several in found]
    kept = [sum(each.num_kept for _, each in several) for _, several in found]
    dropped: dict[str, list[int]] = {}
    for place, (_, several) in enumerate(found):
        for _, each in several:
            for reason, num in each.dropped:
                dropped.setdefault(reason, [0] * len(found))[place] += num
    dropped = {reason: counts for reason, counts in dropped.items() if any(counts)}
    labels = [arm for arm, _ in found]

    def paint(axes: Any) -> None:
        axes.grid(visible=False)
        base = [0.0] * len(found)
        roles = ("three", *(role for role in SERIES if role != "three"))
        for at, (name, counts) in enumerate({"kept": kept, **dropped}.items()):
            fractions = [count / max(total, 1) for count, total in zip(counts, totals, strict=True)]
            fade = 0.9 if at < len(roles) else 0.45
            label = name.replace("_", " ")
            axes.bar(
                range(len(found)), fractions, 0.62, bottom=base, color=colour(roles[at % 8]), label=label, alpha=fade
            )
            base = [low + fraction for low, fraction in zip(base, fractions, strict=True)]
        for place, (count, total) in enumerate(zip(kept, totals, strict=True)):
            at_base = {"ha": "center", "va": "bottom", "color": colour("surface"), "fontsize": 8}
            axes.text(place, 0.01, f"{count / max(total, 1):.0%}", **at_base)
        rounds(axes, labels)
        axes.set_xlim(-0.6, len(found) - 0.4)
        axes.set_ylim(0, 1)
        percent_axis(axes)
        key(axes, 3)

    title = "Kept, and dropped by reason"
    caption = (
        "Fraction of the attempts, over all repeats. An attempt counts once, for the first filter that dropped it."
    )
    columns = ("arm", "attempts", "kept", *(reason.replace("_", " ") for reason in dropped))
    rows = tuple(
        (label, f"{totals[i]:,}", f"{kept[i]:,}", *(f"{counts[i]:,}" for counts in dropped.values()))
        for i, label in enumerate(labels)
    )
    return Chart(title, draw("yields", title, paint, height=250), caption, Table(columns, rows))


def _diversity(found: Found, shown: Shown, caption: str) -> Chart:
    means = [over_repeats([(repeat, getattr(each, shown.name)) for repeat, each in several]) for _, several in found]
    names = [arm for arm, _ in found]

    def paint(axes: Any) -> None:
        write = "{:.1%}" if shown.fraction else "{:.3f}"
        dots(axes, names, means, shown.role, write.format)
        if shown.fraction:
            percent_axis(axes, "x")

    title = f"{shown.label[:1].upper()}{shown.label[1:]}"
    rows = tuple((name, written(mean, shown)) for name, mean in zip(names, means, strict=True))
    return Chart(
        title,
        draw(shown.name.replace("_", "-"), title, paint, height=height(len(names))),
        f"{caption} Bars are one standard error over the repeats.",
        Table(("arm", shown.label), rows),
    )
