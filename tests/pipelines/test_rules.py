"""The backend's rules on small pipelines that the SDK compiles: each broken once, and what is said then."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, dsl, kubernetes

from pipelines.rules import RULES, check
from pipelines.rules.compiled import Compiled
from pipelines.rules.limits import go_json, picture

IMAGE = "image"


@dsl.container_component
def make(text: str, rows: dsl.Output[dsl.Dataset], ref: dsl.OutputPath(str)):
    return dsl.ContainerSpec(
        image=IMAGE,
        command=["alma", "make"],
        args=[f"--text={text}", "--out", rows.path, "--ref", ref, dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER],
    )


@dsl.container_component
def use(rows: dsl.Input[dsl.Dataset], ref: str, state: dsl.OutputPath(str)):
    return dsl.ContainerSpec(image=IMAGE, command=["alma", "use"], args=[f"rows={rows.path}", ref, rows.uri, state])


@dsl.container_component
def finish(state: dsl.PipelineTaskFinalStatus):
    return dsl.ContainerSpec(image=IMAGE, command=["alma", "finish"], args=[state])


def admitted(task: dsl.PipelineTask) -> dsl.PipelineTask:
    return kubernetes.set_security_context(task, run_as_non_root=True)


def last(task: dsl.PipelineTask) -> dsl.PipelineTask:
    return admitted(task).set_caching_options(False)


@dsl.pipeline
def layer(text: str, image: str, gpus: str, secret: str) -> str:
    made = admitted(make(text=text)).set_container_image(image)
    made.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(gpus)
    kubernetes.use_secret_as_env(made, secret, {"KEY": "KEY"}, optional=True)
    kubernetes.use_field_path_as_env(made, "ALMA_RUN", "metadata.labels['pipeline/runid']")
    used = last(use(rows=made.outputs["rows"], ref=made.outputs["ref"]))
    return used.outputs["state"]


@dsl.pipeline(name="good")
def good(text: str = "a text", image: str = IMAGE, gpus: str = "1", secret: str = "s3"):
    with dsl.ExitHandler(last(finish()), name="all"):
        first = layer(text=text, image=image, gpus=gpus, secret=secret)
        layer(text=first.output, image=image, gpus=gpus, secret=secret)


Documents = tuple[dict[str, Any], dict[str, Any]]


def documents(pipeline: Any, folder: Path) -> Documents:
    path = folder / "pipeline.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    spec, *rest = [d for d in yaml.safe_load_all(path.read_text(encoding="utf-8")) if d]
    return spec, rest[0] if rest else {}


def pipeline_of(task: Callable[..., dsl.PipelineTask], **defaults: Any) -> Any:
    """A pipeline of one task that is right but for what ``task`` makes of it."""

    @dsl.pipeline(name="one")
    def one(text: str = defaults.get("text", "a text"), number: int = 1):
        last(task(text, number))

    return one


def test_a_pipeline_of_layers_breaks_no_rule(tmp_path: Path) -> None:
    assert check(*documents(good, tmp_path)) == []


def test_concat_if_present_and_run_placeholders_are_refused(tmp_path: Path) -> None:
    @dsl.container_component
    def wrong(text: str, rows: dsl.Input[dsl.Dataset] = None):
        return dsl.ContainerSpec(
            image=IMAGE,
            command=["alma", dsl.PIPELINE_JOB_ID_PLACEHOLDER],
            args=[
                dsl.ConcatPlaceholder(["text=", text]),
                dsl.IfPresentPlaceholder(input_name="rows", then=["--in", rows.path]),
            ],
        )

    found = check(*documents(pipeline_of(lambda text, _: wrong(text=text)), tmp_path))
    assert len(found) == 3
    assert all(sentence.startswith("root/wrong: ") for sentence in found)
    assert "{{$.pipeline_job_uuid}} in the command line" in found[0]
    assert "ConcatPlaceholder" in found[1]
    assert "IfPresentPlaceholder" in found[2]


def test_a_default_that_a_command_line_uses_is_refused(tmp_path: Path) -> None:
    @dsl.container_component
    def shard(shard: str = "all"):
        return dsl.ContainerSpec(image=IMAGE, command=["alma"], args=[shard])

    (found,) = check(*documents(pipeline_of(lambda *_: shard()), tmp_path))
    assert found.startswith("root/shard: the command line uses the parameter 'shard', which the task does not give")


def test_an_artifact_that_a_command_line_uses_has_to_be_given(tmp_path: Path) -> None:
    @dsl.container_component
    def read(rows: dsl.Input[dsl.Dataset] = None):
        return dsl.ContainerSpec(image=IMAGE, command=["alma"], args=[rows.path])

    (found,) = check(*documents(pipeline_of(lambda *_: read()), tmp_path))
    assert "uses the artifact 'rows', which the task does not give" in found


def test_a_text_around_a_parameter_as_a_tasks_input_is_refused(tmp_path: Path) -> None:
    @dsl.container_component
    def say(text: str):
        return dsl.ContainerSpec(image=IMAGE, command=["alma"], args=[text])

    (found,) = check(*documents(pipeline_of(lambda text, _: say(text=f"text={text}")), tmp_path))
    assert "join the texts in the component's own command line" in found


@pytest.mark.parametrize("where", ["constant", "default", "word", "variable", "executor input"])
def test_a_dollar_in_a_command_line_is_refused(where: str, tmp_path: Path) -> None:
    @dsl.container_component
    def say(text: str, unused: str):
        return dsl.ContainerSpec(image=IMAGE, command=["alma"], args=[text, "$(HOME)" if where == "word" else "home"])

    @dsl.container_component
    def tell(text: str, unused: str):
        return dsl.ContainerSpec(image=IMAGE, command=["alma"], args=[dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER])

    def task(text: Any, _: Any) -> dsl.PipelineTask:
        if where == "executor input":
            return tell(text="plain", unused="5$")
        said = say(text="5$" if where == "constant" else text, unused="$ is harmless where nothing reads it")
        return said.set_env_variable("PRICE", "$$") if where == "variable" else said

    default = "costs 5$" if where == "default" else "plain"
    (found,) = check(*documents(pipeline_of(task, text=default), tmp_path))
    assert "Kubernetes rewrites" in found
    assert "u0024" in found


def test_a_number_of_accelerators_has_to_be_text(tmp_path: Path) -> None:
    @dsl.container_component
    def train(text: str):
        return dsl.ContainerSpec(image=IMAGE, command=["alma"], args=[text])

    def task(text: Any, number: Any) -> dsl.PipelineTask:
        return train(text=text).set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(number)

    (found,) = check(*documents(pipeline_of(task), tmp_path))
    assert found.startswith("root/train: accelerator.resourceCount comes from the parameter 'pipelinechannel--number'")
    assert "NUMBER_INTEGER" in found


def test_a_resource_without_its_parameter_is_refused(tmp_path: Path) -> None:
    spec, platform = documents(good, tmp_path)
    del spec["components"]["comp-layer"]["dag"]["tasks"]["make"]["inputs"]["parameters"]["pipelinechannel--image"]
    (found,) = check(spec, platform)
    assert found.startswith(
        "comp-layer/make: image comes from the parameter 'pipelinechannel--image', which is not given"
    )


def test_platform_settings_need_an_executor_and_their_layers_parameters(tmp_path: Path) -> None:
    spec, platform = documents(good, tmp_path)
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    executors["exec-gone"] = {}
    del spec["components"]["comp-layer"]["inputDefinitions"]["parameters"]["secret"]
    gone, unreached = check(spec, platform)
    assert gone.startswith("platform settings for exec-gone")
    assert unreached.startswith("comp-layer/make: its platform settings use the parameter 'secret'")


def test_a_task_that_may_be_root_is_refused(tmp_path: Path) -> None:
    spec, platform = documents(good, tmp_path)
    del platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-use-2"]["securityContext"]
    (found,) = check(spec, platform)
    assert found.startswith("comp-layer-2/use: a namespace with restricted Pod Security")
    assert len(check(spec)) > 4, "without platform settings every task may be root"


def test_the_last_task_of_a_layer_must_not_be_cached(tmp_path: Path) -> None:
    spec, platform = documents(good, tmp_path)
    spec["components"]["comp-layer-2"]["dag"]["tasks"]["use"]["cachingOptions"] = {"enableCache": True}
    (found,) = check(spec, platform)
    assert found.startswith("comp-layer-2/use: nothing in the layer waits for it, and it may be cached")


def test_a_large_component_many_parameters_and_a_wide_layer_are_refused(tmp_path: Path) -> None:
    spec, platform = documents(good, tmp_path)
    spec["components"]["comp-finish"]["description"] = "x" * 16_000
    listed = spec["root"]["inputDefinitions"]["parameters"]
    listed |= {f"more_{i:02}": {"parameterType": "STRING"} for i in range(17)}
    outputs = spec["components"]["comp-make"]["outputDefinitions"]["artifacts"]
    outputs |= {f"rows_{i}": outputs["rows"] for i in range(24)}
    component, parameters, layer = check(spec, platform)
    assert component.startswith("component comp-finish: 16,")
    assert "the run has 21 parameters" in parameters
    assert layer.startswith("layer comp-layer: 27 boxes and 27 arrows")


def test_parameters_are_counted_as_go_writes_them(tmp_path: Path) -> None:
    assert go_json({"b": "<é>", "a": "&\u2028"}) == '{"a":"\\u0026\\u2028","b":"\\u003cé\\u003e"}'
    spec, platform = documents(good, tmp_path)
    listed = spec["root"]["inputDefinitions"]["parameters"]
    listed["text"]["defaultValue"] = "<" * 1_600
    assert check(spec, platform) == []
    listed["text"]["defaultValue"] = "<" * 1_700
    (found,) = check(spec, platform)
    assert "the largest is text" in found


def test_a_layer_is_drawn_as_the_dashboard_does(tmp_path: Path) -> None:
    compiled = Compiled(*documents(good, tmp_path))
    boxes, arrows = picture(compiled, "comp-layer")
    assert boxes == {"make": ("task", "make"), "make.rows": ("artifact", "rows"), "use": ("task", "use")}
    assert arrows == {("make", "make.rows"), ("make.rows", "use"), ("make", "use")}
    boxes, arrows = picture(compiled, "comp-exit-handler-1")
    assert list(boxes.values()) == [("layer", "layer"), ("layer", "layer-2")]
    assert arrows == {("layer", "layer-2")}


def test_every_rule_is_tested_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert len(RULES) == 12, "a new rule has a test of its own"
    assert text.count("def test_") >= len(RULES)
