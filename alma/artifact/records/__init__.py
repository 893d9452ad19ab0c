"""The rows that flow between stages, as Arrow schemas.

Every row has an ``id`` that names the artifact it lies in and its place there (``alma.artifact.row_id``), and the ids
of the rows it came from in columns that end with ``_id`` or ``_ids``. ``alma trace`` follows nothing else.
Scores are probability distributions first: a judgement keeps p(0..10), so that another reading of the same judgement
(integer, real-valued, risk-averse) needs no second forward pass.

``prompt`` is the last thing that a user said; ``earlier`` are the turns of its conversation before that, and null where
there are none (``alma.prompts.conversation``). Nullable columns may be missing from files that are older than they are:
whoever reads rows finds nulls there.

::

    brought     what people bring: seeds, scores, held-out prompts, files of tasks
    pool        prompts that the base model wrote, curated, embedded, in the order in which rounds draw
    answers     responses and how the judge rates them
    training    examples and preferences, and what a reference model says of these
    imitation   ISARA's questions and answers
    evaluation  how checkpoints do on held-out prompts, by whom it is judged
    schema      how a schema of rows is written
"""

from __future__ import annotations

import pyarrow as pa

from alma.artifact.records.answers import JUDGEMENT, RESPONSE
from alma.artifact.records.brought import EVALUATION_PROMPT, PAIR, REFERENCED_PROMPT, SAFETY_PROMPT, SCORE, TASK_FILE
from alma.artifact.records.evaluation import ASSESSMENT, EXAM, MEASURED_RESULT, RESULT, SCREENED_RESULT
from alma.artifact.records.imitation import DROP_REASONS, IMITATION
from alma.artifact.records.pool import CANDIDATE, DRAW, EMBEDDING, PROMPT
from alma.artifact.records.training import EXAMPLE, PREFERENCE, REFERENCE

__all__ = [
    "ASSESSMENT",
    "CANDIDATE",
    "DRAW",
    "DROP_REASONS",
    "EMBEDDING",
    "EVALUATION_PROMPT",
    "EXAM",
    "EXAMPLE",
    "IMITATION",
    "JUDGEMENT",
    "MEASURED_RESULT",
    "PAIR",
    "PREFERENCE",
    "PROMPT",
    "REFERENCE",
    "REFERENCED_PROMPT",
    "RESPONSE",
    "RESULT",
    "SAFETY_PROMPT",
    "SCHEMAS",
    "SCORE",
    "SCREENED_RESULT",
    "TASK_FILE",
]

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
"""Every kind of row, by the name that parts and manifests give it (``schema_name``)."""
