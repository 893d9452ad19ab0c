"""N responses to each prompt, in equal shares over a pool of checkpoints (paper section 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from alma.artifact import Metrics, Model, Rows
from alma.artifact.out import Out, Part
from alma.engines import Completion, GenerateRequest, Generator
from alma.engines.continuation import answer_text
from alma.engines.feed import PartRequests, feed
from alma.engines.pool import generator_pool
from alma.engines.too_long import check_too_long, too_long_counts
from alma.errors import ConfigError, DataError
from alma.prompts.conversation import asked_text, lacks_answer, messages
from alma.prompts.markers import held
from alma.sections import Respond
from alma.seeds import sample_seed

VERSION = 3


def run(
    cfg: Respond,
    *,
    prompts: Rows,
    first: Model | None = None,
    second: Model | None = None,
    latest: Model | None = None,
    out: Out,
) -> Metrics:
    """Rows in the order (prompt, sample): the N samples of a prompt lie together, sample i from checkpoint i mod M.

    A checkpoint's j-th sample of a prompt has one seed in every pool, round and artifact: see ``_seed``. Raises
    ``ConfigError`` for fewer prompts, samples or checkpoints than the settings need.
    """
    prompts.expect("draw", "prompt", "evaluation_prompt", "referenced_prompt")
    given = {"first": first, "second": second, "latest": latest}
    pool = {role: model for role, model in given.items() if model is not None}
    models = list(pool.values())
    if not models:
        raise ConfigError("respond needs at least one of the inputs first, second and latest")
    if cfg.num_samples < len(models):
        raise ConfigError(
            f"respond.num_samples = {cfg.num_samples} is below the {len(models)} checkpoints that share it"
        )
    places = _askable(prompts, out)
    stop_prompt = len(places) if cfg.num_prompts is None else cfg.first_prompt + cfg.num_prompts
    if stop_prompt > len(places):
        raise ConfigError(
            f"respond asks for prompts {cfg.first_prompt} to {stop_prompt} and {prompts.ref} has {len(places)}; raise "
            "synthesize.num_attempts or lower rounds or respond.num_prompts"
        )
    num_prompts = stop_prompt - cfg.first_prompt
    samples = cfg.num_samples
    # A part holds whole prompts, so that a part of judgements needs one part of responses.
    part_rows = max(1, cfg.part_rows // samples) * samples
    # hf has all checkpoints in memory, and nothing to gain from staying with one.
    parts_per_turn = cfg.vllm.parts_per_turn if cfg.engine == "vllm" and len(models) > 1 else 1
    with generator_pool(cfg, [partial(_folder, model) for model in models]) as generators:
        feed(
            out,
            num_prompts * samples,
            part_rows,
            "responses",
            "response",
            lambda part: _requests(cfg, prompts, places, pool, out, part),
            generators.at,
            parts_per_turn=parts_per_turn,
        )
    check_too_long(out, cfg, num_prompts * samples, "lower curate.max_chars, raise vllm.max_model_len")
    return {"num_prompts": num_prompts, "num_samples": samples, "num_checkpoints": len(models)}


def _askable(prompts: Rows, out: Out) -> Sequence[int]:
    """The places of the prompts that can be asked at once: before others a model has to answer an earlier one."""
    if "earlier" not in prompts.columns:
        return range(len(prompts))
    turns = prompts.table(["earlier"])["earlier"].to_pylist()
    places = [place for place, earlier in enumerate(turns) if not lacks_answer(messages(earlier))]
    if not places:
        raise DataError(
            f"all {len(prompts)} prompts of {prompts.ref} follow one that the model has to answer first, which "
            "evaluate does and respond does not: add others, or set curve.enabled = false"
        )
    if len(places) < len(prompts):
        out.note(
            f"{len(prompts) - len(places)} of {len(prompts)} prompts are left out here: before them a model has to "
            "answer an earlier one, and samples of several models would follow different answers"
        )
    return places


def _requests(
    cfg: Respond, prompts: Rows, places: Sequence[int], pool: dict[str, Model], out: Out, part: Part
) -> PartRequests:
    """One request per checkpoint, its place in ``pool``, by role, the turn."""
    samples = cfg.num_samples
    roles, models = list(pool), list(pool.values())
    low, high = cfg.first_prompt + part.start // samples, cfg.first_prompt + part.stop // samples
    stops: dict[int, tuple[str, ...]] = {}
    asked = _rows(prompts, places[low:high])

    def ask(place: int) -> Callable[[Generator], GenerateRequest]:
        mine = range(place, samples, len(models))

        def request(generator: Generator) -> GenerateRequest:
            stops[place] = generator.stops(cfg.judge_template)
            return GenerateRequest(
                texts_P=[generator.chat(row["prompt"], messages(row["earlier"])) for row in asked],
                seeds_PN=[[_seed(cfg, asked_text(row), roles[place], j) for j in range(len(mine))] for row in asked],
                sampling=cfg.sampling,
                max_new_tokens=cfg.sampling.max_new_tokens,
                stop=stops[place],
            )

        return request

    def rows(answers: list[list[list[Completion]]], _: int) -> tuple[list[dict[str, Any]], dict[str, int]]:
        rows: list[dict[str, Any]] = []
        for at, row in enumerate(asked):
            for i in range(samples):
                j, place = divmod(i, len(models))
                completion = answers[place][at][j]
                text = answer_text(completion, stops[place])
                rows.append(
                    {
                        "id": out.row_id(part.start + len(rows)),
                        "prompt_id": row["id"],
                        "earlier": row["earlier"],
                        "prompt": row["prompt"],
                        "response": text,
                        "checkpoint_id": str(models[place].ref),
                        "sample_index": i,
                        "sample_seed": _seed(cfg, asked_text(row), roles[place], j),
                        "num_tokens": completion.num_tokens,
                        "ended": completion.ended,
                        "marker": held(text, stops[place]),
                    }
                )
        nums_tokens = [row["num_tokens"] for row in rows]
        counts = {
            "num_tokens": sum(nums_tokens),
            "num_ended": sum(row["ended"] for row in rows),
            "num_marked": sum(row["marker"] is not None for row in rows),
        }
        return rows, {**counts, **too_long_counts(nums_tokens)}

    return PartRequests([(place, ask(place)) for place in range(len(models))], rows)


def _rows(prompts: Rows, places: Sequence[int]) -> list[dict[str, Any]]:
    columns: list[str] = [name for name in ("id", "earlier", "prompt") if name in prompts.columns]
    table = prompts.table(columns, places[0], places[-1] + 1)
    return [{"earlier": None, **row} for row in table.take([place - places[0] for place in places]).to_pylist()]


def _folder(model: Model) -> Path:
    return model.folder


def _seed(cfg: Respond, prompt: str, role: str, index: int) -> int:
    """The seed of a checkpoint's sample ``index`` of ``prompt``, by what it is and not by where it lies.

    So runs that draw other prompts, ask another pool or take more samples are paired: where they ask one checkpoint
    the same, it answers the same.
    """
    return sample_seed(cfg.seed, prompt, role, index)
