"""The tiny models that engines are tried on: every architecture is built, written, read and run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.builders.architectures import ARCHITECTURES, DOZEN, tiny

IDS = torch.arange(1, 41)[None]


@pytest.mark.parametrize(
    "model_type", [name if name in DOZEN else pytest.param(name, marks=pytest.mark.slow) for name in ARCHITECTURES]
)
def test_an_architecture_is_written_and_read_and_tells_texts_apart(model_type: str, tmp_path: Path) -> None:
    model, info = AutoModelForCausalLM.from_pretrained(
        tiny(model_type, tmp_path), dtype=torch.float32, output_loading_info=True
    )
    with torch.inference_mode():
        logits = model.eval()(input_ids=IDS, use_cache=False).logits
    assert not any(info.values())
    assert torch.isfinite(logits).all()
    assert logits.std() > 0.05
    assert sum(each.numel() for each in model.parameters()) < 600_000
