"""Direct preference optimization (arXiv 2305.18290; paper section 5.3)."""

from __future__ import annotations

from alma.objectives.objective import Objective, Source

DPO = Objective(
    trains="policy",
    sources={"preference": Source(("earlier", "prompt", "chosen", "rejected"))},
    starts_from="first",  # preferences alone do not teach a base model to answer [ours]
    # arXiv 2305.18290 takes 1e-6 and 0.1, most who followed 5e-7. SFT's rate, twenty times this, moves a policy so
    # far within an epoch that chosen responses become less likely too. [ours: the paper is silent]
    defaults={"learning_rate": 5e-7, "beta": 0.1},
    own=("beta",),
    reads_reference=True,
    num_sequences=2,
)
"""Rows have ``prompt, chosen, rejected``, and ``earlier`` where turns of a conversation stand before the prompt."""
