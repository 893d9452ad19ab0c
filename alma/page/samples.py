"""The sample browser's rows: what the models wrote, within a budget of bytes. All of it is untrusted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from alma.text.visible import visible

ROUND_BYTES = 1_200_000
ANSWER_BYTES = 700_000
RESPONSES_SHOWN = 12
"""Distinct responses of one prompt: the best, then evenly spaced down to the worst."""
CHARS_SHOWN = 1500
"""Longer texts are cut, and say so."""

Row = dict[str, Any]


def round_samples(
    judgements: pa.Table, selected: set[str], writers: Mapping[str, str], num_prompts: int, seed: int
) -> tuple[list[Row], int]:
    """Up to ``num_prompts`` prompts of a round with their responses, best first, and how many prompts there were.

    ``selected`` holds judgement ids, ``writers`` names checkpoints. The choice follows from ``seed`` alone.
    """
    prompts = sorted(judgements["prompt_id"].unique().to_pylist())
    order = np.random.default_rng(seed).permutation(len(prompts))[:num_prompts]
    picked = [prompts[i] for i in order]
    rows: dict[str, list[Row]] = {prompt: [] for prompt in picked}
    shown = judgements.filter(pc.is_in(judgements["prompt_id"], pa.array(picked, pa.string())))
    for row in shown.to_pylist():
        rows[row["prompt_id"]].append(row)
    return _within([_prompt(rows[prompt], selected, writers) for prompt in picked], ROUND_BYTES), len(prompts)


def _prompt(rows: list[Row], selected: set[str], writers: Mapping[str, str]) -> Row:
    kinds: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: (not row["parsed"], -row["mean"], row["id"])):
        kind = kinds.setdefault(
            row["response"],
            {
                "text": _cut(row["response"]),
                "score": round(row["mean"], 2) if row["parsed"] else None,
                "by": [],
                "count": 0,
                "selected": False,
                "tokens": row["num_tokens"],
                "ended": row["ended"],
            },
        )
        kind["count"] += 1
        kind["selected"] |= row["id"] in selected
        writer = visible(writers.get(row["checkpoint_id"], row["checkpoint_id"] or "people"))
        if writer not in kind["by"]:
            kind["by"].append(writer)
    responses = list(kinds.values())
    places = sorted({*range(min(RESPONSES_SHOWN // 2, len(responses))), *_spread(len(responses))})
    places = [i for i, each in enumerate(responses) if i in places or each["selected"]]
    return {
        **_asked(rows[0]),
        "responses": [responses[i] for i in places],
        "left_out": len(responses) - len(places),
        "total": len(rows),
    }


def _spread(num: int) -> list[int]:
    half = RESPONSES_SHOWN // 2
    return [] if num <= half else np.linspace(half, num - 1, min(half, num - half)).round().astype(int).tolist()


def imitated(imitation: pa.Table, num_prompts: int, seed: int) -> tuple[list[Row], int]:
    """Up to ``num_prompts`` questions of the latest iteration with their answers, and how many there were.

    IMITATION rows; the choice follows from ``seed`` alone.
    """
    rows = imitation.filter(pc.equal(imitation["iteration"], pc.max(imitation["iteration"]))).to_pylist()
    order = np.random.default_rng(seed).permutation(len(rows))[:num_prompts]
    shown = [_question(rows[i]) for i in order]
    return _within(shown, ROUND_BYTES), len(rows)


def _question(row: Row) -> Row:
    answer = {
        "text": _cut(row["response"]),
        "score": None if row["score"] is None else round(row["score"], 2),
        "by": [f"iteration {row['iteration']}"],
        "count": 1,
        "selected": row["train"],
        "tokens": row["num_tokens"],
        "ended": True,
    }
    return {"prompt": _cut(row["prompt"]), "responses": [answer], "left_out": 0, "total": 1}


def answers(results: pa.Table) -> tuple[list[Row], int]:
    """Evaluation answers, wrong ones first and then by score, and how many there were."""
    rows = results.to_pylist()
    rows.sort(key=lambda row: (row["correct"] is not False, row["mean"] if row["parsed"] else -1.0, row["id"]))
    shown = [
        {
            **_asked(row),
            "text": _cut(row["response"]),
            "reference": None if row["reference"] is None else _cut(row["reference"]),
            "family": None if row["family"] is None else visible(row["family"]),
            "correct": row["correct"],
            "score": round(row["mean"], 2) if row["parsed"] else None,
            "tokens": row["num_tokens"],
            "ended": row["ended"],
        }
        for row in rows
    ]
    return _within(shown, ANSWER_BYTES), len(rows)


def _asked(row: Row) -> Row:
    """The prompt, and the turns before it where there are any."""
    earlier = [[visible(turn["role"]), _cut(turn["content"])] for turn in row.get("earlier") or ()]
    return {"prompt": _cut(row["prompt"]), **({"earlier": earlier} if earlier else {})}


def _within(rows: list[Row], budget: int) -> list[Row]:
    used = 0
    for index, row in enumerate(rows):
        used += len(script_json(row))
        if used > budget:
            return rows[:index]
    return rows


def _cut(text: str) -> str:
    shown = visible(text[:CHARS_SHOWN])
    return shown if len(text) <= CHARS_SHOWN else f"{shown} … ({len(text) - CHARS_SHOWN:,} more characters)"


def script_json(value: Any) -> Markup:
    """JSON for a ``<script type="application/json">``: ASCII, and nothing that could end that element."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for char in "<>&'":  # in JSON these stand within strings only
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)  # noqa: S704 - the lines above are what makes it safe
