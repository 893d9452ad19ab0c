"""Kubeflow Pipelines' backend in small: runs a compiled pipeline as its Go driver and launcher do, one task at a time.

Not a stub of an API: it resolves what they resolve (parameters, artifacts, outputs, exit handler, cache) from the YAML
alone, starts each container by a function that it is given, and raises ``BackendError`` where the backend would break
or hand on a text that it did not resolve. Sources: KFP 2.17, backend/src/v2/driver (``resolve.go``, ``util.go``,
``cache.go``, ``container.go``) and backend/src/v2/component/launcher_v2.go; Kubernetes,
third_party/forked/golang/expansion.

Left out: iterators and conditions (refused), retries, importers, parallel tasks, and what a task asks of the cluster's
nodes. Of its pod, ``in_podman`` gives it what it asks for: variables of Secrets and ConfigMaps, emptyDirs, memory.
"""

from tests.builders.backend.containers import Container, Ended, forked, here
from tests.builders.backend.layers import Backend, Ran, Run
from tests.builders.backend.podman import in_podman
from tests.builders.backend.values import Artifact, BackendError, Outputs

__all__ = [
    "Artifact",
    "Backend",
    "BackendError",
    "Container",
    "Ended",
    "Outputs",
    "Ran",
    "Run",
    "forked",
    "here",
    "in_podman",
]
