"""The objects that a stage's Job is made of: as committed, valid, restricted, and what they may not be."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from alma.artifact import Ref
from alma.cli import parser
from alma.errors import ConfigError
from alma.nodes import COUNT, RANK, RENDEZVOUS
from alma.running.form import fill_in
from alma.store import FolderStore
from cluster.job import FAILS_AT_ONCE, job_of
from cluster.names import job_name
from cluster.network import policy_of, service_of
from cluster.placement import NUMBERS, StagePlacement, placement_of
from cluster.pod import CONTAINER, tracking
from cluster.pods import death
from cluster.work import Work
from components.placement import ROLES, load_placement
from pipelines.job_placement import job_placement
from tests.builders import dependents
from tests.builders.job_rules import refusals
from tests.builders.kubelet import expand

GOLDEN = Path(__file__).parents[1] / "golden" / "jobs"
KEY = "0123456789abcdef0123"

WORK = Work(
    store=FolderStore(Path("/store")),
    ref=Ref("respond", KEY),
    section={"template": "$(HOME) costs $5 {prompt}"},
    inputs={"prompts": Ref("select", KEY)},
    base="/opt/alma/examples",
    run="5f0e4f1c-2b1e",
    label="round 03 · respond",
)
TRAINING = Work(
    store=FolderStore(Path("/store")),
    ref=Ref("finetune", KEY),
    section={"objective": "sft"},
    inputs={"model": Ref("ingest", KEY)},
    base=".",
    run="5f0e4f1c-2b1e",
    label="round 03 · finetune",
)
SHARDS = StagePlacement(image="registry/alma-vllm:1", shards=8, cpu="8", memory="64Gi", gpus=1)
NODES = StagePlacement(
    image="registry/alma-trl:1",
    nodes=2,
    cpu="16",
    memory="256Gi",
    gpus=8,
    ephemeral_storage="500Gi",
    shm="32Gi",
    cache_pvc="models",
    node_selector={"gpu": "h100"},
    tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    affinity={
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]
        }
    },
    timeout_seconds=86400,
    retries=5,
    queue="alma",
    priority_class="alma-regular",
    labels={"team": "alignment"},
    pull_secret="registry",
)
OBJECTS = {"respond-8-shards": (WORK, SHARDS), "finetune-2-nodes": (TRAINING, NODES)}


def made(name: str) -> list[dict[str, Any]]:
    work, placement = OBJECTS[name]
    job = job_of(job_name("alma", work.ref, "s3://bucket/alma", placement.num_pods), work, placement)
    if placement.nodes == 1:
        return [job]
    created = copy.deepcopy(job)
    created["metadata"]["uid"] = "the-uid"
    return [job, service_of(created), policy_of(created)]


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_are_valid_and_as_committed(name: str, request: pytest.FixtureRequest) -> None:
    golden = GOLDEN / f"{name}.yaml"
    text = yaml.safe_dump_all(made(name), sort_keys=False, allow_unicode=True, width=120)
    if request.config.getoption("--regenerate-golden"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8"), "changed: pytest --regenerate-golden tests/cluster/test_job.py"
    job, *connecting = made(name)
    assert refusals(job) == []
    for each, resource in zip(connecting, ("services", "networkpolicies"), strict=False):
        assert dependents.refusals(resource, each) == []
        assert each["metadata"]["ownerReferences"] == [
            {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": "the-uid"}
        ]
        assert "kueue.x-k8s.io/queue-name" not in each["metadata"]["labels"]


@pytest.mark.parametrize("name", OBJECTS)
def test_the_pods_command_is_one_that_alma_takes(name: str) -> None:
    work, placement = OBJECTS[name]
    job = made(name)[0]
    container = job["spec"]["template"]["spec"]["containers"][0]
    given = [expand(word, {"JOB_COMPLETION_INDEX": "3", "HOME": "/no"}) for word in container["args"]]
    options = parser().parse_args(given)
    assert options.config.startswith('{"template": "$(HOME) costs $5' if name.startswith("respond") else "{")
    assert options.shard == ("3/8" if placement.shards > 1 else "all")
    assert (options.lease, options.run, options.label) == (job["metadata"]["name"], work.run, work.label)
    assert options.gpus == placement.gpus


def test_nodes_find_each_other() -> None:
    job, service, _ = made("finetune-2-nodes")
    pod = job["spec"]["template"]
    environment = {each["name"]: each for each in pod["spec"]["containers"][0]["env"]}
    name = job["metadata"]["name"]
    assert environment[COUNT]["value"] == "2"
    assert environment[RENDEZVOUS]["value"] == f"{name}-0.{service['metadata']['name']}:29500"
    assert "job-completion-index" in environment[RANK]["valueFrom"]["fieldRef"]["fieldPath"]
    assert pod["metadata"]["labels"]["alma/nodes"] == "2"
    assert service["spec"]["clusterIP"] == "None"
    assert service["metadata"]["name"] == pod["spec"]["subdomain"]
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert job["spec"]["suspend"] is True
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "alma"
    assert "kueue.x-k8s.io/queue-name" not in pod["metadata"]["labels"], "the Job is queued, and not its pods"


def test_what_fails_at_once_is_not_what_passes() -> None:
    assert set(FAILS_AT_ONCE) == {1, 2, 69}
    assert not {75, 137, 143} & set(FAILS_AT_ONCE)


BROKEN: dict[str, Callable[[dict[str, Any]], Any]] = {
    "only Never": lambda job: job["spec"]["template"]["spec"].update(restartPolicy="OnFailure"),
    "FailIndex needs": lambda job: (
        job["spec"]["podFailurePolicy"]["rules"][1].update(action="FailIndex"),
        job["spec"].pop("backoffLimitPerIndex"),
        job["spec"].pop("maxFailedIndexes"),
    ),
    "requires indexed": lambda job: job["spec"].update(completionMode="NonIndexed"),
    "must be specified when maxFailedIndexes": lambda job: job["spec"].pop("backoffLimitPerIndex"),
    "host name": lambda job: job["metadata"].update(name="a" * 62),
    "ordered": lambda job: job["spec"]["podFailurePolicy"]["rules"][1]["onExitCodes"].update(values=[2, 1]),
    "must not be 0": lambda job: job["spec"]["podFailurePolicy"]["rules"][1]["onExitCodes"].update(values=[0, 1]),
    "one of the containers": lambda job: job["spec"]["template"]["spec"]["containers"][0].update(name="another"),
    "only Failed": lambda job: job["spec"].update(podReplacementPolicy="TerminatingOrFailed"),
    "extended resource": lambda job: job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"].update(
        {"nvidia.com/gpu": "2"}
    ),
    "capabilities": lambda job: job["spec"]["template"]["spec"]["containers"][0]["securityContext"].pop("capabilities"),
    "metadata.labels": lambda job: job["metadata"]["labels"].update({"team": "a b"}),
    "1.31": lambda job: job["spec"].update(nodes=2),
}


@pytest.mark.parametrize("why", BROKEN)
def test_the_stub_refuses_what_the_api_refuses(why: str) -> None:
    job = copy.deepcopy(made("respond-8-shards")[0])
    BROKEN[why](job)
    assert any(why in each for each in refusals(job)), refusals(job)


def test_names_are_of_the_artifact_and_its_store() -> None:
    ref = WORK.ref
    assert re.fullmatch(rf"alma-respond-{KEY}-[0-9a-f]{{4}}", job_name("alma", ref, "s3://a", 8))
    assert job_name("alma", ref, "s3://a", 8) != job_name("alma", ref, "s3://b", 8)
    longest = "a" * 24
    assert len(f"{job_name(longest, ref, 's3://a', 1000)}-999") <= 63
    for prefix in (longest + "abc", "Alma", "alma-", "1"):
        with pytest.raises(ConfigError, match="--job-name-prefix"):
            job_name(prefix, ref, "s3://a", 1000)


def test_a_placement_is_read_as_the_form_gives_it() -> None:
    found = placement_of(
        "respond", {"respond": {"image": "i", "gpus": "2", "shards": "8", "node_selector": {"a": "b"}}}
    )
    assert (found.gpus, found.shards, found.shm_size) == (2, 8, "8Gi")
    with pytest.raises(ConfigError, match=r"place no Job of the stage judge; they do of: respond"):
        placement_of("judge", {"respond": {}})
    with pytest.raises(ConfigError, match=r"placement\.stages\.respond.*gpus"):
        placement_of("respond", {"respond": {"image": "i", "gpus": "many"}})
    with pytest.raises(ConfigError, match=r"shards = 2 and nodes = 2"):
        placement_of("finetune", {"finetune": {"image": "i", "shards": 2, "nodes": 2}})


def test_what_a_pipeline_compiles_is_what_a_job_reads() -> None:
    """With the form filled in, as the pipeline's first task leaves it in the settings."""
    placement = load_placement(Path(__file__).parents[2] / "examples" / "llama3-8b.toml", ["placement.queue='alma'"])
    stages = [name for name in ROLES if placement.is_job(name)]
    form = {
        **{f"image_{role}": f"registry/{role}" for role in ("base", "generate", "train")},
        **{f"gpus_{role}": "4" for role in ("generate", "train")},
        **{f"memory_{role}": "32Gi" for role in ("generate", "train")},
        **{"node_selector": '{"gpu": "h100"}', "node_tolerations": '[{"operator": "Exists"}]'},
    }
    by_stage = fill_in(job_placement(placement, stages), form)["stages"]
    assert stages
    for name in stages:
        found = placement_of(name, by_stage)
        assert found.shards == placement.stage(name).shards
        assert (found.gpus, found.memory, found.image) == (4, "32Gi", "registry/generate")
        assert (found.node_selector, found.tolerations) == ({"gpu": "h100"}, [{"operator": "Exists"}])
        assert found.queue == "alma"


def environment(work: Work, placement: StagePlacement) -> dict[str, str | None]:
    job = job_of("alma-x", work, placement)
    return {each["name"]: each.get("value") for each in job["spec"]["template"]["spec"]["containers"][0]["env"]}


def test_a_training_s_pods_are_told_where_kfp_keeps_its_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"MLFLOW_TRACKING_URI": "http://mlflow.mlflow:5000", "MLFLOW_RUN_ID": "r", "MLFLOW_EXPERIMENT_ID": "7"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert environment(TRAINING, NODES).items() >= told.items()
    assert not told.keys() & environment(WORK, SHARDS).keys(), "nothing is trained there"
    assert refusals(made("finetune-2-nodes")[0]) == []


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"])
def test_a_login_of_mlflow_s_is_in_no_spec(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.mlflow:5000")
    monkeypatch.setenv(name, "kubernetes")
    assert not [each for each in environment(TRAINING, NODES) if each.startswith("MLFLOW")]
    assert tracking() == ([], f"MLflow asks for a login ({name}), which the pods of a Job do not have: no curves there")


def test_every_whole_number_of_a_placement_may_come_as_text() -> None:
    properties = StagePlacement.model_json_schema()["properties"]
    kinds = {name: {each.get("type") for each in (prop, *prop.get("anyOf", ()))} for name, prop in properties.items()}
    assert {name for name, found in kinds.items() if "integer" in found} == set(NUMBERS)


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ('{"event":"error","message":"no such file"}', "ended with 1: no such file"),
        ('{"event":"error"}', "ended with exit code 1"),
        ('{"event":"error","message":["a"]}', "ended with exit code 1"),
        (f'{{"event":"error","message":"{"a" * 10**6}"}}', "ended with 1: aaa"),
        ("b" * 10**6, "ended with exit code 1"),
    ],
)
def test_whatever_a_pod_wrote_its_end_is_told_in_a_few_words(log: str, said: str) -> None:
    ended = {"name": CONTAINER, "state": {"terminated": {"exitCode": 1}}}
    pod = {"metadata": {"name": "pod", "uid": "u"}, "status": {"phase": "Failed", "containerStatuses": [ended]}}
    found = death(pod, log, "judge", StagePlacement(image="alma-vllm"))
    assert found.message.startswith(f"pod (index ?) {said}")
    assert max(map(len, (found.message, *found.lines))) <= 2000
