"""Rotary embeddings that depend on how long a text is: each row by its own length. Axes: B rows, T tokens.

Phi-3's ``longrope`` turns by other angles once a text passes a border; ``dynamic`` by other ones for every length
beyond it. transformers takes the longest row of a batch for the length of all, and in a text that grows, the cached
keys of its beginning were turned as for a short one. Here every row (every text of a packed row) is turned by its own
length, and ``Borders.kind`` says where a growing text has to be read again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

_KINDS = ("longrope", "dynamic")
_FOUND = "_alma_borders"


@dataclass
class Borders:
    """What a model's rotary embeddings do beyond their borders; ``lengths_B`` overrides rows' lengths for a while."""

    borders: tuple[tuple[int, bool], ...]
    """Each border, in tokens, and whether every length beyond it has angles of its own."""

    lengths_B: torch.Tensor | None = field(default=None, repr=False)

    def kind(self, length: int) -> tuple[int, ...]:
        """Equal for texts that are turned by the same angles."""
        return tuple((length if each else 1) if length > border else 0 for border, each in self.borders)

    @contextmanager
    def stated(self, lengths_B: Sequence[int]) -> Iterator[None]:
        """Within it, rows are parts of texts of these lengths."""
        before, self.lengths_B = self.lengths_B, torch.tensor(lengths_B)
        try:
            yield
        finally:
            self.lengths_B = before


def borders_of(model: Any) -> Borders | None:
    """What ``by_row`` has found in ``model``."""
    found: Borders | None = getattr(model, _FOUND, None)
    return found


def by_row(model: Any) -> None:
    """Makes the rotary embeddings of ``model`` see every row's own length, where they see any."""
    modules = [module for module in model.modules() if _kind_of(module)]
    if not modules:
        return
    borders = Borders(tuple(sorted({(_border(module), _kind_of(module) == "dynamic") for module in modules})))
    for module in modules:
        module.forward = _Rotary(module, module.forward, borders)
    model.register_forward_pre_hook(_with_positions, with_kwargs=True)
    setattr(model, _FOUND, borders)


class _Rotary:
    """``forward`` of one rotary embedding."""

    def __init__(self, module: Any, forward: Any, borders: Borders) -> None:
        self.module, self.forward, self.borders = module, forward, borders
        self.border, self.is_dynamic = _border(module), _kind_of(module) == "dynamic"

    def __call__(self, x: torch.Tensor, position_ids: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        lengths_BT = self._lengths(position_ids)
        kinds_BT = torch.where(
            lengths_BT > self.border, lengths_BT if self.is_dynamic else self.border + 1, self.border
        )
        kinds: list[int] = kinds_BT.unique().tolist()
        turned = [self._turned(kind, x, position_ids, *args, **kwargs) for kind in kinds]
        parts = list(turned[0])
        for kind, others in zip(kinds[1:], turned[1:], strict=True):
            mine_BT1 = (kinds_BT == kind)[..., None]
            parts = [torch.where(mine_BT1, other, part) for part, other in zip(parts, others, strict=True)]
        return tuple(parts)

    def _turned(self, length: int, x: torch.Tensor, position_ids: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """All positions turned as in a text of ``length`` tokens: one more position says so and is taken off again."""
        if self.is_dynamic:  # it would keep the angles of the longest text that it has seen
            for name in [each for each in vars(self.module) if each.endswith("max_seq_len_cached")]:
                setattr(self.module, name, self.module.original_max_seq_len + 1)
            self.forward(x, torch.zeros_like(position_ids), *args, **kwargs)
        last = torch.full_like(position_ids[:, :1], length - 1)
        if self.is_dynamic or length <= self.border:
            position_ids = position_ids.clamp_max(length - 1)  # rows that are longer are turned by another call
        return [part[:, :-1] for part in self.forward(x, torch.cat([position_ids, last], 1), *args, **kwargs)]

    def _lengths(self, position_ids: torch.Tensor) -> torch.Tensor:
        """The length of the text that each token is part of: (B, T). A text begins where positions begin again."""
        if self.borders.lengths_B is not None:
            return self.borders.lengths_B.to(position_ids.device)[:, None].expand(-1, position_ids.shape[1])
        starts = position_ids == 0
        starts[:, 0] = True
        num_rows, num_tokens = position_ids.shape
        text_BT = starts.cumsum(1) - 1 + num_tokens * torch.arange(num_rows, device=starts.device)[:, None]
        longest = torch.zeros(num_rows * num_tokens, dtype=position_ids.dtype, device=position_ids.device)
        longest.scatter_reduce_(0, text_BT.flatten(), position_ids.flatten() + 1, "amax")
        return longest[text_BT]


def _with_positions(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A padded batch without positions gets them: padding must not count to a row's length."""
    mask = kwargs.get("attention_mask")
    if (
        kwargs.get("position_ids") is None
        and mask is not None
        and mask.dim() == 2
        and not kwargs.get("past_key_values")
    ):
        kwargs["position_ids"] = (mask.cumsum(1) - 1).clamp_min(0)
    return args, kwargs


def _kind_of(module: Any) -> str | None:
    stated = getattr(module, "rope_type", None)
    kinds = stated.values() if isinstance(stated, dict) else [stated]
    return next((kind for kind in _KINDS if any(isinstance(each, str) and kind in each for each in kinds)), None)


def _border(module: Any) -> int:
    """Tokens of the longest text that is turned by the first angles."""
    if _kind_of(module) == "dynamic":
        return int(module.original_max_seq_len)
    parameters = module.config.rope_parameters
    stated = [parameters, *(each for each in parameters.values() if isinstance(each, dict))]
    return int(
        next(each["original_max_position_embeddings"] for each in stated if "original_max_position_embeddings" in each)
    )
