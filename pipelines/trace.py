"""A recipe traced into KFP tasks: the recipe *is* the pipeline's definition.

Phases and rounds are layers, one after another, each a pipeline of its own. A layer hands on one text: the name of the
run's ledger, in which its tasks find what earlier layers made. What is made in a layer passes as artifacts.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from kfp import dsl

from alma.config import Method
from alma.recipes.graph import Step, fingerprint, graph, layers
from components.finish import finish_component
from components.hand_on import hand_on_component
from components.made import STATE, made
from components.outputs import output_of
from components.placement import Placement
from components.pod import place
from components.preflight import preflight_component
from components.resolve import Pod, keys_of, pod_of, small_pod
from components.stage import EARLIER, REF, port_name, stage_component
from pipelines.form import REQUIRED, Field, form, sources
from pipelines.job_placement import job_placement

PREFLIGHT = "preflight"
HAND_ON = "hand on"
FINISH = "finish"


def pipeline_of(cfg: Method, tree: Mapping[str, Any], placement: Placement, name: str) -> Any:
    """The pipeline of one run file: KFP's object, ready to compile. Raises ``ConfigError``.

    ``tree`` is the method's root of the run file and what stands in it: what ``cfg`` was read from.
    """
    fields = form(cfg, placement)
    steps = graph(cfg)
    chain = {layer: Layer(layer, several, placement, steps) for layer, several in layers(steps).items()}
    started = preflight_component(list(sources(cfg)), _preflight_fields(fields), _compiled(tree, placement, steps))

    jobs = any(placement.is_job(step.stage) for step in steps)

    def pipeline(*given: Any) -> None:
        values = dict(zip((field.name for field in fields), given, strict=True))
        last = finish_component(jobs=jobs)(store=values["store"]).set_display_name(FINISH).set_caching_options(False)
        place(last, small_pod(placement, "submit" if jobs else "base"), placement, values)
        with dsl.ExitHandler(last, name=cfg.root):
            wanted = {name: values[name] for name in started.component_spec.inputs}
            first = started(**wanted).set_display_name(PREFLIGHT).set_caching_options(False)
            # What it finds wrong stays wrong, so it is not tried again.
            keys = keys_of(step.section for step in steps)
            place(first, small_pod(placement, hub=True, keys=keys), placement, values, retries=0)
            state = first.outputs[STATE]
            for layer in chain.values():
                state = layer.call(values, state)

    parameters = [_parameter(field) for field in sorted(fields, key=lambda field: field.default is not REQUIRED)]
    fields.sort(key=lambda field: field.default is not REQUIRED)
    listed = "\n".join(f"    {field.name}: {field.help}" for field in fields)
    words = f"{cfg.title}: {cfg.length}.\n\nArgs:\n{listed}\n"
    return _pipeline(pipeline, name, f"{cfg.root.upper()}, {cfg.length}", parameters, words)


class Layer:
    """One layer as a pipeline: a task for each of its steps, and one that hands on what they made."""

    def __init__(self, name: str, steps: Sequence[Step], placement: Placement, run: Sequence[Step]) -> None:
        self.name, self.steps, self.placement = name, steps, placement
        self.step_of = {step.label: step for step in run}
        self.last = last_of(steps, placement)
        self.fields = sorted({name for pod in self._pods() for name in pod.fields})
        kinds = {name: _kind(name) for name in self.fields}
        parameters = [
            inspect.Parameter(each, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=kinds.get(each, str))
            for each in ("store", "state", *self.fields)
        ]
        self.pipeline = _pipeline(self._trace, _slug(name), name, parameters, f"The layer {name}.", returns=str)

    def call(self, values: Mapping[str, Any], state: Any) -> Any:
        """The layer's task in the run's pipeline; the state that it hands on."""
        given = {name: values[name] for name in ("store", *self.fields)}
        return self.pipeline(state=state, **given).set_display_name(self.name).output

    def _pods(self) -> list[Pod]:
        return [self._pod(step) for step in self.steps] + [small_pod(self.placement)]

    def _pod(self, step: Step) -> Pod:
        if self.placement.is_job(step.stage):
            return small_pod(self.placement, "submit")
        return pod_of(self.placement, step.stage, step.section)

    def _trace(self, store: Any, state: Any, *given: Any) -> Any:
        values = dict(zip(self.fields, given, strict=True))
        tasks: dict[str, Any] = {}
        for step in self.steps:
            tasks[step.label] = self._task(step, tasks, store, state, values)
        if self.last is not None:
            return tasks[self.last.label].outputs[STATE]
        last = hand_on_component(len(self.steps))(store=store, state=state, **self._made(tasks))
        last.set_display_name(HAND_ON).set_caching_options(False)
        return place(last, small_pod(self.placement), self.placement, values).outputs[STATE]

    def _made(self, tasks: Mapping[str, Any]) -> dict[str, Any]:
        return made(list(tasks), [task.outputs[REF] for task in tasks.values()])

    def _task(self, step: Step, tasks: Mapping[str, Any], store: Any, state: Any, values: Mapping[str, Any]) -> Any:
        # The last task gets what the others made by name, to hand it on; as artifacts it would get it twice.
        here = {port: label for port, label in step.inputs.items() if label in tasks and step is not self.last}
        earlier = {port: label for port, label in step.inputs.items() if port not in here}
        pod, is_job = self._pod(step), self.placement.is_job(step.stage)
        options = ["--base", self.placement.base_folder] if step.stage == "ingest" else []
        if pod.gpus is not None:
            options += ["--gpus", "1"]
        component = stage_component(
            step.stage,
            {port: output_of(self.step_of[label]).type for port, label in here.items()},
            list(earlier),
            output_of(step),
            command=("python", "-m", "cluster", "stage") if is_job else ("alma", "stage"),
            options=options,
            hands_on=len(tasks) if step is self.last else None,
        )
        inputs: dict[str, Any] = {port_name(port): f"{EARLIER}{label}" for port, label in earlier.items()}
        for port, label in here.items():
            inputs[port_name(port)] = tasks[label].outputs[output_of(self.step_of[label]).name]
        if step is self.last:
            inputs |= self._made(tasks)
        task = component(
            store=store, state=state, use=step.use, change=compact(dict(step.changes)), label=step.label, **inputs
        )
        # A layer whose tasks are all cache hits stays "running" in the dashboard for ever.
        task.set_caching_options(step is not self.last)
        return place(task.set_display_name(step.name), pod, self.placement, values)


def last_of(steps: Sequence[Step], placement: Placement) -> Step | None:
    """The step that waits for all others of its layer, and so can hand on what they made; ``None`` if none does."""
    *others, last = steps
    by_label = {step.label: step for step in steps}
    waited: set[str] = set()
    ahead = [last]
    while ahead:
        found = [label for label in ahead.pop().inputs.values() if label in by_label and label not in waited]
        waited.update(found)
        ahead += [by_label[label] for label in found]
    return last if len(waited) == len(others) and not placement.is_job(last.stage) else None


def compact(value: Any) -> str:
    """JSON fit for a command line: Kubernetes expands ``$`` there, and Argo ``{{``, so neither stands in it."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)  # TOML has days: date = 2024-07-26
    return text.replace("$", "\\u0024").replace("{{", "\\u007b\\u007b")


def _compiled(tree: Mapping[str, Any], placement: Placement, steps: Sequence[Step]) -> list[str]:
    """The fixed part of preflight's command line."""
    options = ["--run-file", compact(dict(tree)), "--graph", fingerprint(steps), "--base", placement.base_folder]
    stages = {step.stage for step in steps}
    keys = {stage: keys_of(step.section for step in steps if step.stage == stage) for stage in stages}
    jobs = job_placement(placement, stages, keys)
    return options + (["--placement", compact(jobs)] if jobs else [])


def _preflight_fields(fields: Sequence[Field]) -> dict[str, type]:
    own = [each for each in fields if not each.name.startswith("source_") and each.name not in ("store", "changes")]
    return {each.name: each.kind for each in own}


def _kind(field: str) -> type:
    return {"node_selector": dict, "node_tolerations": list}.get(field, str)


def _parameter(field: Field) -> inspect.Parameter:
    default = inspect.Parameter.empty if field.default is REQUIRED else field.default
    return inspect.Parameter(
        field.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=field.kind, default=default
    )


def _pipeline(
    function: Any, name: str, display: str, parameters: Sequence[inspect.Parameter], words: str, returns: Any = None
) -> Any:
    def traced(*given: Any) -> Any:
        return function(*given)

    traced.__name__ = name.replace("-", "_")
    traced.__doc__ = words
    annotation = inspect.Signature.empty if returns is None else returns
    traced.__signature__ = inspect.Signature(parameters, return_annotation=annotation)  # type: ignore[attr-defined]
    return dsl.pipeline(name=name, display_name=display)(traced)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
