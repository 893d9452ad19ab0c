"""Which responses are rated, and in which order."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from alma.convert.question import usable
from alma.errors import ConfigError
from alma.sheet.item import Item


class Drawn(NamedTuple):
    """What is rated, shuffled; and how many rows could not be: empty ones, those with control characters."""

    items: list[Item]
    num_unusable: int


def draw(items: Sequence[Item], num_prompts: int, per_prompt: int, seed: int) -> Drawn:
    """Draws prompts, then responses of each, from as many checkpoints as there are. Raises ``ConfigError``.

    The order says nothing of where a response came from. It follows from the seed and the texts, not from their order.
    """
    if num_prompts < 1 or per_prompt < 1:
        raise ConfigError(f"--prompts {num_prompts} and --responses {per_prompt} must be 1 or more")
    of_prompt: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        if usable(item.asked, item.response):
            of_prompt[item.asked].append(item)
    if len(of_prompt) < num_prompts:
        raise ConfigError(f"--prompts {num_prompts}: there are {len(of_prompt)} prompts with a response; ask for fewer")
    rng = random.Random(seed)
    drawn = [
        item
        for prompt in rng.sample(sorted(of_prompt), num_prompts)
        for item in _of_each_checkpoint(of_prompt[prompt], per_prompt, rng)
    ]
    rng.shuffle(drawn)
    return Drawn(drawn, len(items) - sum(map(len, of_prompt.values())))


def _of_each_checkpoint(items: Sequence[Item], most: int, rng: random.Random) -> list[Item]:
    """One of each checkpoint before a second one of any."""
    mixed = sorted(items, key=lambda item: item.id)
    rng.shuffle(mixed)
    turn: defaultdict[str | None, int] = defaultdict(int)
    order = []
    for item in mixed:
        order.append((turn[item.checkpoint], item))
        turn[item.checkpoint] += 1
    return [item for _, item in sorted(order, key=lambda each: each[0])[:most]]
