"""The balance loss of a mixture of experts: a setting of the training, never of the model's config.

Libraries add it to the loss by the coefficient that a published config happens to hold (0.9 in one of gpt-oss'), so
that a loss would say nothing about the rows and preferences would not start at log 2.
"""

from __future__ import annotations

import re
from typing import Any

_COEFFICIENT = re.compile(r"(aux|z|balanc\w*|router)_loss")


def without_own_loss(model: Any) -> None:
    """Sets every coefficient to zero by which the model would add a loss of its own to that of the rows.

    The model's config is changed with it, and is not the one to write.
    """
    configs = [model.config, model.config.get_text_config()]
    for holder in {id(each): each for each in [*configs, *model.modules()]}.values():
        for name, value in list(vars(holder).items()):
            if _COEFFICIENT.search(name) and isinstance(value, (int, float)) and not isinstance(value, bool):
                setattr(holder, name, 0.0)
    ask_for_balance(model, False)


def ask_for_balance(model: Any, wanted: bool) -> None:
    """Whether every forward pass computes the balance loss, for ``balance_of``, where the model has one."""
    config = model.config.get_text_config()
    if wanted or getattr(config, "output_router_logits", False):
        config.output_router_logits = wanted


def balance_of(outputs: Any) -> Any:
    """The balance loss of a forward pass, of all layers and without a coefficient; ``None`` where there is none."""
    found = getattr(outputs, "aux_loss", None)
    return None if found is None or isinstance(found, (int, float)) else found
