"""What the Jobs of a pipeline's stages are made from: the compiled placement, with the form's fields left open."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from components.placement import Placement
from components.resolve import Field, pod_of

JSON_FIELDS = ("node_selector", "node_tolerations")


def job_placement(
    placement: Placement, stages: Collection[str], keys: Mapping[str, tuple[str, ...]] | None = None
) -> dict[str, Any]:
    """Stage → how its Job runs, for the stages that are Jobs; ``alma.running.form.fill_in`` fills the fields in.

    ``keys``: stage → variables of the keys of endpoints that its steps ask.
    """
    given = keys or {}
    jobs = {stage: _of(placement, stage, given.get(stage, ())) for stage in sorted(stages) if placement.is_job(stage)}
    return {"stages": jobs} if jobs else {}


def _of(placement: Placement, stage: str, keys: tuple[str, ...]) -> dict[str, Any]:
    pod, own = pod_of(placement, stage), placement.stage(stage)
    values: dict[str, Any] = {
        "shards": own.shards,
        "nodes": own.nodes,
        "ephemeral_storage": own.ephemeral_storage,
        **{name: getattr(placement, name) for name in ("s3_secret", "s3_config", "pull_secret")},
        **{name: getattr(placement, name) for name in ("cache_pvc", "cache_size", "queue", "priority_class")},
        "labels": placement.labels,
        "grace_seconds": placement.grace_seconds,
        "fs_group": placement.fs_group,
        "retries": placement.retries,
        **{name: _open(value) for name, value in vars(pod).items() if name not in ("hub", "keys")},
        **({"keys": list(keys), "keys_secret": placement.keys_secret} if keys else {}),
    }
    return {name: value for name, value in values.items() if value not in (None, {}, [])}


def _open(value: Any) -> Any:
    if not isinstance(value, Field):
        return value
    return {"form field": value.name} | ({"json": True} if value.name in JSON_FIELDS else {})
