"""manifests/: what pods may do, whom they may reach, what roles allow, and that no secret is written down."""

from __future__ import annotations

import copy
import re
import secrets
import subprocess
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest

from cluster.names import NODES
from tests.builders.kustomized import (
    CLUSTERS,
    LOGIN,
    MANIFESTS,
    OVERLAYS,
    ROOT,
    Object,
    cluster,
    containers,
    copied,
    kubectl,
    kustomization,
    objects,
    overlay,
    pods,
    violations,
    walk,
)

GOLDEN = ROOT / "tests" / "golden" / "manifests"


@pytest.mark.parametrize("name", CLUSTERS)
def test_pods_are_restricted_and_bounded(name: str) -> None:
    assert pods(cluster(name))
    for template in pods(cluster(name)):
        assert violations(template["spec"]) == []
        for container in containers(template["spec"]):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True  # more than the level asks for
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]) & set(container["resources"]["limits"])


def test_the_namespace_enforces_it() -> None:
    labels = next(item for item in overlay("production/cluster") if item["kind"] == "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


RELAXED: dict[str, Callable[[Object], object]] = {
    "hostNetwork": lambda spec: spec.update(hostNetwork=True),
    "volume hostPath": lambda spec: spec["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
    "submit: privileged": lambda spec: spec["containers"][0]["securityContext"].update(privileged=True),
    "submit: allowPrivilegeEscalation": lambda s: s["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"),
    "submit: capabilities.drop": lambda spec: spec["containers"][0]["securityContext"].pop("capabilities"),
    "submit: capability SYS_ADMIN": lambda spec: spec["containers"][0]["securityContext"]["capabilities"].update(
        add=["SYS_ADMIN"]
    ),
    "submit: runAsNonRoot": lambda spec: spec["securityContext"].pop("runAsNonRoot"),
    "submit: runAsNonRoot false": lambda spec: spec["containers"][0]["securityContext"].update(runAsNonRoot=False),
    "submit: seccompProfile": lambda spec: spec["securityContext"].pop("seccompProfile"),
    "pod: runAsUser 0": lambda spec: spec["securityContext"].update(runAsUser=0),
    "init: runAsUser 0": lambda spec: spec.update(
        initContainers=[spec["containers"][0] | {"name": "init", "securityContext": {"runAsUser": 0}}]
    ),
    "submit: hostPort": lambda spec: spec["containers"][0].update(ports=[{"containerPort": 1, "hostPort": 1}]),
    "pod: sysctl": lambda spec: spec["securityContext"].update(sysctls=[{"name": "kernel.msgmax", "value": "1"}]),
    "pod: seccomp Unconfined": lambda spec: spec["securityContext"].update(seccompProfile={"type": "Unconfined"}),
}


@pytest.mark.parametrize("found", RELAXED)
def test_the_check_of_pods_sees(found: str) -> None:
    spec = copy.deepcopy(pods(list(overlay("kind/job")))[0]["spec"])
    RELAXED[found](spec)
    assert found in violations(spec)


@pytest.mark.parametrize("name", CLUSTERS)
def test_network_policies_fit_the_pods(name: str) -> None:
    policies = {i["metadata"]["name"]: i["spec"] for i in cluster(name) if i["kind"] == "NetworkPolicy"}
    for template in pods(cluster(name)):
        wanted = policies["alma-submit"]["podSelector"]["matchLabels"]
        assert wanted.items() <= template["metadata"]["labels"].items()
    for policy in policies.values():
        assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
        assert not policy.get("ingress"), "nobody is let in but by a Job's own policy"
        for rule in policy.get("egress", []):
            assert rule["to"], "a rule without `to` opens every address"
            assert rule["ports"], "a rule without `ports` opens every port"
    nodes = {"matchExpressions": [{"key": NODES, "operator": "Exists"}]}  # whose pods train together
    assert policies["alma-nodes"]["podSelector"] == nodes
    assert [rule["to"] for rule in policies["alma-nodes"]["egress"]] == [[{"podSelector": nodes}]]
    assert policies.get("default-deny", {"podSelector": {}})["podSelector"] == {}
    assert ("default-deny" in policies) == (name == "production")  # kind shares KFP's namespace


def test_narrowed_policies_open_no_address_to_everybody(tmp_path: Path) -> None:
    tree = copied(tmp_path)
    folder = kustomization(tree, resources=["../../base"], components=["../../components/narrow-egress"])
    policies = {i["metadata"]["name"]: i["spec"] for i in objects(folder) if i["kind"] == "NetworkPolicy"}
    assert {"alma-run", "alma-submit", "alma-stage", "alma-nodes"} == set(policies)
    blocks = [value for policy in policies.values() for name, value in walk(policy) if name == "cidr"]
    assert blocks
    assert "0.0.0.0/0" not in blocks


@pytest.mark.parametrize("name", CLUSTERS)
def test_no_role_is_broad(name: str) -> None:
    for role in (item for item in cluster(name) if item["kind"] == "Role"):
        for rule in role["rules"]:
            assert "*" not in chain(rule["apiGroups"], rule["resources"], rule["verbs"])
            if "secrets" in rule["resources"]:
                assert rule["verbs"] == ["get"]
                assert rule["resourceNames"]
            assert not {"pods/exec", "serviceaccounts/token", "roles", "rolebindings"} & set(rule["resources"])


def test_nothing_secret_is_written() -> None:
    telling = re.compile(r"(?i)(secret|password|token|access_key|credential|private_key)")
    login = re.compile(r"(A3T|AKIA|ASIA)[A-Z0-9]{16}|BEGIN [A-Z ]*PRIVATE KEY|eyJ[\w-]{10,}\.eyJ|hf_[A-Za-z0-9]{20,}")
    files = {path for path in (*MANIFESTS.rglob("*"), *GOLDEN.glob("*.yaml")) if path.is_file()} - {MANIFESTS / LOGIN}
    for path in files:
        assert not login.search(path.read_text(encoding="utf-8")), path
    for env in (path for path in files if path.suffix == ".env"):
        names = [line.partition("=")[0] for line in env.read_text("utf-8").splitlines() if not line.startswith("#")]
        assert not [name for name in names if telling.search(name)], env
    for item in chain(*map(overlay, OVERLAYS)):
        assert item["kind"] != "Secret"
        for key, value in walk(item):
            if key == "env":
                assert not [each for each in value if telling.search(each["name"]) and "value" in each]


def test_a_secret_comes_from_a_file_that_is_not_committed(tmp_path: Path) -> None:
    tree = copied(tmp_path)
    folder = kustomization(tree, resources=["../../base"], components=["../../components/s3-secret"])
    failed = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert failed.returncode
    assert "s3.env" in failed.stderr
    login = secrets.token_hex()
    file = tree / LOGIN
    file.write_text(f"AWS_ACCESS_KEY_ID=alma\nAWS_SECRET_ACCESS_KEY={login}\n")
    made = next(item for item in objects(folder) if item["kind"] == "Secret")
    assert set(made["data"]) == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    ignored = MANIFESTS / "components" / "s3-secret" / ".gitignore"
    assert file.name in ignored.read_text("utf-8").split()
