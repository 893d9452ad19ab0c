"""Where runs live: the namespace in a multi-user installation, and the experiment."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from alma.errors import ConfigError
from pipelines.runs.client import NAMESPACE_FILE, Api

DEFAULT = "alma"


def name_of(given: str | None) -> str:
    """The experiment's name; the environment decides as it does for ``kfp.Client``."""
    default = given or os.environ.get("KF_PIPELINES_DEFAULT_EXPERIMENT_NAME") or DEFAULT
    return os.environ.get("KF_PIPELINES_OVERRIDE_EXPERIMENT_NAME") or default


def namespace_of(api: Api, given: str | None) -> str | None:
    """The namespace to name in requests: none where there is one user. Raises ``ConfigError`` where it is missing."""
    multi_user = api.ask(api.health.healthz_service_get_healthz).multi_user
    if not multi_user:
        return None  # the server refuses a namespace there
    namespace = given or os.environ.get("POD_NAMESPACE")
    if not namespace and Path(NAMESPACE_FILE).is_file():
        namespace = Path(NAMESPACE_FILE).read_text(encoding="ascii").strip()
    if not namespace:
        raise ConfigError(f"{api.host} serves many users: give --namespace (that of your profile)")
    return namespace


def find(api: Api, name: str, namespace: str | None) -> Any | None:
    """The experiment of that name, or none."""
    named: dict[str, Any] = {"namespace": namespace} if namespace else {}
    found = api.ask(api.experiments.experiment_service_list_experiments, filter=display_name_is(name), **named)
    return found.experiments[0] if found.experiments else None


def find_or_create(api: Api, name: str, namespace: str | None) -> Any:
    """The experiment of that name; another submit may create it at the same time."""
    wanted = api.models.V2beta1Experiment(display_name=name, namespace=namespace)
    experiment = find(api, name, namespace)
    if experiment is None:
        try:
            experiment = api.ask(api.experiments.experiment_service_create_experiment, wanted)
        except ConfigError:
            experiment = find(api, name, namespace)
            if experiment is None:
                raise
    return experiment


def display_name_is(name: str) -> str:
    """A filter as the API takes it.

    https://github.com/kubeflow/pipelines/blob/cb7d9a87c999eb1d2280959e5afbeee9e270ef3d/backend/api/v2beta1/filter.proto
    """
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


def display_name_has(text: str) -> str:
    """The same for names that contain ``text``; the server's pattern may let more through."""
    return json.dumps({"predicates": [{"operation": "IS_SUBSTRING", "key": "display_name", "stringValue": text}]})
