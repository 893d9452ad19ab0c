"""Bytes as people read them."""

from __future__ import annotations


def gb(num_bytes: float) -> str:
    """In GB, 10^9 bytes: "128.5 GB"; small ones with more digits."""
    amount = num_bytes / 1e9
    return f"{amount:,.1f} GB" if amount >= 1 else f"{amount:.3g} GB"
