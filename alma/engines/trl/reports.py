"""What a step of a training reports: the curve, which equal trainings share, and how it went, which no two do."""

from __future__ import annotations

CURVE = {
    "loss": "loss",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "tokens": "tokens",
    "router_loss": "router_loss",
    "rewards/margins": "margin",
    "rewards/accuracies": "accuracy",
}
"""transformers' and TRL's names of what a step reports → ours; the last two of DPO only, the router's of mixtures of
experts whose balance is wanted."""

SPEED = ("seconds", "tokens_per_second", "memory_bytes", "num_devices", "micro_batch_rows", "joined")
"""What a step reports besides: how it went, which no two runs agree on."""


def curve_row(logs: dict[str, float]) -> dict[str, float]:
    """What a step reports, under our names."""
    return {ours: logs[theirs] for theirs, ours in CURVE.items() if theirs in logs}


def speed_row(logs: dict[str, float]) -> dict[str, float]:
    """How a step went."""
    return {name: logs[name] for name in SPEED if name in logs}
