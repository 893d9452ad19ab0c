"""A folder of lm-eval's tasks: its YAML, and the data and functions beside it, as rows of files.

Such a folder is code, whatever it holds: lm-eval fills in its templates as they stand. So none comes from the Hub.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from alma.errors import ConfigError, DataError
from alma.regular import check_regular
from alma.store.cache import cache_root

MOST_BYTES = 256 * 2**20
"""Of a folder: its files are rows of one artifact, which is held in memory."""


def check_scheme(source: str, scheme: str) -> None:
    """Raises ``ConfigError`` for a folder of the Hub."""
    if scheme == "hf":
        raise ConfigError(
            f"source = {source!r}: a task folder is code, which this machine runs: fetch it, read it, and name its path"
        )


def task_files(folder: Path, source: str) -> list[tuple[str, Path]]:
    """(name in the folder, file) of all that belongs to it, by name. Raises ``DataError`` for one without a task."""
    found = sorted(_walk(folder, folder, source))
    if not any(name.endswith(".yaml") for name, _ in found):
        raise DataError(f"{source}: no .yaml in it ({folder}); a task folder holds lm-eval's task files")
    for name, path in found:
        check_regular(path, named=f"{source}/{name}")
    size = sum(path.stat().st_size for _, path in found)
    if size > MOST_BYTES:
        raise DataError(
            f"{source}: {size / 2**20:.0f} MiB, and a task folder holds at most {MOST_BYTES // 2**20}: leave out what "
            "no task reads"
        )
    return found


def _walk(folder: Path, root: Path, source: str) -> Iterator[tuple[str, Path]]:
    for path in folder.iterdir():
        if path.name.startswith((".", "__pycache__")):
            continue
        if "\n" in path.name:  # each message about it would have a line that is not ours
            raise DataError(f"{source}: {path.relative_to(root).as_posix()!r} has a line break in its name; rename it")
        if path.is_symlink() and not _may_be_followed(path, root):
            raise DataError(  # what lies there would be published, or walked through for ever
                f"{source}: {path.relative_to(root)} is a link to {path.readlink()}, a folder or outside of the task's "
                "folder; put there what it leads to"
            )
        if path.is_dir():
            yield from _walk(path, root, source)
        else:
            yield path.relative_to(root).as_posix(), path


def _may_be_followed(link: Path, root: Path) -> bool:
    """Whether it leads to a file of the folder, or, of a folder that was fetched, of alma's own cache."""
    real = link.resolve()
    return not real.is_dir() and any(real.is_relative_to(each.resolve()) for each in (root, cache_root()))
