"""The log-probabilities that SFT and DPO learn from, by TRL's fused output layer or by the model's own.

TRL multiplies the last hidden states by the output layer's weights piece by piece, which saves the memory of the
logits. It knows what most architectures do with logits and not what all do (Recurrent Gemma and xLSTM bound theirs),
takes no notice of an adapter on the output layer, and asks a mixture of experts for its balance loss by names that not
all have. There the model's own forward pass is used.

Axes: B rows, T tokens, V vocabulary.
"""

from __future__ import annotations

import contextlib
import functools
import types
from collections.abc import Iterator
from typing import Any

import torch
from trl.trainer.utils import FusedCausalLMOutput

from alma.engines.tokenization import IGNORED

_OWN = "alma_own_head"
"""Attribute of a model: whether its own output layer is used."""

_BOUNDS = ("logits_soft_cap", "output_logit_soft_cap")


@contextlib.contextmanager
def output_adapter_hidden(model: Any) -> Iterator[None]:
    """While a trainer is made: TRL refuses an adapter on the output layer, for its fused layer's sake alone."""
    layer = model.get_output_embeddings()
    if not hasattr(layer, "get_base_layer"):
        yield
        return
    model.get_output_embeddings = layer.get_base_layer
    try:
        yield
    finally:
        del model.get_output_embeddings


def choose_head(model: Any) -> None:
    """Lets ``use_own_head`` decide by which way ``model``, whose forward pass TRL has changed already, is asked."""
    fused = model.forward

    @functools.wraps(type(model).forward)  # whose signature others read
    def forward(
        self: Any, *args: Any, fused_lm_head: bool = False, labels: torch.Tensor | None = None, **kwargs: Any
    ) -> Any:
        if fused_lm_head and getattr(self, _OWN, False):
            assert labels is not None
            kwargs.pop("num_items_in_batch", None)
            return _scored(fused(*args, **kwargs), labels)
        return fused(*args, fused_lm_head=fused_lm_head, labels=labels, **kwargs)

    model.forward = types.MethodType(forward, model)
    setattr(model, _OWN, False)


def use_own_head(model: Any) -> None:
    """From now on the model's own logits are used; they take memory for every token of the vocabulary."""
    setattr(model, _OWN, True)


def chooses_head(model: Any) -> bool:
    """Whether ``choose_head`` was called."""
    return hasattr(model, _OWN)


def bounds_logits(config: Any) -> bool:
    """Whether a model bounds its logits by a number that TRL does not know. Small ones would not show it."""
    names = (name for name, value in vars(config.get_text_config()).items() if isinstance(value, (int, float)))
    return any(name in _BOUNDS for name in names)


def _scored(outputs: Any, labels_BT: torch.Tensor) -> FusedCausalLMOutput:
    """The model's own logits as TRL's trainers read them; every field is zero where a label is ignored."""
    labels, logits = labels_BT[:, 1:], outputs.logits[:, :-1].float()
    mask = labels != IGNORED
    logprobs_BTV = logits.log_softmax(-1)
    logprobs = logprobs_BTV.gather(-1, labels.clamp_min(0)[..., None])[..., 0].masked_fill(~mask, 0.0)
    with torch.no_grad():
        entropy = -(logprobs_BTV.exp() * logprobs_BTV).sum(-1).masked_fill(~mask, 0.0)
        mean = logits.mean(-1).masked_fill(~mask, 0.0)
        is_top = (logits.argmax(-1) == labels) & mask
    return FusedCausalLMOutput(
        loss=-logprobs.sum() / mask.sum().clamp_min(1),
        log_probs=logprobs,
        entropy=entropy,
        mean_logits=mean,
        is_top1=is_top,
        label_mask=mask,
        aux_loss=getattr(outputs, "aux_loss", None),
    )
