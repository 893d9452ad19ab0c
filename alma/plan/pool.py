"""What the two stages hold that see the whole pool at once, each in one process without a GPU."""

from __future__ import annotations

from alma.config import Method
from alma.plan.shape import Shape
from alma.plan.size import gb
from alma.plan.step import BYTES_PER_TOKEN
from alma.recipes.graph import graph
from alma.sections import Curate, Diversify, Embed, Synthesize

SIGNATURE = 2_440
"""Bytes of a prompt's MinHash signature and its place in the index: measured over 10,000 prompts."""

IDS = 200
"""Bytes of a prompt's names and hash, as Arrow and Python hold them. [ours]"""


def pool(cfg: Method, shape: Shape, prompt_tokens: int) -> str:
    """A sentence for people; empty for a method that writes no pool."""
    steps = {step.label: step for step in graph(cfg)}
    rows = sum(step.section.num_attempts for step in steps.values() if isinstance(step.section, Synthesize))
    held: dict[str, float] = {}
    for label, step in steps.items():
        if isinstance(step.section, Curate):
            near = 0 if step.section.near_duplicate == "off" else SIGNATURE
            held[label] = rows * (near + IDS + 2 * BYTES_PER_TOKEN * prompt_tokens)
        elif isinstance(step.section, Diversify) and "embeddings" in step.inputs:
            embed = steps[step.inputs["embeddings"]].section
            assert isinstance(embed, Embed)
            width = shape.hidden if embed.dimensions == "all" else embed.dimensions
            held[label] = rows * (2 * 4 * width + IDS + BYTES_PER_TOKEN * prompt_tokens)  # the vectors twice
    if not held:
        return ""
    said = ", ".join(f"{label} {gb(num_bytes)}" for label, num_bytes in held.items())
    return f"Memory of the machine for the whole pool, in one process without a GPU: {said}."
