"""Weights of layers, or of experts, beyond those that config.json counts: a library leaves them out and goes on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from alma.errors import DataError

REMEDY = "fetch the model again, or bring the config.json that goes with them"

_NUMBER = re.compile(r"(?<=\.)[0-9]{1,9}(?=\.)")


def check_left_over(model: Any, unexpected: Iterable[str], folder: Path) -> None:
    """Raises ``DataError`` where ``unexpected``, the weights without a place in ``model``, are of more of its modules.

    Others have none for good reasons: a head for another task, an image's encoder, tables of an older release.
    """
    there: dict[str, set[int]] = {}
    for name, _ in chain(model.named_parameters(), model.named_buffers()):
        for before, number in _numbered(name):
            there.setdefault(before, set()).add(number)
    # Layers that predict tokens further ahead are trained beside the model, and stand behind its own.
    ahead = getattr(model.config.get_text_config(), "num_nextn_predict_layers", None) or 0
    beyond = sorted(
        name
        for name in unexpected
        if any(number > max(there.get(before, {number})) + ahead for before, number in _numbered(name))
    )
    if beyond:
        raise DataError(
            f"{folder}: config.json counts fewer layers or experts than there are weights of: {len(beyond):,} have no "
            f"place in the model, {', '.join(beyond[:3])}…; {REMEDY}"
        )


def unexpected_of(model: Any, shapes: Mapping[str, Sequence[int]]) -> set[str]:
    """The weights, by name and shape, without a place in a model of this class and config; nothing is read of them."""
    level = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        _, info = type(model).from_pretrained(
            None,
            config=model.config,
            state_dict={name: torch.empty(tuple(shape), device="meta") for name, shape in shapes.items()},
            device_map="meta",
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
    return set(info["unexpected_keys"])


def _numbered(name: str) -> Iterator[tuple[str, int]]:
    """What stands before each number in a weight's name, and the number: ``model.layers`` and 2."""
    for found in _NUMBER.finditer(name):
        yield name[: found.start() - 1], int(found[0])
