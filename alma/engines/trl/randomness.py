"""What makes a model answer otherwise in training than afterwards, switched off: every dropout, routers' noise.

Dropout is a layer in some architectures and a function in others, whose fraction is an attribute of a module or of the
config. Preferences cannot be learnt with it (the first loss is no longer log 2, since the policy is another model than
its reference), and a judge or a writer trained on a few thousand rows for an epoch or two does not need it.
"""

from __future__ import annotations

import re
import types
from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

_FRACTION = re.compile(r"drop|jitter|noise|rescale_every")
"""Names of numbers that mean it. ``rescale_every`` is RWKV's, which divides its own weights when training ends."""

_READ_ALWAYS = ("router_jitter_noise",)
"""Phi's mixture of experts compares its routes by this number in evaluation too."""


def without_randomness(model: Any) -> None:
    """Sets every fraction that is dropped or noise that is added in training to zero, in modules and in the config.

    An adapter's own dropout is not meant: call this before the model is given one. The model's config is changed with
    it, and is not the one to write.
    """
    holders = [model.config, *_sections(model.config), *model.modules()]
    for holder in {id(each): each for each in holders}.values():
        for name, value in list(vars(holder).items()):
            if _is_fraction(name, value):
                setattr(holder, name, type(value)(0))
        if isinstance(holder, nn.modules.dropout._DropoutNd):
            holder.p = 0.0


def samples_rarely(model: Any) -> bool:
    """Whether a router draws at random between routes that are nearly equal: a short text may hold none of these."""
    return any(bool(getattr(model.config, name, 0)) for name in _READ_ALWAYS)


def hold_in_evaluation(model: Any) -> None:
    """Lets what transformers' modules compute no longer depend on whether the model is in training.

    For randomness that has no number to it, such as a router that samples. The model itself and the layers that compute
    their activations again (they must know that it is training) go on changing.
    """
    for module in model.modules():
        changes = isinstance(module, (PreTrainedModel, GradientCheckpointingLayer))
        if type(module).__module__.startswith("transformers.models.") and not changes:
            module.train = types.MethodType(_stay, module)
            module.training = False


def _stay(module: nn.Module, mode: bool = True) -> nn.Module:
    """``nn.Module.train`` for the module's children alone, which may be an adapter's."""
    for child in module.children():
        child.train(mode)
    return module


def _is_fraction(name: str, value: Any) -> bool:
    wanted = bool(_FRACTION.search(name)) and name not in _READ_ALWAYS
    return wanted and isinstance(value, (int, float)) and not isinstance(value, bool) and value != 0


def _sections(config: Any) -> list[Any]:
    """The configs inside a config, such as that of its text model."""
    inside = [each for each in vars(config).values() if hasattr(each, "model_type")]
    return [*inside, *(each for one in inside for each in _sections(one))]
