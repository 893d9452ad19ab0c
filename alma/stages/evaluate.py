"""How good a checkpoint is on held-out prompts: by the judge, and by the truth where there is one (paper section 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alma.artifact import Metrics, Model, Rows
from alma.engines import load_generator, load_scorer, when_asked
from alma.out import Out
from alma.sections import Evaluate
from alma.stages.curate import normalise
from alma.stages.judge import rate, reading

VERSION = 1


def run(cfg: Evaluate, *, model: Model, judge: Model, prompts: Rows, out: Out) -> Metrics:
    """One greedy answer per evaluation prompt, scored; the references are read here and nowhere in the method."""
    prompts.expect("evaluation_prompt")
    with (
        when_asked(lambda: load_generator(cfg, model.folder)) as generator,
        when_asked(lambda: load_scorer(cfg, judge.folder)) as scorer,
    ):
        for part, progress in out.each(len(prompts), cfg.part_rows, "prompts"):
            asked = prompts.table(None, part.start, part.stop).to_pylist()
            texts = [generator().chat(row["prompt"]) for row in asked]
            answers = generator().generate(texts, [[0]] * len(texts), None, max_new_tokens=cfg.max_new_tokens)
            completions = [answer[0] for answer in answers]
            pairs = [(row["prompt"], c.text) for row, c in zip(asked, completions, strict=True)]
            rows = []
            for i, (row, completion, rating) in enumerate(
                zip(asked, completions, rate(cfg, scorer(), pairs), strict=True)
            ):
                read = reading(cfg, rating)
                rows.append(
                    {
                        "id": out.row_id(part.start + i),
                        "prompt_id": row["id"],
                        "checkpoint_id": str(model.ref),
                        "judge_id": str(judge.ref),
                        "family": row["family"],
                        "prompt": row["prompt"],
                        "reference": row["reference"],
                        "response": completion.text,
                        "num_tokens": completion.num_tokens,
                        "ended": completion.ended,
                        "mean": read["mean"],
                        "std": read["std"],
                        "parsed": read["parsed"],
                        "correct": matches(completion.text, row["reference"], ended=completion.ended),
                    }
                )
            progress.advance(len(rows), sum(c.num_tokens for c in completions))
            out.publish(part, "result", rows, {"num_tokens": sum(c.num_tokens for c in completions)})
    return summary(out)


def matches(response: str, reference: str | None, *, ended: bool) -> bool | None:
    """Whether the response is the reference, case and white space aside, and ended; ``None`` without a reference."""
    return None if reference is None else ended and normalise(response) == normalise(reference)


def summary(out: Out) -> Metrics:
    """Means with their standard errors over prompts."""
    rows = out.read_back(["mean", "parsed", "correct", "num_tokens", "ended"])
    metrics: Metrics = {"num_prompts": len(rows), "num_unparsable": sum(not row["parsed"] for row in rows)}
    columns = {
        "judge_score": [row["mean"] for row in rows if row["parsed"]],
        "truth": [float(row["correct"]) for row in rows if row["correct"] is not None],
        "response_tokens": [row["num_tokens"] for row in rows],
        "share_ended": [float(row["ended"]) for row in rows],
    }
    for name, values in columns.items():
        if values:
            metrics[name] = float(np.mean(values))
            metrics[f"{name}_error"] = standard_error(values)
    return metrics


def standard_error(values: Sequence[float]) -> float:
    """Standard error of the mean; 0 for a single value."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
