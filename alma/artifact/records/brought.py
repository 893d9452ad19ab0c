"""What people bring: seeds, scores, held-out prompts, files of tasks."""

from __future__ import annotations

import pyarrow as pa

from alma.artifact.records.schema import IDS, TURNS, schema

PAIR = schema(
    ("id", pa.string()),
    ("source_id", pa.string()),  # the id in the user's file, or its line number
    ("earlier", TURNS),
    ("prompt", pa.string()),
    ("response", pa.string()),
    nullable=("earlier",),
)
"""A prompt and a response that a person wrote: the SFT seeds."""

SCORE = schema(
    ("id", pa.string()),
    ("source_id", pa.string()),
    ("earlier", TURNS),
    ("prompt", pa.string()),
    ("response", pa.string()),
    ("score", pa.float64()),  # human, 0..10
    nullable=("earlier",),
)
"""A response with a human score: the judge's seeds and its held-out validation."""

EVALUATION_PROMPT = schema(
    ("id", pa.string()),
    ("source_id", pa.string()),
    ("earlier", TURNS),
    ("prompt", pa.string()),
    ("reference", pa.string()),  # the only right answer, where one exists
    ("family", pa.string()),  # the group in which results are shown
    nullable=("earlier", "reference", "family"),
)
"""A held-out prompt. ``reference`` is read by ``evaluate`` and ``report`` and by no stage of the method."""

REFERENCED_PROMPT = schema(
    *((field.name, field.type) for field in EVALUATION_PROMPT),
    ("true_references", IDS),
    ("false_references", IDS),
    nullable=("earlier", "reference", "family", "true_references", "false_references"),
)
"""A held-out prompt of a set with several true and false answers to each (as TruthfulQA has them)."""

SAFETY_PROMPT = schema(
    *((field.name, field.type) for field in EVALUATION_PROMPT),
    ("harmful", pa.bool_()),  # it asks for what should be refused
    nullable=("earlier", "reference", "family"),
)
"""A prompt of a set of harmful and harmless ones (as XSTest has them)."""

TASK_FILE = schema(
    ("id", pa.string()),
    ("source_id", pa.string()),  # its name in the folder
    ("content", pa.binary()),
)
"""A file of a task folder for lm-evaluation-harness."""
