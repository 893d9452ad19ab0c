"""The safetensors of a model folder: which files, whether they are whole, their shapes. Only headers are read."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from alma.errors import AccessError, DataError
from alma.regular import CONFIG_BYTES, DOCUMENT_BYTES, TOKENIZER_BYTES, parse, read_regular
from alma.sources.row import on_one_line, shown

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

Shapes = dict[str, tuple[int, ...]]
"""Tensor name → shape."""

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_MOST_BYTES = {
    "config.json": CONFIG_BYTES,
    "generation_config.json": CONFIG_BYTES,
    "tokenizer.json": TOKENIZER_BYTES,
    "tokenizer_config.json": TOKENIZER_BYTES,
}
_POINTER = b"version https://git-lfs"


def weight_files(folder: Path, source: str) -> list[Path]:
    """``model.safetensors``, or the files that its index names. Raises ``DataError`` where one is missing."""
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if not (folder / INDEX).is_file():
        raise DataError(explain_absent(source, (path.name for path in folder.iterdir())))
    files = sorted(set(weight_map(folder, source).values()))
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        listed = f"{', '.join(missing[:3])}{', …' if len(missing) > 3 else ''}"
        raise DataError(f"{source}: {len(missing)} of {len(files)} weight files are missing: {listed}; fetch again")
    return [folder / file for file in files]


def weight_map(folder: Path, source: str) -> dict[str, str]:
    """Tensor name → file, as the index says. Raises ``DataError`` for an index that points out of the folder."""
    found = read_json(folder / INDEX, source).get("weight_map")
    if not isinstance(found, dict) or not found:
        raise DataError(f"{source}: {INDEX} has no weight_map; fetch the model again")
    for tensor, file in found.items():
        if not isinstance(file, str) or not file.endswith(".safetensors") or Path(file).name != file:
            raise DataError(
                f"{source}: {INDEX} puts {tensor} into {shown(file)}, which is not a safetensors file beside it; "
                "fetch the model again"
            )
    return found


def tensor_shapes(folder: Path, source: str) -> Shapes:
    """The shapes of all tensors, after checking that each lies whole in its file. Raises ``DataError``."""
    from safetensors import SafetensorError, safe_open

    shapes: Shapes = {}
    files = weight_files(folder, source)
    for file in files:
        try:
            with safe_open(file, framework="numpy") as opened:
                here = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
        except PermissionError as error:
            raise AccessError(_may_not_read(source, file)) from error
        except (SafetensorError, OSError) as error:
            hint = _pointer_hint(file) or "; it was cut off or is another format: fetch it again"
            size = file.stat().st_size
            raise DataError(f"{source}: {file.name} ({size:,} bytes) is not readable: {error}{hint}") from error
        if files != [folder / SINGLE]:
            _check_file(folder, source, file.name, here)
        shapes |= here
    return shapes


def num_parameters(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Numbers in all tensors; tied weights are stored, and counted, once."""
    return sum(math.prod(shape) for shape in shapes.values())


def explain_absent(source: str, names: Iterable[str]) -> str:
    """What to do about a folder without safetensors; ``names`` are its files."""
    there = sorted(map(on_one_line, names))
    pickle = next((name for name in there if any(fnmatch.fnmatchcase(name, kind) for kind in _PICKLES)), None)
    if pickle:
        return (
            f"{source}: the weights are a pickle ({pickle}), which can run code when it is read; convert them on a "
            "machine where that is safe: AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder)"
        )
    gguf = next((name for name in there if name.lower().endswith(".gguf")), None)
    if gguf:
        return (
            f"{source}: the weights are GGUF ({gguf}), most often quantized; bring the model that it was made from, or "
            f"convert it: AutoModelForCausalLM.from_pretrained(folder, gguf_file={gguf!r}).save_pretrained(new_folder)"
        )
    other = next((name for name in there if name.endswith(".safetensors")), None)
    hint = (
        f"{other} is there, and no index that names it" if other else f"there is: {', '.join(there[:8]) or 'nothing'}"
    )
    return f"{source}: no {SINGLE} and no {INDEX}; {hint}"


def read_json(path: Path, source: str) -> dict[str, Any]:
    """The object in a JSON file of a model. Raises ``DataError``, ``AccessError``."""
    try:
        data = read_regular(path, _MOST_BYTES.get(path.name, DOCUMENT_BYTES), named=f"{source}: {path.name}")
        value = parse(data, f"{source}: {path.name}")
    except DataError as error:
        raise DataError(f"{error}{_pointer_hint(path)}") from error
    except PermissionError as error:
        raise AccessError(_may_not_read(source, path)) from error
    if not isinstance(value, dict):
        raise DataError(f"{source}: {path.name} holds {shown(value)}, and not an object; fetch it again")
    return value


def read_text(path: Path, source: str) -> str:
    """The text in a file of a model. Raises ``DataError``, ``AccessError``."""
    try:
        return read_regular(path, DOCUMENT_BYTES, named=f"{source}: {path.name}").decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{source}: {path.name}: is no UTF-8 text ({error}); fetch it again") from error
    except PermissionError as error:
        raise AccessError(_may_not_read(source, path)) from error


def _check_file(folder: Path, source: str, file: str, tensors: Shapes) -> None:
    for tensor, where in weight_map(folder, source).items():
        if where == file and tensor not in tensors:
            raise DataError(f"{source}: {INDEX} puts {tensor} into {file}, where it is not; fetch the model again")


def _may_not_read(source: str, path: Path) -> str:
    return f"{source}: this user may not read {path}; try: chmod -R a+rX {path.parent}"


def _pointer_hint(file: Path) -> str:
    with file.open("rb") as opened:
        pointer = opened.read(len(_POINTER)) == _POINTER
    return "; it is a Git LFS pointer, not the file: run git lfs pull" if pointer else ""
