"""The last task of a pipeline, run however it ended: where the run stands, and the newest report that there is."""

from __future__ import annotations

import html
import json
from pathlib import Path

from alma.artifact import Artifact, Ref
from alma.errors import DataError
from alma.monitor import dashboard, journal
from alma.monitor.display import roughly
from alma.monitor.journal import Entry
from alma.running.pod import page
from alma.store import Store, open_store
from alma.store.files import publish
from alma.text.plain import short


def finish(store_uri: str, run: str, *, state: str, out_html: str | None, out_markdown: str | None) -> list[Entry]:
    """Writes the run's last page and its table of steps; returns the steps that did not succeed.

    ``state`` is KFP's ``PipelineTaskFinalStatus`` as JSON, or empty.
    """
    store = open_store(store_uri)
    entries = journal.read(store, run)
    if out_html:
        with publish(Path(out_html)) as file:
            file.write(newest_page(store, run, entries).encode())
    if out_markdown:
        with publish(Path(out_markdown)) as file:
            file.write(summary(entries, run, store.uri, final_state(state)).encode())
    return [entry for entry in entries if entry.state not in ("sealed", "published")]


def final_state(text: str) -> str:
    """Such as ``SUCCEEDED``. Raises ``DataError`` where ``text`` is not what KFP gives an exit task."""
    if not text:
        return "UNKNOWN"
    try:
        return str(json.loads(text)["state"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"--state is not KFP's final status: {text[:200]!r}; leave it out") from error


def newest_page(store: Store, run: str, entries: list[Entry]) -> str:
    """The newest report that was sealed; before that, the steps as a page of their own."""
    for entry in reversed(entries):
        if entry.stage == "report" and entry.state == "sealed" and entry.ref:
            return page(Artifact.open(store, Ref.parse(entry.ref)))
    rows = "".join(
        f"<tr><td>{html.escape(entry.label)}<td>{html.escape(entry.state)}<td>{html.escape(short(entry.message))}"
        for entry in entries
    )
    title = html.escape(title_of(store, run))
    head = f"<!doctype html><meta charset=utf-8><title>{title}</title><h1>{title}: no report yet</h1>"
    return f"{head}<table>{rows}</table>\n"


def title_of(store: Store, run: str) -> str:
    """The method's name and paper, as preflight recorded them; the run's name where it recorded nothing readable."""
    try:
        return str(json.loads(store.read(journal.record(run)))["method"])
    except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
        return run


def summary(entries: list[Entry], run: str, store_uri: str, state: str) -> str:
    """Markdown: the run's state, its faults, its steps."""
    sealed = sum(entry.state == "sealed" for entry in entries)
    text = f"## {state.lower()}: {sealed} steps sealed\n\nrun `{run}` in `{store_uri}`\n\n"
    for entry in entries:
        if entry.message:
            # Indented text is shown as it stands, so that nothing in a message is read as markup.
            indented = "".join(f"    {line}\n" for line in short(entry.message).splitlines())
            text += f"**{entry.label}** {entry.state}:\n\n{indented}\n"
    rows = [
        (
            entry.label + (f" ({entry.shard})" if entry.shard else ""),
            entry.state,
            entry.amount,
            roughly(entry.time - entry.started),
            f"`{entry.ref}`" if entry.ref else "",
        )
        for entry in entries
    ]
    return text + dashboard.table(("step", "state", "done", "took", "artifact"), rows)
