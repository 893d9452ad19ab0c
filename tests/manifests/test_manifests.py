"""manifests/: every overlay and component renders, is valid and as committed, and names what is there."""

from __future__ import annotations

import copy
import json
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

from components.placement import Placement
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
    kustomization,
    objects,
    overlay,
    pods,
    text,
    walk,
)

GOLDEN = ROOT / "tests" / "golden" / "manifests"
KUEUE = json.loads((GOLDEN / "kueue-v1beta2.schema.json").read_text(encoding="utf-8"))
KUBERNETES = ("1.31", "1.37")  # the oldest with everything that is used; the newest with a schema
DOCS = ROOT / "docs" / "kubernetes.md"

COMPONENTS = sorted(path.parent.name for path in MANIFESTS.glob("components/*/kustomization.yaml"))
CLUSTER_SCOPED = {"Namespace", "PriorityClass", "ResourceFlavor", "ClusterQueue", "WorkloadPriorityClass"}

GIVEN = {
    ("ConfigMap", "alma-pipeline"),  # made from a compiled pipeline by kubectl create configmap: too large to apply
    ("ConfigMap", "kfp-launcher"),  # KFP's
    ("Secret", "mlpipeline-minio-artifact"),  # KFP's
    ("Secret", "alma-s3"),  # component s3-secret, hack/kind.sh, or a person; optional, for an identity does without
}
"""What no overlay makes, and docs/kubernetes.md says who does."""


def validate(item: Object) -> None:
    """Against the schemas of Kubernetes, strictly; kubernetes-validate has none of custom kinds."""
    if item["apiVersion"].startswith("kueue.x-k8s.io/"):
        jsonschema.Draft202012Validator(KUEUE).validate(item)
        return
    for version in KUBERNETES:
        kubernetes_validate.validate(item, version, strict=True)


@pytest.mark.parametrize("name", OVERLAYS)
def test_overlay_is_valid_and_as_committed(name: str, request: pytest.FixtureRequest) -> None:
    golden = GOLDEN / f"{name.replace('/', '-')}.yaml"
    rendered = text(MANIFESTS / "overlays" / name)
    if request.config.getoption("--regenerate-golden"):
        golden.write_text(rendered, encoding="utf-8")
    assert rendered == golden.read_text(encoding="utf-8"), "changed: make golden"
    for item in overlay(name):
        validate(item)


@pytest.mark.parametrize("name", COMPONENTS)
def test_component_renders_upon_the_base(name: str, tmp_path: Path) -> None:
    tree = copied(tmp_path)
    (tree / LOGIN).write_text(f"AWS_SECRET_ACCESS_KEY={secrets.token_hex()}\n")
    both = ["../../base", "../../job"]
    before = objects(kustomization(tree, "before", resources=both))
    after = objects(kustomization(tree, "after", resources=both, components=[f"../../components/{name}"]))
    assert after != before
    for item in after:
        validate(item)


def test_every_overlay_and_component_is_looked_at() -> None:
    kustomizations = {path.parent.relative_to(MANIFESTS).as_posix() for path in MANIFESTS.rglob("kustomization.yaml")}
    seen = {"base", "job", *(f"components/{name}" for name in COMPONENTS), *(f"overlays/{name}" for name in OVERLAYS)}
    seen |= {f"overlays/{name}/images" for name in CLUSTERS}  # a component of that overlay's own
    assert kustomizations == seen


def test_the_base_has_no_namespace_and_no_tag() -> None:
    for folder in (MANIFESTS / "base", MANIFESTS / "job"):
        for item in objects(folder):
            assert "namespace" not in item["metadata"]
            assert all(":" not in image for key, image in walk(item) if key == "image")


@pytest.mark.parametrize("change", ["spec", "name", "unknown", "cluster-scoped"])
def test_the_schema_for_kueue_refuses(change: str) -> None:
    queue = copy.deepcopy(next(item for item in overlay("production/cluster") if item["kind"] == "ClusterQueue"))
    validate(queue)
    if change == "spec":
        del queue["spec"]["resourceGroups"][0]["flavors"][0]["resources"][0]["nominalQuota"]
    elif change == "name":
        queue["metadata"]["name"] = "Alma_queue"
    elif change == "unknown":
        queue["spec"]["cohort"] = "gone since v1beta2"
    else:
        queue["metadata"]["namespace"] = "alma"
    with pytest.raises(jsonschema.ValidationError):
        validate(queue)


@pytest.mark.parametrize("name", CLUSTERS)
def test_what_is_named_is_there(name: str) -> None:
    items = cluster(name)
    made = {(item["kind"], item["metadata"]["name"]) for item in items}
    documented = {(kind, found) for kind, found in GIVEN if found in DOCS.read_text(encoding="utf-8")}
    named = set(references(items))
    assert not sorted(named - made - documented)
    assert {("ConfigMap", "alma-parameters"), ("ServiceAccount", "alma-run"), *GIVEN} <= named


def references(items: list[Object]) -> Iterator[tuple[str, str]]:
    """Kind and name of whatever else an object needs."""
    for template in pods(items):
        spec = template["spec"]
        yield "ServiceAccount", spec["serviceAccountName"]
        if "priorityClassName" in spec:
            yield "PriorityClass", spec["priorityClassName"]
        for key, value in walk(spec):
            if key in ("configMap", "configMapRef", "configMapKeyRef"):
                yield "ConfigMap", value["name"]
            elif key in ("secret", "secretRef", "secretKeyRef"):
                yield "Secret", value.get("name") or value["secretName"]
            elif key == "persistentVolumeClaim":
                yield "PersistentVolumeClaim", value["claimName"]
    for item in items:
        if item["kind"] == "RoleBinding":
            yield "Role", item["roleRef"]["name"]
            yield from ((subject["kind"], subject["name"]) for subject in item["subjects"])
        elif item["kind"] == "LocalQueue":
            yield "ClusterQueue", item["spec"]["clusterQueue"]
        elif item["kind"] == "ClusterQueue":
            flavors = (flavor for group in item["spec"]["resourceGroups"] for flavor in group["flavors"])
            yield from (("ResourceFlavor", flavor["name"]) for flavor in flavors)
            yield "Namespace", item["spec"]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        elif item["kind"] == "ConfigMap" and "KF_PIPELINES_SERVICE_ACCOUNT" in item["data"]:
            yield "ServiceAccount", item["data"]["KF_PIPELINES_SERVICE_ACCOUNT"]
        elif item["kind"] == "Role":
            kinds = {"configmaps": "ConfigMap", "secrets": "Secret"}
            for rule in item["rules"]:
                yield from ((kinds[rule["resources"][0]], found) for found in rule.get("resourceNames", []))


def test_names_are_those_that_tasks_mount() -> None:
    placement = Placement()
    for name in CLUSTERS:
        assert ("ConfigMap", placement.s3_config) in {(i["kind"], i["metadata"]["name"]) for i in cluster(name)}
    component = yaml.safe_load((MANIFESTS / "components/s3-secret/kustomization.yaml").read_text(encoding="utf-8"))
    assert component["secretGenerator"][0]["name"] == placement.s3_secret
    images = next(item for item in objects(MANIFESTS / "base") if item["metadata"]["name"] == "alma-images")["data"]
    assert images == {f"image_{role}": name.partition(":")[0] for role, name in placement.images}


@pytest.mark.parametrize("name", OVERLAYS)
def test_namespaces_and_labels(name: str) -> None:
    wanted = {"kind": "kubeflow", "production": "alma"}[name.partition("/")[0]]
    for item in overlay(name):
        scoped = item["kind"] in CLUSTER_SCOPED
        assert item["metadata"].get("namespace") == (None if scoped else wanted), item
        if not scoped:  # a Profile's namespace keeps the label that its controller gives it
            assert item["metadata"]["labels"]["app.kubernetes.io/part-of"] == "alma"


@pytest.mark.parametrize("name", CLUSTERS)
def test_every_image_is_set_by_the_overlay(name: str) -> None:
    images = [container["image"] for template in pods(cluster(name)) for container in containers(template["spec"])]
    images += next(item for item in cluster(name) if item["metadata"]["name"] == "alma-images")["data"].values()
    assert len(images) >= 4
    for image in images:
        assert re.fullmatch(r"[a-z0-9.]+/alma-(base|vllm|trl|harness|submit):(?!latest)[\w.-]+", image), image


def test_kind_loads_the_images_that_its_overlay_names() -> None:
    script = (ROOT / "hack" / "kind.sh").read_text(encoding="utf-8")
    bake = (ROOT / "images" / "docker-bake.hcl").read_text(encoding="utf-8")
    (job,) = overlay("kind/job")
    named = next(item for item in overlay("kind") if item["metadata"]["name"] == "alma-images")["data"].values()
    for image in {*named, job["spec"]["template"]["spec"]["containers"][0]["image"]}:
        registry, _, tagged = image.partition("/")
        assert f"REGISTRY={registry} VERSION=kind" in script
        assert tagged in script
        assert "${REGISTRY}/" + tagged.replace(":kind", ":${VERSION}") + '"' in bake


def test_an_image_may_be_named_by_its_digest(tmp_path: Path) -> None:
    tree = copied(tmp_path)
    digest = "sha256:" + "0123456789abcdef" * 4
    folder = kustomization(
        tree,
        resources=["../../base", "../../job"],
        configurations=["image-fields.yaml"],
        images=[
            {"name": f"alma-{name}", "newName": f"r.example/{name}", "digest": digest} for name in ("vllm", "submit")
        ],
    )
    shutil.copy(tree / "overlays" / "kind" / "images" / "image-fields.yaml", folder)
    rendered = objects(folder)
    assert pods(rendered)[0]["spec"]["containers"][0]["image"] == f"r.example/submit@{digest}"
    images = next(item for item in rendered if item["metadata"]["name"] == "alma-images")["data"]
    assert images["image_generate"] == f"r.example/vllm@{digest}"
    assert images["image_base"] == "alma-base"


@pytest.mark.parametrize("script", ["hack/kind.sh", "images/pin.sh", "tests/tools/kubectl.sh"])
def test_scripts_are_sound(script: str) -> None:
    checker = shutil.which("shellcheck")
    if checker is None:
        pytest.skip(
            f"{script} NOT CHECKED: there is no shellcheck: apt-get install shellcheck, then pytest tests/manifests"
        )
    done = subprocess.run([checker, str(ROOT / script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
