"""The rows that flow between stages, as Arrow schemas.

Every row has an ``id`` that names the artifact it lies in and its place there (``alma.artifact.row_id``), and the ids
of the rows it came from in columns that end with ``_id`` or ``_ids``. ``alma trace`` follows nothing else.
Scores are probability distributions first: a judgement keeps p(0..10), so that another reading of the same judgement
(integer, real-valued, risk-averse) needs no second forward pass.

``prompt`` is the last thing that a user said; ``earlier`` are the turns of its conversation before that, and null where
there are none (``alma.prompts.conversation``). Nullable columns may be missing from files that are older than they are:
whoever reads rows finds nulls there.
"""

from __future__ import annotations

import pyarrow as pa

from alma.prompts import RATINGS


def _schema(*fields: tuple[str, pa.DataType], nullable: tuple[str, ...] = ()) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=name in nullable) for name, kind in fields])


_ids = pa.list_(pa.string())
_turns = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))

PAIR = _schema(
    ("id", pa.string()),
    ("source_id", pa.string()),  # the id in the user's file, or its line number
    ("earlier", _turns),
    ("prompt", pa.string()),
    ("response", pa.string()),
    nullable=("earlier",),
)
"""A prompt and a response that a person wrote: the SFT seeds."""

SCORE = _schema(
    ("id", pa.string()),
    ("source_id", pa.string()),
    ("earlier", _turns),
    ("prompt", pa.string()),
    ("response", pa.string()),
    ("score", pa.float64()),  # human, 0..10
    nullable=("earlier",),
)
"""A response with a human score: the judge's seeds and its held-out validation."""

EVALUATION_PROMPT = _schema(
    ("id", pa.string()),
    ("source_id", pa.string()),
    ("earlier", _turns),
    ("prompt", pa.string()),
    ("reference", pa.string()),  # the only right answer, where one exists
    ("family", pa.string()),  # the group in which results are shown
    nullable=("earlier", "reference", "family"),
)
"""A held-out prompt. ``reference`` is read by ``evaluate`` and ``report`` and by no stage of the method."""

REFERENCED_PROMPT = _schema(
    *((field.name, field.type) for field in EVALUATION_PROMPT),
    ("true_references", _ids),
    ("false_references", _ids),
    nullable=("earlier", "reference", "family", "true_references", "false_references"),
)
"""A held-out prompt of a set with several true and false answers to each (as TruthfulQA has them)."""

SAFETY_PROMPT = _schema(
    *((field.name, field.type) for field in EVALUATION_PROMPT),
    ("harmful", pa.bool_()),  # it asks for what should be refused
    nullable=("earlier", "reference", "family"),
)
"""A prompt of a set of harmful and harmless ones (as XSTest has them)."""

CANDIDATE = _schema(
    ("id", pa.string()),
    ("seed_ids", _ids),  # the shots it was written after
    ("sample_seed", pa.uint64()),
    ("prompt", pa.string()),
    ("ended", pa.bool_()),  # the model came to the end marker before its token limit
    ("num_tokens", pa.int32()),  # 0: the shots left no room in the context
)
"""What the base model wrote when asked for one more prompt, unfiltered."""

PROMPT = _schema(
    ("id", pa.string()),
    ("candidate_id", pa.string()),
    ("prompt", pa.string()),
)
"""A unique, well-formed, decontaminated prompt of the pool."""

EMBEDDING = _schema(
    ("id", pa.string()),
    ("prompt_id", pa.string()),
    ("vector", pa.list_(pa.float32())),  # L2-normalised
)

DRAW = _schema(
    ("id", pa.string()),
    ("prompt_id", pa.string()),
    ("prompt", pa.string()),
    ("cluster", pa.int32()),
    ("x", pa.float32()),  # first two principal components, for the prompt map
    ("y", pa.float32()),
    nullable=("x", "y"),
)
"""The pool in the order in which rounds draw from it: round r takes a contiguous slice."""

RESPONSE = _schema(
    ("id", pa.string()),
    ("prompt_id", pa.string()),
    ("earlier", _turns),
    ("prompt", pa.string()),
    ("response", pa.string()),
    ("checkpoint_id", pa.string()),  # finetune/<key> of the model that answered
    ("sample_index", pa.int32()),  # 0..N-1 within the prompt
    ("sample_seed", pa.uint64()),
    ("num_tokens", pa.int32()),  # of the response, end token included; 0: the prompt left no room
    ("ended", pa.bool_()),  # it came to the end token, or to a text of a template that ends it
    ("marker", pa.string()),  # such a text that it still holds, in another spelling
    nullable=(
        "earlier",
        "marker",
    ),
)

JUDGEMENT = _schema(
    ("id", pa.string()),
    ("response_id", pa.string()),
    ("prompt_id", pa.string()),
    ("judge_id", pa.string()),
    ("checkpoint_id", pa.string()),
    ("earlier", _turns),
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

EXAMPLE = _schema(
    ("id", pa.string()),
    ("judgement_id", pa.string()),
    ("prompt_id", pa.string()),
    ("round", pa.int32()),
    ("earlier", _turns),
    ("prompt", pa.string()),
    ("response", pa.string()),
    ("score", pa.float32()),
    ("num_tokens", pa.int32()),
    nullable=("earlier", "judgement_id", "num_tokens", "score"),
)
"""A training row: the best response of a prompt."""

PREFERENCE = _schema(
    ("id", pa.string()),
    ("chosen_id", pa.string()),  # judgements
    ("rejected_id", pa.string()),
    ("prompt_id", pa.string()),
    ("round", pa.int32()),
    ("earlier", _turns),
    ("prompt", pa.string()),
    ("chosen", pa.string()),
    ("rejected", pa.string()),
    ("chosen_score", pa.float32()),
    ("rejected_score", pa.float32()),
    nullable=("earlier",),
)
"""A preference pair for the DPO variant (paper section 5.3)."""

REFERENCE = _schema(
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

RESULT = _schema(
    ("id", pa.string()),
    ("prompt_id", pa.string()),
    ("checkpoint_id", pa.string()),
    ("judge_id", pa.string()),
    ("family", pa.string()),
    ("earlier", _turns),
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

MEASURED_RESULT = _schema(
    ("id", pa.string()),
    ("prompt_id", pa.string()),
    ("checkpoint_id", pa.string()),
    ("judge_id", pa.string()),
    ("shot_ids", _ids),  # the examples before the prompt, in their order
    ("family", pa.string()),
    ("earlier", _turns),
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

ASSESSMENT = _schema(
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

TASK_FILE = _schema(
    ("id", pa.string()),
    ("source_id", pa.string()),  # its name in the folder
    ("content", pa.binary()),
)
"""A file of a task folder for lm-evaluation-harness."""

EXAM = _schema(
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

SCREENED_RESULT = _schema(
    *((field.name, field.type) for field in MEASURED_RESULT),
    ("harmful_prompt", pa.bool_()),  # the prompt asks for what should be refused
    ("refused", pa.bool_()),  # null where there is no answer, or the classifier cannot read it
    nullable=(*(field.name for field in MEASURED_RESULT if field.nullable), "refused"),
)
"""As ``MEASURED_RESULT``, of prompts that are known to be harmful or harmless, and what of them was refused."""

IMITATION = _schema(
    ("id", pa.string()),
    ("iteration", pa.int32()),  # 1 .. t
    ("train", pa.bool_()),  # whether ``finetune`` takes it
    ("checkpoint_id", pa.string()),  # finetune/<key> of the model that wrote it
    ("judge_id", pa.string()),
    ("question_shot_ids", _ids),  # what the question was written after: seeds, rows of earlier iterations
    ("answer_shot_ids", _ids),
    ("question_seed", pa.uint64()),  # null where the question is an earlier iteration's
    ("sample_seed", pa.uint64()),  # of the answer
    ("prompt", pa.string()),
    ("response", pa.string()),
    ("score", pa.float32()),  # the judge's mean, where it chose among several answers
    ("num_tokens", pa.int32()),  # of the response, end token included
    nullable=("judge_id", "question_seed", "score"),
)
"""A question and an answer that ISARA's model wrote itself; the rows of all iterations up to this one, in order."""

SCHEMAS: dict[str, pa.Schema] = {
    "pair": PAIR,
    "score": SCORE,
    "evaluation_prompt": EVALUATION_PROMPT,
    "referenced_prompt": REFERENCED_PROMPT,
    "safety_prompt": SAFETY_PROMPT,
    "candidate": CANDIDATE,
    "prompt": PROMPT,
    "embedding": EMBEDDING,
    "draw": DRAW,
    "response": RESPONSE,
    "judgement": JUDGEMENT,
    "example": EXAMPLE,
    "preference": PREFERENCE,
    "reference": REFERENCE,
    "result": RESULT,
    "imitation": IMITATION,
    "examined": MEASURED_RESULT,
    "screened": SCREENED_RESULT,
    "assessment": ASSESSMENT,
    "task_file": TASK_FILE,
    "exam": EXAM,
}

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
