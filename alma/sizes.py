"""Whether the numbers in a model's config.json can be those of its weights: looked at before anything is built by them.

A library builds what a config describes, and only then looks whether the weights fit. One number is enough to have it
make a list of a billion layers. The shapes of the weights stand in the headers of their files and are read in no time.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

LAYERS = frozenset(["num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers"])
EXPERTS = frozenset(["num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"])
_LAYERS = LAYERS | {"encoder_layers", "num_decoder_layers", "num_encoder_layers", "depth"}

_LONG = re.compile(r"position|ctx|seq|context")
"""Parts of the names that count positions; ``MOST_POSITIONS`` of them."""

_NO_SIZE = re.compile(r"theta|window|length|token|_ids?$|base|factor|freq|seed|version|index|^id2label|^label2id")
"""Parts of the names whose numbers are no sizes of anything that is built."""

MOST_POSITIONS = 2**26
"""Six times the longest context there is, of ten million tokens (Llama 4). [ours]"""

FLOOR, FEW_LAYERS, FEW_EXPERTS = 2**16, 128, 2**20
"""Widths, layers, and layers times experts, that a config may state whatever its weights are. Layers may share weights,
experts may lie in one tensor, and a head may be wider than any tensor. [ours]"""

MOST_LAYERS = 4096
"""Whatever the weights are. [ours]"""


def size_faults(config: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]) -> list[str]:
    """A sentence for each number in config.json that cannot be one of a model whose tensors have these shapes."""
    widest = max((size for shape in shapes.values() for size in shape), default=0)
    told = f"its weights are {len(shapes):,} tensors, the longest side of which is {widest:,}"
    remedy = "fetch the model again, or mend it there"
    faults = []
    for place, section in _sections(config):
        numbers = {name: value for name, value in section.items() if type(value) is int}
        for name, value in numbers.items():
            most = _most(name, len(shapes), widest)
            if most is not None and abs(value) > most:
                faults.append(f"config.json: {place}{name} = {value}, and {told}; {remedy}")
        layers, experts = (_largest(numbers, names) for names in (_LAYERS, EXPERTS))
        if layers * experts > max(len(shapes), FEW_EXPERTS) and not faults:
            faults.append(
                f"config.json: {place or 'it has '}{layers} layers of {experts} experts, and {told}; {remedy}"
            )
    return faults


def _most(name: str, num_tensors: int, widest: int) -> int | None:
    """The most that a setting of this name may be; ``None`` where it is no size."""
    if name in _LAYERS:
        return min(max(num_tensors, FEW_LAYERS), MOST_LAYERS)
    if _NO_SIZE.search(name):
        return None
    return MOST_POSITIONS if _LONG.search(name) else max(widest, FLOOR)


def _largest(numbers: Mapping[str, int], names: Collection[str]) -> int:
    return max((value for name, value in numbers.items() if name in names), default=0)


def _sections(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The config, and those of the models within it; each with the place that its names begin with."""
    waiting: list[tuple[str, Mapping[str, Any]]] = [("", config)]
    while waiting:
        place, section = waiting.pop()
        yield place, section
        waiting += [(f"{place}{name}.", each) for name, each in section.items() if isinstance(each, Mapping)]
