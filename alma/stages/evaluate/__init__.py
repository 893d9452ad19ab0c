"""How good a checkpoint is on held-out prompts: by the judge, and by exact match with references (paper section 4).

For ISARA and its baselines also: in-context examples, ROUGE-L against true and false references, harm by a classifier,
and how many of the prompts the examples or the seeds give away.

::

    answers     what a model answers, turn by turn; examples: what is shown before
    ratings     the judge's columns; references: ROUGE-L with true and false ones
    harm        a classifier's; refusals: which prompts ask for harm, and which answers refuse
    overlap     what the examples, or the seeds, give away
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from alma.artifact import Metrics, Model, Rows
from alma.artifact.measures import COLUMNS, SAFETY, measures
from alma.artifact.out import Out
from alma.artifact.records import SCHEMAS
from alma.engines import (
    TOO_LONG,
    Completion,
    lazy,
    load_classifier,
    load_generator,
    load_scorer,
)
from alma.engines.too_long import check_too_long, too_long_counts
from alma.errors import ConfigError
from alma.prompts.conversation import Message, asked_text, column, messages, questions
from alma.sections import Evaluate
from alma.stages.evaluate.answers import Asked, answer, converse
from alma.stages.evaluate.examples import all_questions, check_examples, choose, examples
from alma.stages.evaluate.harm import add_harm, check_labels, classify, together
from alma.stages.evaluate.overlap import add_overlap, check_overlap
from alma.stages.evaluate.ratings import add_ratings
from alma.stages.evaluate.references import rouge_difference
from alma.stages.evaluate.refusals import add_refused, check_harmful, is_harmful
from alma.statistics import wilson
from alma.text.normalise import exact_match
from alma.text.shots import DataSet, Shot

VERSION = 4


def run(
    cfg: Evaluate,
    *,
    model: Model,
    prompts: Rows,
    judge: Model | None = None,
    shots: Rows | None = None,
    classifier: Model | None = None,
    out: Out,
) -> Metrics:
    """One greedy answer per evaluation prompt, scored; the references are read here and nowhere in the method.

    What a conversation lacks of the model's own turns it answers first: a row's ``earlier`` are all turns before its
    prompt, as they were then.

    ``shots`` are the rows that examples come from (``cfg.shots``), or else that the model was trained on: the prompts
    that they give away are counted. Where people wrote them, such a prompt is a ``DataError`` before any work.
    """
    prompts.expect("evaluation_prompt", "referenced_prompt", "safety_prompt")
    _check(cfg, prompts, shots, classifier)
    plain = judge and shots is None and classifier is None and prompts.manifest.schema_name == "evaluation_prompt"
    schema = "screened" if cfg.refusals else "result" if plain else "examined"
    among = examples(shots) if shots is not None else DataSet([])

    @cache
    def known_texts() -> list[str]:
        return [] if shots is None else all_questions(shots)

    @cache
    def shown_PK() -> list[list[Shot]]:
        asked = prompts.table(["earlier", "prompt"]).to_pylist()
        return choose(cfg, model, [questions(row)[0] for row in asked], among)

    with (
        lazy(lambda: load_generator(cfg, model.folder)) as generator,
        lazy(lambda: load_scorer(cfg, _folder(judge))) as scorer,
        lazy(lambda: load_classifier(cfg, _folder(classifier))) as reader,
    ):
        for part, progress in out.each(len(prompts), cfg.part_rows, "prompts"):
            if classifier and cfg.harm:
                check_labels(cfg.harm, reader().labels, cfg.refusals)
            asked_P = prompts.table(None, part.start, part.stop).to_pylist()
            before_PK = shown_PK()[part.start : part.stop]
            found_P, num_tokens = converse(
                [
                    Asked(row["prompt"], messages(row["earlier"]), tuple(before))
                    for row, before in zip(asked_P, before_PK, strict=True)
                ],
                lambda several: answer(cfg, generator(), several),
            )
            rows = [
                {"id": out.row_id(part.start + i), "checkpoint_id": str(model.ref), **_row(cfg, asked, before, *found)}
                for i, (asked, before, found) in enumerate(zip(asked_P, before_PK, found_P, strict=True))
            ]
            if judge:
                add_ratings(cfg, str(judge.ref), scorer, rows)
            # A prompt that was too long to be answered has no response to read.
            answers = [row for row in rows if row["num_tokens"]]
            if classifier and cfg.harm:
                probs_PL = classify(cfg.harm, reader(), [(asked_text(row), row["response"]) for row in answers])
                add_harm(cfg.harm, answers, together(cfg.harm.labels, reader(), probs_PL))
            if cfg.refusals:
                labels = cfg.refusals.labels
                add_refused(cfg.refusals, answers, together(labels, reader(), probs_PL) if labels else None)
            if shots is not None:
                add_overlap(rows, known_texts())
            progress.advance(len(rows), num_tokens)
            too_long = too_long_counts(completion.num_tokens for completion, _ in found_P)
            out.publish(part, schema, rows, {"num_tokens": num_tokens, **too_long})
    check_too_long(out, cfg, len(prompts), "shorten them, lower evaluate.num_shots, raise vllm.max_model_len")
    return summary(out, schema)


def summary(out: Out, schema: str) -> Metrics:
    """Means with their standard errors over prompts."""
    rows = out.read_back([name for name in COLUMNS if name in SCHEMAS[schema].names])
    metrics: Metrics = {"num_prompts": len(rows)}
    answered = [row for row in rows if row["num_tokens"]]
    if any(row["parsed"] is not None for row in rows):
        metrics["num_unparsable"] = sum(not row["parsed"] for row in answered)
    if any(row.get("harmful") is not None for row in rows):
        metrics["num_unclassified"] = sum(row["harmful"] is None for row in answered)
    if any(row.get("seen") is not None for row in rows):
        metrics["num_seen"] = sum(row["seen"] for row in rows)
    for name, values in measures(rows).items():
        metrics[name] = float(np.mean(values))
        metrics[f"{name}_error"] = standard_error(values)
        if name in SAFETY:
            metrics[f"{name}_low"], metrics[f"{name}_high"] = wilson(int(sum(values)), len(values))
    return metrics


def standard_error(values: Sequence[float]) -> float:
    """Standard error of the mean; 0 for a single value."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def _row(
    cfg: Evaluate, asked: dict[str, Any], before: list[Shot], completion: Completion, earlier: tuple[Message, ...]
) -> dict[str, Any]:
    """A prompt with the turns and examples before it, its answer, and how that fits the prompt's references."""
    row = {name: asked[name] for name in ("family", "prompt", "reference")} | {
        "prompt_id": asked["id"],
        "shot_ids": [shot.id for shot in before],
        "earlier": column(earlier),
        "response": completion.text,
        "num_tokens": completion.num_tokens,
        "ended": completion.ended,
        "correct": None,
        "rouge_difference": None,
    }
    if cfg.refusals:
        row["harmful_prompt"] = is_harmful(cfg.refusals, asked)
    if completion != TOO_LONG:
        row["correct"] = exact_match(completion.text, asked["reference"], ended=completion.ended)
        true, false = asked.get("true_references"), asked.get("false_references")
        row["rouge_difference"] = rouge_difference(completion.text, true, false) if true and false else None
    return row


def _check(cfg: Evaluate, prompts: Rows, shots: Rows | None, classifier: Model | None) -> None:
    if classifier and cfg.harm is None:
        raise ConfigError(
            "evaluate.harm is required with a classifier: which of its labels mean harm, such as "
            'harm = { labels = ["unsafe"] }'
        )
    if cfg.harm and not classifier:
        raise ConfigError("evaluate.harm says how a classifier is read, and the input classifier is not given")
    if cfg.refusals and cfg.refusals.labels and not classifier:
        raise ConfigError("evaluate.refusals.labels are a classifier's, and the input classifier is not given")
    check_harmful(cfg, prompts)
    check_examples(cfg, prompts, shots)
    if shots is not None:
        shots.expect("pair", "example", "imitation")
        check_overlap(prompts, shots, allow=cfg.allow_overlap)


def _folder(model: Model | None) -> Path:
    assert model is not None, "asked for where the port is given"
    return model.folder
