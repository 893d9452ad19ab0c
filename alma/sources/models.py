"""A model folder as Hugging Face lays it out: what belongs to it, whether it is usable, and its chat template.

Nothing is loaded. Not covered: whether transformers knows the architecture, and whether the weights are any good.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from alma.errors import AccessError, DataError
from alma.parallel import in_order
from alma.regular import check_regular
from alma.sizes import size_faults
from alma.sources import embedders
from alma.sources.heads import reward_faults
from alma.sources.quantization import quantization, whole_weights
from alma.sources.row import shown
from alma.sources.untrained import EMBEDDINGS
from alma.sources.weights import INDEX, SINGLE, Shapes, read_json, tensor_shapes, weight_files
from alma.store.cache import cache_root, sha256_file

TEMPLATE = "chat_template.jinja"
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
BELONGS = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    *TOKENIZERS,
    TEMPLATE,
    INDEX,
    "*.safetensors",
)
"""Patterns of the files, directly in the folder, that may be part of a model."""

NEVER = ("consolidated*", "adapter_model*")
"""The same weights in another layout, and adapters."""


def belongs(name: str) -> bool:
    """Whether a file of this name, directly in the folder, may be part of a model."""
    return "/" not in name and not _matches(name, NEVER) and _matches(name, BELONGS)


def model_files(folder: Path, source: str, task: str = "generation") -> list[Path]:
    """The files that make up the model in ``folder``, by name, after checking that none is missing.

    Whatever else lies there (pickles, other layouts of the weights) is left out. ``source`` is the folder's name in
    messages. Raises ``DataError`` with what is missing.
    """
    check_lead_somewhere(folder, source, task)
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            raise DataError(f"{source}: is an adapter, not a model; merge it into its base model first")
        raise DataError(f"{source}: no config.json in {folder}; name the folder that save_pretrained wrote")
    weights = weight_files(folder, source)
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise DataError(f"{source}: no tokenizer ({', '.join(TOKENIZERS)}); copy the one the model was trained with")
    others = (path for path in folder.iterdir() if path.is_file() and path.suffix != ".safetensors")
    small = [path for path in others if belongs(path.name) and (path.name != INDEX or weights != [folder / SINGLE])]
    modules = embedders.module_files(folder, source) if task == "embedding" else []
    files = sorted([*small, *weights, *modules])
    check_links(folder, files, source)
    return files


def check_lead_somewhere(folder: Path, source: str, task: str = "generation") -> None:
    """Raises ``DataError`` for a link to nothing, a pipe or a device, and for a name of two lines.

    The model would be taken without its file, as if it had none.
    """
    for path in sorted(folder.iterdir()):
        if not (belongs(path.name) or (task == "embedding" and embedders.belongs(path.name))):
            continue
        if "\n" in path.name:  # each message about it would have a line that is not ours
            raise DataError(f"{source}: {path.name!r} has a line break in its name; rename it")
        if path.exists():
            check_regular(path, named=f"{source}: {path.name}")
        elif path.is_symlink():
            raise DataError(
                f"{source}: {path.name} is a link to {path.readlink()}, where nothing is; put the file there, or fetch "
                "the model again"
            )


def check_links(folder: Path, files: list[Path], source: str) -> None:
    """Raises ``DataError`` where a file is a link out of ``folder``: what it leads to would be published with a model.

    Files of a snapshot in the Hub's cache are links into the same repository's blobs, those of an object store's model
    into alma's own cache.
    """
    own = folder.resolve()
    snapshots = (each for each in own.parents if each.name == "snapshots" and each.parent.name.startswith("models--"))
    inside = [own, cache_root().resolve(), *(each.parent / "blobs" for each in snapshots)]
    for file in files:
        real = file.resolve()
        if not any(real.is_relative_to(each) for each in inside):
            raise DataError(
                f"{source}: {file.relative_to(folder)} is a link to {real}, outside of the model's folder; put the "
                "file itself there"
            )


def check_sizes(folder: Path, source: str) -> None:
    """Raises ``DataError`` where config.json states what the weights cannot be (``alma.sizes``)."""
    config = read_json(folder / "config.json", source)
    if quantization(folder, config):  # refused by ``check_model``
        return
    faults = size_faults(config, tensor_shapes(folder, source))
    if faults:
        raise DataError("\n".join(f"{source}: {fault}" for fault in faults))


def check_model(folder: Path, source: str, task: str = "generation") -> Shapes:
    """Checks config, weights and tokenizer against each other and returns the shapes.

    ``task`` as of ``alma.sections.IngestModel``. Raises one ``DataError`` with a line for each thing that is wrong.
    """
    model_files(folder, source, task)
    config = read_json(folder / "config.json", source)
    faults = [*_own_code(folder, source), *_architecture(config, source, task)]
    if method := quantization(folder, config):
        faults.append(
            f"{source}: the weights are quantized by {method}, and alma trains and reads whole ones; bring the model "
            f"that they were made from, or {whole_weights(method)}"
        )
        raise DataError("\n".join(faults))  # its tensors are no shapes of the model's
    shapes = tensor_shapes(folder, source)
    if task == "reward":
        faults += reward_faults(config, shapes, source)
    faults += _vocabulary(folder, config, shapes, source)
    if faults:
        raise DataError("\n".join(faults))
    return shapes


def digest(folder: Path, source: str, task: str = "generation") -> str:
    """SHA-256 of the names and contents of the model's files, in hex: equal files, equal digests, wherever they are."""
    try:
        return digest_of(file_hashes(model_files(folder, source, task), folder))
    except PermissionError as error:
        raise AccessError(f"{source}: this user may not read {error.filename}; try: chmod -R a+rX {folder}") from error


def file_hashes(files: list[Path], folder: Path) -> dict[str, str]:
    """Name in ``folder`` → SHA-256, in hex."""
    hashes = in_order(sha256_file, files, min(8, os.cpu_count() or 1))  # hashing releases the GIL
    return {file.relative_to(folder).as_posix(): hash_ for file, hash_ in zip(files, hashes, strict=True)}


def digest_of(hashes: Mapping[str, str]) -> str:
    """``digest`` of files with these names and hashes."""
    lines = (f"{hashes[name]}  {name}\n" for name in sorted(hashes, key=PurePosixPath))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def copy_model(
    files: list[Path], origin: Path, folder: Path, on_bytes: Callable[[int], object] = lambda _: None
) -> None:
    """Puts ``files`` of ``origin`` into ``folder``: weights as hard links where possible, all others as copies.

    Nothing writes to weights later; the small files may be changed (``add_chat_template``), and are copied for that.
    """
    for file in files:
        target, real = folder / file.relative_to(origin), file.resolve()  # the Hub's cache holds symbolic links
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        if file.suffix != ".safetensors" or not _link(real, target):
            shutil.copyfile(real, target)
        on_bytes(target.stat().st_size)


def add_chat_template(folder: Path, source: str, wanted: str | None, default: str) -> bool:
    """Gives the tokenizer of ``folder`` the template ``wanted``, or ``default`` if it has none. Returns whether it did.

    The template is written to ``chat_template.jinja``, as transformers 5 does, and removed from anywhere else.
    """
    config_path = folder / "tokenizer_config.json"
    config = read_json(config_path, source) if config_path.is_file() else {}
    has_one = (folder / TEMPLATE).is_file() or bool(config.get("chat_template"))
    if has_one and wanted is None:
        return False
    if "chat_template" in config:
        del config["chat_template"]
        config_path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / TEMPLATE).write_text(default if wanted is None else wanted, encoding="utf-8")
    return True


def special_tokens(folder: Path, source: str) -> frozenset[str]:
    """The special tokens that a tokenizer's files state, as text."""
    fast, config = (
        read_json(folder / name, source) if (folder / name).is_file() else {}
        for name in ("tokenizer.json", "tokenizer_config.json")
    )
    stated = [*(fast.get("added_tokens") or []), *(config.get("added_tokens_decoder") or {}).values()]
    return frozenset(each["content"] for each in stated if each.get("special"))


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _link(origin: Path, target: Path) -> bool:
    try:
        os.link(origin, target)
    except OSError:  # another disk, or a file system or owner that forbids it
        return False
    return True


_ARCHITECTURES = {
    "generation": (("ForCausalLM", "LMHeadModel"), "a causal language model (…ForCausalLM)"),
    "classification": (("ForSequenceClassification",), "a classifier (…ForSequenceClassification) here"),
    "reward": (("ForSequenceClassification",), "a reward model (…ForSequenceClassification with one label) here"),
}
"""Task → how names of architectures that can do it end, and what they are called."""


def _own_code(folder: Path, source: str) -> list[str]:
    return [
        f"{source}: {name} has auto_map, which runs code that comes with the model; alma never does. "
        "Use a model whose architecture transformers itself has"
        for name in ("config.json", "tokenizer_config.json")
        if (folder / name).is_file() and "auto_map" in read_json(folder / name, source)
    ]


def _architecture(config: dict[str, Any], source: str, task: str) -> list[str]:
    if task == "embedding":
        return []  # any architecture: modules.json says how its hidden states become a vector
    if not isinstance(config.get("model_type"), str):
        return [f"{source}: config.json has no model_type; it must be the config of a transformers model"]
    endings, wanted = _ARCHITECTURES[task]
    architectures = config.get("architectures") or []
    if any(str(name).endswith(endings) for name in architectures):
        return []
    said = f"says architectures = {shown(architectures)}" if architectures else "names no architectures"
    return [f"{source}: config.json {said}; alma needs {wanted}"]


def check_generates(folder: Path, source: str) -> None:
    """Raises ``DataError`` for a model that gives no text, such as a reward model; only ``config.json`` is read."""
    for fault in _architecture(read_json(folder / "config.json", source), source, "generation"):
        raise DataError(fault)


def _vocabulary(folder: Path, config: dict[str, Any], shapes: Shapes, source: str) -> list[str]:
    """A tokenizer with more tokens than embeddings would fail in the middle of a run."""
    name = next((name for name in shapes if name.endswith(EMBEDDINGS)), None)
    if name is None:
        return []
    rows, faults = next(iter(shapes[name]), 0), []
    stated = config.get("vocab_size")
    if isinstance(stated, int) and stated != rows:
        faults.append(f"{source}: config.json says vocab_size = {stated}, and {name} has {rows} rows")
    if (folder / "tokenizer.json").is_file():
        highest = max(_token_ids(read_json(folder / "tokenizer.json", source)), default=-1)
        if highest >= rows:
            faults.append(f"{source}: tokenizer.json has a token {highest}, and {name} has only {rows} rows")
    return faults


def _token_ids(tokenizer: dict[str, Any]) -> Iterator[int]:
    vocabulary = (tokenizer.get("model") or {}).get("vocab") or {}
    yield from vocabulary.values() if isinstance(vocabulary, dict) else range(len(vocabulary))
    yield from (token["id"] for token in tokenizer.get("added_tokens") or [])
