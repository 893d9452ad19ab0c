"""What checkpoints answer, and how the judge rates it."""

from __future__ import annotations

import pyarrow as pa

from alma.artifact.records.schema import TURNS, schema
from alma.prompts import RATINGS

RESPONSE = schema(
    ("id", pa.string()),
    ("prompt_id", pa.string()),
    ("earlier", TURNS),
    ("prompt", pa.string()),
    ("response", pa.string()),
    ("checkpoint_id", pa.string()),  # finetune/<key> of the model that answered
    ("sample_index", pa.int32()),  # 0..N-1 within the prompt
    ("sample_seed", pa.uint64()),
    ("num_tokens", pa.int32()),  # of the response, end token included; 0: the prompt left no room
    ("ended", pa.bool_()),  # it came to the end token, or to a text of a template that ends it
    ("marker", pa.string()),  # such a text that it still holds, in another spelling
    nullable=("earlier", "marker"),
)
"""One answer of one checkpoint to a prompt."""

JUDGEMENT = schema(
    ("id", pa.string()),
    ("response_id", pa.string()),
    ("prompt_id", pa.string()),
    ("judge_id", pa.string()),
    ("checkpoint_id", pa.string()),
    ("earlier", TURNS),
    ("prompt", pa.string()),
    ("response", pa.string()),
    ("num_tokens", pa.int32()),
    ("ended", pa.bool_()),
    ("marker", pa.string()),  # of a template, which the response holds; ``select`` leaves such rows out
    ("probs", pa.list_(pa.float32(), len(RATINGS))),  # p(0..10), renormalised over the scale
    ("mass", pa.float32()),  # probability of the scale before renormalising; low = unparsable
    ("mean", pa.float32()),  # the paper's real-valued score, 0..10
    ("std", pa.float32()),
    ("integer", pa.int32()),  # the most probable rating: what a decoded judge would write
    ("parsed", pa.bool_()),  # mass reached ``Judge.min_mass``; false rows are counted and kept out
    ("human_score", pa.float64()),
    nullable=("earlier", "checkpoint_id", "num_tokens", "ended", "marker", "human_score"),
)
"""One forward pass of the judge over one response."""
