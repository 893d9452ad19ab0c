"""A low-rank adapter on a model, so that the model that is trained is the one that is written after merging."""

from __future__ import annotations

import contextlib
import warnings
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from alma.errors import ConfigError
from alma.sections import Finetune

_MAMBAS = ("falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h")
_FUSED = ("out_proj", "conv1d")
"""Model types whose kernels read the weights of these layers directly, which peft refuses (``tuners_utils.py``)."""


def adapted(cfg: Finetune, model: Any, say: Callable[[str], None] = lambda _: None) -> Any:
    """The model, frozen, with a new adapter; ``say`` hears what follows from the model's make.

    An adapter on one of two layers that share their weights parts them: merged into shared weights it would change
    both. ``model.config`` then says so. Raises ``ConfigError`` where no layer has a wanted name, and for weights that
    are shared otherwise than by the embeddings and the output layer.
    """
    from peft import LoraConfig, get_peft_model

    assert cfg.adapter is not None
    targets = cfg.adapter.targets
    others = _others_than_linear(model) if targets == "all-linear" else []
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=cfg.adapter.rank,
        lora_alpha=cfg.adapter.alpha,
        lora_dropout=cfg.adapter.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        exclude_modules=others or None,
    )
    torch.manual_seed(cfg.seed)  # the adapter begins at random
    owners = _owners(model)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tied layers, parted below, and of GPT-2's layers, which peft turns
            with_adapter = get_peft_model(model, lora)
    except ValueError as error:
        raise ConfigError(f"adapter.targets = {targets!r} does not fit {model.config.model_type}: {error}") from error
    if others:
        names = ", ".join(sorted({name.rpartition(".")[2] for name in others}))
        say(f"adapter: {names} of {model.config.model_type} get none, being other than linear layers to their model")
    parted = _part(model, owners, targets)
    if parted:
        say(f"adapter: {' and '.join(parted)} shared their weights; they are trained and written as two layers")
    left_out = experts_left_out(model)
    if left_out:
        say(
            f"adapter: {left_out:,} weights of experts are no linear layers of their own and are not trained; leave "
            "the adapter out to train them"
        )
    return with_adapter


def _others_than_linear(model: Any) -> list[str]:
    """Names of linear layers whose weights are used otherwise than by ``nn.Linear``: by kernels, by routers."""
    by_kernels = _FUSED if model.config.model_type in _MAMBAS else ()
    return [
        name
        for name, module in model.named_modules()
        if name.rpartition(".")[2] in by_kernels
        or (isinstance(module, nn.Linear) and type(module).forward is not nn.Linear.forward)
    ]


def has_adapter(module: nn.Module) -> bool:
    """Whether the module is a layer with an adapter of its own."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return isinstance(module, BaseTunerLayer)


def experts_left_out(model: Any) -> int:
    """Numbers in weights of experts that lie in one tensor of three axes, which no adapter is made for."""
    return sum(
        weight.numel()
        for name, weight in model.named_parameters()
        if weight.ndim == 3 and "expert" in name and "lora_" not in name
    )


_Owners = dict[int, list[tuple[str, nn.Module]]]
"""A weight, by its identity, and the modules that hold it as theirs, with their names."""


def _owners(model: Any) -> _Owners:
    """The weights that more than one layer holds, or one layer at several places."""
    owners: _Owners = defaultdict(list)
    for parent_name, parent in model.named_modules():
        for name, module in parent.named_children():
            for weight in module.parameters(recurse=False):
                owners[id(weight)].append((f"{parent_name}.{name}".lstrip("."), module))
    return {weight: found for weight, found in owners.items() if len(found) > 1}


def _part(model: Any, owners: _Owners, targets: Any) -> list[str]:
    """Gives each layer with an adapter weights of its own; the names of those that shared them."""
    adapters = {id(module.get_base_layer()) for module in model.modules() if has_adapter(module)}
    parted: list[str] = []
    for shared in owners.values():
        if not any(id(module) in adapters for _, module in shared):
            continue
        names = [name for name, _ in shared]
        if {id(module) for _, module in shared} != {id(each) for each in _ends(model)}:
            raise ConfigError(
                f"adapter.targets = {targets!r}: {', '.join(names)} of {model.config.model_type} share their weights, "
                "and the adapter of one would change the others; leave them out of adapter.targets, or the adapter out"
            )
        _give_own_weights(model.get_output_embeddings())
        parted = [name for name, _ in shared]
    if parted:
        for config in (model.config, model.config.get_text_config()):
            config.tie_word_embeddings = False
        model.all_tied_weights_keys = {}  # what transformers leaves out when it writes
    return parted


def _ends(model: Any) -> list[nn.Module]:
    """The embeddings and the output layer, without their adapters."""
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    return [end.get_base_layer() if has_adapter(end) else end for end in ends if end is not None]


def _give_own_weights(layer: Any) -> None:
    base = layer.get_base_layer() if has_adapter(layer) else layer
    for name, weight in list(base.named_parameters(recurse=False)):
        with _whole(weight):
            setattr(base, name, nn.Parameter(weight.detach().clone(), requires_grad=False))


def _whole(weight: Any) -> contextlib.AbstractContextManager[Any]:
    """Holds the weight whole, where ZeRO-3 has dealt it out."""
    if not hasattr(weight, "ds_id"):
        return contextlib.nullcontext()
    from deepspeed.runtime.zero import GatheredParameters

    gathered: contextlib.AbstractContextManager[Any] = GatheredParameters([weight])
    return gathered
