"""Seeds of single samples: they follow from what the sample is, never from when or where it is drawn."""

from __future__ import annotations

import hashlib


def sample_seed(stage_seed: int, *what: str | int) -> int:
    """64 bits from the stage's seed and the sample's name (prompt id, checkpoint, sample index)."""
    text = "\x1f".join(str(part) for part in (stage_seed, *what))
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
