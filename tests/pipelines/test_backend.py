"""The small backend on small pipelines that the SDK compiles: what it resolves, and where it breaks as the real one."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from kfp import compiler, dsl, kubernetes

from tests.builders.backend import Backend, BackendError, Container, Ended, here, in_podman
from tests.builders.backend.lines import expand

IMAGE = "image"

WRITE = """
import json, os, sys
out, ref, given, text = sys.argv[1:]
open(out, "w").write(text)
open(ref, "w").write("make/" + text)
given = json.loads(given)
path = given["outputs"]["outputFile"]
os.makedirs(os.path.dirname(path))
artifact = {"artifacts": [{"metadata": {"rows": len(text), "whole": True}}]}
json.dump({"artifacts": {"rows": artifact}}, open(path, "w"))
print(os.environ.get("ALMA_RUN"), os.environ.get("PRICE"))
"""

READ = """
import json, sys
rows, ref, state, given = sys.argv[1:]
assert rows.startswith("rows="), rows
text = open(rows.removeprefix("rows=")).read()
assert ref == "make/" + text, ref
(record,) = json.loads(given)["inputs"]["artifacts"]["rows"]["artifacts"]
assert record["metadata"] == {"display_name": "rows", "rows": len(text), "whole": 1}, record
assert record["type"]["schemaTitle"] == "system.Dataset", record
if "bad" in text:
    sys.exit(75)
open(state, "w").write(text + "+")
"""

EXECUTOR_INPUT = dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER


@dsl.container_component
def make(text: str, rows: dsl.Output[dsl.Dataset], ref: dsl.OutputPath(str)):
    return dsl.ContainerSpec(
        image=IMAGE, command=["python", "-c", WRITE], args=[rows.path, ref, EXECUTOR_INPUT, f"{text}!"]
    )


@dsl.container_component
def read(rows: dsl.Input[dsl.Dataset], ref: str, state: dsl.OutputPath(str)):
    return dsl.ContainerSpec(
        image=IMAGE, command=["python", "-c", READ], args=[f"rows={rows.path}", ref, state, EXECUTOR_INPUT]
    )


@dsl.container_component
def finish(state: dsl.PipelineTaskFinalStatus):
    return dsl.ContainerSpec(image=IMAGE, command=["python", "-c", "import sys; print(sys.argv[1])"], args=[state])


@dsl.container_component
def say(text: str):
    return dsl.ContainerSpec(image=IMAGE, command=["python", "-c", "import sys; print(sys.argv[1])"], args=[text])


@dsl.pipeline
def layer(text: str, image: str, gpus: str) -> str:
    made = make(text=text).set_container_image(image).set_env_variable("PRICE", "5$$ $(ALMA_RUN)")
    made.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(gpus).set_display_name("make rows")
    kubernetes.use_field_path_as_env(made, "ALMA_RUN", "metadata.labels['pipeline/runid']")
    return (
        read(rows=made.outputs["rows"], ref=made.outputs["ref"])
        .set_caching_options(enable_caching=False)
        .outputs["state"]
    )


@dsl.pipeline(name="nested")
def nested(text: str = "a", image: str = IMAGE, gpus: str = "1"):
    with dsl.ExitHandler(finish().set_caching_options(enable_caching=False), name="all"):
        first = layer(text=text, image=image, gpus=gpus).set_display_name("round 01")
        layer(text=first.output, image=image, gpus=gpus).set_display_name("round 02")


def compiled(pipeline: Any, folder: Path) -> Path:
    path = folder / "pipeline.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    return path


def one(component: Any, **given: Any) -> Any:
    """A pipeline of one task."""

    @dsl.pipeline(name="one")
    def pipeline(text: str = "text", number: int = 2):
        named = {"text": text, "number": number}
        component(**{name: named.get(value, value) for name, value in given.items()})

    return pipeline


def test_layers_hand_on_parameters_artifacts_and_metadata(tmp_path: Path) -> None:
    run = Backend(tmp_path).run(compiled(nested, tmp_path), {"text": "b"}, run_id="run-1")
    assert run.state == "SUCCEEDED", [(one.path, one.error, one.fault) for one in run.failed]
    assert [one.path for one in run.tasks] == [
        "all/round 01/make rows",
        "all/round 01/read",
        "all/round 02/make rows",
        "all/round 02/read",
        "finish",
    ]
    made = run.task("round 02/make rows")
    assert made.command[-1] == "b!+!"
    assert made.output == "run-1 5$ run-1\n", "the run's id by the downward API, '$$' and '$(NAME)' by Kubernetes"
    assert made.outputs.artifacts["rows"].metadata == {"display_name": "rows", "rows": 4, "whole": 1}
    assert run.task("round 02/read").outputs.parameters == {"state": "b!+!+"}
    status = json.loads(run.task("finish").output)
    assert status == {
        "state": "COMPLETE",
        "pipelineTaskName": "exit-handler-1",
        "pipelineJobResourceName": "nested-run-1",
        "error": {},
    }


def test_a_failure_in_a_layer_ends_the_run_and_the_exit_handler_still_runs(tmp_path: Path) -> None:
    run = Backend(tmp_path).run(compiled(nested, tmp_path), {"text": "bad"})
    assert run.state == "FAILED"
    assert [(one.path, one.code) for one in run.tasks] == [
        ("all/round 01/make rows", 0),
        ("all/round 01/read", 75),
        ("finish", 0),
    ]
    assert json.loads(run.task("finish").output)["state"] == "FAILED"
    assert [one.path for one in run.failed] == ["all/round 01/read"]


def test_the_cache_answers_equal_inputs_and_only_where_it_may(tmp_path: Path) -> None:
    package, cache = compiled(nested, tmp_path), {}
    backend = Backend(tmp_path, cache=cache)
    assert backend.run(package).hits == []
    assert len(cache) == 2
    again = backend.run(package)
    assert again.state == "SUCCEEDED"
    assert again.hits == ["all/round 01/make rows", "all/round 02/make rows"]
    assert backend.run(package, {"text": "else"}).hits == []
    assert backend.run(package, {"gpus": "2"}).hits == [], "what a pod is given is an input as well"


def test_an_artifact_made_anew_is_another_one_to_the_cache(tmp_path: Path) -> None:
    @dsl.pipeline(name="chain")
    def chain():
        made = make(text="a").set_caching_options(enable_caching=False)
        read(rows=made.outputs["rows"], ref=made.outputs["ref"])

    package, backend = compiled(chain, tmp_path), Backend(tmp_path)
    assert [backend.run(package).hits, backend.run(package).hits] == [[], []]


def test_a_failed_task_is_not_cached(tmp_path: Path) -> None:
    codes = iter([1, 0, 0])
    backend = Backend(tmp_path, start=lambda _: Ended(next(codes)))
    package = compiled(one(say, text="text"), tmp_path)
    assert [backend.run(package).state for _ in range(3)] == ["FAILED", "SUCCEEDED", "SUCCEEDED"]


def test_a_task_has_its_inputs_and_no_other_file(tmp_path: Path) -> None:
    seen: dict[str, set[str]] = {}

    def start(container: Container) -> Ended:
        seen[container.label] = {path.name for path in container.folder.rglob("*") if path.is_file()}
        for path in [container.command[5]] if container.label == "read" else container.command[3:5]:
            Path(path).write_text("x")
        return Ended(0)

    @dsl.pipeline(name="three")
    def three():
        made, other = make(text="a"), make(text="b").set_display_name("other")
        read(rows=made.outputs["rows"], ref="r").after(other)

    run = Backend(tmp_path, start=start).run(compiled(three, tmp_path))
    assert run.state == "SUCCEEDED"
    assert seen == {"make": set(), "other": set(), "read": {"rows"}}


def test_an_output_parameter_that_was_not_written_fails_the_task(tmp_path: Path) -> None:
    run = Backend(tmp_path, start=lambda _: Ended(0)).run(compiled(one(make, text="text"), tmp_path))
    assert run.state == "FAILED"
    assert "No such file" in run.task("make").fault


def test_a_missing_input_file_fails_its_reader(tmp_path: Path) -> None:
    def start(container: Container) -> Ended:
        if container.label == "make":
            Path(container.command[4]).write_text("x")
        return Ended(0)

    @dsl.pipeline(name="two")
    def two():
        made = make(text="a")
        read(rows=made.outputs["rows"], ref=made.outputs["ref"])

    (failed,) = Backend(tmp_path, start=start).run(compiled(two, tmp_path)).failed
    assert failed.path == "read"
    assert failed.fault.startswith("failed to download input artifact 'rows'")


@dsl.container_component
def joined(text: str):
    return dsl.ContainerSpec(image=IMAGE, command=["x"], args=[dsl.ConcatPlaceholder(["text=", text])])


@dsl.container_component
def perhaps(rows: dsl.Input[dsl.Dataset] = None):
    return dsl.ContainerSpec(
        image=IMAGE, command=["x"], args=[dsl.IfPresentPlaceholder(input_name="rows", then=["--in", rows.path])]
    )


@dsl.container_component
def default(shard: str = "all"):
    return dsl.ContainerSpec(image=IMAGE, command=["x"], args=[shard])


@dsl.container_component
def of_run(text: str):
    return dsl.ContainerSpec(image=IMAGE, command=["x"], args=[text, f"--run={dsl.PIPELINE_JOB_ID_PLACEHOLDER}"])


@dsl.container_component
def count(number: int):
    return dsl.ContainerSpec(image=IMAGE, command=["x"], args=[number])


def with_gpus(number: Any) -> dsl.PipelineTask:
    return count(number=number).set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(number)


def inner_text(text: Any) -> dsl.PipelineTask:
    return say(text=f"text={text}")


@pytest.mark.parametrize(
    ("component", "given", "message"),
    [
        (joined, {"text": "text"}, "Concat placeholder reaches the container"),
        (perhaps, {}, "IfPresent on 'rows'"),
        (default, {}, "parameter 'shard' not found"),
        (of_run, {"text": "text"}, "pipeline_job_uuid}} in '--run=.*' reaches the container as it stands"),
        (with_gpus, {"number": "number"}, "is read as an empty text"),
        (inner_text, {"text": "text"}, "which KFP does not resolve for a command line"),
    ],
)
def test_what_the_backend_does_not_resolve_is_refused(
    component: Any, given: dict[str, str], message: str, tmp_path: Path
) -> None:
    backend = Backend(tmp_path, start=lambda _: Ended(0))
    with pytest.raises(BackendError, match=message):
        backend.run(compiled(one(component, **given), tmp_path))


def test_the_runs_id_as_a_tasks_input_is_resolved(tmp_path: Path) -> None:
    run = Backend(tmp_path).run(compiled(one(say, text=dsl.PIPELINE_JOB_ID_PLACEHOLDER), tmp_path), run_id="run-1")
    assert run.task("say").output == "run-1\n"


def test_platform_settings_see_the_layers_parameters_only(tmp_path: Path) -> None:
    @dsl.pipeline(name="secret")
    def secret(name: str = "s3"):
        kubernetes.use_secret_as_env(say(text="a"), name, {"KEY": "KEY"}, optional=True)

    path = compiled(secret, tmp_path)
    backend = Backend(tmp_path, start=lambda _: Ended(0))
    assert backend.run(path).state == "SUCCEEDED"
    path.write_text(path.read_text().replace("componentInputParameter: name", "componentInputParameter: other"))
    with pytest.raises(BackendError, match="platform settings: parent DAG does not have input parameter other"):
        backend.run(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"other": "x"}, "does not have"),
        ({"number": "2"}, "type mismatch: expect NUMBER_INTEGER"),
        ({"text": "<" * 2_000}, "exceed maximum size of 10000"),
    ],
)
def test_a_form_that_the_server_refuses(arguments: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=message):
        Backend(tmp_path).run(compiled(one(say, text="text"), tmp_path), arguments)


def test_numbers_and_structures_arrive_as_go_writes_them(tmp_path: Path) -> None:
    @dsl.pipeline(name="kinds")
    def kinds(listed: dict = {"b": 1, "a": "<"}):  # noqa: B006 - kfp reads it as a default
        count(number=16777217)
        say(text="a").after(count(number=3))
        structure(value=listed)

    run = Backend(tmp_path, start=lambda container: Ended(0, container.command[-1])).run(compiled(kinds, tmp_path))
    assert run.task("count").output == "16777217"
    assert run.task("structure").output == '{"a":"\\u003c","b":1}'


@dsl.container_component
def structure(value: dict):
    return dsl.ContainerSpec(image=IMAGE, command=["x"], args=[value])


@pytest.mark.parametrize("written", ['{"artifacts": NaN}', '{"artifact": {}}', "not JSON"])
def test_an_executor_output_that_the_launcher_cannot_read(written: str, tmp_path: Path) -> None:
    def start(container: Container) -> Ended:
        path = Path(json.loads(container.command[-2])["outputs"]["outputFile"])
        path.parent.mkdir(parents=True)
        path.write_text(written)
        return Ended(0)

    with pytest.raises(BackendError, match="failed to unmarshal ExecutorOutput"):
        Backend(tmp_path, start=start).run(compiled(one(make, text="text"), tmp_path))


def test_kubernetes_expands_as_it_does() -> None:
    known = {"NAME": "value"}
    words = {"$(NAME)": "value", "$$(NAME)": "$(NAME)", "$(OTHER)": "$(OTHER)", "$$": "$", "5$": "5$", "$x": "$x"}
    assert {word: expand(word, known) for word in words} == words
    assert expand("$(NAME", known) == "$(NAME"


def test_a_process_of_this_machine_is_this_checkouts(tmp_path: Path) -> None:
    def run(*command: str) -> Ended:
        return here(Container("label", list(command), IMAGE, {"PRICE": "5$"}, tmp_path))

    assert run("alma", "--version").output.startswith("alma ")
    assert run("python", "-m", "pipelines", "--version").code == 0
    assert run("python", "-c", "import os; print(os.environ['PRICE'])").output == "5$\n"
    assert run("python3", "-c", "import sys; sys.exit('why')") == Ended(1, "", "why\n")


def stand_in_for_podman(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A podman that shows its command line and environment."""
    program = folder / "podman"
    shown = "[sys.argv[1:], {name: os.environ[name] for name in os.environ if name in ('LOGIN_KEY', 'REGION')}]"
    program.write_text(f"#!{sys.executable}\nimport json, os, sys\nprint(json.dumps({shown}))\nsys.exit(3)\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


ASKS = {
    "emptyDirMounts": [{"volumeName": "tmp", "mountPath": "/tmp"}],
    "secretAsEnv": [{"secretName": "login", "keyToEnv": [{"secretKey": "KEY", "envVar": "LOGIN_KEY"}]}],
    "configMapAsEnv": [
        {"configMapName": "s3", "keyToEnv": [{"configMapKey": "REGION", "envVar": "REGION"}], "optional": True}
    ],
}


def test_podman_gives_a_task_what_it_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_for_podman(tmp_path, monkeypatch)
    container = Container("label", ["alma", "stage"], "localhost/base", {"ALMA_RUN": "r"}, tmp_path, ASKS, "2Gi")
    named = {"login": {"KEY": "secret", "OTHER": "more"}, "s3": {"REGION": "x"}}
    ended = in_podman(["--read-only"], named)(container)
    assert ended.code == 3
    arguments, environment = json.loads(ended.output)
    assert arguments == [
        *("run", "--rm", "--read-only", f"--volume={tmp_path}:{tmp_path}", "--tmpfs=/tmp", "--memory=2g"),
        *("--env=LOGIN_KEY", "--env=REGION", "--env=ALMA_RUN=r", "--entrypoint="),
        *("localhost/base", "alma", "stage"),
    ]
    assert environment == {"LOGIN_KEY": "secret", "REGION": "x"}


def test_podman_gives_a_task_nothing_that_it_does_not_ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_for_podman(tmp_path, monkeypatch)
    container = Container("label", ["alma"], "localhost/base", {}, tmp_path)
    arguments, environment = json.loads(in_podman((), {"login": {"KEY": "secret"}})(container).output)
    assert arguments == ["run", "--rm", f"--volume={tmp_path}:{tmp_path}", "--entrypoint=", "localhost/base", "alma"]
    assert environment == {}


def test_a_pod_whose_secret_is_missing_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="no 'login' with 'KEY'"):
        in_podman((), {"s3": {"REGION": "x"}})(Container("label", ["alma"], "localhost/base", {}, tmp_path, ASKS))
