"""Evaluation prompts that the shots, or what a model is trained on, give away. Axes: P prompts, S shots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alma.artifact import Rows
from alma.errors import DataError
from alma.prompts.conversation import questions
from alma.text.normalise import normalise
from alma.text.rouge import rouge_l_matrix, words

NUM_NAMED = 5
BLOCK = 1024
"""Prompts that are compared at once, which bounds the memory."""


def seen(prompts_P: Sequence[str], shots_S: Sequence[str]) -> list[bool]:
    """Whether each prompt is one of the shots', case and white space aside."""
    known = {normalise(text) for text in shots_S}
    return [normalise(text) in known for text in prompts_P]


def closeness(prompts_P: Sequence[str], shots_S: Sequence[str]) -> list[float]:
    """Each prompt's best ROUGE-L with a shot's prompt, 0..1."""
    if not shots_S:
        return [0.0] * len(prompts_P)
    words_S = [words(text) for text in shots_S]
    found: list[float] = []
    for start in range(0, len(prompts_P), BLOCK):
        block = [words(text) for text in prompts_P[start : start + BLOCK]]
        found.extend(rouge_l_matrix(block, words_S).max(axis=1).tolist())
    return found


def add_overlap(rows_P: Sequence[dict[str, Any]], shots_S: Sequence[str]) -> None:
    """The columns ``overlap`` and ``seen`` of rows: what the shots' prompts give away of theirs."""
    prompts_P = [questions(row)[-1] for row in rows_P]
    for row, close, same in zip(rows_P, closeness(prompts_P, shots_S), seen(prompts_P, shots_S), strict=True):
        row.update(overlap=close, seen=same)


def check_overlap(prompts: Rows, shots: Rows, *, allow: bool) -> None:
    """Raises ``DataError`` for evaluation prompts that are among prompts which people wrote for training.

    Prompts that a model wrote are not refused: whether it comes upon one is a result, and is counted.
    """
    if allow or shots.manifest.schema_name != "pair":
        return
    asked = prompts.table(["source_id", "earlier", "prompt"]).to_pylist()
    trained = shots.table(["earlier", "prompt"]).to_pylist()
    flags = seen([questions(row)[-1] for row in asked], [text for row in trained for text in questions(row)])
    both = [row for row, flag in zip(asked, flags, strict=True) if flag]
    if both:
        named = "".join(f"  {row['source_id']}: {row['prompt'][:80]!r}\n" for row in both[:NUM_NAMED])
        more = f"  … and {len(both) - NUM_NAMED} more\n" if len(both) > NUM_NAMED else ""
        raise DataError(
            f"{len(both)} of {len(asked)} evaluation prompts ({prompts.ref}) are among the {len(shots)} seeds "
            f"({shots.ref}):\n{named}{more}What is measured on them is memory. Remedy: remove "
            "them from one of the two files, or set evaluate.allow_overlap = true to have them counted"
        )
