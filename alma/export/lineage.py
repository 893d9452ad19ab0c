"""The artifacts that a model came from, back to what was brought from outside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from alma.artifact import Manifest, Ref, find_manifest
from alma.errors import DataError
from alma.store import Store


class Lineage(NamedTuple):
    """A model and its ancestors."""

    model: Manifest
    ancestors: dict[Ref, Manifest]
    """Each after what it came from; the model is the last."""

    @property
    def base(self) -> Manifest:
        """The model from outside at which the trainings began. Raises ``DataError`` for one that began at none."""
        at = self.model
        while at.stage == "finetune":
            if "model" not in at.inputs:
                raise DataError(f"{at.ref} states no model that its training began at; remove its folder and run again")
            at = self.ancestors[Ref.parse(at.inputs["model"])]
        return at

    @property
    def rows(self) -> list[Manifest]:
        """Rows from outside: those that anything was learnt from, or that were held out from it."""
        return [each for each in self.ancestors.values() if each.stage == "ingest" and each.kind == "rows"]

    def as_json(self) -> dict[str, Any]:
        """Everything that determines the model: stages, settings, inputs, sources, metrics, libraries."""
        kept = ("stage", "version", "section", "inputs", "identity", "metrics", "libraries", "num_rows")
        artifacts = {str(ref): each.model_dump(include=set(kept)) for ref, each in self.ancestors.items()}
        return {"model": str(self.model.ref), "artifacts": artifacts}


def lineage(store: Store, ref: Ref) -> Lineage:
    """Reads the manifests back to the sources. Raises ``DataError`` where ``ref`` is no model, or one is missing."""
    found: dict[Ref, Manifest] = {}
    # By a list: a run of a thousand rounds has more levels than Python calls itself.
    path: list[tuple[Ref, Manifest, Iterator[str]]] = []
    waiting: set[Ref] = set()
    here: Ref | None = ref
    while here is not None or path:
        if here is None:
            at, done, left = path[-1]
            name = next(left, None)
            if name is None:
                path.pop()
                found[at] = done
                continue
            here = Ref.parse(name)
        if here not in found:
            by = path[-1][0] if path else None
            if here in waiting:
                raise DataError(f"{store.uri}: {here} came from itself, by way of {by}; remove it and run again")
            waiting.add(here)
            manifest = find_manifest(store, here)
            if manifest is None:
                why = f", which {by} came from," if by else ""
                raise DataError(f"{store.uri}: {here}{why} does not exist or is not sealed (no manifest.json)")
            path.append((here, manifest, iter(manifest.inputs.values())))
        here = None
    model = found[ref]
    if model.kind != "model":
        raise DataError(f"{store.uri}: {ref} is no model; it holds {model.schema_name or 'a page'}")
    return Lineage(model, found)


def origin(manifest: Manifest) -> str:
    """What an artifact from outside was read from: ``owner/name@commit``, or the content's hash."""
    identity = manifest.identity
    if "hub" in identity:
        path = f"/{identity['path']}" if identity.get("path") else ""
        return f"hf://{identity['hub']}{path}"
    return f"SHA-256 {identity['sha256'][:16]}…" if "sha256" in identity else "unknown"


def repository(manifest: Manifest) -> str | None:
    """``owner/name`` on the Hub, where it came from there."""
    return manifest.identity["hub"].partition("@")[0] if "hub" in manifest.identity else None
