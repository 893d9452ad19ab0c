"""What a training shows of its model before the first step, by a few tokens of its own rows.

That training changes nothing of its answers but by learning: no randomness is left. That SFT and DPO read the
log-probabilities that the model itself gives. That a mixture of experts has a balance to ask for, where one is wanted.

Axes: T tokens, V vocabulary.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from alma.engines.trl.adapter import has_adapter
from alma.engines.trl.head import bounds_logits, chooses_head, use_own_head
from alma.engines.trl.randomness import hold_in_evaluation, samples_rarely
from alma.engines.trl.router import ask_for_balance, balance_of
from alma.errors import ConfigError, DataError
from alma.sections import Finetune

NUM_TOKENS = 16
"""Tokens that are asked about."""

TOLERANCE = {True: 1e-3, False: 0.15}
"""Whether the arithmetic is float32's → what two computations of one thing may differ by (``differ``). A model in
training with dropout, or one merged into weights that are shared, differs by more than either."""


def prove(trainer: Any, cfg: Finetune, say: Callable[[str], None]) -> None:
    """Shows all of it of ``trainer.model``; all processes call it, since they may share the model.

    What can be computed in another way is from now on, and ``say`` hears of it. Raises ``DataError`` for a model whose
    answers in training are random or another model's, ``ConfigError`` where ``router_loss`` asks for a balance that the
    model has not.
    """
    if cfg.router_loss:
        _prove_balance(trainer, cfg)
    if chooses_head(base_model(trainer.model)):
        _prove_head(trainer, cfg, say)
    if not cfg.dropout:
        _prove_steady(trainer, say)


def base_model(model: Any) -> Any:
    """The model without its adapter."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def short_text(rows: Any) -> list[int]:
    """The first few tokens of the first row."""
    row = rows[0]
    ids: list[int] = row["input_ids"] if "input_ids" in row else row["prompt_ids"] + row["chosen_ids"]
    return list(ids[:NUM_TOKENS])


def answers(model: Any, ids: list[int], *, training: bool) -> torch.Tensor:
    """The logits after each token, (T, V), in float32 on the CPU, by a model in training or in evaluation.

    Its mode and the random generators stay as they were.
    """
    return _asked(model, ids, training=training).logits[0].float().cpu()


def _logprobs(model: Any, ids: list[int], *, training: bool) -> torch.Tensor:
    """The log-probabilities of the tokens after the first, as SFT and DPO read them."""
    labels = torch.tensor([ids], device=base_model(model).device)
    outputs = _asked(model, ids, training=training, labels=labels, fused_lm_head=True)
    logprobs: torch.Tensor = outputs.log_probs[0].float().cpu()
    return logprobs


def is_dealt_out(model: Any) -> bool:
    """Whether ZeRO-3 has given each process its shard of the weights."""
    return any(hasattr(weight, "ds_id") for weight in model.parameters())


def is_exact(model: Any) -> bool:
    """Whether ``answers`` computes in float32: not where the weights are bfloat16, nor by flash attention."""
    base = base_model(model)
    return base.dtype == torch.float32 and not _is_flash(base)


def _is_flash(base: Any) -> bool:
    return "flash" in str(base.config._attn_implementation)


def differ(found: torch.Tensor, wanted: torch.Tensor, exact: bool) -> float:
    """The largest difference, as a share of the largest number; not a number where either is.

    Of inexact arithmetic the mean difference as a share of the mean: rounding may send a token to another expert.
    """
    apart, size = (found - wanted).abs(), wanted.abs()
    return float(apart.max() / size.max().clamp_min(1.0)) if exact else float(apart.mean() / size.mean())


def _prove_steady(trainer: Any, say: Callable[[str], None]) -> None:
    model, ids = trainer.model, short_text(trainer.train_dataset)
    exact = is_exact(model)
    read = _logprobs if is_dealt_out(model) and chooses_head(base_model(model)) else answers

    def difference() -> float:
        with _without_dropout(model):
            in_training = read(model, ids, training=True)
        return differ(in_training, read(model, ids, training=False), exact)

    found = difference()
    if not math.isfinite(found):
        raise DataError(
            f"{base_model(model).config.model_type}: the model's answers to {len(ids)} tokens of a row are no finite "
            "numbers; its weights are too large for this arithmetic, or not a trained model's"
        )
    base = base_model(model)
    if found <= TOLERANCE[exact] and not samples_rarely(base):
        return
    hold_in_evaluation(base)
    held = difference()
    if not held <= TOLERANCE[exact]:
        raise DataError(
            f"{base.config.model_type}: the model's answers differ by {held:.2g} in training, with "
            "every dropout set to zero: it is random in a way that alma cannot switch off; set dropout = true to train "
            "it as it is (not by objective = 'dpo'), or take another architecture"
        )
    say(
        f"{base.config.model_type} is random in training (its answers differ by {found:.2g} of the largest here): its "
        "layers compute as they do in evaluation"
    )


def _prove_balance(trainer: Any, cfg: Finetune) -> None:
    base = base_model(trainer.model)
    ask_for_balance(base, True)
    ids = short_text(trainer.train_dataset)
    if balance_of(_asked(trainer.model, ids, training=False)) is None:
        raise ConfigError(
            f"router_loss = {cfg.router_loss}: {base.config.model_type} reports no balance of a router; leave "
            "router_loss out"
        )


def _prove_head(trainer: Any, cfg: Finetune, say: Callable[[str], None]) -> None:
    base = base_model(trainer.model)
    if cfg.router_loss:
        use_own_head(base)  # its balance is the model's own
        return
    unfit = "its output layer has an adapter" if has_adapter(base.get_output_embeddings()) else None
    unfit = unfit or _unfit(trainer.model, short_text(trainer.train_dataset))
    if unfit:
        use_own_head(base)
        say(f"{base.config.model_type}: {unfit}; the loss reads the model's own logits, which take more memory")


def _unfit(model: Any, ids: list[int]) -> str | None:
    """Why the fused output layer does not give the model's own log-probabilities; ``None`` where it does."""
    base = base_model(model)
    if bounds_logits(base.config):
        return "it bounds its logits"
    if is_dealt_out(model):
        return None  # ZeRO-3 remembers in what order layers are used: the model cannot be asked in two ways
    try:
        scored = _logprobs(model, ids, training=False)
    except (AttributeError, KeyError, TypeError) as error:
        return f"TRL's fused output layer does not fit it ({error})"
    logits = answers(model, ids, training=False)[:-1]
    wanted = logits.log_softmax(-1).gather(-1, torch.tensor(ids)[1:, None])[:, 0]
    exact = is_exact(model)
    difference = differ(scored, wanted, exact)
    if difference <= TOLERANCE[exact]:
        return None
    return f"TRL's fused output layer gives other log-probabilities (by {difference:.2g} of the largest)"


def _asked(model: Any, ids: list[int], *, training: bool, **kwargs: Any) -> Any:
    was_training, device = model.training, base_model(model).device
    batch = torch.tensor([ids], device=device)
    with (
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        torch.no_grad(),
        torch.autocast(device.type, torch.bfloat16, enabled=_is_flash(base_model(model))),
    ):
        model.train(training)
        try:
            return model(input_ids=batch, attention_mask=torch.ones_like(batch), use_cache=False, **kwargs)
        finally:
            model.train(was_training)


@contextlib.contextmanager
def _without_dropout(model: Any) -> Iterator[None]:
    """An adapter's own dropout is wanted."""
    layers = [(each, each.p) for each in model.modules() if isinstance(each, nn.modules.dropout._DropoutNd)]
    try:
        for layer, _ in layers:
            layer.p = 0.0
        yield
    finally:
        for layer, p in layers:
            layer.p = p
