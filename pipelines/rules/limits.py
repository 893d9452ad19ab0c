"""Sizes: what the backend can store, and what a person sees on one screen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pipelines.rules.compiled import ROOT, Compiled

COMPONENT_BYTES = 16_000
"""Of one component's JSON [ours]. A driver gets it as one argument, of which the kernel takes 128 KiB, and a workflow
holds it twice for every task: that is where a run's size comes from."""

PARAMETER_BYTES = 10_000
"""Of a run's parameters, names and values as Go writes their JSON; the API server refuses more."""

PARAMETERS = 20
"""Of a run [ours]: those that a person changes, on one screen of the form."""

BOXES = 26
"""Of one layer [ours]: what the dashboard shows at its smallest zoom on one screen."""

ARROWS = 48
"""Of one layer [ours]."""


def components(compiled: Compiled) -> Iterator[str]:
    """No component's JSON is larger than a driver and a workflow can bear."""
    for name, component in {ROOT: compiled.spec["root"], **compiled.components}.items():
        size = len(compact(component).encode())
        if size > COMPONENT_BYTES:
            yield (
                f"component {name}: {size:,} bytes of JSON, more than {COMPONENT_BYTES:,}: take constants out of its "
                "tasks (by the store), or split it into layers"
            )


def parameters(compiled: Compiled) -> Iterator[str]:
    """A run's parameters fit the API server and the form."""
    listed = compiled.declared(ROOT)
    size = len(go_json({name: one.get("defaultValue", "") for name, one in listed.items()}).encode())
    if size > PARAMETER_BYTES:
        largest = max(listed, key=lambda name: len(go_json(listed[name].get("defaultValue", ""))))
        yield (
            f"the run's parameters take {size:,} bytes and KFP takes {PARAMETER_BYTES:,}; the largest is {largest}: "
            "compile it in, or shorten its default"
        )
    if len(listed) > PARAMETERS:
        yield (
            f"the run has {len(listed)} parameters, more than the {PARAMETERS} that a person can survey: "
            "compile in what nobody changes"
        )


def layers(compiled: Compiled) -> Iterator[str]:
    """A layer fits one screen of the dashboard."""
    for layer in compiled.layers:
        boxes, arrows = picture(compiled, layer)
        if len(boxes) > BOXES or len(arrows) > ARROWS:
            yield (
                f"layer {layer}: {len(boxes)} boxes and {len(arrows)} arrows; {BOXES} and {ARROWS} can be read on one "
                "screen: split it into layers, or make fewer output artifacts"
            )


Box = tuple[str, str]
"""Kind ("task", "layer", "artifact") and text."""


def picture(compiled: Compiled, layer: str) -> tuple[dict[str, Box], set[tuple[str, str]]]:
    """The boxes of a layer, by id, and its arrows as the dashboard draws them.

    A box per task and per output artifact; an arrow per use of an artifact and per task that is waited for, of which
    the compiler writes one for every task whose output is used.
    """
    boxes: dict[str, Box] = {}
    arrows: set[tuple[str, str]] = set()
    for use in compiled.within(layer):
        shown = use.task.get("taskInfo", {}).get("name", use.key)
        boxes[use.key] = ("layer" if use.container is None else "task", shown)
        for output in use.component.get("outputDefinitions", {}).get("artifacts", {}):
            boxes[f"{use.key}.{output}"] = ("artifact", output)
            arrows.add((use.key, f"{use.key}.{output}"))
        for source in use.task.get("inputs", {}).get("artifacts", {}).values():
            if made := source.get("taskOutputArtifact"):
                arrows.add((f"{made['producerTask']}.{made['outputArtifactKey']}", use.key))
        for source in use.given.values():
            if made := source.get("taskOutputParameter"):
                arrows.add((made["producerTask"], use.key))
        arrows |= {(before, use.key) for before in use.task.get("dependentTasks", [])}
    return boxes, arrows


def compact(value: Any) -> str:
    """JSON without spaces, as protobuf writes it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def go_json(value: Any) -> str:
    """JSON as Go's ``encoding/json`` writes it: keys in order, whole numbers as such, five characters escaped."""
    text = json.dumps(_numbers(value), separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_numbers(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e21 else value
