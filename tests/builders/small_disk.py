"""A disk that fills soon, for one command."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


def small_disk(folder: Path, size: str) -> list[str]:
    """The words that go before a command, so that it alone finds a disk of ``size`` (``64k``) at ``folder``.

    Skips the test where nobody may mount one.
    """
    folder.mkdir(exist_ok=True)
    mount = f'mount -t tmpfs -o size={size} none "$0" && exec "$@"'
    words = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, str(folder)]
    if subprocess.run([*words, "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        remedy = "as root, or after sysctl kernel.unprivileged_userns_clone=1: pytest tests/store"
        pytest.skip(f"nobody may mount a disk in a namespace of this machine: {remedy}")
    return words
