"""That a training is right on every model: the first loss is what the model itself says of the rows, by plain
transformers, one row at a time; and the model that is written is the one that was trained."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.models.llama import modeling_llama
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from alma.engines import Training
from alma.engines.checkpoints import Nowhere
from alma.engines.hf.reference import HfReference
from alma.engines.tokenization import IGNORED
from alma.engines.tokenizer import load_tokenizer
from alma.engines.trl import rows
from alma.engines.trl.randomness import without_randomness
from alma.engines.trl.router import without_own_loss
from alma.engines.trl.sft import tokenize
from alma.errors import ConfigError, DataError
from alma.sections import Finetune, Lora, Reference
from tests.builders.architectures import ARCHITECTURES, tiny
from tests.builders.training import PAIRS, PREFERENCES, RATED, curve, place, settings, train, write_model

FEW = PAIRS[:4]


class Heard(Nowhere):
    """What a person is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


def once(**changes: Any) -> Finetune:
    return settings(**{"epochs": 1, "batch_rows": 4, "micro_batch_rows": 4, "packing": False} | changes)


def change(folder: Path, file: str = "config.json", **values: Any) -> Path:
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return folder


def plain(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def token_rows(folder: Path) -> list[Any]:
    return tokenize(once(), place(folder, folder, FEW), load_tokenizer(folder)).rows


def right_loss(folder: Path) -> float:
    """The mean over all response tokens, of one row at a time, in float64."""
    model, losses = plain(folder), []
    for row in token_rows(folder):
        with torch.inference_mode():
            ids = torch.tensor([row["input_ids"]])
            logprobs = model(input_ids=ids, use_cache=False).logits[0].double().log_softmax(-1)
        losses += [-logprobs[i - 1, t].item() for i, t in enumerate(row["labels"]) if t != IGNORED]
    return sum(losses) / len(losses)


def first(cfg: Finetune, training: Training) -> dict[str, float]:
    train(cfg, training)
    return curve(training)[0]


def with_reference(training: Training) -> Training:
    """What plain evaluation of the model thinks of the pairs."""
    with HfReference(Reference(dtype="float32"), training.model) as reference:
        return replace(training, reference=reference.read(training.rows))


EXPERTS = {
    "gpt_oss": {"router_aux_loss_coef": 0.9},
    "jetmoe": {"aux_loss_coef": 0.9, "output_router_logits": True},
    "mixtral": {"router_aux_loss_coef": 0.9, "output_router_logits": True, "router_jitter_noise": 0.3},
    "bamba": {"z_loss_coefficient": 0.9},
}


@pytest.mark.parametrize("model_type", EXPERTS)
def test_a_loss_of_the_models_own_is_no_part_of_what_is_learnt_or_reported(model_type: str, tmp_path: Path) -> None:
    start = change(tiny(model_type, tmp_path / "model"), **EXPERTS[model_type])
    sft, dpo = place(start, tmp_path / "sft", FEW), place(start, tmp_path / "dpo", PREFERENCES[:4])
    assert first(once(), sft)["loss"] == pytest.approx(right_loss(start), abs=1e-4)
    assert first(once(objective="dpo"), with_reference(dpo))["loss"] == pytest.approx(math.log(2), abs=1e-4)
    written = json.loads((sft.out / "config.json").read_text())
    assert {name: written[name] for name in EXPERTS[model_type]} == EXPERTS[model_type]


@pytest.mark.parametrize("micro_batch_rows", [4, 1])
@pytest.mark.parametrize("model_type", ["gpt_oss", "jetmoe"])
def test_the_balance_of_a_router_is_learnt_and_reported_apart(
    model_type: str, micro_batch_rows: int, tmp_path: Path
) -> None:
    start = tiny(model_type, tmp_path / "model")
    cfg = once(micro_batch_rows=micro_batch_rows, learning_rate=1e-2)
    without, beside = place(start, tmp_path / "without", FEW), place(start, tmp_path / "with", FEW)
    row = first(cfg.changed(router_loss=0.5), beside)
    assert row["loss"] == pytest.approx(first(cfg, without)["loss"], abs=1e-5)
    assert row["router_loss"] == pytest.approx(0.5 * balance(start, micro_batch_rows), abs=1e-4)
    assert "router_loss" not in curve(without)[0]
    assert (beside.out / "model.safetensors").read_bytes() != (without.out / "model.safetensors").read_bytes()


def balance(folder: Path, micro_batch_rows: int) -> float:
    """The mean over the rows, or of all their tokens together where they are one batch."""
    model, rows = plain(folder).requires_grad_(False), [torch.tensor(row["input_ids"]) for row in token_rows(folder)]
    routed = [model(input_ids=ids[None], use_cache=False, output_router_logits=True).router_logits for ids in rows]
    whole = [tuple(torch.cat(layer) for layer in zip(*routed, strict=True))] if micro_batch_rows == 4 else routed
    return sum(float(load_balancing_loss_func(each, 4, 2)) for each in whole) / len(whole)


@pytest.mark.parametrize("objective", ["dpo", "judge"])
def test_every_objective_has_the_balance_reported(objective: str, tmp_path: Path) -> None:
    training = place(tiny("gpt_oss", tmp_path / "model"), tmp_path, {"dpo": PREFERENCES[:4], "judge": RATED}[objective])
    assert first(once(objective=objective, router_loss=0.1), training)["router_loss"] > 0.05


def test_a_balance_of_a_model_without_router_is_refused(tmp_path: Path) -> None:
    training = place(write_model(tmp_path / "model"), tmp_path, FEW)
    with pytest.raises(ConfigError, match=r"router_loss = 0\.1: llama reports no balance of a router; leave"):
        train(once(router_loss=0.1), training)


RANDOM = {
    "opt": {"dropout": 0.5, "attention_dropout": 0.5, "layerdrop": 0.9},
    "seed_oss": {"attention_dropout": 0.5, "residual_dropout": 0.5},
    "gpt2": {"attn_pdrop": 0.5, "embd_pdrop": 0.5, "resid_pdrop": 0.5},
    "falcon": {"attention_dropout": 0.5, "hidden_dropout": 0.5},
    "phimoe": {"attention_dropout": 0.5, "input_jitter_noise": 0.5},
    "mixtral": {"attention_dropout": 0.5, "router_jitter_noise": 0.5},
}


@pytest.mark.parametrize("model_type", RANDOM)
def test_no_training_is_random(model_type: str, tmp_path: Path) -> None:
    start = change(tiny(model_type, tmp_path / "model"), **RANDOM[model_type])
    sft, dpo = place(start, tmp_path / "sft", FEW), place(start, tmp_path / "dpo", PREFERENCES[:4])
    assert first(once(), sft)["loss"] == pytest.approx(right_loss(start), abs=1e-4)
    row = first(once(objective="dpo"), with_reference(dpo))
    assert (row["loss"], row["margin"]) == pytest.approx((math.log(2), 0.0), abs=1e-4)
    written = json.loads((sft.out / "config.json").read_text())
    assert {name: written[name] for name in RANDOM[model_type]} == RANDOM[model_type]


@pytest.mark.parametrize(
    "model_type", [each if each in RANDOM else pytest.param(each, marks=pytest.mark.slow) for each in ARCHITECTURES]
)
def test_what_is_switched_off_is_of_training_alone(model_type: str, tmp_path: Path) -> None:
    """The answers in evaluation are those of the model as it was brought; in training they are the same."""
    model = plain(change(tiny(model_type, tmp_path), **RANDOM.get(model_type, {})))
    ids = torch.tensor([[1, 3, 20, 21, 22, 4]])
    with torch.inference_mode():
        brought = model(input_ids=ids, use_cache=False).logits.clone()
        without_randomness(model)
        without_own_loss(model)
        assert torch.equal(model(input_ids=ids, use_cache=False).logits, brought)
        if model_type not in SAMPLING:
            assert torch.allclose(model.train()(input_ids=ids, use_cache=False).logits, brought, atol=1e-3)


SAMPLING = ("phimoe",)
"""Architectures that draw in training, with no number that says how much."""


def test_dropout_is_there_for_who_asks_for_it(tmp_path: Path) -> None:
    start = change(tiny("opt", tmp_path / "model"), dropout=0.5)
    found = first(once(dropout=True), place(start, tmp_path, FEW))["loss"]
    assert abs(found - right_loss(start)) > 0.1


def test_dropout_in_dpo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="dropout = true with objective = 'dpo' would compare a model at random"):
        train(once(objective="dpo", dropout=True), place(tmp_path, tmp_path, FEW))


def noisy(forward: Any) -> Any:
    def changed(self: Any, *args: Any, **kwargs: Any) -> Any:
        output = forward(self, *args, **kwargs)
        return output + torch.randn_like(output) if self.training else output

    return changed


def test_a_module_that_is_random_by_itself_computes_as_in_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = write_model(tmp_path / "model")
    right = right_loss(start)
    monkeypatch.setattr(modeling_llama.LlamaMLP, "forward", noisy(modeling_llama.LlamaMLP.forward))
    heard = Heard()
    training = replace(place(start, tmp_path, FEW), remote=heard)
    assert first(once(), training)["loss"] == pytest.approx(right, abs=1e-4)
    assert len(heard.said) == 1
    assert "llama is random in training" in heard.said[0]


def test_a_model_that_stays_random_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = modeling_llama.LlamaDecoderLayer
    monkeypatch.setattr(layer, "forward", noisy(layer.forward))
    training = place(write_model(tmp_path / "model"), tmp_path, FEW)
    with pytest.raises(DataError, match=r"llama: the model's answers differ by \d.* cannot switch off; set dropout"):
        train(once(), training)


def test_an_adapters_dropout_stays(tmp_path: Path) -> None:
    start = write_model(tmp_path / "model")
    written = []
    for dropout in (0.0, 0.5):
        training = place(start, tmp_path / str(dropout), PREFERENCES[:4])
        cfg = once(objective="dpo", adapter=Lora(rank=2, dropout=dropout), learning_rate=1e-2, epochs=3)
        assert first(cfg, training)["loss"] == pytest.approx(math.log(2), abs=1e-5)
        written.append((training.out / "model.safetensors").read_bytes())
    assert written[0] != written[1]


@pytest.mark.parametrize(
    ("model_type", "values"), [("recurrent_gemma", {"logits_soft_cap": 1.0}), ("xlstm", {"output_logit_soft_cap": 1.0})]
)
def test_logits_that_a_model_bounds_are_bounded_in_training(
    model_type: str, values: dict[str, float], tmp_path: Path
) -> None:
    start = change(tiny(model_type, tmp_path / "model"), **values)
    assert first(once(micro_batch_rows=1), place(start, tmp_path, FEW))["loss"] == pytest.approx(
        right_loss(start), abs=1e-3
    )


def test_a_head_that_trl_does_not_find_is_the_models_own(tmp_path: Path) -> None:
    start, heard = tiny("llama4_text", tmp_path / "model"), Heard()
    training = replace(place(start, tmp_path, FEW), remote=heard)
    assert first(once(), training)["loss"] == pytest.approx(right_loss(start), abs=1e-4)
    assert "fused output layer does not fit it" in heard.said[0]


def test_a_config_that_transformers_cannot_read_is_told_before_weights_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama", "num_hidden_layers": "two"}', encoding="utf-8")
    monkeypatch.setattr("alma.engines.trl.rows.load_tokenizer", lambda _: None)  # which reads it, too
    with pytest.raises(DataError, match=r"config\.json is of no model that transformers knows.*num_hidden_layers"):
        rows.tokenize(once(), place(tmp_path, tmp_path, FEW))
