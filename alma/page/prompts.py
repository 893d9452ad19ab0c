"""The pool of prompts: where it lies, how its clusters fill, what it and other sets had in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from alma.page import overlaps
from alma.page.figure import SERIES, Chart, Table, colour, draw, having
from alma.page.numbers import Point, Prompts
from alma.page.section import Section


def prompts(points: Sequence[Point]) -> Section:
    """Map and cluster sizes of the pool."""
    found = having(points, "prompts")
    if not found:
        return Section("prompts", "The prompts", missing="The pool of prompts was not given.")
    it = found[-1].prompts
    assert it is not None
    lead = [
        f"{it.num:,} synthesized prompts in {it.num_clusters:,} clusters, which are as diverse as "
        f"{it.effective_clusters:,.0f} clusters of equal size."
    ]
    charts = [_sizes(it)]
    if it.x:
        charts.insert(0, _map(it))
        lead.append("A round takes at most one prompt from each.")
    else:
        lead.append("They were drawn without embeddings, so there is no map.")
    shared = overlaps.table(points)
    return Section("prompts", "The prompts", tuple(lead), tuple(charts), wide=(shared,) if shared else ())


def _map(it: Prompts) -> Chart:
    kinds = np.array(it.cluster) % len(SERIES)

    def paint(axes: Any) -> None:
        axes.grid(visible=False)
        for kind, role in enumerate(SERIES):
            here = kinds == kind
            axes.scatter(np.array(it.x)[here], np.array(it.y)[here], s=5, color=colour(role), alpha=0.6, linewidth=0)
        axes.set(xticks=[], yticks=[])
        axes.spines["bottom"].set_visible(False)

    title = "Map of the prompts"
    caption = (
        f"{len(it.x):,} prompts on the first two principal components of their embeddings: near means alike to the "
        "base model; colours are clusters and repeat after eight."
    )
    rows = (("prompts shown", f"{len(it.x):,}"), ("clusters among them", f"{len(set(it.cluster)):,}"))
    return Chart(title, draw("map", title, paint, height=250), caption, Table(("", ""), rows))


def _sizes(it: Prompts) -> Chart:
    ranks = np.unique(np.linspace(1, it.num_clusters, len(it.sizes)).round())

    def paint(axes: Any) -> None:
        axes.fill_between(ranks, it.sizes, step="mid", color=colour("seven"), alpha=0.25, linewidth=0)
        axes.step(ranks, it.sizes, where="mid", color=colour("seven"), linewidth=1.6)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("cluster, largest first")
        axes.set_ylabel("prompts")

    title = "Cluster sizes"
    sizes = np.array(it.sizes)
    rows = tuple(
        (f"{int(ranks[i]):,}", f"{it.sizes[i]:,}")
        for i in np.unique(np.linspace(0, len(it.sizes) - 1, min(12, len(it.sizes))).round().astype(int))
    )
    caption = (
        f"Prompts per cluster, from {sizes.max():,} down to {sizes.min():,}: drawing one from each flattens what the "
        "base model writes too often."
    )
    return Chart(title, draw("clusters", title, paint, height=250), caption, Table(("rank", "prompts"), rows))
