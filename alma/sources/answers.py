"""A comparator's answers beside the evaluation prompts that they are to answer: what is there, and what is not."""

from __future__ import annotations

from collections import Counter
from typing import Any, TypeAlias

from alma.artifact import Metrics, Rows
from alma.artifact.out import Out
from alma.errors import DataError
from alma.prompts.conversation import Message, user_side
from alma.sections import IngestRows
from alma.text.normalise import normalise

NUM_NAMED = 5

Prompt: TypeAlias = tuple[Message, ...]
"""All that the user and the system say."""


def answers(
    cfg: IngestRows, rows: list[dict[str, Any]], asked: Rows | None, out: Out
) -> tuple[list[dict[str, Any]], Metrics]:
    """The rows that answer a prompt of ``asked``, word for word and in all its turns; others are left out and counted.

    Raises ``DataError`` where more of the prompts than ``cfg.max_missing_share`` have no answer, or one has several.
    """
    if asked is None:
        return rows, {}
    asked.expect("evaluation_prompt", "referenced_prompt")
    prompts = list(dict.fromkeys(user_side(row) for row in asked.table(["earlier", "prompt"]).to_pylist()))
    wanted = set(prompts)
    kept = [row for row in rows if user_side(row) in wanted]
    several = [prompt for prompt, num in Counter(map(user_side, kept)).items() if num > 1]
    if several:
        raise DataError(
            f"{cfg.source}: has several answers to {len(several)} of {len(prompts)} evaluation prompts, and it is "
            f"unclear with which to compare:\n{_named(several)}Remedy: leave one answer to each prompt"
        )
    found = set(map(user_side, kept))
    missing = [prompt for prompt in prompts if prompt not in found]
    if len(missing) > cfg.max_missing_share * len(prompts) or not kept:
        raise DataError(_refusal(cfg, rows, prompts, missing))
    if missing:
        out.note(
            f"{cfg.source}: has no answer to {len(missing)} of {len(prompts)} evaluation prompts; they are left out"
        )
    if len(kept) < len(rows):
        out.note(f"{cfg.source}: {len(rows) - len(kept)} of {len(rows)} rows answer no evaluation prompt")
    return kept, {"num_unanswered": len(missing), "num_unasked": len(rows) - len(kept)}


def _refusal(cfg: IngestRows, rows: list[dict[str, Any]], prompts: list[Prompt], missing: list[Prompt]) -> str:
    nearly = {_normalised(user_side(row)) for row in rows}
    num_nearly = sum(_normalised(prompt) in nearly for prompt in missing)
    hint = f"{num_nearly} of them are there in other case or with other white space. " if num_nearly else ""
    remedy = "add their answers, with the prompt's text as it is in the evaluation prompts"
    if len(missing) < len(prompts):
        # Rounded up: what is proposed has to do.
        share = -(-1000 * len(missing) // len(prompts)) / 1000
        remedy += f", or set the evaluator's max_missing_share = {share:g} to have these prompts left out"
    return (
        f"{cfg.source}: has no answer to {len(missing)} of {len(prompts)} evaluation prompts (max_missing_share = "
        f"{cfg.max_missing_share:g}):\n{_named(missing)}{hint}Remedy: {remedy}"
    )


def _normalised(prompt: Prompt) -> tuple[str, ...]:
    return tuple(normalise(turn.content) for turn in prompt)


def _named(prompts: list[Prompt]) -> str:
    more = f"  … and {len(prompts) - NUM_NAMED} more\n" if len(prompts) > NUM_NAMED else ""
    return "".join(f"  {prompt[-1].content[:80]!r}\n" for prompt in prompts[:NUM_NAMED]) + more
