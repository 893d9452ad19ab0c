"""A miniature of a model: its architecture with few, narrow layers and random weights, made from its config alone.

How a model treats padding, neighbours, caches and long texts follows from its architecture and its config, not from its
weights. So it is tried on a miniature: seconds on a CPU, before anything large is loaded or a GPU is held.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from alma.errors import DataError
from alma.sizes import EXPERTS, LAYERS

NUM_IDS = 64
"""Tokens that a miniature knows."""

BORDER = 24
"""Where a miniature's rotary border lies, in tokens, if its model has one."""

WINDOW = 8
"""Tokens that a layer of a miniature sees, where its model's layers see a window."""

CONTEXT = 128
"""Positions of a miniature."""

_FEW_LAYERS = 8
_FEW_HEADS = 4
_HEAD_DIM = 4
"""The fewest dimensions of a head: with fewer, there is nothing for a rotary embedding to turn."""

_MOST_PARAMETERS = 300_000_000
"""Larger ones are not built: they would take longer than the seconds, and more than the memory, of a small pod."""

_KINDS_OF_LAYERS = ("layers_block_type", "layer_types")
_HEADS = frozenset(["num_attention_heads", "num_key_value_heads", "num_kv_heads"])
_WIDTHS = frozenset(
    """
    hidden_size n_embd d_model dim dim_model dim_model_base n_inner embedding_size word_embed_proj_dim lru_width
    intermediate_size intermediate_size_mlp ffn_dim decoder_ffn_dim ffn_hidden_size mlp_dim dim_ff dff conv_dim
    block_dim block_ff_dim moe_intermediate_size shared_expert_intermediate_size shared_intermediate_size
    expert_hidden_size dense_intermediate_size moe_shared_expert_intermediate_size expert_ffn_hidden_size
    hidden_size_per_layer_input head_dim dim_head index_head_dim global_head_dim swa_head_dim swa_v_head_dim
    v_head_dim qk_head_dim rotary_dim qk_rope_head_dim qk_nope_head_dim kv_lora_rank q_lora_rank o_lora_rank
    adapter_rank kv_channels linear_head_dim linear_key_head_dim linear_value_head_dim attention_hidden_size
    attention_head_dim mamba_d_head mamba_d_ssm mamba_head_dim mamba_headdim
    """.split()  # noqa: SIM905 - sixty names are read more easily as text
)
_WINDOWS = frozenset(["index_topk", "sliding_window", "attention_window_size", "window_size", "attention_chunk_size"])
_POSITIONS = frozenset(["max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length"])
_MOST_EXPERTS = 16
_STATES = frozenset(
    """
    mamba_d_state state_size ssm_state_size d_state mamba_chunk_size chunk_size linear_chunk_size block_size
    index_topk
    """.split()  # noqa: SIM905 - as above
)
_MOST_STATES = 16
_MOST = {
    **dict.fromkeys(_WINDOWS, WINDOW),
    **dict.fromkeys(_POSITIONS, CONTEXT),
    **dict.fromkeys(EXPERTS, _MOST_EXPERTS),
    **dict.fromkeys(_STATES, _MOST_STATES),
    "original_max_position_embeddings": BORDER,
    "vocab_size_per_layer_input": NUM_IDS,
}
"""Where a setting is no width, the most that a miniature has of it."""


def miniature(config: Any) -> Any:
    """A model of the architecture that ``config`` (of transformers) describes: float32, on the CPU, in eval mode.

    The widths are divided by the largest power of 2 with which it can still be built. Raises ``DataError`` where no
    miniature can be built or run.
    """
    problem = "its config describes no causal language model"
    for cut in _cuts(config):
        try:
            return _built(_smaller(config, cut))
        except Exception as error:  # noqa: BLE001 - each config checks itself in its own way
            problem = str(error).partition("\n")[0]
    raise DataError(f"no miniature of {config.model_type} can be built: {problem}")


@dataclass(frozen=True, slots=True)
class _Cut:
    """How much smaller a miniature is."""

    depth: int | None
    """Layers; ``None`` = as many."""

    fewer: int
    """What the numbers of attention heads are divided by."""

    narrowest: int
    """The least width of a head."""

    divisor: int
    """What widths are divided by."""

    wider: int = 1
    """What a head's width is multiplied by, where it is the layer's width by the number of heads."""


def _cuts(config: Any) -> Iterator[_Cut]:
    """What may work, the smallest first."""
    values = _values(config)
    fewers = dict.fromkeys([_fewer(values), 1])
    for depth, fewer, narrowest in product((_num_layers(values), None), fewers, (_HEAD_DIM, 1)):
        for divisor in _divisors(config, values, fewer):
            yield _Cut(depth, fewer, narrowest, divisor, 1 if "head_dim" in values else fewer)


def _divisors(config: Any, values: dict[str, Any], fewer: int) -> Iterator[int]:
    """Powers of 2, the largest first, that leave each head a few dimensions."""
    hidden, heads = (
        values.get(name) or getattr(config, name, None) or least  # of another name in some
        for name, least in (("hidden_size", 64), ("num_attention_heads", 1))
    )
    heads //= fewer
    for power in range(10, 0, -1):
        if hidden >> power >= max(32, _HEAD_DIM * heads):
            yield 1 << power
    yield 1


def _fewer(values: dict[str, Any]) -> int:
    """The largest power of 2 that divides the numbers of heads and leaves a few of them."""
    heads = values.get("num_attention_heads")
    shared = values.get("num_key_value_heads") or values.get("num_kv_heads") or heads
    if not isinstance(heads, int) or not isinstance(shared, int):
        return 1
    found = [each for each in (64, 32, 16, 8, 4, 2) if heads % each == 0 and heads // each >= _FEW_HEADS]
    return next((each for each in found if shared == 1 or (shared % each == 0 and shared // each >= 2)), 1)


def _built(config: Any) -> Any:
    with torch.device("meta"):
        sizes = [each.shape for each in _model(config).parameters()]
    if any(0 in size for size in sizes):
        raise ValueError("it is too narrow for its heads")
    if (total := sum(size.numel() for size in sizes)) > _MOST_PARAMETERS:
        raise ValueError(f"with {total:,} parameters it is too large")
    model = _filled(_model(config))
    with torch.inference_mode():
        logits = model(input_ids=torch.arange(8, 32)[None], use_cache=False).logits
    if not bool(logits.isfinite().all()):
        raise ValueError("its logits are not finite")
    return model


def _model(config: Any) -> Any:
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)


def _values(config: Any) -> dict[str, Any]:
    """What a config states, without what every config has and no ``__init__`` takes."""
    known = set(inspect.signature(type(config).__init__).parameters) | set(dir(config))
    found = {}
    for name, value in config.to_dict().items():
        part = vars(config).get(name)  # by getattr, some configs refuse what differs from layer to layer
        if value is not None and not name.startswith("_") and name in known:
            found[name] = _values_of_part(part) if isinstance(part, PretrainedConfig) else value
    return found


def _values_of_part(config: Any) -> dict[str, Any]:
    """As ``_values``, of a config inside of another one."""
    taken = {*inspect.signature(type(config).__init__).parameters, *vars(config)}
    return {name: value for name, value in _values(config).items() if name in taken}


def _count(values: dict[str, Any]) -> int | None:
    """How many layers there are."""
    kinds = (len(values[name]) for name in _KINDS_OF_LAYERS if isinstance(values.get(name), list))
    return next((values[name] for name in LAYERS if isinstance(values.get(name), int)), next(kinds, None))


def _smaller(config: Any, cut: _Cut) -> Any:
    """The config of the miniature."""
    values = _values(config)
    layers = _count(values)
    values = {name: _smaller_value(name, value, cut) for name, value in values.items()}
    if cut.depth is not None and layers is not None and cut.depth < layers:
        values = {name: _shallower(name, value, layers, cut.depth) for name, value in values.items()}
    values |= {"vocab_size": NUM_IDS, "dtype": "float32"}
    for place, name in enumerate(("pad_token_id", "bos_token_id", "eos_token_id")):
        if name in values:
            values[name] = place
    return AutoConfig.for_model(values.pop("model_type"), **values)


def _smaller_value(name: str, value: Any, cut: _Cut) -> Any:
    if isinstance(value, dict):
        return {key: _smaller_value(key, each, cut) for key, each in value.items()}
    if name in ("short_factor", "long_factor"):  # one for each pair of a head's dimensions
        return value[: max(len(value) * cut.wider // cut.divisor, 1)]
    if name == "mrope_section":
        return [each // cut.divisor for each in value]
    if name in _WIDTHS and isinstance(value, list):
        return [_smaller_value(name, each, cut) for each in value]
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    if name in _HEADS:
        return max(value // cut.fewer, 1)
    least = cut.narrowest if "head" in name or "rope" in name else 1
    return max(value // cut.divisor, min(value, least)) if name in _WIDTHS else min(value, _MOST.get(name, value))


def _shallower(name: str, value: Any, layers: int, depth: int) -> Any:
    """A setting for the first ``depth`` of ``layers`` layers: a value for each, or the places of some."""
    if name in LAYERS and isinstance(value, int):
        return min(value, depth)
    if name == "num_kv_shared_layers":
        return min(value, depth // 2)
    if isinstance(value, list) and len(value) == layers:
        return value[:depth]
    if _are_places(value, layers):
        return [each for each in value if each < depth]
    if isinstance(value, dict) and value and all(_is_layer(str(key)) for key in value):
        return {key: each for key, each in value.items() if int(key) < depth}
    return value


def _is_layer(key: str) -> bool:
    """Whether ``key`` is a number such as layers have: "²" is a digit and no number."""
    return key.isdecimal() and len(key) < 10


def _num_layers(values: dict[str, Any]) -> int:
    """Layers enough that each kind of them is there."""
    layers = _count(values) or _FEW_LAYERS
    depth = 2
    for value in values.values():
        if isinstance(value, list) and len(value) == layers and all(isinstance(each, str) for each in value):
            depth = max(depth, *(value.index(each) + 1 for each in set(value)))
        elif _are_places(value, layers):
            depth = max(depth, min(value) + 2)
    if values.get("num_kv_shared_layers"):  # the last ones, which have to find each kind before them
        depth *= 2
    return min(max(depth, _FEW_LAYERS) if depth == 2 else depth, layers)


def _are_places(value: Any, layers: int) -> bool:
    """Whether a setting names some of the layers."""
    are_ints = isinstance(value, list) and len(value) > 0 and all(type(each) is int for each in value)
    return are_ints and len(value) != layers and sorted(set(value)) == value and value[-1] < layers


def _filled(model: Any) -> Any:
    """Weights of which every neighbour's influence shows: a model's own initialisation is nearly a constant."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() >= 2 and min(weight.shape[-2:]) > 1:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 1.5 * weight.shape[-1] ** -0.5)
        for module in model.modules():
            if isinstance(module, torch.nn.Embedding):
                module.weight.copy_(torch.randn(module.weight.shape, generator=generator))
    return model.eval()
