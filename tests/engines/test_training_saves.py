"""The model that is written is the one that was trained, and what could only fail when it is written fails before."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, LlamaConfig

import alma.engines.trl.attempt as attempt
from alma.engines.checkpoints import Nowhere
from alma.engines.hf.model import load_model
from alma.engines.trl.adapter import adapted
from alma.errors import ConfigError, DataError, StageError
from alma.sections import Lora
from tests.builders.architectures import tiny
from tests.builders.training import PAIRS, PREFERENCES, RATED, ROWS, place, settings, train, write_model

FEW = {"sft": PAIRS[:4], "dpo": PREFERENCES[:4], "judge": RATED}
IDS = torch.tensor([[1, 3, 20, 21, 22, 4]])


class Heard(Nowhere):
    """What a person is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


def tuned(**changes: Any) -> Any:
    defaults = {"epochs": 3, "batch_rows": 4, "micro_batch_rows": 4, "packing": False, "learning_rate": 1e-2}
    return settings(**(defaults | changes))


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(input_ids=IDS, use_cache=False).logits.clone()


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """The logits of the model that was trained, before anything is done to write it."""
    seen: dict[str, torch.Tensor] = {}
    save = attempt.save

    def spy(cfg: Any, training: Any, trainer: Any, *rest: Any) -> None:
        seen["logits"] = logits(trainer.model)
        save(cfg, training, trainer, *rest)

    monkeypatch.setattr(attempt, "save", spy)
    return seen


TIED = [
    ("llama", ("embed_tokens", "q_proj")),
    ("llama", ("lm_head",)),
    ("llama", "all-linear"),
    ("gpt2", ("wte",)),
    ("gpt2", "all-linear"),
    ("gpt_neox", ("embed_in", "embed_out")),
    ("opt", ("lm_head", "q_proj")),
    ("mamba", "all-linear"),
]


@pytest.mark.parametrize("objective", ["sft", "judge"])
@pytest.mark.parametrize(("model_type", "targets"), TIED)
def test_a_merged_adapter_is_the_trained_model(
    model_type: str, targets: Any, objective: str, tmp_path: Path, trained: dict[str, torch.Tensor]
) -> None:
    start = tiny(model_type, tmp_path / "model", tie_word_embeddings=True)
    training = place(start, tmp_path, FEW[objective])
    train(tuned(objective=objective, adapter=Lora(targets=targets, rank=4)), training)
    written = AutoModelForCausalLM.from_pretrained(training.out, dtype=torch.float32)
    assert torch.allclose(logits(written), trained["logits"], atol=1e-4)
    assert (trained["logits"] - logits(AutoModelForCausalLM.from_pretrained(start))).abs().max() > 0.1
    parted = not isinstance(targets, str)
    assert json.loads((training.out / "config.json").read_text())["tie_word_embeddings"] is not parted


def test_dpo_trains_an_adapter_on_the_output_layer(tmp_path: Path, trained: dict[str, torch.Tensor]) -> None:
    training = place(tiny("llama", tmp_path / "model", tie_word_embeddings=True), tmp_path, FEW["dpo"])
    metrics = train(tuned(objective="dpo", adapter=Lora(targets=("lm_head",), rank=4)), training)
    assert metrics["last_loss"] < metrics["first_loss"]
    assert torch.allclose(logits(AutoModelForCausalLM.from_pretrained(training.out)), trained["logits"], atol=1e-4)


def test_experts_without_an_adapter_are_told(tmp_path: Path) -> None:
    heard = Heard()
    training = replace(place(tiny("mixtral", tmp_path / "model"), tmp_path, FEW["sft"]), remote=heard)
    train(tuned(adapter=Lora(rank=2)), training)
    assert heard.said == [
        "adapter: 147,456 weights of experts are no linear layers of their own and are not trained; leave the adapter "
        "out to train them"
    ]


def test_an_adapter_on_layers_that_share_their_weights_is_refused(tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(write_model(tmp_path))
    first, second = (layer.self_attn for layer in model.model.layers)
    second.q_proj.weight = first.q_proj.weight
    with pytest.raises(ConfigError, match=r"layers\.0.*, model\.layers\.1.* of llama share their weights"):
        adapted(tuned(adapter=Lora(targets=("q_proj",))), model)
    adapted(tuned(adapter=Lora(targets=("k_proj",))), AutoModelForCausalLM.from_pretrained(tmp_path))


def test_a_router_that_is_a_linear_layer_gets_no_adapter(tmp_path: Path) -> None:
    heard = Heard()
    training = replace(place(tiny("llama4_text", tmp_path / "model"), tmp_path, FEW["judge"]), remote=heard)
    train(tuned(objective="judge", adapter=Lora(rank=2)), training)
    assert heard.said[0].startswith("adapter: router of llama4_text get none")


def test_a_merge_that_changes_the_model_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PeftModel, "merge_and_unload", lambda self: self.unload(), raising=False)
    training = place(write_model(tmp_path / "model"), tmp_path, FEW["sft"])
    with pytest.raises(StageError, match=r"llama: the model merged with its adapter answers otherwise .* name other"):
        train(tuned(adapter=Lora(rank=2)), training)


def test_a_model_that_is_not_read_as_it_was_written_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = attempt.save

    def spoilt(cfg: Any, training: Any, trainer: Any, loaded: Any) -> None:
        loaded.config.rms_norm_eps = 1.0
        save(cfg, training, trainer, loaded)

    monkeypatch.setattr(attempt, "save", spoilt)
    training = place(write_model(tmp_path / "model"), tmp_path, FEW["sft"])
    with pytest.raises(StageError, match=r"llama: the model that was written answers otherwise .* \(0 of its weights"):
        train(tuned(), training)


UNWRITABLE = {
    "temperature": {"do_sample": False, "temperature": 0.6, "top_p": 0.9},
    "padding": {"pad_token_id": -1},
    "beams": {"num_beams": 1, "early_stopping": True, "length_penalty": 2.0},
}


@pytest.mark.parametrize("kind", UNWRITABLE)
@pytest.mark.parametrize("objective", ROWS)
def test_a_generation_config_is_copied_as_it_is(kind: str, objective: str, tmp_path: Path) -> None:
    start = write_model(tmp_path / "model")
    text = json.dumps({"eos_token_id": 2} | UNWRITABLE[kind], indent=1) + "\n\n"
    (start / "generation_config.json").write_text(text)
    training = place(start, tmp_path, ROWS[objective])
    train(tuned(objective=objective, checkpoint_steps=1), training)
    assert (training.out / "generation_config.json").read_text() == text


def test_a_model_without_generation_config_gets_none(tmp_path: Path) -> None:
    start = write_model(tmp_path / "model")
    (start / "generation_config.json").unlink()
    training = place(start, tmp_path, PAIRS)
    train(tuned(epochs=1), training)
    assert not (training.out / "generation_config.json").exists()
    assert (training.out / "model.safetensors").exists()


def test_a_config_that_cannot_be_written_back_is_told_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ValueError("Some generation parameters are set in the model config.")

    steps: list[int] = []
    training = replace(place(write_model(tmp_path / "model"), tmp_path, PAIRS), on_step=lambda n, *_: steps.append(n))
    monkeypatch.setattr(LlamaConfig, "save_pretrained", refuse)
    with pytest.raises(DataError, match=r"config\.json can be read and not written back.*Some generation parameters"):
        train(tuned(), training)
    assert steps == []


def test_weights_that_share_memory_unknown_to_transformers_are_told_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shared(*args: Any) -> Any:
        tokenizer, model = load_model(*args)
        model.model.layers[1].mlp.up_proj.weight = model.model.layers[0].mlp.up_proj.weight
        return tokenizer, model

    monkeypatch.setattr("alma.engines.trl.model.load_model", shared)
    with pytest.raises(DataError, match="weights of llama that share memory cannot be written as safetensors"):
        train(tuned(), place(write_model(tmp_path / "model"), tmp_path, PAIRS))
