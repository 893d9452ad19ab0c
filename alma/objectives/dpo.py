"""Direct preference optimization (arXiv 2305.18290; paper section 5.3)."""

from __future__ import annotations

from alma.objectives.objective import Objective, Source

DPO = Objective(
    trains="policy",
    sources={"preference": Source(("prompt", "chosen", "rejected"))},
    starts_from="first",  # preferences alone do not teach a base model to answer [ours]
    reads_reference=True,
    num_sequences=2,
)
"""Rows have ``prompt, chosen, rejected``."""
