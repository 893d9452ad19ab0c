"""A model with a weight that is no finite number answers something all the same: it is named before it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alma.errors import DataError

_NAMED = 3
"""Weights that a message names."""


def check_finite(model: Any, folder: Path) -> None:
    """Raises ``DataError`` with the names of the weights of a loaded model that hold a NaN or an infinity.

    One pass over the memory: 8 billion numbers take some 5 seconds of a core. Of a model whose weights are dealt out,
    what this process holds.
    """
    wrong = [name for name, weight in model.state_dict(keep_vars=True).items() if not _is_finite(weight)]
    if wrong:
        named = f"{', '.join(wrong[:_NAMED])}{', …' if len(wrong) > _NAMED else ''}"
        raise DataError(
            f"{folder}: {len(wrong)} weights hold a NaN or an infinity: {named}; every answer would be worthless: "
            "bring the model again, or a checkpoint from before its training went wrong"
        )


def _is_finite(weight: Any) -> bool:
    if not hasattr(weight, "aminmax"):
        return True  # a module's other state
    here = getattr(weight, "ds_tensor", weight).detach()
    if not here.is_floating_point() or here.itemsize == 1 or here.is_meta or not here.numel():
        return True  # what is quantized has no infinity
    least, most = here.aminmax()  # a NaN is both
    return bool(least.isfinite() and most.isfinite())
