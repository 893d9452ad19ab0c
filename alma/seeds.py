"""Seeds of single samples: they follow from what the sample is, never from when or where it is drawn.

So two runs that differ in one thing draw alike in all others: an artifact's key, a row's id, a part and, where the work
is the same in each, the round are no part of a seed.
"""

from __future__ import annotations

import hashlib


def sample_seed(stage_seed: int, *what: str | int) -> int:
    """64 bits from the stage's seed and what the sample is (the prompt's text, the checkpoint's role, its number)."""
    text = "\x1f".join(str(part) for part in (stage_seed, *what))
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
