"""Charts: matplotlib draws, the page's style sheet colours.

Every colour is a role. matplotlib is given a stand-in for it, which becomes ``var(--role)`` in the SVG, so that one
drawing serves light, dark and paper. Text stays text, and equal numbers give equal bytes.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup, escape
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from alma.page.numbers import Estimate, Point
from alma.text.visible import visible

COLOURS = {
    "ink": "#1b2330",
    "muted": "#5a6675",
    "grid": "#e2e6eb",
    "surface": "#fdfdfe",
    "one": "#0a66b0",
    "two": "#cc5500",
    "three": "#0b8a63",
    "four": "#8a4fb0",
    "five": "#a87b00",
    "six": "#c23f7c",
    "seven": "#14828f",
    "eight": "#6b7685",
}
"""Role → its stand-in. The colours that are seen are in ``style.css``."""

SERIES = ("one", "two", "three", "four", "five", "six", "seven", "eight")
"""Told apart with the common colour deficiencies, in this order (after Okabe and Ito)."""

WIDTH, HEIGHT = 340.0, 218.0
"""Points. One panel is as wide as a phone, so its text is never scaled down."""

_STYLE = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.parse_math": False,
    "text.color": COLOURS["ink"],
    "axes.edgecolor": COLOURS["muted"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": COLOURS["grid"],
    "grid.linewidth": 0.8,
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 3.0,
    "ytick.major.size": 0.0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 1.4,
    "lines.linewidth": 2.0,
    "lines.markersize": 5.0,
}


@dataclass(frozen=True, slots=True)
class Table:
    """The numbers of a chart, for those who would rather read them."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A panel: one drawing, one sentence on how to read it, and its numbers."""

    title: str
    svg: Markup
    caption: str
    table: Table | None
    """``None`` where the section shows it anyway."""


def colour(role: str) -> str:
    """What to hand matplotlib for ``role``."""
    return COLOURS[role]


def draw(name: str, title: str, paint: Callable[[Any], None], width: float = WIDTH, height: float = HEIGHT) -> Markup:
    """Inline SVG of what ``paint(axes)`` draws. ``name`` is unique on the page; ``title`` is read to the blind."""
    return _draw(name, title, lambda figure: paint(figure.subplots()), width, height)


def multiples(name: str, title: str, paints: Sequence[tuple[str, Callable[[Any], None]]], columns: int = 3) -> Markup:
    """Inline SVG of small panels side by side, (heading, ``paint(axes)``) each, that share both their axes."""
    columns = min(columns, len(paints))
    rows = -(-len(paints) // columns)

    def paint_all(figure: Figure) -> None:
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for place, axes in enumerate(grid.flat):
            if place >= len(paints):
                axes.remove()
                continue
            heading, paint = paints[place]
            paint(axes)
            axes.set_title(heading, fontsize=8.5, loc="left", pad=3)
            axes.tick_params(labelsize=7.5, labelbottom=place + columns >= len(paints))

    return _draw(name, title, paint_all, WIDTH, 22 + 78 * rows)


def key(axes: Any, columns: int = 2) -> None:
    """What the lines are, above the drawing: within it, the bars of an interval would run through the words."""
    axes.figure.legend(loc="outside upper left", ncols=columns)


def _draw(name: str, title: str, paint: Callable[[Figure], None], width: float, height: float) -> Markup:
    with mpl.rc_context(_STYLE | {"svg.hashsalt": name}), warnings.catch_warnings():
        # The browser draws the text with its own fonts; ours only measure it.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
        FigureCanvasSVG(figure)
        paint(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _inline(buffer.getvalue(), title)


def _inline(svg: str, title: str) -> Markup:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style type=.*?</style>", "", svg, flags=re.DOTALL)
    used = set(re.findall(r"#([A-Za-z][\w-]*)[\")]", svg))
    svg = re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in used else "", svg)
    roles = {value: role for role, value in COLOURS.items()}
    svg = re.sub(r"(: )(#[0-9a-f]{6})(?=[;\"])", lambda match: f"{match[1]}var(--{roles[match[2]]})", svg)
    svg = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font: \1 var(--sans)", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg)
    return Markup(svg.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1).strip())  # noqa: S704


def rounds(axes: Any, labels: Sequence[str]) -> None:
    """A horizontal axis of points, by name; slanted where the names are long, thinned where they are many."""
    shown = [visible(label) if len(label) <= 16 else visible(label)[:15] + "…" for label in labels]
    if sum(label.startswith("round ") for label in shown) > 1:
        shown = [label.removeprefix("round ") for label in shown]
        axes.set_xlabel("round")
    step = -(-len(shown) // 12)
    places = list(range(0, len(shown), step))
    slanted = sum(len(shown[i]) for i in places) > 44
    axes.set_xticks(places, [shown[i] for i in places], **({"rotation": 32, "ha": "right"} if slanted else {}))
    axes.set_xlim(-0.35, len(shown) - 0.65)
    axes.tick_params(axis="x", length=0)


def series(axes: Any, x: Sequence[float], estimates: Sequence[Estimate | None], role: str, label: str = "") -> None:
    """A line through the estimates with their intervals as bars."""
    found = [(place, each) for place, each in zip(x, estimates, strict=True) if each is not None]
    places, values = [place for place, _ in found], [each.value for _, each in found]
    below = [each.value - (each.value if each.low is None else each.low) for _, each in found]
    above = [(each.value if each.high is None else each.high) - each.value for _, each in found]
    axes.plot(places, values, color=colour(role), label=label or None, zorder=3)
    axes.errorbar(places, values, (below, above), fmt="none", ecolor=colour(role), elinewidth=1.3, alpha=0.55)
    axes.plot(places, values, "o", color=colour(role), markeredgecolor=colour("surface"), markeredgewidth=1.2, zorder=4)


def band(axes: Any, x: Sequence[float], estimates: Sequence[Estimate], role: str, label: str) -> None:
    """A line with its interval as a shaded band, named at its right end."""
    values = np.array([each.value for each in estimates])
    low = np.array([each.value if each.low is None else each.low for each in estimates])
    high = np.array([each.value if each.high is None else each.high for each in estimates])
    axes.fill_between(x, low, high, color=colour(role), alpha=0.16, linewidth=0)
    axes.plot(x, values, "o-", color=colour(role), markersize=3.5, label=label)


def focus(
    axes: Any, estimates: Sequence[Estimate | None], write: Callable[[float], str]
) -> tuple[Estimate | None, ...]:
    """Where the first of several estimates (the base model) lies far off, writes it at the edge and leaves it out."""
    first, *others = estimates
    found = [each for each in others if each is not None]
    if first is None or len(found) < 2:
        return tuple(estimates)
    low = min(each.value if each.low is None else each.low for each in found)
    high = max(each.value if each.high is None else each.high for each in found)
    span = high - low
    if low - 1.5 * span <= first.value <= high + 1.5 * span:
        return tuple(estimates)
    below = first.value < low
    text = f"{write(first.value)}\n↓" if below else f"↑\n{write(first.value)}"
    edge, align = (0.03, "bottom") if below else (0.97, "top")
    where = axes.get_xaxis_transform()
    axes.text(0, edge, text, transform=where, ha="center", va=align, fontsize=8.5, color=colour("muted"))
    return (None, *others)


def percent_axis(axes: Any, which: str = "y") -> None:
    """Writes fractions as percentages, at round values."""
    from matplotlib.ticker import MaxNLocator

    low, high = getattr(axes, f"get_{which}lim")()
    digits = 0 if high - low > 0.05 else 1
    axis = getattr(axes, f"{which}axis")
    axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(lambda value, _: f"{100 * value:.{digits}f}%")


def having(points: Sequence[Point], name: str) -> list[Point]:
    """The points that have this kind of numbers."""
    return [point for point in points if getattr(point, name) is not None]
