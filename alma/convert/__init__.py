"""Converts public data sets, as published, to the two files that a run needs: seeds and evaluation prompts.

============  ==================================================  ====================================================
set           file                                                its columns
============  ==================================================  ====================================================
beavertails   ``train.jsonl.gz``, ``.jsonl.xz``, Parquet          prompt, response, category (14 flags), is_safe
truthfulqa    ``TruthfulQA.csv``, or the Hub's Parquet            Question, Best Answer, Correct Answers, … (or
                                                                  question, best_answer, correct_answers, …)
alpacaeval    ``alpaca_eval.json``                                instruction, output, generator, dataset
============  ==================================================  ====================================================

``seeds.jsonl`` has ``prompt, response`` (``ingest`` kind ``pairs``), ``evaluation.jsonl`` has ``prompt`` and, where the
set has them, ``family, reference, true_references, false_references`` (kind ``prompts``). No prompt is in both.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from alma.convert.published import opened
from alma.convert.question import Converted
from alma.convert.split import split, write
from alma.errors import ConfigError, DataError

SETS = {
    "beavertails": "alma.convert.beavertails",
    "truthfulqa": "alma.convert.truthfulqa",
    "alpacaeval": "alma.convert.alpacaeval",
}
"""Set → the module whose ``questions(rows, name)`` reads it."""


def convert(
    name: str,
    path: Path,
    out: Path,
    *,
    num_seeds: int = 64,
    num_evaluation: int | None = None,
    family: str | None = None,
    seed: int = 0,
) -> Converted:
    """Writes ``seeds.jsonl`` and ``evaluation.jsonl`` of the set ``name``, published as ``path``, into folder ``out``.

    Of the questions (of one ``family``, where it is given) ``num_seeds`` are drawn for the seeds, and of the others
    ``num_evaluation`` (``None`` = all) for evaluation; the same ones whatever the order of the file.
    Raises ``ConfigError`` for an unknown set or family or a wrong number, ``DataError`` for a file of another form.
    """
    if name not in SETS:
        raise ConfigError(f"no such set: {name!r}; there are: {', '.join(SETS)}")
    with opened(path) as rows:
        questions = importlib.import_module(SETS[name]).questions(rows, path.name)
    if not questions:
        raise DataError(f"{path}: no row of it is usable as a question of {name}")
    chosen = [each for each in questions if family is None or family in each.families]
    if not chosen:
        families = sorted({family for each in questions for family in each.families})
        raise ConfigError(f"{path}: no question is of family {family!r}; there are: {', '.join(families) or 'none'}")
    converted = split(chosen, num_seeds, num_evaluation, seed, str(path))
    write(converted, out)
    return converted
