"""Manifests as ``kubectl kustomize`` renders them, and what the Pod Security Standards say about a pod."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"

CLUSTERS = {
    "kind": ("kind", "kind/job"),
    "production": ("production/cluster", "production", "production/job", "production/cronjob"),
}
"""The overlays that belong together, in the order in which they are applied."""

LOGIN = Path("components", "s3-secret", "s3.env")
"""Where a login may lie, out of git; from the folder manifests/."""

OVERLAYS = tuple(chain(*CLUSTERS.values()))

# What may be mounted: https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip

Object = dict[str, Any]

REMEDY = "tests/tools/kubectl.sh .venv/bin, then pytest tests/manifests"


@functools.cache
def kubectl() -> str:
    """A kubectl that knows kustomize's components. Skips where there is none, and says how to get one."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = shutil.which("kubectl", path=path)
    if found is None:
        pytest.skip(f"MANIFESTS NOT CHECKED: there is no kubectl: {REMEDY}")
    told = subprocess.run([found, "version", "--client"], capture_output=True, text=True, check=False).stdout
    if "Kustomize Version: v" not in told:
        pytest.skip(f"MANIFESTS NOT CHECKED: {found} is older than 1.24: {REMEDY}")
    return found


def text(folder: Path) -> str:
    """What ``kubectl kustomize`` prints for ``folder``. Raises ``AssertionError`` with what it says."""
    done = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, f"{folder}: {done.stderr}"  # deprecations, mostly
    return done.stdout


def objects(folder: Path) -> list[Object]:
    """The objects of ``folder``."""
    return [item for item in yaml.safe_load_all(text(folder)) if item]


@functools.cache
def overlay(name: str) -> tuple[Object, ...]:
    """The objects of an overlay as it is committed; not to be changed."""
    return tuple(objects(MANIFESTS / "overlays" / name))


def cluster(name: str) -> list[Object]:
    """All objects that the overlays of one cluster make."""
    return [item for each in CLUSTERS[name] for item in overlay(each)]


def copied(folder: Path) -> Path:
    """A copy of manifests/ to change, without the login that somebody may keep in it."""

    def ignored(directory: str, names: list[str]) -> list[str]:
        return [name for name in names if Path(directory, name).relative_to(MANIFESTS) == LOGIN]

    return Path(shutil.copytree(MANIFESTS, folder / "manifests", ignore=ignored))


def kustomization(tree: Path, name: str = "test", **fields: Any) -> Path:
    """A new overlay in a copy of the tree."""
    folder = tree / "overlays" / name
    folder.mkdir()
    fields = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", **fields}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(fields), encoding="utf-8")
    return folder


def walk(value: Any) -> Iterator[tuple[str, Any]]:
    """Every field of a tree, by its last name."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


def pods(items: Iterable[Object]) -> list[Object]:
    """The pod templates among objects."""
    return [template for item in items if (template := pod_template(item))]


def pod_template(item: Object) -> Object | None:
    """The pod template of a workload, if it is one."""
    spec = item.get("spec", {})
    if item["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    found: Object | None = spec.get("template") if isinstance(spec, dict) else None
    return found


def containers(spec: Object) -> Iterator[Object]:
    """All containers of a pod's spec."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field, [])


def violations(spec: Object) -> list[str]:
    """What in a pod's spec the level "restricted" forbids, Linux pods; the level "baseline" is part of it."""
    found = [field for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    if spec.get("hostUsers") is not None:
        found.append("hostUsers")  # allowed, but it relaxes other checks, which is not written here
    for volume in spec.get("volumes", []):
        found += [f"volume {kind}" for kind in set(volume) - {"name"} - VOLUMES]
    pod = spec.get("securityContext", {})
    found += _context(pod, "pod")
    for container in containers(spec):
        name, own = container["name"], container.get("securityContext", {})
        found += _context(own, name)
        if own.get("privileged"):
            found.append(f"{name}: privileged")
        if own.get("allowPrivilegeEscalation") is not False:
            found.append(f"{name}: allowPrivilegeEscalation")
        if own.get("procMount", "Default") != "Default":
            found.append(f"{name}: procMount")
        if not own.get("runAsNonRoot", pod.get("runAsNonRoot")):
            found.append(f"{name}: runAsNonRoot")
        if own.get("seccompProfile", pod.get("seccompProfile", {})).get("type") not in ("RuntimeDefault", "Localhost"):
            found.append(f"{name}: seccompProfile")
        capabilities = own.get("capabilities", {})
        if "ALL" not in capabilities.get("drop", []):
            found.append(f"{name}: capabilities.drop")
        found += [f"{name}: capability {added}" for added in set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}]
        found += [f"{name}: hostPort" for port in container.get("ports", []) if port.get("hostPort")]
        for probe in (container.get(field, {}) for field in ("livenessProbe", "readinessProbe", "startupProbe")):
            found += [f"{name}: probe host" for way in ("httpGet", "tcpSocket") if probe.get(way, {}).get("host")]
    return found


def _context(context: Object, where: str) -> list[str]:
    found = [f"{where}: runAsUser 0"] if context.get("runAsUser") == 0 else []
    if context.get("runAsNonRoot") is False:
        found.append(f"{where}: runAsNonRoot false")
    if context.get("seccompProfile", {}).get("type") == "Unconfined":
        found.append(f"{where}: seccomp Unconfined")
    if context.get("appArmorProfile", {}).get("type") == "Unconfined":
        found.append(f"{where}: AppArmor Unconfined")
    options = context.get("seLinuxOptions", {})
    if options.get("user") or options.get("role") or options.get("type", "container_t") not in (
        "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t",
    ):  # fmt: skip
        found.append(f"{where}: seLinuxOptions")
    if context.get("windowsOptions", {}).get("hostProcess"):
        found.append(f"{where}: hostProcess")
    return found + [f"{where}: sysctl" for _ in context.get("sysctls", [])]
