"""Several checkpoints in one live engine."""

from __future__ import annotations

import logging
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from alma.engines import load_generator
from alma.engines.pool import generator_pool
from alma.engines.vllm.model import VllmModel
from alma.errors import DataError
from tests.builders.models import TEXTS
from tests.engines.vllm.checkpoints import ASKED, BASE, HF, VLLM, gpt2, greedy, llama, nudged, rewritten, saved


def test_checkpoints_are_swapped_in_place(checkpoints: list[Path]) -> None:
    wanted = []
    for path in checkpoints:
        with load_generator(HF, path) as engine:
            wanted.append(greedy(engine, ASKED))
    assert wanted[0] != wanted[1] != wanted[2] != wanted[0]
    with load_generator(VLLM, BASE) as engine:
        live = weakref.ref(engine.llm)  # type: ignore[attr-defined]
        for place in (0, 1, 2, 1, 0, 2):
            engine.swap(checkpoints[place])  # type: ignore[attr-defined]
            assert greedy(engine, ASKED) == wanted[place], place  # the last text is longer than a cached block
        assert live() is engine.llm  # type: ignore[attr-defined]


@pytest.mark.parametrize("make", [llama, gpt2], ids=lambda make: make.__name__)
def test_other_families_are_swapped_too(make: Callable[[int], Any], tmp_path: Path) -> None:
    one, other = saved(tmp_path / "one", make, ten=True), saved(tmp_path / "other", make, ten=True, seed=4)
    with load_generator(HF, other) as engine:
        wanted = greedy(engine, TEXTS)
    with load_generator(VLLM, one) as engine:
        assert greedy(engine, TEXTS) != wanted
        engine.swap(other)  # type: ignore[attr-defined]
        assert greedy(engine, TEXTS) == wanted


def test_a_pool_is_one_engine(checkpoints: list[Path]) -> None:
    with generator_pool(VLLM, [lambda path=path: path for path in checkpoints[:2]]) as pool:
        engines = {id(pool.at(place).llm) for place in (0, 1, 1, 0)}  # type: ignore[attr-defined]
    assert len(engines) == 1


def test_where_weights_cannot_be_swapped_a_fresh_engine_serves(
    checkpoints: list[Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with load_generator(HF, checkpoints[1]) as engine:
        wanted = greedy(engine, ASKED)

    def cannot(*_: Any, **__: Any) -> None:
        raise NotImplementedError("Model reloading with `bitsandbytes` format")

    with load_generator(VLLM, BASE) as engine, caplog.at_level(logging.WARNING):
        monkeypatch.setattr(engine.llm, "collective_rpc", cannot)  # type: ignore[attr-defined]
        engine.swap(checkpoints[1])  # type: ignore[attr-defined]
        assert greedy(engine, ASKED) == wanted
    assert "bitsandbytes" in caplog.text


def test_a_tied_output_layer_may_be_written_twice(tmp_path: Path) -> None:
    """vLLM then makes it a layer of its own, into which a checkpoint without it would load nothing."""

    def write_head(weights: dict[str, torch.Tensor]) -> None:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()

    twice, once = rewritten(nudged(tmp_path / "twice", 1), write_head), nudged(tmp_path / "once", 2)
    wanted = []
    for path in (twice, once):
        with load_generator(HF, path) as engine:
            wanted.append(greedy(engine, ASKED))
    with load_generator(VLLM, twice) as engine:
        assert greedy(engine, ASKED) == wanted[0]
        engine.swap(once)  # type: ignore[attr-defined]
        assert greedy(engine, ASKED) == wanted[1]
        engine.swap(twice)  # type: ignore[attr-defined]
        assert greedy(engine, ASKED) == wanted[0]


def another(path: Path) -> Path:
    """Fewer layers than the micro model."""
    shutil.copytree(BASE, path)
    config = LlamaConfig.from_pretrained(BASE, num_hidden_layers=3)
    LlamaForCausalLM(config).save_pretrained(path)
    return path


def other_tokenizer(path: Path) -> Path:
    shutil.copytree(BASE, path)
    text = (path / "tokenizer.json").read_text()
    (path / "tokenizer.json").write_text(text.replace('"version"', ' "version"', 1))
    return path


def one_weight_less(path: Path) -> Path:
    return rewritten(path, lambda weights: weights.pop("model.norm.weight"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (another, "num_hidden_layers is 4 and 3"),
        (other_tokenizer, r"tokenizer\.json differs"),
        (one_weight_less, r"model\.norm\.weight is \[128\] and None"),
    ],
    ids=["architecture", "tokenizer", "weights"],
)
def test_a_pool_of_two_models_is_refused(micro: Any, tmp_path: Path, make: Any, message: str) -> None:
    wanted = greedy(micro, ASKED)
    with pytest.raises(DataError, match=message) as refused:
        micro.swap(make(tmp_path / "other"))
    assert "one vLLM engine cannot serve" in str(refused.value)
    assert greedy(micro, ASKED) == wanted


def test_a_pool_is_checked_before_any_weights_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> None:
        pytest.fail("weights were loaded")

    monkeypatch.setattr(VllmModel, "_start", never)
    folders = [BASE, nudged(tmp_path / "first", 1), another(tmp_path / "other")]
    with (
        pytest.raises(DataError, match="num_hidden_layers is 4 and 3"),
        generator_pool(VLLM, [lambda path=path: path for path in folders]) as pool,
    ):
        pool.at(0)
    (folders[1] / "tokenizer.json").unlink()
    with (
        pytest.raises(DataError, match="no tokenizer"),
        generator_pool(VLLM, [lambda path=path: path for path in folders[:2]]) as pool,
    ):
        pool.at(0)
