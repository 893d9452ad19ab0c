"""What a compiled pipeline says about itself: its name, its parameters, its tasks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alma.errors import ConfigError
from alma.pace import BETWEEN
from alma.recipes.graph import SOURCES
from alma.regular import DOCUMENT_BYTES, read_regular

Spec = Mapping[str, Any]

MAX_NESTING = 32
MAX_TASKS = 100_000
"""Of a pipeline that is not ours; a run of ten rounds has some hundred."""

MAX_VALUES = 2_000_000
"""Of YAML, each as often as it is named; a run of ten rounds has some ten thousand."""

MAX_LEVELS = 200
"""Of YAML; a compiled pipeline has ten."""

HAND_ON = "hand on"
"""The last task of a layer in which no step waits for all others: it does nothing that a person waits for."""

NO_LAYERS = ("exit-handler-", "for-loop-", "condition")
"""How the keys of sub-pipelines begin that are KFP's own, not layers of a run."""


@dataclass(frozen=True)
class Task:
    """A task that runs a container, and the key that its nodes carry in a run."""

    path: tuple[str, ...]
    """The keys of the sub-pipelines around it, then its own: two layers may have tasks of one key."""

    label: str
    """As the store's journal calls it, too: "round 03 · respond"."""

    times: int
    """How often it runs: once per iteration of the loops around it."""

    @property
    def key(self) -> str:
        """What its nodes are called."""
        return self.path[-1]


def read_package(path: Path) -> dict[str, Any]:
    """A compiled file as the API takes it: ``{"pipeline_spec": …, "platform_spec": …}``.

    Raises ``ConfigError`` for a file that is none, and for one that the KFP installed here does not understand.
    """
    import yaml

    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader  # ten rounds: 0.5 s instead of 3
    try:
        text = read_regular(path, DOCUMENT_BYTES, kind=ConfigError).decode("utf-8")
        _check_levels(yaml.parse(text, loader))
        documents = [d for d in yaml.load_all(text, loader) if d is not None]
        _check_size(documents)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give a pipeline that 'pipelines compile' wrote") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"{path}: not YAML: {error}; compile it again") from None
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


def _check_levels(events: Iterable[Any]) -> None:
    """Raises ``RecursionError`` for YAML nested so deep that libyaml's loader, which counts nothing, would crash."""
    import yaml

    levels = 0
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            levels += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            levels -= 1
        if levels > MAX_LEVELS:
            raise RecursionError(f"it is nested deeper than {MAX_LEVELS} levels")


def _check_size(documents: list[Any]) -> None:
    """Raises ``ValueError`` for more values than there can be: YAML's aliases make billions of a few lines."""
    waiting, count = list(documents), 0
    while waiting:
        here = waiting.pop()
        inside = list(here.values()) if isinstance(here, dict) else here if isinstance(here, list) else []
        count += len(inside)
        if count > MAX_VALUES:
            raise ValueError(f"it holds more than {MAX_VALUES:,} values")
        waiting += inside


def spec_of(stored: Any) -> Spec | None:
    """The pipeline's spec out of what a run or a pipeline version holds; none where it holds none that is whole."""
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    inner = stored.get("pipeline_spec", stored) if isinstance(stored, dict) else None
    if not isinstance(inner, dict):
        return None
    try:  # whatever types a server sends, those of a pipeline are what is read
        message = _message(inner, pipeline_spec_pb2.PipelineSpec(), ignore_unknown_fields=True)
        spec: Spec = _in_order_of(inner, json_format.MessageToDict(message))
        tasks_of(spec)
    except (json_format.ParseError, json_format.SerializeToJsonError, ValueError, LookupError, TypeError):
        return None
    return spec


def _message(given: Any, message: Any, *, ignore_unknown_fields: bool = False) -> Any:
    """``message`` with what is ``given``. Raises protobuf's ``ParseError``."""
    from google.protobuf import json_format

    try:
        return json_format.ParseDict(given, message, ignore_unknown_fields=ignore_unknown_fields)
    except (SystemError, OverflowError) as error:  # protobuf's, of half a character, or a number of 400 digits
        raise json_format.ParseError(f"it holds what is no text in UTF-8, or no number ({error})") from error


def _in_order_of(given: Any, read: Any) -> Any:
    """``read`` with its keys in the order of ``given``: a message keeps none."""
    if not isinstance(given, dict) or not isinstance(read, dict):
        return read
    order = [*(key for key in given if key in read), *(key for key in read if key not in given)]
    return {key: _in_order_of(given.get(key), read[key]) for key in order}


def tasks_of(spec: Spec) -> list[Task]:
    """Every task that runs a container, in the order of the pipeline's definition.

    Raises ``ValueError`` for more of them, or more levels of pipelines in pipelines, than there can be, and
    ``KeyError`` for a spec that lacks something.
    """
    components, found = spec.get("components", {}), []
    num_seen = 0

    def walk(dag: Spec, times: int, path: tuple[str, ...], layer: str) -> None:
        nonlocal num_seen
        num_seen += len(dag.get("tasks", {}))
        if len(path) >= MAX_NESTING or num_seen > MAX_TASKS:
            raise ValueError(f"it has more than {MAX_NESTING} levels, or more than {MAX_TASKS:,} tasks")
        for key, task in dag.get("tasks", {}).items():
            component = components.get(task["componentRef"]["name"], {})
            rounds, name = times * _iterations(task), task.get("taskInfo", {}).get("name") or key
            if "dag" in component:
                walk(component["dag"], rounds, (*path, key), layer if key.startswith(NO_LAYERS) else name)
            else:
                found.append(Task((*path, key), label_of(layer, name), rounds))

    walk(spec["root"]["dag"], 1, (), "")
    return found


def label_of(layer: str, name: str) -> str:
    """A task's label: its name in its layer after the layer's, unless that is the layer of what comes from outside."""
    return name if layer in ("", SOURCES) and name != HAND_ON else f"{layer}{BETWEEN}{name}"


def changed(spec: Spec, given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the ``given`` parameters that differ from the pipeline's own."""
    declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    return {name: value for name, value in given.items() if value != declared.get(name, {}).get("defaultValue")}


def store_of(spec: Spec, given: Mapping[str, Any]) -> str | None:
    """Where the run's artifacts and its journal lie: its parameter ``store``; none where it has none."""
    declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    store = given.get("store", declared.get("store", {}).get("defaultValue"))
    return store if isinstance(store, str) and store else None


def _iterations(task: Spec) -> int:
    """Of a loop over a list that is known when it is compiled; another loop counts once."""
    raw = task.get("parameterIterator", {}).get("items", {}).get("raw")
    try:
        items = json.loads(raw) if raw else None
    except (ValueError, TypeError, RecursionError):  # it is the server that will say so
        items = None
    return len(items) if isinstance(items, list) else 1


def _check(path: Path, package: Mapping[str, Any]) -> None:
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    try:
        _message(package["pipeline_spec"], pipeline_spec_pb2.PipelineSpec())
        _message(package.get("platform_spec", {}), pipeline_spec_pb2.PlatformSpec())
    except json_format.ParseError as error:
        raise ConfigError(f"{path}: not a pipeline that this KFP knows: {error}; compile it again") from None
    try:
        name = package["pipeline_spec"]["pipelineInfo"]["name"]
        tasks_of(package["pipeline_spec"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(f"{path}: not a whole pipeline ({error!r}); compile it again") from None
    if not name:
        raise ConfigError(f"{path}: not a whole pipeline: it has no name; compile it again")
