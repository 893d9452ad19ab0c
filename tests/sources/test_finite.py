"""Weights that are no numbers are named when a model comes in, and when it is loaded for whatever purpose."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from alma.engines.hf.model import load_model
from alma.errors import DataError
from alma.sources import finite
from alma.sources.finite import check_finite
from tests.builders.training import write_model

FORMATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("value", [torch.nan, -torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("chunk", [2**21, 40])
def test_a_number_that_is_none_is_found_wherever_it_is(
    dtype: torch.dtype, value: float, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alma.sources.finite.CHUNK_BYTES", chunk)
    limits = torch.finfo(dtype)
    whole = torch.tensor([0.0, -0.0, 1.0, -1.0, limits.max, limits.min, limits.tiny], dtype=torch.float64)
    file, whole = tmp_path / "model.safetensors", whole.to(dtype)
    for place in range(len(whole)):
        broken = whole.clone()
        broken[place] = value
        save_file({"a.weight": whole, "empty": whole[:0], "b.weight": broken, "ids": torch.tensor([-1])}, file)
        with pytest.raises(
            DataError, match=r"world: 1 tensors hold a NaN or an infinity: b.weight in model.safetensors;"
        ):
            check_finite([file], "world")
    save_file({"a.weight": whole, "empty": whole[:0]}, file)
    check_finite([file, tmp_path / "config.json"], "world")


def test_a_file_that_becomes_shorter_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system would kill a process, without a word, that had it in its memory."""
    file = tmp_path / "model.safetensors"
    save_file({"a.weight": torch.zeros(2**20)}, file)
    monkeypatch.setattr("alma.sources.finite.CHUNK_BYTES", 2**20)
    finite_bits = finite._finite

    def meanwhile(raw: memoryview, dtype: str) -> bool:
        with file.open("r+b") as writing:
            writing.truncate(2**21)
        return finite_bits(raw, dtype)

    monkeypatch.setattr(finite, "_finite", meanwhile)
    with pytest.raises(DataError, match=r"model\.safetensors: became shorter while it was read"):
        check_finite([file], "world")


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_model_with_one_is_not_loaded(value: float, tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][3, 5] = value
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        DataError, match=r"1 weights hold a NaN or an infinity: model\.layers\.1\.mlp\.up_proj\.weight;"
    ):
        load_model(folder, torch.bfloat16)
