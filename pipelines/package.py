"""What a compiled pipeline says about itself: its name, its parameters, its tasks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alma.errors import ConfigError

Spec = Mapping[str, Any]

MAX_NESTING = 32


@dataclass(frozen=True)
class Task:
    """A task that runs a container, and the key that its nodes carry in a run."""

    key: str
    label: str
    times: int
    """How often it runs: once per iteration of the loops around it."""

    @property
    def round(self) -> int | None:
        """The round it belongs to, by its label: "round 03 · respond" is 3."""
        found = re.match(r"round (\d+)\b", self.label)
        return int(found[1]) if found else None


def read_package(path: Path) -> dict[str, Any]:
    """A compiled file as the API takes it: ``{"pipeline_spec": …, "platform_spec": …}``.

    Raises ``ConfigError`` for a file that is none, and for one that the KFP installed here does not understand.
    """
    import yaml

    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader  # ten rounds: 0.5 s instead of 3
    try:
        text = path.read_text(encoding="utf-8")
        documents = [d for d in yaml.load_all(text, loader) if d is not None]
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give a pipeline that 'pipelines compile' wrote") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {error}") from None
    specs = [d for d in documents if isinstance(d, dict) and "pipelineInfo" in d and "root" in d]
    platforms = [d for d in documents if isinstance(d, dict) and "platforms" in d]
    if len(specs) != 1 or len(platforms) > 1 or len(documents) != 1 + len(platforms):
        kinds = {str(d.get("kind")) for d in documents if isinstance(d, dict) and "kind" in d}
        hint = f" (it holds {', '.join(sorted(kinds))}: kubectl apply takes that)" if kinds else ""
        raise ConfigError(f"{path}: not a compiled pipeline{hint}; 'python -m pipelines compile' writes one")
    package = {"pipeline_spec": specs[0]}
    if platforms:
        package["platform_spec"] = platforms[0]
    _check(path, package)
    return package


def spec_of(stored: Any) -> Spec | None:
    """The pipeline's spec out of what a run or a pipeline version holds; none where it holds none."""
    if not isinstance(stored, dict):
        return None
    inner = stored.get("pipeline_spec", stored)
    return inner if isinstance(inner, dict) and "root" in inner else None


def tasks_of(spec: Spec) -> list[Task]:
    """Every task that runs a container, in the order of the pipeline's definition."""
    components, found = spec.get("components", {}), []

    def walk(dag: Spec, times: int, depth: int) -> None:
        assert depth < MAX_NESTING, "the compiler nests no pipeline in itself"
        for key, task in dag.get("tasks", {}).items():
            component = components.get(task["componentRef"]["name"], {})
            rounds = times * _iterations(task)
            if "dag" in component:
                walk(component["dag"], rounds, depth + 1)
            else:
                found.append(Task(key, task.get("taskInfo", {}).get("name") or key, rounds))

    walk(spec["root"]["dag"], 1, 0)
    return found


def _iterations(task: Spec) -> int:
    """Of a loop over a list that is known when it is compiled; another loop counts once."""
    raw = task.get("parameterIterator", {}).get("items", {}).get("raw")
    items = json.loads(raw) if raw else None
    return len(items) if isinstance(items, list) else 1


def _check(path: Path, package: Mapping[str, Any]) -> None:
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    try:
        json_format.ParseDict(package["pipeline_spec"], pipeline_spec_pb2.PipelineSpec())
        json_format.ParseDict(package.get("platform_spec", {}), pipeline_spec_pb2.PlatformSpec())
    except json_format.ParseError as error:
        raise ConfigError(f"{path}: not a pipeline that this KFP knows: {error}") from None
