"""Images and containers by podman: what the tests of this folder, and nothing else, stand on.

The machine is made ready by ``images/testing/prepare.sh``; ``why_not()`` says what is missing where it was not.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]

PYTHON_IMAGE = os.environ.get("PYTHON_IMAGE", "localhost/python:3.11-slim")
"""What every image is built on here; prepare.sh makes it."""

BUILD_SECRET = "a-password-that-only-the-build-may-see"
"""Given to every build in its secret ``index``; must be found in nothing that a build leaves."""

STRICT = [
    "--read-only",
    "--read-only-tmpfs=false",  # else podman gives writable places that Kubernetes does not
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
]
"""Options of ``podman run`` for a container as the strictest pod has it, but for its volumes."""

RESTRICTED = [*STRICT, "--tmpfs=/tmp"]
"""The same with the one volume without which nothing starts."""

HOST_NETWORK = ["--network=host"]
"""With it a container reaches a server on 127.0.0.1 of this machine."""


def podman(*arguments: str, check: bool = True) -> str:
    """Runs podman and returns what it wrote. Raises ``AssertionError`` with its messages if it fails and may not."""
    ran = subprocess.run(["podman", *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert ran.returncode == 0 or not check, f"podman {' '.join(arguments)}: {ran.returncode}\n{ran.stdout}{ran.stderr}"
    return ran.stdout if check else ran.stdout + ran.stderr


@cache
def why_not() -> str | None:
    """The reason why no container starts here, or ``None`` if one did."""
    if shutil.which("podman") is None:
        return "podman is not installed; images/testing/prepare.sh installs it on Debian"
    if not _exists(PYTHON_IMAGE):
        return f"the image {PYTHON_IMAGE} is missing; images/testing/prepare.sh makes it"
    ran = subprocess.run(
        ["podman", "run", "--rm", "--network=none", PYTHON_IMAGE, "true"], capture_output=True, text=True, check=False
    )
    return (
        f"podman starts no container, images/testing/prepare.sh says why: {ran.stderr.strip()}"
        if ran.returncode
        else None
    )


def build(image: str, *, cpu: bool = False) -> str:
    """Builds ``base``, ``trl``, ``vllm`` or ``submit`` by ``images/build.sh`` and returns its name.

    Nothing is built while everything that goes in is as it was; else podman uses every layer again that it can, so
    only a machine's first build takes minutes. One build at a time, whichever process asks.
    """
    return _build(image, cpu)


@cache
def _build(image: str, cpu: bool) -> str:
    turn = Path(tempfile.gettempdir(), "alma-image-builds.lock")
    with tempfile.TemporaryDirectory() as scratch, turn.open("w") as one:
        fcntl.flock(one, fcntl.LOCK_EX)
        same = f"localhost/alma-{image}:inputs-{_inputs(image)}{'-cpu' if cpu else ''}"
        if _exists(same):
            return same
        index = Path(scratch, "index")
        index.write_text(f"ALMA_TEST_PASSWORD={BUILD_SECRET}\n")
        command = [str(ROOT / "images" / "build.sh"), *(["--cpu"] if cpu else []), image]
        environment = {**os.environ, "PYTHON_IMAGE": PYTHON_IMAGE, "INDEX": str(index), "PYTHON": sys.executable}
        started = time.monotonic()
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, f"{' '.join(command)}: {ran.returncode}\n{ran.stdout}{ran.stderr}"
        name = ran.stdout.strip()
        podman("tag", name, same)  # older ones stay: another process may be running them
    size = int(podman("image", "inspect", "--format={{.Size}}", name))
    print(f"{name}: {size / 1e6:.0f} MB, built in {time.monotonic() - started:.0f} s", file=sys.__stderr__)
    return same


def _exists(name: str) -> bool:
    return subprocess.run(["podman", "image", "exists", name], capture_output=True, check=False).returncode == 0


def _inputs(image: str) -> str:
    """A digest of all that an image is made of: what its Dockerfile may copy, the image under it, the commit."""
    sources = ["pyproject.toml", "README.md", "LICENSE", "images/build.lock", "images/install.sh", "images/build.sh"]
    folders = [
        "alma",
        f"images/{image}",
        *(["cluster", "components", "pipelines"] if image == "submit" else ["examples"]),
    ]
    files = [ROOT / each for each in sources]
    files += [path for each in folders for path in sorted((ROOT / each).rglob("*")) if path.is_file()]
    digest = hashlib.sha256(podman("image", "inspect", "--format={{.Id}}", PYTHON_IMAGE).encode())
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, check=False)
    digest.update(git.stdout)
    for path in files:
        if "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(ROOT)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()[:16]


def run(image: str, *command: str, options: list[str] | None = None, restricted: bool = True) -> str:
    """Runs ``command`` in a container that is gone afterwards; returns its standard output.

    Without ``options`` it has no network. Raises ``AssertionError`` with its messages if it fails.
    """
    chosen = [*(RESTRICTED if restricted else []), *(["--network=none"] if options is None else options)]
    return podman("run", "--rm", *chosen, image, *command)
