"""images/pin.sh: what the images are built on, by its digest."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import hcl2

IMAGES = Path(__file__).parents[2] / "images"
FIRST, SECOND = "sha256:" + "a1" * 32, "sha256:" + "b2" * 32


def pin(folder: Path, digest: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the script in a copy of images/, with a registry that says ``digest`` of every tag."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "docker").write_text(f"#!/bin/sh\necho {digest}\n")
    (tools / "docker").chmod(0o755)
    command = [str(folder / "images" / "pin.sh"), *arguments]
    # Only these tools: a skopeo of the machine would ask a registry.
    for name in ("bash", "dirname", "sed", "env"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).unlink(missing_ok=True)
        (tools / name).symlink_to(found)
    return subprocess.run(command, env={"PATH": str(tools)}, capture_output=True, text=True, check=False)


def pinned(folder: Path) -> set[str]:
    texts = [
        path.read_text() for path in (folder / "images").rglob("*") if path.name in ("Dockerfile", "docker-bake.hcl")
    ]
    return {found for text in texts for found in re.findall(r"docker.io/library/python:[^\"\s]+", text)}


def test_a_digest_is_written_everywhere_and_refreshed(tmp_path: Path) -> None:
    shutil.copytree(IMAGES, tmp_path / "images")
    (tag,) = pinned(tmp_path)
    assert pin(tmp_path, FIRST, "--check").returncode == 1
    for digest in (FIRST, SECOND):
        done = pin(tmp_path, digest)
        assert done.returncode == 0, done.stderr
        assert pinned(tmp_path) == {f"{tag.partition('@')[0]}@{digest}"}
        assert pin(tmp_path, digest, "--check").returncode == 0
    assert pin(tmp_path, FIRST, "--check").returncode == 1


def test_what_is_no_digest_is_not_written(tmp_path: Path) -> None:
    shutil.copytree(IMAGES, tmp_path / "images")
    before = pinned(tmp_path)
    done = pin(tmp_path, "unauthorized")
    assert (done.returncode, pinned(tmp_path)) == (1, before)
    assert "unauthorized" in done.stderr


def test_published_images_are_attested() -> None:
    with (IMAGES / "attested.hcl").open() as file:
        (target,) = hcl2.load(file)["target"]
    ((name, values),) = target.items()
    assert name.strip('"') == "_common", "all targets of the bake file inherit it"
    assert [each.strip('"') for each in values["attest"]] == ["type=sbom", "type=provenance,mode=max"]
