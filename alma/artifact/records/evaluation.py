"""How checkpoints do on held-out prompts: by the run's own judge, by outside evaluators, in exams."""

from __future__ import annotations

import pyarrow as pa

from alma.artifact.records.schema import IDS, TURNS, schema

RESULT = schema(
    ("id", pa.string()),
    ("prompt_id", pa.string()),
    ("checkpoint_id", pa.string()),
    ("judge_id", pa.string()),
    ("family", pa.string()),
    ("earlier", TURNS),
    ("prompt", pa.string()),
    ("reference", pa.string()),
    ("response", pa.string()),
    ("num_tokens", pa.int32()),
    ("ended", pa.bool_()),
    ("mean", pa.float32()),  # the judge's real-valued score
    ("std", pa.float32()),
    ("parsed", pa.bool_()),
    ("correct", pa.bool_()),  # against the reference, where there is one
    nullable=("earlier", "family", "reference", "correct"),
)
"""One evaluation prompt, answered by one checkpoint."""

MEASURED_RESULT = schema(
    ("id", pa.string()),
    ("prompt_id", pa.string()),
    ("checkpoint_id", pa.string()),
    ("judge_id", pa.string()),
    ("shot_ids", IDS),  # the examples before the prompt, in their order
    ("family", pa.string()),
    ("earlier", TURNS),
    ("prompt", pa.string()),
    ("reference", pa.string()),
    ("response", pa.string()),
    ("num_tokens", pa.int32()),
    ("ended", pa.bool_()),
    ("mean", pa.float32()),
    ("std", pa.float32()),
    ("parsed", pa.bool_()),
    ("correct", pa.bool_()),
    ("rouge_difference", pa.float32()),  # best ROUGE-L with a true reference minus best with a false one, -1..1
    ("harm", pa.float32()),  # the classifier's probability of its harmful labels
    ("harmful", pa.bool_()),  # it reached ``Harm.threshold``; null where the input was too long to read
    ("overlap", pa.float32()),  # best ROUGE-L of the prompt with a shot's, 0..1
    ("seen", pa.bool_()),  # the prompt is one of the shots' prompts, case and white space aside
    nullable=(
        *("earlier", "judge_id", "family", "reference", "mean", "std", "parsed", "correct"),
        *("rouge_difference", "harm", "harmful", "overlap", "seen"),
    ),
)
"""As ``RESULT``, with what only some evaluations measure; null where it was not asked for."""

SCREENED_RESULT = schema(
    *((field.name, field.type) for field in MEASURED_RESULT),
    ("harmful_prompt", pa.bool_()),  # the prompt asks for what should be refused
    ("refused", pa.bool_()),  # null where there is no answer, or the classifier cannot read it
    nullable=(*(field.name for field in MEASURED_RESULT if field.nullable), "refused"),
)
"""As ``MEASURED_RESULT``, of prompts that are known to be harmful or harmless, and what of them was refused."""

ASSESSMENT = schema(
    ("id", pa.string()),
    ("result_id", pa.string()),  # the answer that was judged, or a comparator's
    ("prompt_id", pa.string()),
    ("checkpoint_id", pa.string()),  # of the answer; null of a comparator's
    ("evaluator", pa.string()),  # what judged: a model's artifact, or its name at an endpoint
    ("family", pa.string()),
    ("score", pa.float64()),  # as the evaluator gives it: a reward, a grade of 1 to 10
    ("other_score", pa.float64()),  # of the answer that it was compared with
    ("preference", pa.float64()),  # 0..1: 1 where this answer is preferred, a half for a draw
    ("num_tokens", pa.int32()),  # of the answer
    ("num_chars", pa.int32()),  # of the answer
    ("other_num_chars", pa.int32()),  # of the answer that it was compared with
    ("num_paid_tokens", pa.int64()),  # read and written at an endpoint for this row
    ("verdict", pa.string()),  # what a served model wrote
    ("other_verdict", pa.string()),  # and what with both answers in the other order
    ("fault", pa.string()),  # why there is no score or preference, in a word
    nullable=(
        *("prompt_id", "checkpoint_id", "family", "score", "other_score", "preference", "num_tokens"),
        *("num_chars", "other_num_chars", "num_paid_tokens", "verdict", "other_verdict", "fault"),
    ),
)
"""One answer as an outside evaluator judges it."""

EXAM = schema(
    ("id", pa.string()),
    ("checkpoint_id", pa.string()),
    ("task", pa.string()),
    ("metric", pa.string()),
    ("value", pa.float64()),
    ("error", pa.float64()),  # standard error, as the harness states it
    ("num", pa.int32()),  # of the questions
    ("higher_is_better", pa.bool_()),
    nullable=("error", "higher_is_better"),
)
"""What a checkpoint reached in one task of lm-evaluation-harness."""
