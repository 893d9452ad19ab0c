"""manifests/job: the Job and the CronJob give ``python -m pipelines submit`` what it takes, and heed how it exits."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from alma.errors import EXIT_FAILED, EXIT_TRANSIENT, EXIT_USER
from pipelines.__main__ import parser
from pipelines.runs import experiments
from pipelines.runs.arguments import arguments
from pipelines.runs.stop import STOP_SECONDS
from tests.builders.kfp_stub import KfpStub
from tests.builders.kustomized import CLUSTERS, MANIFESTS, ROOT, cluster, containers, overlay, pods, text
from tests.builders.stub_server import served

DOCS = ROOT / "docs" / "kubernetes.md"
PIPELINES = {"kind": "alma-micro", "production": "alma-llama3-8b-10-rounds"}


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_job_gives_what_the_command_and_the_pipeline_take(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = {item["metadata"]["name"]: item["data"] for item in cluster(name) if item["kind"] == "ConfigMap"}
    container = pods(overlay(f"{name}/job"))[0]["spec"]["containers"][0]
    assert container["command"] == ["python", "-m", "pipelines"]
    given = [re.sub(r"\$\((\w+)\)", lambda m: data["alma-images"][m[1]], argument) for argument in container["args"]]
    for key, value in data["alma-submit"].items():
        monkeypatch.setenv(key, value)
    options = parser().parse_args(given)
    assert options.follow is True
    assert options.service_account == "alma-run"
    assert experiments.name_of(options.experiment) == "alma"
    file = tmp_path / "parameters.yaml"
    file.write_text(data["alma-parameters"]["parameters.yaml"], encoding="utf-8")
    compiled = ROOT / "pipelines" / "compiled" / f"{PIPELINES[name]}.yaml"
    assert compiled.stat().st_size < 2**20  # a ConfigMap takes no more
    spec = next(yaml.safe_load_all(compiled.read_text(encoding="utf-8")))
    settings = [given[i + 1] for i, argument in enumerate(given) if argument == "--set"]
    values = arguments(spec, file, settings)
    assert values["store"].startswith("s3://")
    declared = {role for role in ("base", "generate", "train", "submit") if f"image_{role}" in parameters_of(spec)}
    assert declared >= {"base", "generate", "train"}
    assert {values[f"image_{role}"] for role in declared} == {data["alma-images"][f"image_{role}"] for role in declared}
    for role in ("generate", "train"):  # where every stage has an image of its own, the form has no field for it
        del parameters_of(spec)[f"image_{role}"]
    assert "image_generate" not in arguments(spec, file, settings)


def parameters_of(spec: Any) -> Any:
    return spec["root"]["inputDefinitions"]["parameters"]


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_job_tells_its_pod_which_job_it_is(name: str) -> None:
    template = pods(overlay(f"{name}/job"))[0]
    told = {e["name"]: e["valueFrom"]["fieldRef"]["fieldPath"] for e in template["spec"]["containers"][0]["env"]}
    assert told == {
        "JOB_NAME": "metadata.labels['batch.kubernetes.io/job-name']",
        "JOB_UID": "metadata.labels['batch.kubernetes.io/controller-uid']",
        "POD_NAMESPACE": "metadata.namespace",
    }
    assert template["spec"]["terminationGracePeriodSeconds"] >= STOP_SECONDS + 10
    assert template["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"


def test_which_exit_fails_the_job() -> None:
    (job,) = overlay("kind/job")
    first, second = job["spec"]["podFailurePolicy"]["rules"]
    assert first == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    assert second["action"] == "FailJob"
    assert set(second["onExitCodes"]["values"]) == {EXIT_FAILED, EXIT_USER}
    assert EXIT_TRANSIENT not in second["onExitCodes"]["values"]
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"  # a podFailurePolicy needs it
    assert second["onExitCodes"]["containerName"] == job["spec"]["template"]["spec"]["containers"][0]["name"]


def test_the_cronjob_is_the_job_on_a_schedule() -> None:
    (job,), (cronjob,) = overlay("production/job"), overlay("production/cronjob")
    assert cronjob["spec"]["jobTemplate"]["spec"] == job["spec"]
    assert cronjob["spec"]["concurrencyPolicy"] == "Forbid"


def test_a_job_may_get_a_generated_name() -> None:
    """kustomize knows no generateName, so the docs say how to put it in."""
    command = re.search(r"sed '(.+?)'", DOCS.read_text(encoding="utf-8"))
    assert command
    before = text(MANIFESTS / "overlays/kind/job")
    done = subprocess.run(["sed", command[1]], input=before, capture_output=True, text=True, check=True)
    (job,) = yaml.safe_load_all(done.stdout)
    (named,) = overlay("kind/job")
    assert job["metadata"].pop("generateName") == "alma-"
    assert job == named | {"metadata": {key: value for key, value in named["metadata"].items() if key != "name"}}


def test_overlays_name_every_parameter_once() -> None:
    """--set of the Job goes over the file, where a name would then do nothing."""
    for name in CLUSTERS:
        (job,) = overlay(f"{name}/job")
        args = chain.from_iterable(container["args"] for container in containers(job["spec"]["template"]["spec"]))
        by_job = {argument.partition("=")[0].removesuffix("?") for argument in args if "=" in argument}
        file = next(i for i in overlay(name) if i["metadata"]["name"] == "alma-parameters")["data"]["parameters.yaml"]
        assert not by_job & set(yaml.safe_load(file))


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_job_creates_one_run_however_often_its_pod_starts(name: str, tmp_path: Path) -> None:
    """The container's command as rendered, a real process, against the stub of KFP's API; /etc/alma is elsewhere."""
    data = {item["metadata"]["name"]: item["data"] for item in cluster(name) if item["kind"] == "ConfigMap"}
    (job,) = overlay(f"{name}/job")
    container = job["spec"]["template"]["spec"]["containers"][0]
    for file, content in data["alma-parameters"].items():
        (tmp_path / file).write_text(content, encoding="utf-8")
    compiled = ROOT / "pipelines" / "compiled" / f"{PIPELINES[name]}.yaml"
    (tmp_path / "pipeline.yaml").symlink_to(compiled)
    (tmp_path / "token").write_text("of-the-service-account")
    stub = KfpStub()
    stub.multi_user = name == "production"
    stub.tokens = {"of-the-service-account"}
    with served(stub) as host:
        environment = {
            **data["alma-submit"],
            **data["alma-images"],
            **{"JOB_NAME": "alma", "JOB_UID": "0d9e", "POD_NAMESPACE": job["metadata"]["namespace"]},
            **{"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KF_PIPELINES_ENDPOINT": host},
            "KF_PIPELINES_SA_TOKEN_PATH": str(tmp_path / "token"),  # mounted where it is looked for otherwise
        }
        words = [
            re.sub(r"\$\((\w+)\)", lambda m: environment[m[1]], given).replace("/etc/alma", str(tmp_path))
            for given in container["args"]
        ]
        for _ in range(2):
            command = [sys.executable, *container["command"][1:], *words]
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    (run,) = stub.runs
    (experiment,) = stub.experiments
    assert run["service_account"] == "alma-run"
    spec = next(yaml.safe_load_all(compiled.read_text(encoding="utf-8")))
    images = {name: image for name, image in data["alma-images"].items() if name in parameters_of(spec)}
    assert run["runtime_config"]["parameters"].items() >= images.items()
    assert experiment["display_name"] == "alma"
    assert experiment.get("namespace", "") == ("alma" if stub.multi_user else "")
    assert "of-the-service-account" not in done.stdout + done.stderr
