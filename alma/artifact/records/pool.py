"""The pool of prompts, from what the base model wrote to the order in which rounds draw."""

from __future__ import annotations

import pyarrow as pa

from alma.artifact.records.schema import IDS, schema

CANDIDATE = schema(
    ("id", pa.string()),
    ("seed_ids", IDS),  # the shots it was written after
    ("sample_seed", pa.uint64()),
    ("prompt", pa.string()),
    ("ended", pa.bool_()),  # the model came to the end marker before its token limit
    ("num_tokens", pa.int32()),  # 0: the shots left no room in the context
)
"""What the base model wrote when asked for one more prompt, unfiltered."""

PROMPT = schema(
    ("id", pa.string()),
    ("candidate_id", pa.string()),
    ("prompt", pa.string()),
)
"""A unique, well-formed, decontaminated prompt of the pool."""

EMBEDDING = schema(
    ("id", pa.string()),
    ("prompt_id", pa.string()),
    ("vector", pa.list_(pa.float32())),  # L2-normalised
)
"""A prompt as a vector, for its clusters and its map."""

DRAW = schema(
    ("id", pa.string()),
    ("prompt_id", pa.string()),
    ("prompt", pa.string()),
    ("cluster", pa.int32()),
    ("x", pa.float32()),  # first two principal components, for the prompt map
    ("y", pa.float32()),
    nullable=("x", "y"),
)
"""The pool in the order in which rounds draw from it: round r takes a contiguous slice."""
