"""Miniatures of models as they are published: small, quick, and of the same kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig

from alma.engines.hf.rotary import borders_of, by_row
from alma.engines.probe.miniature import BORDER, miniature
from alma.errors import DataError
from tests.builders.published import PUBLISHED

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # transformers' own, about old names of settings
MOST_PARAMETERS = 30_000_000


def config_of(name: str, folder: Path) -> Any:
    (folder / "config.json").write_text(json.dumps(PUBLISHED[name]))
    return AutoConfig.from_pretrained(folder)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_model_has_a_miniature(name: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    config = config_of(name, tmp_path)
    small = miniature(config)
    assert sum(each.numel() for each in small.parameters()) < MOST_PARAMETERS
    assert small.config.model_type == config.model_type
    layers = set(getattr(config, "layer_types", None) or ())
    assert set(getattr(small.config, "layer_types", None) or ()) == layers


@pytest.mark.parametrize(
    "name", ["microsoft/Phi-3-mini-128k-instruct", "microsoft/Phi-4-mini-instruct", "microsoft/Phi-3.5-MoE-instruct"]
)
def test_a_border_is_drawn_nearer(name: str, tmp_path: Path) -> None:
    small = miniature(config_of(name, tmp_path))
    by_row(small)
    borders = borders_of(small)
    assert borders is not None
    assert borders.borders == ((BORDER, False),)


def test_what_is_no_language_model_has_none() -> None:
    with pytest.raises(DataError, match="no miniature of vit can be built"):
        miniature(AutoConfig.for_model("vit"))


def test_a_setting_without_a_name_hinders_nothing() -> None:
    small = miniature(AutoConfig.for_model("llama", **{"": 1}))
    assert sum(each.numel() for each in small.parameters()) < MOST_PARAMETERS
