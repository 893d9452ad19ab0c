"""Artifacts that no stage made: names with keys that fit, and manifests that state what the keys are made of."""

from __future__ import annotations

from typing import Any, Literal

from alma.artifact import Manifest, Metrics, Ref, artifact_key
from alma.artifact.out import Out

_STATED: dict[Ref, dict[str, Any]] = {}
"""Of each name: what its key is made of, which it does not say itself."""


def named(
    stage: str, name: object, *, section: dict[str, Any] | None = None, inputs: dict[str, str] | None = None
) -> Ref:
    """The artifact of ``stage`` that is called ``name``."""
    stated: dict[str, Any] = {"version": 1, "section": section or {}, "inputs": inputs or {}}
    stated["identity"] = {"name": str(name)}
    ref = Ref(stage, artifact_key(stage, **stated))
    _STATED[ref] = stated
    return ref


def seal(out: Out, kind: Literal["rows", "model", "page"], metrics: Metrics | None = None) -> Manifest:
    """Seals what has a name of ``named``."""
    return out.seal(kind=kind, **_STATED[out.ref], metrics=metrics or {}, device="cpu")
