"""Converts public data sets, as published, to the files that a run needs.

===============  ====================================  ==========================================================
set              file                                  its columns
===============  ====================================  ==========================================================
beavertails      ``train.jsonl.gz``, Parquet           prompt, response, category (14 flags), is_safe
truthfulqa       ``TruthfulQA.csv``, or the Hub's      Question, Best Answer, Correct Answers, … (or question, …)
alpacaeval       ``alpaca_eval.json``                  instruction, output, generator, dataset
helpsteer2       ``train.jsonl.gz``                    prompt, response, helpfulness, correctness, …
daring-anteater  ``train.jsonl``                       system, conversations (from, value), dataset
mt-bench         ``question.jsonl``                    question_id, category, turns
arena-hard       ``question.jsonl``                    question_id, cluster, turns; or uid, category, prompt
lima             ``test.jsonl``                        conversations, source
self-instruct    ``user_oriented_instructions.jsonl``  instruction, instances
===============  ====================================  ==========================================================

The first three become ``seeds.jsonl`` (prompt, response) and ``evaluation.jsonl`` (prompt and, where the set has them,
family, reference, true_references, false_references); ``helpsteer2`` becomes ``scores.jsonl`` and ``heldout.jsonl``
(prompt, response or, of several turns, messages; score 0..10), ``daring-anteater`` ``seeds.jsonl`` (messages), the
others ``evaluation.jsonl`` (prompt, family), ``mt-bench`` with rows of second turns (messages, family).
What is drawn does not depend on the order of the file. No prompt is in both files.

``published`` opens a set's file, ``question`` is what its rows become, ``split`` says who gets which of them.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from alma.convert.published import opened
from alma.convert.question import Converted
from alma.convert.split import split, write
from alma.errors import ConfigError, DataError


class Set(NamedTuple):
    """A public set: which files it becomes, and of how many of its prompts unless one says otherwise."""

    learn: str | None = None
    """The file to learn from; ``None`` where it has no answers for that."""

    hold: str | None = "evaluation.jsonl"
    """The file that is held out; ``None`` where it is not for that."""

    num_learn: int = 64
    num_hold: int | None = None
    """``None`` = all others."""


SETS = {
    "beavertails": Set("seeds.jsonl"),
    "truthfulqa": Set("seeds.jsonl"),
    "alpacaeval": Set("seeds.jsonl"),
    "helpsteer2": Set("scores.jsonl", "heldout.jsonl", num_learn=2000, num_hold=250),
    "daring-anteater": Set("seeds.jsonl", None, num_learn=5000),
    "mt-bench": Set(),
    "arena-hard": Set(),
    "lima": Set(),
    "self-instruct": Set(),
}
"""Set → what becomes of it; ``questions(rows, name)`` of ``alma.convert.<set>`` reads it."""


def convert(
    name: str,
    path: Path,
    out: Path,
    *,
    num_seeds: int | None = None,
    num_evaluation: int | None = None,
    family: str | None = None,
    seed: int = 0,
) -> Converted:
    """Writes the files of the set ``name``, published as ``path``, into folder ``out``.

    Of its prompts (of one ``family``, where it is given) ``num_seeds`` are drawn to learn from, and of the others
    ``num_evaluation`` to be held out; ``None`` = what ``SETS`` says.
    Raises ``ConfigError`` for an unknown set or family or a wrong number, ``DataError`` for a file of another form.
    """
    if name not in SETS:
        raise ConfigError(f"no such set: {name!r}; there are: {', '.join(SETS)}")
    known = SETS[name]
    if num_seeds is not None and known.learn is None:
        raise ConfigError(
            f"seeds = {num_seeds}: {name} has prompts to evaluate with and no answers to learn from; leave --seeds out"
        )
    if num_evaluation is not None and known.hold is None:
        raise ConfigError(f"evaluation = {num_evaluation}: of {name} nothing is held out; leave --evaluation out")
    with opened(path) as rows:
        found = importlib.import_module(f"alma.convert.{name.replace('-', '_')}").questions(rows, path.name)
    questions = found.all()
    if not questions:
        why = "; ".join(f"{reason}: {num} rows" for reason, num in found.unusable.items()) or "it has no row"
        raise DataError(f"{path}: no row of it is usable as a question of {name} ({why}); is it the file of that set?")
    chosen = [each for each in questions if family is None or family in each.families]
    if not chosen:
        families = sorted({family for each in questions for family in each.families})
        raise ConfigError(f"{path}: no question is of family {family!r}; there are: {', '.join(families) or 'none'}")
    num_learn = known.num_learn if num_seeds is None else num_seeds
    num_hold = known.num_hold if num_evaluation is None else num_evaluation
    converted = split(
        chosen,
        num_learn if known.learn else 0,
        num_hold if known.hold else 0,
        seed,
        str(path),
        names=(known.learn, known.hold),
    )
    converted = replace(converted, unusable=found.unusable)
    write(converted, out)
    return converted
