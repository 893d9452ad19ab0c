"""Whether a model folder holds a reward model: one number for a whole text, by config and by weights."""

from __future__ import annotations

from typing import Any

from alma.sources.weights import Shapes


def reward_faults(config: dict[str, Any], shapes: Shapes, source: str) -> list[str]:
    """Why ``config.json`` and the tensors make no scalar reward model; nothing where they do."""
    labels = config.get("id2label")
    num = len(labels) if isinstance(labels, dict) else config.get("num_labels", 2)  # transformers writes no two labels
    if num != 1:
        return [
            f"{source}: config.json says {num} labels, and a reward model gives one number: bring one that was "
            "trained with num_labels = 1; a classifier of harm belongs to an evaluator of kind = 'safety'"
        ]
    if not any(len(shape) == 2 and shape[0] == 1 and "embedding" not in name for name, shape in shapes.items()):
        return [
            f"{source}: no weights of a head with one output are there (such as score.weight, 1 × hidden size): these "
            "are the weights of a language model; bring those that were saved after the training on preferences"
        ]
    return []
