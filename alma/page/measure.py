"""Tables to numbers: what each input of the report says. Pure; columns as in ``alma.artifact.records``.

What is not covered: tables larger than memory. A report reads its round's judgements at once.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from alma.errors import DataError
from alma.page import numbers
from alma.page.numbers import Estimate
from alma.prompts.conversation import asked_text
from alma.statistics import expected_any, expected_best, expected_pick, pair_counts, spearman

HISTOGRAM_BINS = 40
MAP_POINTS = 2000
LOSS_POINTS = 200
CLUSTERS_SHOWN = 500

Floats = npt.NDArray[np.float64]


def _floats(table: pa.Table, column: str) -> Floats:
    return np.asarray(table[column].to_numpy(), dtype=np.float64)


def quality(results: pa.Table) -> numbers.Quality:
    """RESULT rows of one checkpoint. Raises ``DataError`` where there are none, or of several checkpoints."""
    checkpoints = results["checkpoint_id"].unique().to_pylist()
    if len(checkpoints) != 1:
        raise DataError(f"an evaluation is of one checkpoint; these rows are of {len(checkpoints)}: {checkpoints[:3]}")
    results = results.sort_by("prompt_id")
    ids = results["prompt_id"].to_pylist()
    correct, parsed = results["correct"].to_pylist(), results["parsed"].to_pylist()
    means = results["mean"].to_pylist()
    scores = [mean if good else None for mean, good in zip(means, parsed, strict=True)]
    rows_by_family: dict[str, list[int]] = {}
    for index, family in enumerate(results["family"].to_pylist()):
        if family is not None:
            rows_by_family.setdefault(family, []).append(index)
    # As ``alma.artifact.measures`` has it: a prompt that was too long to be answered has no answer to be measured.
    answered = results.filter(pc.greater(results["num_tokens"], 0))
    tokens = _floats(answered, "num_tokens")
    return numbers.Quality(
        checkpoint_id=checkpoints[0],
        num_shots=max(map(len, results["shot_ids"].to_pylist())) if "shot_ids" in results.column_names else 0,
        num_prompts=len(ids),
        num_unparsed=answered["parsed"].to_pylist().count(False),
        exact_match=_fraction(correct),
        score=_mean(scores),
        tokens=Estimate.mean(tokens),
        tokens_median=float(np.median(tokens)) if tokens.size else 0.0,
        ended=_fraction(answered["ended"].to_pylist()),
        families=tuple(
            numbers.Family(
                name=name, exact_match=_fraction(correct[i] for i in rows), score=_mean(scores[i] for i in rows)
            )
            for name, rows in sorted(rows_by_family.items())
        ),
        exact_match_by_family=_over_families(correct, rows_by_family),
        score_by_family=_over_families(scores, rows_by_family),
        prompts_digest=hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16],
        correct=tuple(correct),
        scores=tuple(None if score is None else round(score, 4) for score in scores),
    )


def _over_families(values: Sequence[float | None], families: Mapping[str, Sequence[int]]) -> Estimate | None:
    """The mean of the families' means, of those in which anything is known."""
    known = [[float(value) for row in rows if (value := values[row]) is not None] for rows in families.values()]
    return Estimate.over_groups(group for group in known if group)


def sampling(judgements: pa.Table, selected: pa.Table | None) -> numbers.Sampling:
    """JUDGEMENT rows of one round, and the rows (EXAMPLE or PREFERENCE) that may have been selected from them."""
    parsed = judgements.filter(judgements["parsed"])
    by_prompt = parsed.group_by("prompt_id").aggregate(
        [("mean", "max"), ("mean", "mean"), ("mean", "min"), ("response", "count"), ("response", "count_distinct")]
    )
    distinct = _floats(by_prompt, "response_count_distinct") / _floats(by_prompt, "response_count")
    histogram, _ = np.histogram(np.clip(_floats(parsed, "mean"), 0, 10), bins=HISTOGRAM_BINS, range=(0, 10))
    return numbers.Sampling(
        num_prompts=len(judgements["prompt_id"].unique()),
        num_responses=judgements.num_rows,
        num_unparsed=judgements.num_rows - parsed.num_rows,
        num_marked=judgements.num_rows - judgements["marker"].null_count,
        mass=Estimate.mean(_floats(judgements, "mass")),
        spread=float(_floats(parsed, "std").mean()) if parsed.num_rows else 0.0,
        histogram=tuple(histogram.tolist()),
        best=Estimate.mean(_floats(by_prompt, "mean_max")),
        average=Estimate.mean(_floats(by_prompt, "mean_mean")),
        worst=Estimate.mean(_floats(by_prompt, "mean_min")),
        distinct=Estimate.mean(distinct),
        tokens=_mean(judgements["num_tokens"].to_pylist()),
        checkpoints=_checkpoints(judgements, selected),
    )


def _checkpoints(judgements: pa.Table, selected: pa.Table | None) -> tuple[numbers.Checkpoint, ...]:
    chosen = selected_ids(selected)
    sampled: dict[str, int] = {}
    taken: dict[str, int] = {}
    for row, checkpoint in zip(judgements["id"].to_pylist(), judgements["checkpoint_id"].to_pylist(), strict=True):
        if checkpoint is not None:
            sampled[checkpoint] = sampled.get(checkpoint, 0) + 1
            taken[checkpoint] = taken.get(checkpoint, 0) + (row in chosen)
    return tuple(numbers.Checkpoint(id=each, sampled=sampled[each], selected=taken[each]) for each in sampled)


def selected_ids(selected: pa.Table | None) -> set[str]:
    """The judgements that EXAMPLE or PREFERENCE rows were made of (of a pair, the chosen one)."""
    if selected is None:
        return set()
    column = "chosen_id" if "chosen_id" in selected.column_names else "judgement_id"
    return {row for row in selected[column].to_pylist() if row is not None}


def selection(selected: pa.Table) -> numbers.Selection:
    """EXAMPLE or PREFERENCE rows: the union so far, whose latest round is this one; the SFT seeds aside."""
    pairs = "chosen" in selected.column_names
    if not pairs:  # the SFT seeds of round 1 were written by people
        selected = selected.filter(pc.is_valid(selected["judgement_id"]))
    responses = selected["chosen" if pairs else "response"]
    latest = pc.max(selected["round"])
    new = selected.filter(pc.equal(selected["round"], latest))
    return numbers.Selection(
        kind="pairs" if pairs else "best",
        num=selected.num_rows,
        num_new=new.num_rows,
        distinct=Estimate.fraction(len(responses.unique()), selected.num_rows),
        tokens_new=None if pairs else _mean(new["num_tokens"].to_pylist()),
    )


def best_of_n(
    samples: pa.Table, references: Mapping[str, str | None], matches: Callable[[str, str], bool | None]
) -> numbers.BestOfN:
    """Best-of-n from N judged samples of each evaluation prompt.

    ``references`` maps prompt ids to the right answer; ``matches(response, reference)`` compares. Estimates are
    means over prompts of exact means over subsets; unparsed judgements, unended responses and those that hold a marker
    are left out, as in ``select``, so a prompt that has fewer than n counts with all it has. Raises ``DataError`` where
    a prompt has no known id.
    """
    whole = pc.and_(samples["ended"], pc.is_null(samples["marker"]))
    parsed = samples.filter(pc.and_(samples["parsed"], whole))
    rows_by_prompt: dict[str, list[int]] = {}
    for index, prompt in enumerate(parsed["prompt_id"].to_pylist()):
        rows_by_prompt.setdefault(prompt, []).append(index)
    if not rows_by_prompt:
        raise DataError("the best-of-n curve has no parsed judgement; look at the judge's template and min_mass")
    means, responses = _floats(parsed, "mean"), parsed["response"]
    num_samples = max(map(len, rows_by_prompt.values()))
    grid = sorted({*(2**i for i in range(num_samples.bit_length())), num_samples})
    score: list[list[float]] = [[] for _ in grid]
    pick: list[list[float]] = [[] for _ in grid]
    best: list[list[float]] = [[] for _ in grid]
    for prompt, rows in rows_by_prompt.items():
        if references and prompt not in references:
            raise DataError(f"the best-of-n curve answers prompt {prompt!r}, which is not an evaluation prompt")
        reference = references.get(prompt)
        right = None
        if reference is not None:
            right = [bool(matches(responses[i].as_py(), reference)) for i in rows]
        for place, n in enumerate(min(n, len(rows)) for n in grid):
            score[place].append(expected_best(means[rows], n))
            if right is not None:
                pick[place].append(expected_pick(means[rows], right, n))
                best[place].append(expected_any(right, n))
    return numbers.BestOfN(
        num_prompts=len(rows_by_prompt),
        num_samples=num_samples,
        n=tuple(grid),
        score=_means(score),
        pick=_means(pick),
        any_correct=_means(best),
        num_referenced=len(pick[0]),
    )


def judge_validation(judged: pa.Table) -> numbers.JudgeValidation:
    """JUDGEMENT rows with ``human_score``: the judge against people. Raises ``DataError`` where none is parsed."""
    parsed = judged.filter(pc.and_(judged["parsed"], pc.is_valid(judged["human_score"])))
    if not parsed.num_rows:
        raise DataError("none of the judge's held-out rows is parsed and has a human score")
    human, mean = _floats(parsed, "human_score"), _floats(parsed, "mean")
    columns = [name for name in ("earlier", "prompt") if name in parsed.column_names]
    groups = [asked_text(row) for row in parsed.select(columns).to_pylist()]  # rows of one prompt share no id
    readings = []
    for name, values in (("integer", _floats(parsed, "integer")), ("real-valued", mean)):
        alike, tied, num = pair_counts(groups, human, values)
        accuracy = (alike + tied / 2) / num if num else math.nan
        # Wilson's formula takes counts; half a point for a tie moves an end of the interval by less than 1 / num.
        estimate = Estimate.fraction(round(accuracy * num), num) if num else None
        rank = spearman(values, human)
        readings.append(
            numbers.Reading(
                name=name,
                accuracy=estimate and estimate.model_copy(update={"value": accuracy}),
                tied=tied / num if num else None,
                spearman=None if math.isnan(rank) else rank,
                error=float(np.abs(values - human).mean()),
            )
        )
    places, counts = np.unique(np.round(np.stack([mean, human], axis=1) * 2) / 2, axis=0, return_counts=True)
    return numbers.JudgeValidation(
        num_rows=judged.num_rows,
        num_unparsed=judged.num_rows - parsed.num_rows,
        readings=tuple(readings),
        bins=_bins(mean, human),
        density=tuple((float(x), float(y), int(n)) for (x, y), n in zip(places, counts, strict=True)),
    )


def _bins(mean: Floats, human: Floats) -> tuple[numbers.Bin, ...]:
    place = np.minimum(mean.astype(int), 9)
    found = []
    for low in range(10):
        inside = place == low
        estimate = Estimate.mean(human[inside])
        if estimate is not None:
            predicted = float(mean[inside].mean())
            found.append(numbers.Bin(low=low, high=low + 1, predicted=predicted, human=estimate))
    return tuple(found)


def prompts(draws: pa.Table, seed: int) -> numbers.Prompts:
    """DRAW rows: the pool. ``seed`` picks the prompts of the map where there are too many."""
    _, counts = np.unique(np.asarray(draws["cluster"].to_numpy()), return_counts=True)
    sizes = np.sort(counts)[::-1]
    fractions = sizes / sizes.sum()
    thin = np.unique(np.linspace(0, sizes.size - 1, min(sizes.size, CLUSTERS_SHOWN)).round().astype(int))
    placed = draws.filter(pc.and_(pc.is_finite(draws["x"]), pc.is_finite(draws["y"])))
    picked = np.random.default_rng(seed).permutation(placed.num_rows)[:MAP_POINTS]
    shown = placed.take(pa.array(np.sort(picked)))
    return numbers.Prompts(
        num=draws.num_rows,
        sizes=tuple(sizes[thin].tolist()),
        num_clusters=sizes.size,
        effective_clusters=float(np.exp(-(fractions * np.log(fractions)).sum())) if sizes.size else 0.0,
        x=tuple(np.round(_floats(shown, "x"), 4).tolist()),
        y=tuple(np.round(_floats(shown, "y"), 4).tolist()),
        cluster=tuple(shown["cluster"].to_pylist()),
    )


def training(lines: list[dict[str, Any]]) -> numbers.Training | None:
    """Lines of a model's ``curve.jsonl``; averaged to at most ``LOSS_POINTS`` points. ``None`` of nothing finite."""
    lines = [line for line in lines if line["loss"] is not None and math.isfinite(line["loss"])]
    if not lines:
        return None
    blocks = np.array_split(np.arange(len(lines)), min(len(lines), LOSS_POINTS))
    return numbers.Training(
        step=tuple(int(lines[block[-1]]["step"]) for block in blocks),
        loss=tuple(round(float(np.mean([lines[i]["loss"] for i in block])), 5) for block in blocks),
        num_steps=int(lines[-1]["step"]),
        num_tokens=sum(int(line.get("tokens") or 0) for line in lines),
    )


def _fraction(flags: Iterable[bool | None]) -> Estimate | None:
    known = [flag for flag in flags if flag is not None]
    return Estimate.fraction(sum(known), len(known))


def _mean(values: Iterable[float | None]) -> Estimate | None:
    return Estimate.mean([value for value in values if value is not None])


def _means(lists: list[list[float]]) -> tuple[Estimate, ...]:
    return tuple(estimate for estimate in map(Estimate.mean, lists) if estimate is not None)
