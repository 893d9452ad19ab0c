"""What a person calls a model: an artifact's name, any path or address into it, a run and a step of that."""

from __future__ import annotations

import re
from collections.abc import Mapping

from alma.artifact import KEY_CHARS, Ref, find_manifest
from alma.errors import ConfigError, DataError
from alma.monitor import journal
from alma.pace import BETWEEN
from alma.store import Store, open_store

_INSIDE = re.compile(rf"(?P<store>.+)/(?P<stage>[a-z_]+)/(?P<key>[0-9a-f]{{{KEY_CHARS}}})(?:/.*)?")


def place(text: str, store_uri: str) -> tuple[str, Ref]:
    """The store and the artifact that ``text`` names.

    It is ``finetune/KEY`` in ``store_uri``; what a path such as ``alma run`` prints names; the name of a run in that
    store, for its latest model that is no judge; or ``RUN:LABEL``, for the model of one step or layer of it. Raises
    ``ConfigError`` where it is none of these, ``DataError`` where the run has no such model.
    """
    found = inside(text)
    if found is not None:
        return found
    try:
        return store_uri, Ref.parse(text)
    except ValueError as error:
        run, _, label = text.partition(":")
        store = open_store(store_uri)
        runs = journal.runs(store)
        if run in runs:
            return store_uri, _of_run(store, run, label)
        raise ConfigError(
            f"{text!r} names no model: give what alma run prints for it (a path with finetune/ and 20 hex digits), "
            "finetune/KEY with --store, or a run of that store with its latest model, or RUN:LABEL; runs there: "
            f"{', '.join(runs[:20]) or 'none'}"
        ) from error


def inside(text: str) -> tuple[str, Ref] | None:
    """The store and the artifact that a path or address into an artifact names; ``None`` for anything else."""
    found = _INSIDE.fullmatch(text)
    return (found["store"], Ref(found["stage"], found["key"])) if found else None


def _of_run(store: Store, run: str, label: str) -> Ref:
    models = {name: ref for name, ref in journal.sealed(store, run).items() if ref.stage == "finetune"}
    answering = {name: ref for name, ref in models.items() if not _rates(store, ref)}
    found = _labelled(models, label) if label else answering
    if not found:
        wanted = f"no step {label!r} that made a model" if label else "no model that answers"
        raise DataError(f"{store.uri}: run {run!r} has sealed {wanted}; it has: {', '.join(models) or 'none'}")
    return list(found.values())[-1]


def _labelled(models: Mapping[str, Ref], label: str) -> dict[str, Ref]:
    """Those of one step, or of one layer: "round 02" for "round 02 · finetune"; spelt in any way."""
    wanted = journal.slug(label)
    names = ((name, (name, name.partition(BETWEEN)[0])) for name in models)
    return {name: models[name] for name, called in names if wanted in map(journal.slug, called)}


def _rates(store: Store, ref: Ref) -> bool:
    manifest = find_manifest(store, ref)
    return manifest is not None and manifest.section.get("objective") == "judge"
