"""What is refused at the start, and what is given back at the end."""

from __future__ import annotations

import shutil
import signal
import weakref
from pathlib import Path
from typing import Any

import pytest

from alma.engines import load_generator
from alma.errors import ConfigError, DataError
from tests.engines.vllm.checkpoints import BASE, VLLM, greedy


def test_leaving_gives_the_memory_back_and_signals_stay_ours() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with load_generator(VLLM, BASE) as engine:
        greedy(engine, ["a"])
        worker = engine.llm.llm_engine.model_executor.driver_worker.worker  # type: ignore[attr-defined]
        model = weakref.ref(worker.model_runner.get_model())
        del worker
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert model() is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tensor_parallel": 2}, "tensor_parallel = 2 asks for as many GPUs"),
        ({"kv_cache_gib": 0.0001}, r"(?s)does not fit.*kv_cache_gib = 0\.0001"),
        ({"max_model_len": 4096, "kv_cache_gib": 0.1}, "max_model_len = 4096"),
    ],
    ids=["gpus", "cache", "context"],
)
def test_what_the_machine_or_the_model_cannot_is_said_at_the_start(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_generator(VLLM.changed(vllm=settings), BASE)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda path: (path / "config.json").unlink(), "no config.json"),
        (lambda path: (path / "model.safetensors").rename(path / "pytorch_model.bin"), "no weights as safetensors"),
        (lambda path: (path / "model.safetensors").write_bytes(b"\x08"), "no whole safetensors file"),
        (lambda path: (path / "config.json").write_text('{"model_type": "unheard-of"}'), "unheard-of"),
        (lambda path: (path / "tokenizer.json").unlink(), "tokenizer"),
    ],
    ids=["no-config", "pickle", "torn", "unknown", "no-tokenizer"],
)
def test_a_folder_that_is_no_usable_model_is_refused(tmp_path: Path, harm: Any, message: str) -> None:
    shutil.copytree(BASE, tmp_path, dirs_exist_ok=True)
    harm(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        load_generator(VLLM, tmp_path)
    assert str(tmp_path) in str(caught.value)
