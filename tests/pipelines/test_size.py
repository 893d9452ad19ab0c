"""The estimate of a finished workflow, on pipelines of layers that the SDK compiles."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, dsl, kubernetes

from pipelines.patch import METADATA, patch
from pipelines.rules.compiled import Compiled
from pipelines.rules.limits import compact
from pipelines.size import COMPILED_BYTES, NODE_BYTES, OBJECT_BYTES, Size, estimate
from pipelines.workflow import Workflow

SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
EXECUTOR_INPUT = dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER


def words(store: Any, state: Any, label: Any, taken: list[str], ref: Any) -> list[Any]:
    listed = ["respond", "--store", store, "--state", state, "--use", "respond", "--change", '{"rounds":3}']
    listed += ["--label", label, *taken, "--ref", ref, "--executor-input", EXECUTOR_INPUT, "--log", "json"]
    return listed


@dsl.container_component
def start(state: str, store: str, label: str, rows: dsl.Output[dsl.Dataset], ref: dsl.OutputPath(str)):
    taken = ["--in", "model=@base model", "--out", rows.path]
    return dsl.ContainerSpec(image="i", command=["alma", "stage"], args=words(store, state, label, taken, ref))


@dsl.container_component
def follow(
    state: str,
    store: str,
    label: str,
    prompts: dsl.Input[dsl.Dataset],
    rows: dsl.Output[dsl.Dataset],
    ref: dsl.OutputPath(str),
):
    taken = ["--in", f"prompts={prompts.path}", "--out", rows.path]
    return dsl.ContainerSpec(image="i", command=["alma", "stage"], args=words(store, state, label, taken, ref))


def placed(task: dsl.PipelineTask, image: str, memory: str) -> dsl.PipelineTask:
    task.set_container_image(image).set_memory_limit(memory).set_memory_request(memory).set_retry(3)
    kubernetes.set_security_context(task, run_as_non_root=True)
    kubernetes.use_field_path_as_env(task, "ALMA_RUN", "metadata.labels['pipeline/runid']")
    kubernetes.use_secret_as_env(task, "alma-s3", {key: key for key in SECRETS}, optional=True)
    return kubernetes.empty_dir_mount(task, "tmp", "/tmp")


def layer_of(name: str, num_tasks: int, change: str) -> Any:
    @dsl.pipeline(name=name)
    def layer(state: str, store: str, image: str, memory: str) -> str:
        task = placed(start(state=state, store=store, label=f"{name} · 0{change}"), image, memory)
        for i in range(1, num_tasks):
            rows, label = task.outputs["rows"], f"{name} · {i}{change}"
            task = placed(follow(state=state, store=store, label=label, prompts=rows), image, memory)
        return task.outputs["ref"]

    return layer


def rounds(folder: Path, num_rounds: int, num_tasks: int = 3, change: str = "") -> tuple[Any, Any]:
    layers = [layer_of(f"round-{i:02}", num_tasks, change) for i in range(num_rounds)]

    @dsl.pipeline(name="rounds")
    def pipeline(
        store: str = "s3://bucket/prefix", image: str = "alma-base:0.1", memory: str = "8Gi", changes: str = ""
    ):
        state: Any = changes
        for layer in layers:
            state = layer(state=state, store=store, image=image, memory=memory).output

    path = folder / "pipeline.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    spec, platform = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    return spec, platform


def test_tasks_pods_and_nodes_are_counted(tmp_path: Path) -> None:
    size = estimate(*rounds(tmp_path, 4))
    assert size.tasks == 12
    assert size.pods == 2 * 12 + 4 + 1, "a driver and an executor a task, a driver for each layer and for the root"
    assert size.nodes == 6 * 12 + 4 * (4 + 1)


def test_a_pods_patch_is_stored_six_times_with_all_that_a_task_is_given(tmp_path: Path) -> None:
    workflow = Workflow(Compiled(*rounds(tmp_path, 1, num_tasks=1)))
    stored = [
        one["value"]
        for node in workflow.nodes.values()
        for side in ("inputs", "outputs")
        for one in node.get(side, {}).get("parameters", [])
        if one["name"] == "pod-spec-patch"
    ]
    assert len(stored) == 6
    assert len(set(stored)) == 1
    (main,) = json.loads(stored[0])["containers"]
    assert main["image"] == "alma-base:0.1", "parameters stand in the pod by their defaults"
    assert main["args"][4] == "s3://bucket/prefix"
    assert [one["name"] for one in main["env"]] == [*SECRETS, "ALMA_RUN"]
    given = json.loads(main["command"][main["command"].index("--executor_input") + 1])
    assert given["inputs"]["parameterValues"]["label"] == "round-00 · 0"
    assert set(given["outputs"]["artifacts"]) == {"rows", "executor-logs"}
    components = [compact(use.component) for use in workflow.compiled.running]
    assert main["command"][main["command"].index("--component_spec") + 1] == components[0]


def test_the_estimate_is_the_same_every_time_and_grows_by_the_round(tmp_path: Path) -> None:
    four, eight = (estimate(*rounds(tmp_path, n)) for n in (4, 8))
    assert estimate(*rounds(tmp_path, 4)) == four
    assert 1.7 < eight.node_bytes / four.node_bytes < 2.1
    assert 1.5 < eight.compressed_bytes / four.compressed_bytes < 2.1


def test_a_run_costs_what_a_real_one_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A skeleton of this shape took 2,906,100 bytes in 538 nodes, 211,116 compressed; its patches had 3,333 bytes."""
    its_own = {"label": "round 03 · respond", "store": "s3://bucket/prefix"}
    monkeypatch.setattr("pipelines.patch.METADATA", METADATA | its_own)
    workflow = Workflow(Compiled(*rounds(tmp_path, 13, num_tasks=6)))
    size = estimate(workflow.compiled.spec, workflow.compiled.platform)
    patches = [compact(patch(workflow.compiled, use)) for use in workflow.compiled.running]
    mean = sum(map(len, patches)) / len(patches)
    assert mean == pytest.approx(3_333, rel=0.1)
    assert size.nodes == pytest.approx(538, rel=0.05)
    assert size.node_bytes == pytest.approx(2_906_100, rel=0.15)
    assert size.compressed_bytes == pytest.approx(211_116, rel=0.15)


def test_settings_as_parameters_are_what_makes_a_workflow_large(tmp_path: Path) -> None:
    thin = estimate(*rounds(tmp_path, 3))
    thick = estimate(*rounds(tmp_path, 3, change="words " * 200))
    assert thick.node_bytes - thin.node_bytes > 9 * 6 * 2 * 1_200, "in the executor input and in the command line"
    assert thick.spec_bytes > thin.spec_bytes


def test_what_is_too_large_is_said(tmp_path: Path) -> None:
    size = estimate(*rounds(tmp_path, 2))
    assert size.check() == []
    assert size.describe().startswith("workflow of 6 tasks, 15 pods and 48 nodes: about ")
    compiled, whole, nodes = Size(COMPILED_BYTES + 1, OBJECT_BYTES, 1, NODE_BYTES + 1, 1, 1, 1).check()
    assert compiled.startswith("the compiled pipeline has 300,001 bytes")
    assert whole.startswith("the finished workflow would be about 1,650,001 bytes, more than 1,200,000")
    assert "450,001 bytes compressed, more than 450,000 (Argo stores 1 MiB)" in nodes
