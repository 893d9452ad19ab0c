"""The files that a stage's command line has written: none of them is one that it reads, and no two are one."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alma.errors import ConfigError
from alma.regular import expand, is_same
from alma.store.files import file_errors

OUTPUTS = ("out", "ref", "html", "markdown", "new_state")


def check_outputs(options: Namespace, source: Any = None) -> None:
    """Raises ``ConfigError`` that names both, before any work; ``source`` is the section's, where it has one."""
    read = {what: path for what, path in _inputs(options, source) if path.is_file()}
    written: dict[str, Path] = {}
    for name in OUTPUTS:
        if not (given := getattr(options, name)):
            continue
        option, path = f"--{name.replace('_', '-')}", Path(given)
        with file_errors(path):
            lost = next((what for what, other in read.items() if is_same(path, other)), None)
            twice = next((what for what, other in written.items() if is_same(path, other)), None)
        if lost:
            raise ConfigError(f"{option} {path}: is the file of {lost}, which would be lost; name another one")
        if twice:
            raise ConfigError(f"{option} {path}: is the file of {twice}; name another one")
        written[option] = path


def _inputs(options: Namespace, source: Any) -> Iterator[tuple[str, Path]]:
    if not options.state and options.config.startswith("@"):
        yield "--config", Path(options.config[1:])
    for given in options.inputs:
        port, _, name = given.partition("=")
        yield f"--in {port}", Path(name)
    if isinstance(source, str) and "://" not in source:
        yield "source", Path(options.base) / expand(source, ConfigError)
