"""The base model writes new prompts after 3 to 5 prompts drawn from the seeds (paper section 3.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from alma.artifact import Metrics, Model, Rows
from alma.artifact.out import Out, Part
from alma.engines import Completion, GenerateRequest
from alma.engines.feed import PartRequests, feed
from alma.engines.pool import generator_pool
from alma.engines.too_long import check_too_long, too_long_counts
from alma.errors import DataError
from alma.prompts import Prompt, filled, joined
from alma.prompts.conversation import questions
from alma.sections import Synthesize
from alma.seeds import sample_seed

VERSION = 2


def run(cfg: Synthesize, *, model: Model, seeds: Rows, out: Out) -> Metrics:
    """One candidate per attempt, unfiltered; attempt i depends on (seed, i) only.

    Raises ``DataError`` for fewer seeds than are shown at once.
    """
    # Of a conversation what was asked first, which alone needs nothing that was said before it.
    rows = seeds.table(["id", "earlier", "prompt"]).to_pylist()
    shots = [{"id": row["id"], "prompt": questions(row)[0]} for row in rows]
    if len(shots) < cfg.max_shots:
        raise DataError(
            f"{seeds.ref} has {len(shots)} prompts, and synthesize.max_shots = {cfg.max_shots} are shown at once"
        )
    with generator_pool(cfg, [lambda: model.folder]) as pool:
        feed(
            out,
            cfg.num_attempts,
            cfg.part_rows,
            "prompts",
            "candidate",
            lambda part: _requests(cfg, shots, out, part),
            pool.at,
        )
    check_too_long(out, cfg, cfg.num_attempts, "show fewer or shorter seeds (max_shots), raise vllm.max_model_len")
    return {"num_attempts": cfg.num_attempts}


def _requests(cfg: Synthesize, shots: list[dict[str, str]], out: Out, part: Part) -> PartRequests:
    attempts = range(part.start, part.stop)
    drawn = [_draw(cfg, shots, attempt) for attempt in attempts]
    seeds = [sample_seed(cfg.seed, "synthesize", attempt) for attempt in attempts]
    # One request per number of shots, for a stop text names the number that would come next.
    by_count = {
        count: places
        for count in range(cfg.min_shots, cfg.max_shots + 1)
        if (places := [place for place, chosen in enumerate(drawn) if len(chosen) == count])
    }

    def ask(count: int, places: list[int]) -> Callable[[Any], GenerateRequest]:
        request = GenerateRequest(
            texts_P=[few_shot(cfg, [shot["prompt"] for shot in drawn[place]]) for place in places],
            seeds_PN=[[seeds[place]] for place in places],
            sampling=cfg.sampling,
            max_new_tokens=cfg.sampling.max_new_tokens,
            stop=[text.replace("{next_index}", str(count + 2)) for text in cfg.stop],
        )
        return lambda _: request

    def rows(answers: list[list[list[Completion]]], _: int) -> tuple[list[dict[str, Any]], dict[str, int]]:
        completions = {
            place: completion
            for places, answer in zip(by_count.values(), answers, strict=True)
            for place, (completion,) in zip(places, answer, strict=True)
        }
        rows = [
            {
                "id": out.row_id(part.start + place),
                "seed_ids": [shot["id"] for shot in drawn[place]],
                "sample_seed": seeds[place],
                "prompt": completions[place].text.strip(),
                "ended": completions[place].ended,
                "num_tokens": completions[place].num_tokens,
            }
            for place in range(len(drawn))
        ]
        nums_tokens = [each.num_tokens for each in completions.values()]
        return rows, {"num_tokens": sum(nums_tokens), **too_long_counts(nums_tokens)}

    return PartRequests([(0, ask(count, places)) for count, places in by_count.items()], rows)


def few_shot(cfg: Synthesize, shots: list[str]) -> Prompt:
    """The numbered list that the model goes on with, up to the next item's text and without the space before it."""
    items = [filled(_item(cfg, i + 1), "{prompt}", shot) for i, shot in enumerate(shots)]
    return joined([cfg.header, *items, _item(cfg, len(shots) + 1).partition("{prompt}")[0]]).without_spaces_behind()


def _item(cfg: Synthesize, index: int) -> str:
    return cfg.item.replace("{index}", str(index))


def _draw(cfg: Synthesize, shots: list[dict[str, str]], attempt: int) -> list[dict[str, str]]:
    rng = np.random.default_rng(sample_seed(cfg.seed, "shots", attempt))
    count = int(rng.integers(cfg.min_shots, cfg.max_shots + 1))
    return [shots[i] for i in rng.choice(len(shots), size=count, replace=False)]
