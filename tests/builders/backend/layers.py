"""A run: its layers one inside the other, their tasks in order, the exit handler's task in any case."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipelines.rules.limits import PARAMETER_BYTES, go_json
from tests.builders.backend import launcher, tasks
from tests.builders.backend.containers import Container, Ended, Start, here
from tests.builders.backend.tasks import Facts, Scope
from tests.builders.backend.values import BackendError, Outputs, typed

AT_THE_END = "ALL_UPSTREAM_TASKS_COMPLETED"


@dataclass
class Ran:
    """One task that a run came to."""

    path: str
    """Where it is: the names of its layers and its own, as the dashboard shows them, with "/" between."""

    command: list[str] = field(default_factory=list)
    image: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    code: int | None = None
    """The container's exit status; none if none was started."""

    output: str = ""
    error: str = ""
    """The container's standard error."""

    fault: str = ""
    """Why the launcher failed, if it did: an input or an output parameter that nobody had written."""

    cached: bool = False
    outputs: Outputs = field(default_factory=Outputs)

    @property
    def label(self) -> str:
        """The task's name in the dashboard."""
        return self.path.rpartition("/")[2]

    @property
    def succeeded(self) -> bool:
        return self.cached or (self.code == 0 and not self.fault)


@dataclass
class Run:
    """What came of a run."""

    id: str
    state: str = "RUNNING"
    """At its end SUCCEEDED or FAILED."""

    tasks: list[Ran] = field(default_factory=list)
    outputs: Outputs = field(default_factory=Outputs)

    @property
    def failed(self) -> list[Ran]:
        """The tasks that failed."""
        return [one for one in self.tasks if not one.succeeded]

    @property
    def hits(self) -> list[str]:
        """The paths of the tasks that the cache answered."""
        return [one.path for one in self.tasks if one.cached]

    def task(self, path: str) -> Ran:
        """The one task whose path ends like this."""
        (found,) = (one for one in self.tasks if one.path == path or one.path.endswith(f"/{path}"))
        return found


class Backend:
    """A backend with its object store (in ``folder``) and its cache, which outlive a run."""

    def __init__(self, folder: Path, start: Start = here, cache: dict[str, Outputs] | None = None) -> None:
        self.folder = folder
        self.start = start
        self.cache = {} if cache is None else cache
        self.num_pods = 0

    @property
    def objects(self) -> Path:
        """Where artifacts lie between tasks."""
        return self.folder / "objects"

    def run(self, package: Path, arguments: Mapping[str, Any] | None = None, run_id: str | None = None) -> Run:
        """Runs a compiled pipeline with these parameters, as given in the form."""
        documents = [d for d in yaml.load_all(package.read_text(encoding="utf-8"), yaml.CSafeLoader) if d]
        spec = next(d for d in documents if "deploymentSpec" in d)
        platform = next((d for d in documents if "platforms" in d), {})
        run = Run(run_id or str(uuid.uuid4()))
        walk = _Walk(self, run, spec, platform)
        parameters = _form(spec["root"], arguments or {})
        state, run.outputs = walk.layer("", spec["root"], Scope(parameters, {}))
        run.state = state
        return run


def _form(root: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A run's parameters: those given, over the defaults."""
    declared = root.get("inputDefinitions", {}).get("parameters", {})
    if unknown := sorted(set(arguments) - set(declared)):
        raise BackendError(f"parameters that the pipeline does not have: {unknown}")
    if len(go_json(dict(arguments)).encode()) > PARAMETER_BYTES:
        raise BackendError(f"the input parameter length exceed maximum size of {PARAMETER_BYTES}")
    values = {n: one.get("defaultValue") for n, one in declared.items()} | dict(arguments)
    for name, one in declared.items():
        if values[name] is None and not one.get("isOptional"):
            raise BackendError(f"the pipeline's parameter {name!r} is not given and has no default")
        if values[name] is not None:
            values[name] = typed(name, values[name], one["parameterType"])
    return values


class _Walk:
    """One run through the layers of one pipeline."""

    def __init__(self, backend: Backend, run: Run, spec: Mapping[str, Any], platform: Mapping[str, Any]) -> None:
        self.backend = backend
        self.run = run
        self.components = spec.get("components", {})
        self.executors = spec["deploymentSpec"]["executors"]
        kubernetes = platform.get("platforms", {}).get("kubernetes", {})
        self.settings = kubernetes.get("deploymentSpec", {}).get("executors", {})
        self.facts = Facts(run.id, f"{spec['pipelineInfo']['name']}-{run.id[:5]}", spec["pipelineInfo"]["name"])

    def layer(self, path: str, component: Mapping[str, Any], scope: Scope) -> tuple[str, Outputs]:
        """Its tasks; after one has failed no other is started but the exit handler's."""
        listed = component["dag"]["tasks"]
        for key in _order(listed):
            task = listed[key]
            if "FAILED" in scope.states.values() and _strategy(task) != AT_THE_END:
                continue
            state, left = self.task(path, key, task, scope)
            scope.states[key], scope.made[key] = state, left
        if "FAILED" in scope.states.values():
            return "FAILED", Outputs()
        return "SUCCEEDED", _of_layer(component["dag"].get("outputs", {}), scope)

    def task(self, path: str, key: str, task: Mapping[str, Any], scope: Scope) -> tuple[str, Outputs]:
        """A task or a layer."""
        for unknown in ("parameterIterator", "artifactIterator"):
            if unknown in task:
                raise BackendError(f"{path}/{key}: {unknown} is not known here")
        if "condition" in task.get("triggerPolicy", {}):
            raise BackendError(f"{path}/{key}: a condition is not known here")
        component = self.components[task["componentRef"]["name"]]
        below = f"{path}/{task['taskInfo']['name']}".lstrip("/")
        try:
            parameters, artifacts = tasks.inputs_of(task, component, scope, self.facts)
            if "dag" in component:
                return self.layer(below, component, Scope(parameters, artifacts))
            tasks.check_settings(self.settings.get(component["executorLabel"], {}), scope)
            ran = self.container(below, task, component, parameters, artifacts)
        except BackendError as refused:
            raise (refused if below in str(refused) else BackendError(f"{below}: {refused}")) from refused
        self.run.tasks.append(ran)
        return ("SUCCEEDED" if ran.succeeded else "FAILED"), ran.outputs

    def container(
        self, path: str, task: Mapping[str, Any], component: Mapping[str, Any], parameters: Any, artifacts: Any
    ) -> Ran:
        """The driver's work, and the launcher's unless the cache knows the result."""
        label = component["executorLabel"]
        container, settings = self.executors[label]["container"], self.settings.get(label, {})
        number = self.backend.num_pods = self.backend.num_pods + 1
        pod = (self.backend.folder / "pods" / f"{number:03}").absolute()
        name = task["taskInfo"]["name"]
        uri = f"s3://mlpipeline/{self.facts.pipeline}/{self.run.id}/{name.replace(' ', '-')}/{uuid.uuid4()}"
        given = tasks.executor_input(parameters, artifacts, component, uri, pod)
        key = tasks.fingerprint(self.facts.pipeline, given, container, component)
        may_hit = bool(task.get("cachingOptions", {}).get("enableCache"))
        if may_hit and key in self.backend.cache:
            return Ran(path, cached=True, outputs=self.backend.cache[key])
        image = tasks.check_resources(container, parameters)
        variables = tasks.environment(container, settings, self.run.id)
        command = tasks.command_line(container, given, component, variables, pod)
        ran = Ran(path, command, image, variables)
        pod.mkdir(parents=True)
        try:
            launcher.download(artifacts, self.backend.objects, pod)
            launcher.prepare(given, pod)
            memory = tasks.memory_limit(container, parameters)
            ended: Ended = self.backend.start(Container(name, command, image, variables, pod, settings, memory))
            ran.code, ran.output, ran.error = ended.code, ended.output, ended.error
            if ended.code == 0:
                ran.outputs = launcher.collect(given, component, self.backend.objects, pod)
        except FileNotFoundError as error:
            ran.fault = str(error)
        if ran.succeeded and may_hit:
            self.backend.cache[key] = ran.outputs
        return ran


def _order(listed: Mapping[str, Any]) -> Iterator[str]:
    """Tasks by their dependencies, the exit handler's last."""
    left, done = dict(listed), set[str]()
    while left:
        ready = [key for key, task in left.items() if set(task.get("dependentTasks", [])) <= done]
        ready = [key for key in ready if _strategy(left[key]) != AT_THE_END] or ready
        if not ready:
            raise BackendError(f"tasks that wait for each other, or for a task that is not there: {sorted(left)}")
        yield ready[0]
        done.add(ready[0])
        del left[ready[0]]


def _strategy(task: Mapping[str, Any]) -> str:
    return str(task.get("triggerPolicy", {}).get("strategy", ""))


def _of_layer(outputs: Mapping[str, Any], scope: Scope) -> Outputs:
    """A layer's outputs are its tasks'."""
    left = Outputs()
    for name, source in outputs.get("parameters", {}).items():
        made = source["valueFromParameter"]
        left.parameters[name] = scope.made[made["producerSubtask"]].parameters[made["outputParameterKey"]]
    for name, source in outputs.get("artifacts", {}).items():
        (made,) = source["artifactSelectors"]
        left.artifacts[name] = scope.made[made["producerSubtask"]].artifacts[made["outputArtifactKey"]]
    return left
