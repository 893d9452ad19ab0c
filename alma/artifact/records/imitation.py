"""ISARA's own rows, and why it drops some."""

from __future__ import annotations

import pyarrow as pa

from alma.artifact.records.schema import IDS, schema

IMITATION = schema(
    ("id", pa.string()),
    ("iteration", pa.int32()),  # 1 .. t
    ("train", pa.bool_()),  # whether ``finetune`` takes it
    ("checkpoint_id", pa.string()),  # finetune/<key> of the model that wrote it
    ("judge_id", pa.string()),
    ("question_shot_ids", IDS),  # what the question was written after: seeds, rows of earlier iterations
    ("answer_shot_ids", IDS),
    ("question_seed", pa.uint64()),  # null where the question is an earlier iteration's
    ("sample_seed", pa.uint64()),  # of the answer
    ("prompt", pa.string()),
    ("response", pa.string()),
    ("score", pa.float32()),  # the judge's mean, where it chose among several answers
    ("num_tokens", pa.int32()),  # of the response, end token included
    nullable=("judge_id", "question_seed", "score"),
)
"""A question and an answer that ISARA's model wrote itself; the rows of all iterations up to this one, in order."""

DROP_REASONS = {
    "context": "the shots left no room in the model's context",
    "unfinished": "the token limit cut the question off",
    "short": "the question has fewer than min_words words",
    "duplicate": "the question was there before",
    "similar": "the question's ROUGE-L with another one is above max_rouge",
    "answer_unfinished": "the token limit cut the answer off",
    "answer_short": "the answer has fewer than min_words words",
    "answer_repeats": "the answer is contained in the question",
    "unparsable": "the judge's rating is on none of the answers to be read",
}
"""Why ``imitate`` drops an attempt: reason → what it means, in the order in which they are looked for."""
