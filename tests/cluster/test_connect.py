"""The pods of a Job with nodes reach each other, and no others: what is made for it, whose it is, and that it goes."""

from __future__ import annotations

import copy
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from alma.artifact import Ref
from alma.errors import AccessError, ConfigError, Stopped
from alma.store import FolderStore
from cluster import adopt as adopting
from cluster import connect as connecting
from cluster.adopt import adopt
from cluster.api import Api
from cluster.connect import connect
from cluster.delete import delete_jobs
from cluster.job import job_of
from cluster.names import job_name
from cluster.network import policy_of, service_of
from cluster.placement import StagePlacement
from cluster.work import Work
from tests.builders import dependents
from tests.builders.embedding_job import ROOT, Command, cluster
from tests.builders.jobs_stub import ClusterStub
from tests.builders.kustomized import CLUSTERS, MANIFESTS
from tests.builders.kustomized import cluster as manifests_of
from tests.builders.policies import reaches

Object = dict[str, Any]
RUN = "5f0e4f1c-2b1e"


def wanted(key: str = "0123456789abcdef0123", run: str = RUN, nodes: int = 2) -> Object:
    """A training's Job."""
    store = FolderStore(Path("/store"))
    work = Work(store, Ref("finetune", key), {}, {"model": Ref("ingest", key)}, ".", run, "round 03 · finetune")
    placement = StagePlacement(image="alma-trl", cpu="1", nodes=nodes)
    return job_of(job_name("alma", work.ref, store.uri, nodes), work, placement)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """A stub at work, which this process is told of; a pod sleeps until it is ended."""
    with cluster(tmp_path, FolderStore(tmp_path / "store"), {}) as command:
        monkeypatch.setenv("KUBECONFIG", command.environment["KUBECONFIG"])
        command.stub.entry = lambda pod: ["sh", "-c", "exec sleep 60"]
        yield command


@pytest.fixture
def stub(command: Command) -> ClusterStub:
    return command.stub


@pytest.fixture
def api(stub: ClusterStub) -> Api:
    return Api("team", patience=5)


def made(api: Api, job: Object, said: list[str] | None = None, stopping: Callable[[], bool] = lambda: False) -> Object:
    """As the coordinator does it: the Job, made or found, and what connects its pods."""
    heard: list[str] = [] if said is None else said
    found = adopt(api, job, heard.append, stopping, 0.05)
    connect(api, found, heard.append, stopping, 0.05)
    return found


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def connected(stub: ClusterStub) -> dict[str, list[str]]:
    return {resource: stub.dependents.names(resource) for resource in dependents.KINDS}


def test_both_are_made_once_and_go_with_their_job(stub: ClusterStub, api: Api) -> None:
    job = made(api, wanted())
    name = job["metadata"]["name"]
    assert connected(stub) == {"services": [name], "networkpolicies": [name]}
    before = copy.deepcopy(stub.dependents.found)
    assert made(api, wanted(run="another"))["metadata"]["uid"] == job["metadata"]["uid"], "adopted"
    assert stub.dependents.found == before
    other = made(api, wanted("f" * 20, "another"))["metadata"]["name"]
    assert delete_jobs(RUN, api) == [name]
    wait_for(lambda: connected(stub) == {"services": [other], "networkpolicies": [other]})
    assert delete_jobs("another", api) == [other]
    wait_for(lambda: connected(stub) == {"services": [], "networkpolicies": []})


def test_a_name_that_is_taken_and_not_there_is_not_asked_for_without_a_pause(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API answers 409 where a quota was counted meanwhile, too."""
    answers, paused, create = [None, None], list[float](), api.create_job
    monkeypatch.setattr(api, "create_job", lambda job: answers.pop() if answers else create(job))
    monkeypatch.setattr(adopting, "time", SimpleNamespace(sleep=paused.append))
    assert adopt(api, wanted(), print, lambda: False, 0.5)["metadata"]["uid"]
    assert paused == [0.5, 0.5]


@pytest.mark.parametrize("late", [0.0, 1.0])
def test_those_of_an_earlier_job_are_not_taken_for_ours(stub: ClusterStub, api: Api, late: float) -> None:
    """They go a moment after that Job, however soon the next one of its name is there."""
    stub.dependents.collected_after_seconds = late
    first, said = made(api, wanted()), list[str]()
    api.delete_job(first["metadata"]["name"], first["metadata"]["uid"], foreground=True)
    second = made(api, wanted(), said)
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    time.sleep(late)
    wait_for(lambda: len(stub.dependents.found) == 2)
    owners = [each["metadata"]["ownerReferences"][0]["uid"] for each in stub.dependents.found.values()]
    assert owners == [second["metadata"]["uid"]] * 2
    assert late == 0 or any("waits for the Service of an earlier Job" in each for each in said)


@pytest.mark.parametrize("resource", dependents.KINDS)
def test_a_name_that_is_taken_is_told(
    stub: ClusterStub, api: Api, resource: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = wanted()
    name = job["metadata"]["name"]
    kind = dependents.KINDS[resource][1]
    makes = {"Service": service_of, "NetworkPolicy": policy_of}[kind]
    there = makes(job | {"metadata": job["metadata"] | {"uid": "x"}})
    del there["metadata"]["ownerReferences"]
    del there["metadata"]["labels"]["app.kubernetes.io/part-of"]
    stub.dependents.create(resource, there)
    with pytest.raises(ConfigError, match=f"the {kind} {name} is there already and belongs to no Job"):
        made(api, job)
    there["metadata"]["labels"]["app.kubernetes.io/part-of"] = "alma"
    stub.dependents.found[resource, name] = there
    asked = 0

    def after_two_looks() -> bool:
        nonlocal asked
        asked += 1
        return asked > 2

    with pytest.raises(Stopped, match=f"before the {kind} of the Job {name} was there"):
        made(api, job, stopping=after_two_looks)
    monkeypatch.setattr(connecting, "GONE_SECONDS", 0.2)
    with pytest.raises(ConfigError, match="remove it, or give another --job-name-prefix"):
        made(api, job)


def role() -> list[Object]:
    found = yaml.safe_load_all((MANIFESTS / "base" / "run-role.yaml").read_text(encoding="utf-8"))
    return [rule for item in found if item["kind"] == "Role" for rule in item["rules"]]


def test_the_role_of_a_runs_pods_allows_what_is_asked(stub: ClusterStub, api: Api) -> None:
    stub.rules = role()
    stub.dependents.collected_after_seconds = 0.5
    first = made(api, wanted())
    api.delete_job(first["metadata"]["name"], first["metadata"]["uid"], foreground=True)
    for _ in range(2):  # made, then found
        made(api, wanted())
    delete_jobs(RUN, api)
    asked = {(method, path.split("/namespaces/team/")[1].partition("/")[0]) for method, path in stub.seen}
    assert {(method, each) for method in ("GET", "POST") for each in dependents.KINDS} <= asked


@pytest.mark.parametrize("resource", dependents.KINDS)
@pytest.mark.parametrize("verb", ["create", "get"])
def test_each_right_of_the_role_is_needed(stub: ClusterStub, api: Api, resource: str, verb: str) -> None:
    stub.rules = [
        {**rule, "verbs": [each for each in rule["verbs"] if each != verb or resource not in rule["resources"]]}
        for rule in role()
    ]
    refused = pytest.raises(AccessError, match=f"refuses to {verb} {resource} in the namespace team.*run-role.yaml")
    if verb == "get":  # it is asked where something is there
        made(api, wanted())
    with refused:
        made(api, wanted())


@pytest.mark.slow
def test_a_job_whose_pods_cannot_be_connected_is_deleted(command: Command) -> None:
    """An account with the role of an earlier version: the Job would wait for its pods to meet, which they never do."""
    command.stub.rules = [rule for rule in role() if "networkpolicies" not in rule["resources"]]
    words = [sys.executable, "-m", "cluster", "stage", "finetune", "--store", command.store.uri, "--log", "json"]
    words += ["--config", '{"objective": "sft"}', "--in", f"model=ingest/{'0' * 20}", "--in", f"rows=select/{'0' * 20}"]
    words += ["--run", RUN, "--poll", "0.1", "--placement", '{"image": "alma-trl", "cpu": "1", "nodes": 2}']
    done = subprocess.run(words, cwd=ROOT, env=command.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "refuses to create networkpolicies in the namespace team" in done.stderr
    assert "deleted the Job alma-finetune-" in done.stderr
    assert not command.stub.jobs
    wait_for(lambda: not command.stub.dependents.found)


def pod_of(job: Object) -> dict[str, str]:
    """The labels of a Job's pods, with the one that the Job controller gives."""
    labels: dict[str, str] = job["spec"]["template"]["metadata"]["labels"]
    return {**labels, "batch.kubernetes.io/job-name": job["metadata"]["name"]}


@pytest.mark.parametrize("name", CLUSTERS)
@pytest.mark.parametrize("port", [29500, 40000])
def test_pods_of_one_job_reach_each_other_and_nobody_else(name: str, port: int) -> None:
    """By the policies of the manifests and of two trainings in one namespace, together."""
    static = [item for item in manifests_of(name) if item["kind"] == "NetworkPolicy"]
    first, second, alone = wanted(), wanted("f" * 20), wanted("e" * 20, nodes=1)
    policies = [policy_of(job | {"metadata": job["metadata"] | {"uid": "x"}}) for job in (first, second)]
    of_run = {"pipelines.kubeflow.org/v2_component": "true"}
    everybody = {
        "first": pod_of(first),
        "second": pod_of(second),
        "alone": pod_of(alone),
        "run": of_run,
        "submit": {"app.kubernetes.io/name": "alma-submit"},
        "stranger": {"app": "notebook"},
    }
    through = {
        (source, target)
        for source, of_source in everybody.items()
        for target in ("first", "second", "alone")
        if reaches([*static, *policies], of_source, everybody[target], port)
    }
    assert through == {("first", "first"), ("second", "second")}
    assert not reaches(static, pod_of(first), pod_of(first), port), "the manifests alone admit nobody"
    assert not reaches([*static, *policies], pod_of(first), pod_of(first), 443)


def test_without_the_manifests_policies_a_job_shuts_itself_off_from_no_store() -> None:
    job = wanted()
    policy = policy_of(job | {"metadata": job["metadata"] | {"uid": "x"}})
    assert reaches([policy], pod_of(job), {"app": "minio"}, 9000)
    assert not reaches([policy], {"app": "minio"}, pod_of(job), 29500)


REFUSED: dict[str, Callable[[Object], Any]] = {
    "endPort: must be from port": lambda policy: policy["ingress"][0]["ports"][0].update(endPort=80),
    "endPort: may not": lambda policy: policy["ingress"][0]["ports"][0].update(port="rendezvous"),
    "port: must be between": lambda policy: policy["ingress"][0]["ports"][0].update(port=0),
    "policyTypes": lambda policy: policy.update(policyTypes=["Inwards"]),
    "either an ipBlock or selectors": lambda policy: policy["ingress"][0].update({"from": [{}]}),
    "1.31": lambda policy: policy.update(selector={}),
}


@pytest.mark.parametrize("why", REFUSED)
def test_the_stub_refuses_what_the_api_refuses(why: str) -> None:
    job = wanted()
    policy = policy_of(job | {"metadata": job["metadata"] | {"uid": "x"}})
    assert dependents.refusals("networkpolicies", policy) == []
    REFUSED[why](policy["spec"])
    assert any(why in each for each in dependents.refusals("networkpolicies", policy))
    policy = policy_of(job | {"metadata": job["metadata"] | {"uid": ""}})
    assert "metadata.ownerReferences.uid: must not be empty" in dependents.refusals("networkpolicies", policy)
