"""The images, built and run: by whom, on what file system, with what inside and nothing else."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

import alma
from tests.containers import podman

if TYPE_CHECKING:
    from tests.conftest import S3Server

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]  # the first build of a machine takes minutes

IMAGES = {"base": False, "submit": False, "trl": True}
"""Image → whether its CPU variant."""

SMALL_RUN = [
    "alma.engine=echo",
    "alma.rounds=1",
    "alma.synthesize.num_attempts=400",
    "alma.diversify.num_clusters=20",
    "alma.distill.num_prompts=30",
    "alma.respond.num_prompts=20",
    "alma.respond.num_samples=6",
    "alma.curve.num_samples=2",
]


@pytest.fixture(params=IMAGES)
def built(request: pytest.FixtureRequest, image: Callable[..., str]) -> str:
    """The name of each image in turn."""
    return image(request.param, cpu=IMAGES[request.param])


def inspect(name: str) -> Any:
    return json.loads(podman.podman("image", "inspect", name))[0]


def test_alma_runs_as_a_stranger_on_a_read_only_root(built: str) -> None:
    assert podman.run(built, "alma", "--version") == f"alma {alma.__version__}\n"
    assert podman.run(built, "python", "-m", "alma", "--version") == f"alma {alma.__version__}\n"
    assert podman.run(built, "id", "-u").strip() == "65532"
    assert inspect(built)["Config"]["User"] == "65532:65532", "a name might be root's, and run_as_non_root refuses it"
    assert "usage: alma" in podman.run(built)
    # Clusters that choose user ids themselves give one without a name, in group 0.
    stranger = ["--network=none", "--user=1000660000:0"]
    assert podman.run(built, "sh", "-c", "touch /cache/x; id -u; alma --version", options=[*stranger, "--tmpfs=/cache"])
    asked = "import getpass, pathlib; print(getpass.getuser(), pathlib.Path.home())"
    assert podman.run(built, "python", "-c", asked, options=stranger) == "alma /tmp\n"


def test_nothing_is_written_but_tmp_and_the_cache(built: str) -> None:
    attempt = (
        "for place in / /opt/alma /opt/alma/bin /usr/bin /etc; do touch $place/x && echo $place; done; touch /cache/x"
    )
    with_writable_root = ["--network=none", "--read-only=false"]
    assert podman.run(built, "sh", "-c", attempt, options=with_writable_root) == ""


def test_it_holds_no_pip_and_no_build(built: str) -> None:
    found = podman.run(built, "sh", "-c", "which pip uv git curl; ls -d /build /root/.cache /run/secrets /mnt/*; true")
    assert found == ""
    found = "import importlib.util as u; print([m for m in ('pip', 'uv', 'pytest') if u.find_spec(m)])"
    assert podman.run(built, "python", "-c", found) == "[]\n"


def test_its_bytecode_is_in_it(built: str) -> None:
    trace = subprocess.run(
        ["podman", "run", "--rm", *podman.RESTRICTED, built, "python", "-v", "-c", "import alma.cli"],
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    compiled = [line for line in trace.splitlines() if "alma/cli/__pycache__/__init__.cpython-311.pyc matches" in line]
    assert len(compiled) == 1, "alma would be compiled anew in every pod"
    assert "wrote" not in trace


def test_labels_say_what_it_is(built: str) -> None:
    labels = inspect(built)["Labels"]
    prefix = "org.opencontainers.image."
    assert labels[f"{prefix}version"] == alma.__version__
    assert re.fullmatch("[0-9a-f]{40}|unknown", labels[f"{prefix}revision"])
    assert labels[f"{prefix}licenses"] == "Apache-2.0"
    assert labels[f"{prefix}title"] == built.removeprefix("localhost/").split(":")[0].replace("-", " ")
    assert labels[f"{prefix}base.name"] == podman.PYTHON_IMAGE


def test_nothing_of_the_building_machine_is_in_layers_or_history(built: str) -> None:
    """The secret of the build, where this machine finds packages, and its certificate authorities."""
    pip = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    settings = dict(line.split("=", 1) for line in pip.stdout.splitlines())
    places = [
        place
        for name, value in settings.items()
        if name.endswith(("find-links", "index-url"))
        for place in value.strip("'\"").split()
    ]
    needles = {podman.BUILD_SECRET, str(podman.ROOT), *places} - {"https://pypi.org/simple", "https://pypi.org/simple/"}
    assert not found_in_image(built, {each.encode() for each in needles})
    assert found_in_image(built, {b"org.opencontainers.image.licenses"}), "the search finds nothing at all"

    authorities = ["sha256sum", "/etc/ssl/certs/ca-certificates.crt"]
    assert podman.run(built, *authorities) == podman.run(podman.PYTHON_IMAGE, *authorities)


def found_in_image(name: str, needles: set[bytes]) -> set[bytes]:
    """Which of ``needles`` stand anywhere in the image: files of every layer, configuration, history."""
    found: set[bytes] = set()
    longest = max(map(len, needles))
    with subprocess.Popen(["podman", "save", "--quiet", name], stdout=subprocess.PIPE) as saving:
        assert saving.stdout
        end = b""
        while chunk := saving.stdout.read(1 << 24):
            block = end + chunk
            found |= {needle for needle in needles - found if needle in block}
            end = block[-longest:]
    assert saving.returncode == 0
    return found


def test_base_runs_the_whole_recipe_without_torch(image: Callable[..., str]) -> None:
    base, heavy = image("base"), ("torch", "trl", "vllm", "kfp", "kubernetes")
    found = f"import importlib.util as u; print([m for m in {heavy} if u.find_spec(m)])"
    assert podman.run(base, "python", "-c", found) == "[]\n"
    settings = [word for setting in SMALL_RUN for word in ("--set", setting)]
    ran = podman.run(base, "alma", "run", "/opt/alma/examples/micro.toml", "--store", "/tmp/store", *settings)
    assert "report  /tmp/store/report/" in ran


@pytest.mark.parametrize("name", ["base", "trl"])
def test_what_ingests_holds_the_small_worlds_as_they_are_here(image: Callable[..., str], name: str) -> None:
    listed = podman.run(
        image(name, cpu=IMAGES[name]), "sh", "-c", "cd /opt/alma/examples && find . -type f -exec sha256sum {} +"
    )
    there = {path.removeprefix("./"): digest for digest, path in (line.split("  ") for line in listed.splitlines())}
    examples = podman.ROOT / "examples"
    here = [examples / "micro.toml", examples / "isara-micro.toml"]
    for world in ("micro", "isara"):
        here += (examples / world).glob("*.json*")
    for folder in ("micro/base", "micro/outsider", "isara/base", *(["micro/tasks"] if name == "base" else [])):
        here += (examples / folder).iterdir()
    assert there == {
        str(path.relative_to(examples)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in here
        if path.is_file()
    }


def test_trl_on_cpu_has_the_engines_and_the_cpu_torch(image: Callable[..., str]) -> None:
    check = "import torch, alma.engines.trl.train, alma.engines.hf.generate; ones = torch.ones(3, 3); "
    check += "print(torch.__version__, (ones @ ones).sum().item())"
    assert podman.run(image("trl", cpu=True), "python", "-c", check) == "2.13.0+cpu 27.0\n"


def test_submit_has_kfp_and_what_runs_on_it(image: Callable[..., str]) -> None:
    check = "import components, pipelines, kfp, kfp.kubernetes; print(kfp.__version__, pipelines.__path__[0])"
    assert podman.run(image("submit"), "python", "-c", check) == "2.17.0 /opt/alma/app/pipelines\n"
    assert "usage: python -m pipelines" in podman.run(image("submit"), "python", "-m", "pipelines", "--help")
    assert "usage: python -m cluster" in podman.run(image("submit"), "python", "-m", "cluster", "stage", "--help")
    assert "usage: alma stage" in podman.run(image("submit"), "alma", "stage", "--help")


def test_a_container_reaches_an_s3_server_of_this_machine(
    image: Callable[..., str], s3_server: S3Server, s3_store_uri: str
) -> None:
    names = ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"]
    options = [*podman.HOST_NETWORK, *(f"--env={name}" for name in names)]  # the values from our environment
    code = f"from alma.store import open_store; open_store({s3_store_uri!r}).write('a', b'from a container')"
    podman.run(image("base"), "python", "-c", code, options=options)
    written = s3_server.folder / s3_store_uri.rsplit("/", 1)[1] / "a"
    assert written.read_bytes() == b"from a container"
