"""What a person calls responses: an artifact, a run, a run file, or a file of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from alma.artifact import Artifact, Ref, Rows
from alma.errors import ConfigError, DataError
from alma.export.place import inside
from alma.monitor import journal
from alma.prompts.conversation import messages
from alma.regular import check_regular, expand
from alma.sheet.item import Item
from alma.sources.columns import Columns
from alma.sources.row import Bad
from alma.sources.rows import SUFFIXES, read_rows
from alma.sources.values import Fault
from alma.store import Store, open_store

LABEL = "judge · respond"
"""The step of ALMA in which the initial checkpoints answer prompts of the pool that no round uses."""


def responses(name: str, store_uri: str) -> tuple[str, list[Item]]:
    """What it is called, and all of its rows that can be rated, in their order; equal ones once.

    ``name`` is ``STAGE/KEY`` or a path into an artifact whose rows have a prompt and a response; a run's name or its
    run file, for the responses of the initial checkpoints; ``RUN:LABEL`` for those of another step; or a file of rows.
    Raises ``ConfigError`` and ``DataError``.
    """
    path = expand(name)
    if path.suffix.lower() in SUFFIXES and inside(name) is None:
        check_regular(path, named=name)
        return path.name, _distinct(_of_file(path))
    uri, ref = _place(name, store_uri)
    artifact = Artifact.open(open_store(uri), ref)
    names = artifact.table(stop=0).column_names if isinstance(artifact, Rows) else []
    if not isinstance(artifact, Rows) or not {"prompt", "response"} <= set(names):
        held = artifact.manifest.schema_name or "files"
        raise DataError(f"{uri}: {ref} has no prompts with responses; it holds {held}")
    return str(ref), _distinct(_of_artifact(artifact, names))


def _place(name: str, store_uri: str) -> tuple[str, Ref]:
    found = inside(name)
    if found is not None:
        return found
    store = open_store(store_uri)
    if name.endswith(".toml"):
        from alma.config import load
        from alma.running.recipe import run_name

        return store_uri, _of_run(store, run_name(load(Path(name), []), Path(name)), LABEL)
    try:
        return store_uri, Ref.parse(name)
    except ValueError as error:
        run, _, label = name.partition(":")
        if run in journal.runs(store):
            return store_uri, _of_run(store, run, label or LABEL)
        raise ConfigError(
            f"{name!r} names no responses: give respond/KEY with --store, a path into it, a run of that store, "
            f"RUN:LABEL, a run file, or a file of rows ({', '.join(SUFFIXES)}); runs there: "
            f"{', '.join(journal.runs(store)[:20]) or 'none'}"
        ) from error


def _of_run(store: Store, run: str, label: str) -> Ref:
    made = journal.sealed(store, run)
    found = next((ref for each, ref in made.items() if journal.slug(each) == journal.slug(label)), None)
    if found is None:
        others = ", ".join(each for each, ref in made.items() if ref.stage == "respond")
        runs = ", ".join(journal.runs(store)[:20])
        raise DataError(
            f"{store.uri}: run {run!r} has not sealed {label!r}; responses that it has: {others or 'none'}; runs there "
            f"(--set gives a run another name): {runs or 'none'}"
        )
    return found


def _of_artifact(rows: Rows, names: Sequence[str]) -> Iterator[Item]:
    wanted = [name for name in ("id", "earlier", "prompt", "response", "checkpoint_id") if name in names]
    for row in rows.table(wanted).to_pylist():
        before = messages(row.get("earlier"))
        yield Item(row["prompt"], row["response"], row["id"], row.get("checkpoint_id"), before)


def _of_file(path: Path) -> Iterator[Item]:
    columns = Columns("pairs", {}, turns="all")
    for row in read_rows(path):
        if isinstance(row, Bad):
            raise DataError(f"{path} line {row.line}: {row.detail}; mend the row or leave it out")
        try:
            given = columns.read(row.values)
        except Fault as fault:
            raise DataError(f"{path} line {row.line}: {fault.detail}; mend the row or leave it out") from fault
        place = f"{path.name} line {row.line}"
        yield Item(given["prompt"], given["response"], place, earlier=tuple(given.get("earlier", ())))


def _distinct(items: Iterator[Item]) -> list[Item]:
    return list({item.id: item for item in items}.values())
