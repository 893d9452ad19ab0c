"""Quantized weights are told by their config, by files beside it and by the tensors themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from alma.sources.quantization import quantization, whole_weights

WHOLE = {
    "model.layers.0.weight": np.zeros((2, 2), np.float16),
    "model.layers.1.weight": np.zeros((2, 2), np.float64),
    "h.0.attn.bias": np.zeros((2, 2), np.uint8),
}


@pytest.mark.parametrize("path", ["quantization_config", "text_config.compression_config", "a.b.quantization_config"])
def test_wherever_the_config_says_so(tmp_path: Path, path: str) -> None:
    config: dict[str, Any] = {"quant_method": "awq"}
    for name in reversed(path.split(".")):
        config = {name: config}
    told = quantization(tmp_path, config)
    assert told is not None
    assert told.startswith("awq (")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("model.layers.0.qweight", np.zeros((2, 2), np.int32)),
        ("model.layers.0.weight", np.zeros((2, 2), np.int8)),
        ("model.layers.0.weight_packed", np.zeros((2, 2), np.int32)),
        ("model.layers.0.experts.gate_up_proj_blocks", np.zeros((2, 2), np.uint8)),
    ],
)
def test_tensors_that_no_whole_weights_have(tmp_path: Path, name: str, values: Any) -> None:
    save_file({name: values}, tmp_path / "model.safetensors")
    told = quantization(tmp_path, {})
    assert told is not None
    assert f"{name} in model.safetensors" in told


def test_whole_weights_pass(tmp_path: Path) -> None:
    save_file(WHOLE, tmp_path / "model.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"\xff" * 20)
    (tmp_path / "empty.safetensors").write_bytes(b"")
    assert quantization(tmp_path, {"quantization_config": None, "text_config": {}}) is None


@pytest.mark.parametrize(
    ("told", "remedy"),
    [
        ("mxfp4 (quantization_config in config.json)", "Mxfp4Config(dequantize=True)"),
        ("FP8 (quantization_config in config.json)", "FineGrainedFP8Config(dequantize=True)"),
        ("compressed-tensors (x)", "run_compressed=False"),
        ("gptq (x)", "the library that made it"),
    ],
)
def test_what_to_do_depends_on_the_method(told: str, remedy: str) -> None:
    assert remedy in whole_weights(told)
