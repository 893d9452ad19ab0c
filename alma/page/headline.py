"""What was run and what came of it, in words and a few large numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from alma.page.arms import Arm, arms
from alma.page.comparison import Shown, ranking, written
from alma.page.difference import against_others
from alma.page.numbers import Estimate, Point, Quality, Report
from alma.page.outside import NOBODY
from alma.page.outside import warnings as outside_warnings
from alma.page.quality import few_shot_label
from alma.page.text import percent, percent_interval, rounded, signed
from alma.text.visible import visible


@dataclass(frozen=True, slots=True)
class Tile:
    """One large number."""

    name: str
    value: str
    detail: str


@dataclass(frozen=True, slots=True)
class Headline:
    """The head of the page."""

    sentences: tuple[str, ...]
    tiles: tuple[Tile, ...]
    warnings: tuple[str, ...]


def headline(report: Report) -> Headline:
    """Arms by their first measure on a page that compares them, else how quality changed over the points."""
    about = visible(report.about or report.title)
    return _compared(about, report.points) if "comparison" in report.sections else _changed(about, report)


def _changed(about: str, report: Report) -> Headline:
    """The last evaluated point against the base model behind examples, as the paper states its gain.

    Without such an evaluation against the first trained point (against the first of all where none was trained).
    """
    points = report.points
    found = [point for point in points if point.quality is not None]
    if not found:
        return Headline((f"{about}: up to {visible(points[-1].label)} nothing was evaluated.",), (), ())
    start = next((point for point in found if point.training is not None), found[0])
    end = found[-1]
    trained, after = start.quality, end.quality
    assert trained is not None
    assert after is not None
    base = found[0]
    few_shot = base.few_shot
    before, name = (trained, start.label) if few_shot is None else (few_shot, few_shot_label(base.label, few_shot))
    sentences = [f"{about}: {_extent(points, after)}."]
    if base is not end and few_shot is not None:
        names = f"From the base model behind {few_shot.num_shots} examples ({visible(name)}) to {visible(end.label)}"
        sentences += [*_changes(names, before, after), *_stands(start, trained)]
    elif start is not end:
        names = f"From {visible(start.label)} to {visible(end.label)}"
        sentences += _changes(names, before, after)
    elif after.exact_match:
        sentences.append(
            f"{visible(end.label)} answers {percent_interval(after.exact_match)} of the prompts correctly."
        )
    if base is not start and base.quality is not None and base.quality.exact_match and trained.exact_match:
        asked = "" if few_shot is None else ", asked without examples,"
        sentences.append(
            f"The untrained model, {visible(base.label)}{asked or ','} stands at "
            f"{percent(base.quality.exact_match.value)}."
        )
    if "outside" in report.sections and after.score and not any(point.outside for point in points):
        sentences.append(f"No outside evaluator was asked: {NOBODY}.")
    return Headline(tuple(sentences), _tiles(points, before, after, name), _warnings(report, trained, after))


def _stands(start: Point, trained: Quality) -> list[str]:
    """Where the first training left it."""
    if start.training is None or trained.exact_match is None:
        return []
    return [f"The first training, {visible(start.label)}, stands at {percent(trained.exact_match.value)}."]


def _compared(about: str, points: Sequence[Point]) -> Headline:
    """The arms by the first measure there is, best first."""
    compared = arms(points)
    found = ranking(compared)
    if found is None:
        return Headline((f"{about}. Nothing was evaluated yet that is better or worse.",), (), ())
    first, ranked = found
    best = ranked[0]
    alike = [arm for arm in ranked if arm.means[first.name].value == best.means[first.name].value]
    leader = visible(best.name) if len(alike) == 1 else f"{len(alike)} arms alike"
    sentences = [
        f"{about}: {len(compared)} arms, {max(arm.repeats for arm in compared)} repeats.",
        f"Best by the measure “{first.label}” ({'more' if first.better > 0 else 'less'} is better) is "
        f"{leader} with {written(best.means[first.name], first)}.",
        "± is one standard error: over the repeats of an arm, or over prompts where it was run once.",
    ]
    if len(ranked) > 1 and len(alike) == 1:
        sentences[2:2] = _against(best, ranked[1:], first)
    tiles = tuple(
        Tile(visible(arm.name), written(arm.means[first.name], first).partition(" ±")[0], _beneath(arm, first.label))
        for arm in ranked[:6]
    )
    return Headline(tuple(sentences), tiles, _seen(compared))


def _against(best: Arm, others: Sequence[Arm], shown: Shown) -> list[str]:
    """The next best, and which of all others chance might have put below the best."""
    second = others[0]
    text = f"Next is {visible(second.name)} with {written(second.means[shown.name], shown)}"
    against = against_others(best, others, shown.name)
    nearest, tried = against[0], [each for each in against if not math.isnan(each.p)]
    if not math.isnan(nearest.low):
        scale, unit = (100, " points") if shown.fraction else (1, "")
        low, high = (signed(scale * end, shown.digits) for end in (nearest.low, nearest.high))
        how = nearest.paired if nearest.paired == "not paired" else f"paired {nearest.paired}"
        text += (
            f"; the difference is {signed(scale * nearest.value, shown.digits)}{unit} (95% interval {low} to {high}, "
            f"{how})"
        )
    if not tried:
        return [f"{text}."]
    by_chance = [visible(each.other) for each in tried if not each.is_certain]
    chance = f"may explain the difference to {', '.join(by_chance)}" if by_chance else "explains none of them"
    return [f"{text}.", f"Of {len(tried)} comparisons, adjusted for their number, chance {chance}."]


def _beneath(arm: Arm, label: str) -> str:
    length = arm.means.get("response_tokens")
    return f"{label} · {length.value:.1f} tokens an answer" if length else label


def _seen(compared: Sequence[Arm]) -> tuple[str, ...]:
    seen = [arm for arm in compared if "prompts_seen" in arm.means and arm.means["prompts_seen"].value > 0]
    if not seen:
        return ()
    most = max(arm.means["prompts_seen"].value for arm in seen)
    return (f"Up to {percent(most)} of the evaluation prompts are among the seeds: there, memory is measured.",)


def paired(before: Quality, after: Quality, what: str) -> Estimate | None:
    """Mean difference after - before over the same prompts, with its interval; ``None`` where they are not the same."""
    if (before.prompts_digest, before.num_prompts) != (after.prompts_digest, after.num_prompts):
        return None
    pairs = zip(getattr(before, what), getattr(after, what), strict=True)
    return Estimate.mean([float(b) - float(a) for a, b in pairs if a is not None and b is not None])


def _extent(points: Sequence[Point], last: Quality) -> str:
    """How far the run is, and on how much it was evaluated."""
    rounds = sum(point.sampling is not None for point in points)
    done = "" if rounds == 0 else "one feedback round, " if rounds == 1 else f"{rounds} feedback rounds, "
    return f"{done}evaluated on {last.num_prompts:,} held-out prompts"


def _changes(names: str, before: Quality, after: Quality) -> list[str]:
    sentences = []
    change = paired(before, after, "correct")
    if before.exact_match and after.exact_match:
        was, now = percent(before.exact_match.value), percent(after.exact_match.value)
        text = f"{names}, correct answers went from {was} to {now}"
        if change is not None and change.low is not None and change.high is not None:
            verdict = "a gain" if change.low > 0 else "a loss" if change.high < 0 else "no certain change"
            text += (
                f": {signed(100 * change.value, 1)} points on the same prompts (95% interval "
                f"{signed(100 * change.low, 1)} to {signed(100 * change.high, 1)}), {verdict}"
            )
        sentences.append(text + ".")
    score = paired(before, after, "scores")
    if before.score and after.score:
        text = f"The judge's mean score went from {before.score.value:.2f} to {after.score.value:.2f}"
        if score is not None and score.low is not None and score.high is not None:
            text += f" ({signed(score.value)}, {signed(score.low)} to {signed(score.high)})"
        sentences.append(text + ".")
    return sentences


def _tiles(points: Sequence[Point], before: Quality, after: Quality, start: str) -> tuple[Tile, ...]:
    since = f"{visible(start)}: "
    tiles = []
    if after.exact_match:
        was = percent(before.exact_match.value) if before.exact_match else "–"
        detail = f"{_plus(after.exact_match, 100)} · {since}{was}"
        tiles.append(Tile("correct answers", percent(after.exact_match.value), detail))
    if after.score:
        was = f"{before.score.value:.2f}" if before.score else "–"
        tiles.append(Tile("the judge's score", f"{after.score.value:.2f}", f"{_plus(after.score)} · {since}{was}"))
    if after.tokens and before.tokens:
        tiles.append(Tile("tokens per answer", f"{after.tokens.value:.1f}", f"mean · {since}{before.tokens.value:.1f}"))
    readings = [point.judge.readings[-1] for point in points if point.judge is not None]
    if readings and readings[-1].accuracy:
        accuracy = readings[-1].accuracy
        tiles.append(Tile("judge's agreement", percent(accuracy.value), f"with people, of {accuracy.num:,} pairs"))
    seconds = sum(cost.seconds for point in points for cost in point.costs)
    if seconds:
        artifacts = sum(len(point.costs) for point in points)
        tiles.append(Tile("device time", rounded(seconds), f"for {artifacts} artifacts"))
    return tuple(tiles)


def _plus(estimate: Estimate, scale: float = 1) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.num:,} rows"
    return f"± {scale * (estimate.high - estimate.low) / 2:.{1 if scale > 1 else 2}f}"


def _warnings(report: Report, before: Quality, after: Quality) -> tuple[str, ...]:
    """What a careful reader would ask about, said before they ask."""
    found = []
    matched, score = paired(before, after, "correct"), paired(before, after, "scores")
    falls = matched is not None and matched.high is not None and matched.high < 0
    if falls and score is not None and score.low is not None and score.low > 0:
        found.append("The judge's score rose while correct answers fell: the judge is being gamed.")
    found += outside_warnings(report.points)
    if after.score and before.tokens and after.tokens and after.tokens.value > 1.2 * before.tokens.value:
        found.append(
            f"Answers grew from {before.tokens.value:.1f} to {after.tokens.value:.1f} tokens: part of the judge's "
            "score may be a taste for length (select.length_tolerance limits it)."
        )
    if after.ended and after.ended.value < 0.95:
        found.append(f"{percent(1 - after.ended.value)} of the answers were cut off at the token limit.")
    if after.num_unparsed > 0.02 * after.num_prompts:
        found.append(f"{after.num_unparsed:,} of {after.num_prompts:,} evaluation judgements could not be read.")
    if "judge" in report.sections and not any(point.judge for point in report.points):
        found.append("The judge was never compared with held-out human scores.")
    return tuple(found)
