"""A checkpoint's file that would run code when it is read runs none, whoever reads it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

from alma.engines.trl.loading import VARIABLE, safe_loading
from alma.errors import IntegrityError


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.folder),)


def test_nothing_of_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As DeepSpeed loads, which asks for anything."""
    monkeypatch.delenv(VARIABLE, raising=False)
    torch.save({"optimizer": Evil(tmp_path / "made")}, tmp_path / "shard.pt")
    with pytest.raises(IntegrityError, match="holds what none of a training's does"), safe_loading():
        torch.load(tmp_path / "shard.pt", weights_only=False)
    assert not (tmp_path / "made").exists()
    assert VARIABLE not in os.environ
    torch.load(tmp_path / "shard.pt", weights_only=False)
    assert (tmp_path / "made").exists(), "the file is harmless: no test"


def test_what_deepspeed_writes_is_read(tmp_path: Path) -> None:
    pytest.importorskip("deepspeed")
    assert "deepspeed" in sys.modules
    from deepspeed.runtime.fp16.loss_scaler import LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    written = {
        "loss_scaler": LossScaler(1.0),
        "zero_stage": ZeroStageEnum.gradients,
        "param_slice_mappings": [{"weight": fragment_address(numel=3, start=5)}],
        "state": {0: {"exp_avg": torch.ones(3)}},
    }
    torch.save(written, tmp_path / "shard.pt")
    with safe_loading():
        read = torch.load(tmp_path / "shard.pt", weights_only=False)
    assert read["param_slice_mappings"] == written["param_slice_mappings"]
    assert (read["zero_stage"], read["loss_scaler"].cur_scale) == (ZeroStageEnum.gradients, 1.0)
    assert torch.equal(read["state"][0]["exp_avg"], torch.ones(3))
