"""What the API server of Kubernetes refuses of a Job, beyond its schema; written from its own validation.

https://github.com/kubernetes/kubernetes/blob/v1.34.0/pkg/apis/batch/validation/validation.go
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import kubernetes_validate

from tests.builders.kustomized import violations

VERSIONS = ("1.31", "1.37")
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
QUALIFIED = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
MOST_INDEXES, MOST_PARALLEL = 100_000, 10_000

Object = dict[str, Any]


def refusals(job: Object) -> list[str]:
    """Why the API server would not create ``job``; empty where it would."""
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(job, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            return [f"{version}: {error}"]
    metadata, spec = job["metadata"], job["spec"]
    return [*names(metadata), *names(spec["template"]["metadata"]), *_indexes(metadata["name"], spec), *_pods(spec)]


def names(metadata: Object) -> Iterator[str]:
    """Labels and annotations that the API takes for none."""
    for name, value in metadata.get("labels", {}).items():
        if not QUALIFIED.fullmatch(name) or not LABEL_VALUE.fullmatch(value):
            yield f"metadata.labels: {name}={value}"
    for name in metadata.get("annotations", {}):
        if not QUALIFIED.fullmatch(name):
            yield f"metadata.annotations: {name}"


def _indexes(name: str, spec: Object) -> Iterator[str]:
    indexed = spec.get("completionMode") == "Indexed"
    per_index, most_failed = spec.get("backoffLimitPerIndex"), spec.get("maxFailedIndexes")
    completions, parallelism = spec.get("completions"), spec.get("parallelism", 1)
    if indexed:
        if completions is None:
            yield "spec.completions: required when completionMode is Indexed"
        elif not LABEL.fullmatch(f"{name}-{completions - 1}"):
            yield f"metadata.name: the pod's host name {name}-{completions - 1} is no DNS label"
        if parallelism > MOST_INDEXES:
            yield "spec.parallelism: too many"
    elif not LABEL.fullmatch(name):
        yield f"metadata.name: {name}"
    if per_index is not None and not indexed:
        yield "spec.backoffLimitPerIndex: requires indexed completion mode"
    if most_failed is not None and per_index is None:
        yield "spec.backoffLimitPerIndex: must be specified when maxFailedIndexes is"
    if most_failed is not None and completions is not None and most_failed > completions:
        yield "spec.maxFailedIndexes: must be less than or equal to completions"
    if per_index is not None and (completions or 0) > MOST_INDEXES:
        yield "spec.completions: too many for backoffLimitPerIndex"
    for field in ("activeDeadlineSeconds", "ttlSecondsAfterFinished", "completions", "parallelism"):
        if spec.get(field, 0) < 0:
            yield f"spec.{field}: must not be negative"


def _pods(spec: Object) -> Iterator[str]:
    pod = spec["template"]["spec"]
    if pod.get("restartPolicy") not in ("Never", "OnFailure"):
        yield "spec.template.spec.restartPolicy: required: OnFailure or Never"
    yield from violations(pod)  # as a namespace that enforces Pod Security "restricted" has it
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    for container in pod["containers"]:
        if missing := {mount["name"] for mount in container.get("volumeMounts", [])} - volumes:
            yield f"volumeMounts: not found: {missing}"
        asked, most = (container.get("resources", {}).get(what, {}) for what in ("requests", "limits"))
        for name in {*asked, *most}:
            if "/" in name and asked.get(name) != most.get(name):
                yield f"resources: {name}: an extended resource has one amount, as request and limit"
    if not LABEL.fullmatch(pod.get("subdomain", "a")):
        yield "subdomain"
    policy = spec.get("podFailurePolicy")
    if policy:
        yield from _policy(policy["rules"], spec, {container["name"] for container in pod["containers"]})


def _policy(rules: list[Object], spec: Object, containers: set[str]) -> Iterator[str]:
    if spec["template"]["spec"].get("restartPolicy") != "Never":
        yield "spec.template.spec.restartPolicy: only Never is supported with a podFailurePolicy"
    if spec.get("podReplacementPolicy", "Failed") != "Failed":
        yield "spec.podReplacementPolicy: only Failed with a podFailurePolicy"
    if len(rules) > 20:
        yield "spec.podFailurePolicy.rules: too many"
    for rule in rules:
        if rule["action"] == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            yield "spec.podFailurePolicy.rules.action: FailIndex needs backoffLimitPerIndex"
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
        if bool(codes) == bool(conditions):
            yield "spec.podFailurePolicy.rules: one of onExitCodes and onPodConditions"
        if codes:
            values = codes["values"]
            if values != sorted(set(values)) or not 1 <= len(values) <= 255:
                yield "onExitCodes.values: must be ordered and without duplicates"
            if codes["operator"] == "In" and 0 in values:
                yield "onExitCodes.values: must not be 0 for the In operator"
            if codes.get("containerName") not in {None, *containers}:
                yield "onExitCodes.containerName: must be one of the containers"
