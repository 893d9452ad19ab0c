"""A part of the STUB of a cluster: what belongs to a Job, as the API takes it and the garbage collector ends it.

https://github.com/kubernetes/kubernetes/blob/v1.34.0/pkg/apis/networking/validation/validation.go
https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from typing import Any

import kubernetes_validate

from tests.builders.job_rules import LABEL, VERSIONS, names
from tests.builders.stub_server import RefusedError

Object = dict[str, Any]

KINDS = {"services": ("", "Service"), "networkpolicies": ("networking.k8s.io", "NetworkPolicy")}
"""Of each resource: its API group and its kind."""


class Dependents:
    """What is there of them."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], Object] = {}
        """By resource and name."""
        self.collected_after_seconds = 0.0
        """From the end of the last owner on, as long as the collector is busy elsewhere."""
        self._orphaned: dict[str, float] = {}

    def names(self, resource: str) -> list[str]:
        """Of those that are there."""
        return sorted(name for kind, name in self.found if kind == resource)

    def create(self, resource: str, given: Object) -> Object:
        """Raises ``RefusedError`` as the API refuses."""
        name = given["metadata"]["name"]
        if found := refusals(resource, given):
            raise RefusedError(422, f'{resource} "{name}" is invalid: {"; ".join(found)}')
        if (resource, name) in self.found:
            raise RefusedError(409, f'{resource} "{name}" already exists')
        self.found[resource, name] = copy.deepcopy(given)
        return given

    def get(self, resource: str, name: str) -> Object:
        """Raises ``RefusedError`` where it is not."""
        if (resource, name) not in self.found:
            raise RefusedError(404, f'{resource} "{name}" not found')
        return self.found[resource, name]

    def collect(self, jobs: set[str]) -> None:
        """Deletes what belonged to Jobs of which none is left; ``jobs`` are the uids of those there are.

        An owner in whose deletion its dependents do not block (``blockOwnerDeletion``) is gone before they are.
        """
        for key, each in list(self.found.items()):
            owners = {owner["uid"] for owner in each["metadata"].get("ownerReferences", [])}
            if owners and not owners & jobs:
                since = self._orphaned.setdefault(min(owners), time.monotonic())
                if time.monotonic() - since >= self.collected_after_seconds:
                    del self.found[key]


def refusals(resource: str, given: Object) -> list[str]:
    """Why the API server would not create it; empty where it would."""
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(given, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            return [f"{version}: {error}"]
    if given["kind"] != KINDS[resource][1]:
        return [f"kind: {given['kind']} in the list of {resource}"]
    rules = {"services": _service, "networkpolicies": _policy}[resource]
    return [*names(given["metadata"]), *_owners(given["metadata"]), *rules(given)]


def _owners(metadata: Object) -> Iterator[str]:
    for owner in metadata.get("ownerReferences", []):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                yield f"metadata.ownerReferences.{field}: must not be empty"


def _service(given: Object) -> Iterator[str]:
    if not LABEL.fullmatch(given["metadata"]["name"]):
        yield "metadata.name: no DNS label"
    if not given["spec"].get("ports") and given["spec"].get("clusterIP") != "None":
        yield "spec.ports: required"


def _policy(given: Object) -> Iterator[str]:
    for direction in given["spec"].get("policyTypes", []):
        if direction not in ("Ingress", "Egress"):
            yield f"spec.policyTypes: {direction}"
    rules = [*given["spec"].get("ingress", []), *given["spec"].get("egress", [])]
    for port in (port for rule in rules for port in rule.get("ports", [])):
        first, last = port.get("port"), port.get("endPort")
        if isinstance(first, int) and not 1 <= first <= 65535:
            yield "port: must be between 1 and 65535"
        if last is not None and not isinstance(first, int):
            yield "endPort: may not be given where port is a name or missing"
        if last is not None and isinstance(first, int) and not first <= last <= 65535:
            yield "endPort: must be from port to 65535"
    for peer in (peer for rule in rules for peer in rule.get("from", []) + rule.get("to", [])):
        if not peer or ("ipBlock" in peer and len(peer) > 1):
            yield "from, to: either an ipBlock or selectors"
