"""A compiled pipeline made small: equal components are one, names are short.

The compiler gives every task of a nested pipeline a component of its own, and puts ``pipelinechannel--`` before every
parameter that reaches into a layer; a workflow object holds each of them several times.
"""

from __future__ import annotations

import json
from typing import Any

CHANNEL = "pipelinechannel--"


def shrink(spec: dict[str, Any], platform: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both documents, smaller and otherwise the same to the backend."""
    spec, platform = _shortened(spec), _shortened(platform)
    _drop_unused(spec)
    _dedupe(spec, platform)
    return spec, platform


def _shortened(value: Any) -> Any:
    """``value`` without ``CHANNEL``. Where that makes two keys one, they have to have meant the same."""
    if isinstance(value, str):
        return value.replace(CHANNEL, "")
    if isinstance(value, list):
        return [_shortened(each) for each in value]
    if not isinstance(value, dict):
        return value
    short: dict[str, Any] = {}
    for key, each in value.items():
        name, inner = key.replace(CHANNEL, ""), _shortened(each)
        assert short.setdefault(name, inner) == inner, f"{key} and {name} are two things"
    return short


def _drop_unused(spec: dict[str, Any]) -> None:
    """Takes inputs from tasks that neither their component declares nor its container reads.

    The compiler leaves one for every resource that a field of the form says, and reads another.
    """
    components, executors = spec["components"], spec["deploymentSpec"]["executors"]
    for layer in (spec["root"], *components.values()):
        for task in layer.get("dag", {}).get("tasks", {}).values():
            component = components[task["componentRef"]["name"]]
            given = task.get("inputs", {}).get("parameters", {})
            declared = component.get("inputDefinitions", {}).get("parameters", {})
            text = json.dumps(executors.get(component.get("executorLabel"), {}))
            for name in [each for each in given if each not in declared]:
                if f"inputs.parameters['{name}']" not in text:
                    del given[name]


def _dedupe(spec: dict[str, Any], platform: dict[str, Any]) -> None:
    """Keeps, of components that run the same container with the same ports in the same pod, the first."""
    components = spec["components"]
    executors = spec["deploymentSpec"]["executors"]
    pods = platform.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
    first: dict[str, str] = {}
    instead: dict[str, str] = {}
    for name, component in list(components.items()):
        label = component.get("executorLabel")
        if label is None:
            continue
        ports = {key: value for key, value in component.items() if key != "executorLabel"}
        content = json.dumps([ports, executors[label], pods.get(label)], sort_keys=True)
        if content in first:
            instead[name] = first[content]
            del components[name], executors[label]
            pods.pop(label, None)
        else:
            first[content] = name
    for layer in (spec["root"], *components.values()):
        for task in layer.get("dag", {}).get("tasks", {}).values():
            called = task["componentRef"]["name"]
            task["componentRef"]["name"] = instead.get(called, called)
