"""What a model is trained on, and what a reference model says of it."""

from __future__ import annotations

import pyarrow as pa

from alma.artifact.records.schema import TURNS, schema

EXAMPLE = schema(
    ("id", pa.string()),
    ("judgement_id", pa.string()),
    ("prompt_id", pa.string()),
    ("round", pa.int32()),
    ("earlier", TURNS),
    ("prompt", pa.string()),
    ("response", pa.string()),
    ("score", pa.float32()),
    ("num_tokens", pa.int32()),
    nullable=("earlier", "judgement_id", "num_tokens", "score"),
)
"""A training row: the best response of a prompt."""

PREFERENCE = schema(
    ("id", pa.string()),
    ("chosen_id", pa.string()),  # judgements
    ("rejected_id", pa.string()),
    ("prompt_id", pa.string()),
    ("round", pa.int32()),
    ("earlier", TURNS),
    ("prompt", pa.string()),
    ("chosen", pa.string()),
    ("rejected", pa.string()),
    ("chosen_score", pa.float32()),
    ("rejected_score", pa.float32()),
    nullable=("earlier",),
)
"""A preference pair for the DPO variant (paper section 5.3)."""

REFERENCE = schema(
    ("id", pa.string()),
    ("preference_id", pa.string()),
    ("checkpoint_id", pa.string()),  # the model that was asked
    ("chosen_id", pa.string()),  # judgements, as in the pair
    ("rejected_id", pa.string()),
    ("chosen_logprob", pa.float32()),  # of the whole response and its end token, in nats
    ("rejected_logprob", pa.float32()),
    ("digest", pa.string()),  # of the tokens that were read
    nullable=("chosen_logprob", "rejected_logprob", "digest"),
)
"""A preference pair under DPO's reference model (arXiv 2305.18290, equation 7); nulls where training sets it aside."""
