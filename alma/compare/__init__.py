"""Runs side by side: one page, one table.

::

    runs     what a person calls a run → its numbers (``report.json``)
    outside  what outside evaluators say of the last points
    table    the last points of all runs, with differences to the first run
    charts   the curves of all runs in one drawing
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alma.compare.charts import sections
from alma.compare.outside import outside_rows
from alma.compare.runs import Run, find
from alma.compare.table import as_csv, as_markdown, head, rows
from alma.errors import ConfigError
from alma.page import document
from alma.store.files import publish

__all__ = ["Run", "compare"]

FILES = ("compare.html", "compare.csv", "compare.md")


def compare(names: Sequence[str], out: Path, *, store_uri: str) -> list[Run]:
    """Writes ``compare.html``, ``.csv`` and ``.md`` of the runs ``names`` (see ``find``) into folder ``out``.

    The first run is what the others are compared with. Raises ``ConfigError`` for fewer than two, or one twice, and
    ``DataError`` for what is no run.
    """
    if len(names) < 2:
        raise ConfigError(f"{', '.join(names)}: it takes two runs to compare; name another, as alma status does")
    runs = find(names, store_uri)
    found, outside = rows(runs), outside_rows(runs)
    label = " · ".join(run.name for run in runs)
    page = document("Runs side by side", label, head(runs), sections(runs, found), numbers="compare.csv")
    for name, text in zip(FILES, (page, as_csv(found, outside), as_markdown(found, outside)), strict=True):
        with publish(out / name) as file:
            file.write(text.encode())
    return runs
