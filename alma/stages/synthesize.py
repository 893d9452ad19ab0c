"""The base model writes new prompts after 3 to 5 prompts drawn from the seeds (paper section 3.1)."""

from __future__ import annotations

import numpy as np

from alma.artifact import Metrics, Model, Rows
from alma.engines import load_generator, when_asked
from alma.errors import DataError
from alma.out import Out
from alma.sections import Synthesize
from alma.seeds import sample_seed

VERSION = 1


def run(cfg: Synthesize, *, model: Model, seeds: Rows, out: Out) -> Metrics:
    """One candidate per attempt, unfiltered; attempt i depends on (seed, i) only."""
    shots = seeds.table(["id", "prompt"]).to_pylist()
    if len(shots) < cfg.max_shots:
        raise DataError(
            f"{seeds.ref} has {len(shots)} prompts, and synthesize.max_shots = {cfg.max_shots} are shown at once"
        )
    with when_asked(lambda: load_generator(cfg, model.folder)) as generator:
        for part, progress in out.each(cfg.num_attempts, cfg.part_rows, "prompts"):
            drawn = [_draw(cfg, shots, i) for i in range(part.start, part.stop)]
            texts = [few_shot(cfg, [shot["prompt"] for shot in chosen]) for chosen in drawn]
            sample_seeds = [sample_seed(cfg.seed, "synthesize", i) for i in range(part.start, part.stop)]
            # One generate call per number of shots, for a stop text names the number that would come next.
            rows: dict[int, dict[str, object]] = {}
            for count in range(cfg.min_shots, cfg.max_shots + 1):
                places = [i for i, chosen in enumerate(drawn) if len(chosen) == count]
                completions = generator().generate(
                    [texts[i] for i in places],
                    [[sample_seeds[i]] for i in places],
                    cfg.sampling,
                    max_new_tokens=cfg.sampling.max_new_tokens,
                    stop=[s.replace("{next_index}", str(count + 2)) for s in cfg.stop],
                )
                for i, (completion,) in zip(places, completions, strict=True):
                    rows[i] = {
                        "id": out.row_id(part.start + i),
                        "seed_ids": [shot["id"] for shot in drawn[i]],
                        "sample_seed": sample_seeds[i],
                        "prompt": completion.text.strip(),
                        "ended": completion.ended,
                        "num_tokens": completion.num_tokens,
                    }
                progress.advance(len(places), sum(c.num_tokens for (c,) in completions))
            ordered = [rows[i] for i in range(len(drawn))]
            out.publish(part, "candidate", ordered, {"num_tokens": sum(int(str(r["num_tokens"])) for r in ordered)})
    return {"num_attempts": cfg.num_attempts}


def few_shot(cfg: Synthesize, shots: list[str]) -> str:
    """The numbered list that the model goes on with."""
    items = [_item(cfg, i + 1).replace("{prompt}", shot) for i, shot in enumerate(shots)]
    return cfg.header + "".join(items) + _item(cfg, len(shots) + 1).partition("{prompt}")[0]


def _item(cfg: Synthesize, index: int) -> str:
    return cfg.item.replace("{index}", str(index))


def _draw(cfg: Synthesize, shots: list[dict[str, str]], attempt: int) -> list[dict[str, str]]:
    rng = np.random.default_rng(sample_seed(cfg.seed, "shots", attempt))
    count = int(rng.integers(cfg.min_shots, cfg.max_shots + 1))
    return [shots[i] for i in rng.choice(len(shots), size=count, replace=False)]
