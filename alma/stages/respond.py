"""N responses to each prompt, in equal shares over a pool of checkpoints (paper section 3.2)."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from alma.artifact import Metrics, Model, Rows
from alma.engines import Completion, generator_pool
from alma.errors import ConfigError
from alma.out import Out
from alma.sections import Respond
from alma.seeds import sample_seed

VERSION = 1


def run(
    cfg: Respond,
    *,
    prompts: Rows,
    first: Model | None = None,
    second: Model | None = None,
    latest: Model | None = None,
    out: Out,
) -> Metrics:
    """Rows in the order (prompt, sample): the N samples of a prompt lie together, sample i from checkpoint i mod M."""
    prompts.expect("draw", "prompt", "evaluation_prompt")
    models = [model for model in (first, second, latest) if model is not None]
    if not models:
        raise ConfigError("respond needs at least one of the inputs first, second and latest")
    if cfg.num_samples < len(models):
        raise ConfigError(
            f"respond.num_samples = {cfg.num_samples} is below the {len(models)} checkpoints that share it"
        )
    stop_prompt = len(prompts) if cfg.num_prompts is None else cfg.first_prompt + cfg.num_prompts
    if stop_prompt > len(prompts):
        raise ConfigError(
            f"respond asks for prompts {cfg.first_prompt} to {stop_prompt} and {prompts.ref} has {len(prompts)}; raise "
            "synthesize.num_attempts or lower rounds or respond.num_prompts"
        )
    num_prompts = stop_prompt - cfg.first_prompt
    samples = cfg.num_samples
    # A part holds whole prompts, so that a part of judgements needs one part of responses.
    part_rows = max(1, cfg.part_rows // samples) * samples
    with generator_pool(cfg, [partial(_folder, model) for model in models]) as pool:
        for part, progress in out.each(num_prompts * samples, part_rows, "responses"):
            low = cfg.first_prompt + part.start // samples
            asked = prompts.table(["id", "prompt"], low, cfg.first_prompt + part.stop // samples).to_pylist()
            answers: list[list[tuple[int, Completion]]] = [[] for _ in asked]
            for place, generator in pool.turn():
                mine = range(place, samples, len(models))
                texts = [generator.chat(row["prompt"]) for row in asked]
                seeds_PN = [[_seed(cfg, row, models[place], i) for i in mine] for row in asked]
                completions_PN = generator.generate(
                    texts, seeds_PN, cfg.sampling, max_new_tokens=cfg.sampling.max_new_tokens
                )
                for answer, completions in zip(answers, completions_PN, strict=True):
                    answer.extend(zip(mine, completions, strict=True))
                progress.advance(
                    len(asked) * len(mine), sum(c.num_tokens for several in completions_PN for c in several)
                )
            rows: list[dict[str, Any]] = []
            for row, answer in zip(asked, answers, strict=True):
                for i, completion in sorted(answer, key=lambda pair: pair[0]):
                    model = models[i % len(models)]
                    rows.append(
                        {
                            "id": out.row_id(part.start + len(rows)),
                            "prompt_id": row["id"],
                            "prompt": row["prompt"],
                            "response": completion.text,
                            "checkpoint_id": str(model.ref),
                            "sample_index": i,
                            "sample_seed": _seed(cfg, row, model, i),
                            "num_tokens": completion.num_tokens,
                            "ended": completion.ended,
                        }
                    )
            counts = {"num_tokens": sum(r["num_tokens"] for r in rows), "num_ended": sum(r["ended"] for r in rows)}
            out.publish(part, "response", rows, counts)
    return {"num_prompts": num_prompts, "num_samples": samples, "num_checkpoints": len(models)}


def _folder(model: Model) -> Path:
    return model.folder


def _seed(cfg: Respond, row: dict[str, str], model: Model, sample_index: int) -> int:
    return sample_seed(cfg.seed, row["id"], model.ref.key, sample_index)
