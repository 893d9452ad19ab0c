"""Rows, tokens and bytes of every step of a run: the recipe traced with a ``do`` that counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alma.config import Method
from alma.errors import StageError
from alma.objectives import OBJECTIVES
from alma.plan.exams import exams
from alma.plan.paid import VERDICT_TOKENS, Paid
from alma.plan.step import BYTES_PER_TOKEN, ROW_BYTES, Step, Use, Work, row_bytes
from alma.prompts import JUDGE_TEMPLATE_TOKENS
from alma.recipes import recipe_of
from alma.sections import IngestModel, IngestTasks, Section

ALL_DIMENSIONS = 4096
"""Of an embedding with ``dimensions = "all"``: Llama-3 8B's; the plan does not open the model."""


def count(cfg: Method, *, prompt_tokens: int, response_tokens: int) -> list[Step]:
    """Every step of the run, in order. A stage that nothing here counts raises ``StageError``."""
    steps: list[Step] = []

    def do(stage: str, section: Section, *, label: str, **inputs: Any) -> Step:
        if stage not in COUNTS:
            raise StageError(
                f"alma plan does not know what stage {stage!r} ({label}) takes: give it a count in alma/plan/count.py; "
                f"there are counts of: {', '.join(sorted(COUNTS))}"
            )
        given = {port: step for port, step in inputs.items() if isinstance(step, Step)}
        steps.append(COUNTS[stage](Use(label, stage, section, given, prompt_tokens, response_tokens)))
        return steps[-1]

    recipe_of(cfg)(cfg, do)
    return steps


def _ingest(use: Use) -> Step:
    if isinstance(use.cfg, IngestModel | IngestTasks):
        return use.step()
    rows = use.cfg.limit or 0
    response = 0 if use.cfg.kind == "prompts" else use.response_tokens
    lengths = {"prompt_tokens": use.prompt_tokens, "response_tokens": response}
    return use.step(rows=rows, prompts=rows, **lengths, num_bytes=rows * row_bytes(use.prompt_tokens + response))


def _synthesize(use: Use) -> Step:
    rows = use.cfg.num_attempts
    prompt = min(use.prompt_tokens, use.cfg.sampling.max_new_tokens)
    shots = (use.cfg.min_shots + use.cfg.max_shots) / 2
    read = round(rows * shots * use.given["seeds"].prompt_tokens)
    tokens = {"generate": rows * prompt, "read": read}
    return use.step(rows=rows, prompts=rows, prompt_tokens=prompt, tokens=tokens, num_bytes=rows * row_bytes(prompt))


def _curate(use: Use) -> Step:
    return _same(use, use.given["candidates"])


def _diversify(use: Use) -> Step:
    reserved = use.given["reserved"].rows if "reserved" in use.given else 0
    return _same(use, use.given["prompts"], use.cfg.limit or use.given["prompts"].rows - reserved)


def _same(use: Use, source: Step, rows: int | None = None) -> Step:
    """As many prompts as before, or ``rows`` of them: how many are dropped is not known in advance."""
    rows = source.rows if rows is None else rows
    num_bytes = round(rows * row_bytes(source.prompt_tokens))
    return use.step(rows=rows, prompts=rows, prompt_tokens=source.prompt_tokens, num_bytes=num_bytes)


def _embed(use: Use) -> Step:
    source = use.given["prompts"]
    width = ALL_DIMENSIONS if use.cfg.dimensions == "all" else use.cfg.dimensions
    tokens = {"embed": round(source.rows * min(source.prompt_tokens, use.cfg.max_tokens))}
    return use.step(rows=source.rows, tokens=tokens, num_bytes=source.rows * (ROW_BYTES + 4 * width))


def _respond(use: Use) -> Step:
    source = use.given["prompts"]
    prompts = use.cfg.num_prompts or source.rows
    rows = prompts * use.cfg.num_samples
    response = min(use.response_tokens, use.cfg.sampling.max_new_tokens)
    models = sum(port in use.given for port in ("first", "second", "latest"))
    return use.step(
        rows=rows,
        prompts=prompts,
        prompt_tokens=source.prompt_tokens,
        response_tokens=response,
        tokens={"generate": rows * response, "read": round(prompts * models * source.prompt_tokens)},
        num_bytes=round(rows * row_bytes(response) + prompts * source.prompt_tokens * BYTES_PER_TOKEN),
    )


def _judge(use: Use) -> Step:
    source = use.given["responses"]
    prefix = source.prompt_tokens + JUDGE_TEMPLATE_TOKENS
    if "shots" in use.given:
        shots = use.given["shots"]
        prefix += use.cfg.num_shots * (shots.prompt_tokens + shots.response_tokens + JUDGE_TEMPLATE_TOKENS)
    rationale = use.cfg.rationale.sampling.max_new_tokens if use.cfg.rationale else 0
    once = source.rows * (source.response_tokens + rationale) + source.prompts * prefix
    readings = sum(port in use.given for port in ("judge", "second", "third")) * (1 + len(use.cfg.variants))
    tokens: dict[Work, int] = {"read": round(readings * once)}
    if rationale:
        tokens["generate"] = readings * source.rows * rationale
    return use.step(
        rows=source.rows,
        prompts=source.prompts,
        prompt_tokens=source.prompt_tokens,
        response_tokens=source.response_tokens,
        tokens=tokens,
        num_bytes=round(source.rows * (row_bytes(source.response_tokens) + 11 * 4)),
    )


def _select(use: Use) -> Step:
    judged, earlier = use.given["judgements"], use.given.get("previous")
    rows = judged.prompts + (earlier.rows if earlier else 0)
    sides = 2 if use.cfg.pairs else 1
    prompt, response = judged.prompt_tokens, judged.response_tokens
    num_bytes = round(rows * row_bytes(prompt + sides * response))
    return use.step(rows=rows, prompts=rows, prompt_tokens=prompt, response_tokens=response, num_bytes=num_bytes)


def _reference(use: Use) -> Step:
    source = use.given["rows"]
    taken_over = use.given["previous"].rows if "previous" in use.given else 0
    tokens = {"read": round((source.rows - taken_over) * _pair(source))}
    return use.step(rows=source.rows, prompts=source.rows, tokens=tokens, num_bytes=source.rows * ROW_BYTES)


def _finetune(use: Use) -> Step:
    sources = [use.given[port] for port in ("rows", "replay") if port in use.given]
    rows_of = [source.rows if source.train_rows is None else source.train_rows for source in sources]
    objective = OBJECTIVES[use.cfg.objective]
    once = sum(
        rows * objective.num_tokens(source.prompt_tokens, source.response_tokens, use.cfg.max_tokens)
        for rows, source in zip(rows_of, sources, strict=True)
    )
    if "matched" in use.given:  # as many rows as all trainings of that run, whatever there are
        once *= use.given["matched"].seen_rows / max(1, sum(rows_of))
    tokens: dict[Work, int] = {"train": round(once * use.cfg.epochs)}
    if objective.reads_reference and "reference" not in use.given:
        tokens["read"] = tokens["train"]  # then the trainer asks the reference model in every step
    return use.step(rows=sum(rows_of), tokens=tokens, trains=use.cfg)


def _pair(source: Step) -> float:
    """Tokens of a preference pair: the prompt is read before either response."""
    return 2 * (source.prompt_tokens + source.response_tokens)


def _evaluate(use: Use) -> Step:
    source = use.given["prompts"]
    response = min(use.response_tokens, use.cfg.max_new_tokens)
    read = source.prompt_tokens
    tokens: dict[Work, int] = {"generate": source.rows * response}
    if use.cfg.shots != "none":
        examples = use.given["shots"]
        read += use.cfg.num_shots * (examples.prompt_tokens + examples.response_tokens)
        if use.cfg.shots == "nearest":
            tokens["embed"] = round(examples.rows * examples.prompt_tokens + source.rows * source.prompt_tokens)
    if "judge" in use.given:
        read += source.prompt_tokens + response + JUDGE_TEMPLATE_TOKENS
    if "classifier" in use.given:
        read += source.prompt_tokens + response
    tokens["read"] = round(source.rows * read)
    lengths = {"prompt_tokens": source.prompt_tokens, "response_tokens": response}
    return use.step(rows=source.rows, **lengths, tokens=tokens, num_bytes=source.rows * row_bytes(response))


def _imitate(use: Use) -> Step:
    """Counts every attempt as kept: how many are is not known in advance."""
    seeds, earlier, attempts = use.given["seeds"], use.given.get("previous"), use.cfg.num_attempts
    question = min(use.prompt_tokens, use.cfg.question_sampling.max_new_tokens)
    answer = min(use.response_tokens, use.cfg.answer_sampling.max_new_tokens)
    shots = use.cfg.num_shots * (seeds.prompt_tokens + seeds.response_tokens)
    asks = use.cfg.questions == "new" or earlier is None
    answers = attempts * use.cfg.num_answers
    tokens: dict[Work, int] = {
        "generate": answers * answer + (attempts * question if asks else 0),
        "read": round(attempts * (shots + question) + (attempts * shots if asks else 0)),
    }
    if use.cfg.num_answers > 1:
        tokens["read"] += answers * answer + attempts * (question + JUDGE_TEMPLATE_TOKENS)
    before = earlier.rows if earlier else 0
    if use.cfg.retrieval == "nearest" and use.cfg.embedding == "model":
        tokens["embed"] = round(seeds.rows * seeds.prompt_tokens + (before + attempts) * question)
    rows = before + attempts
    train_rows = rows if use.cfg.data == "union" else attempts
    return use.step(
        rows=rows,
        prompts=rows,
        prompt_tokens=question,
        response_tokens=answer,
        tokens=tokens,
        num_bytes=rows * row_bytes(question + answer),
        train_rows=train_rows,
        seen_rows=(earlier.seen_rows if earlier else 0) + seeds.rows + train_rows,
    )


def _reward(use: Use) -> Step:
    source = use.given["results"]
    read = source.prompt_tokens + source.response_tokens
    return use.step(rows=source.rows, tokens={"read": round(source.rows * read)}, num_bytes=source.rows * ROW_BYTES)


def _appraise(use: Use) -> Step:
    source = use.given["results"]
    paid = Paid.of(
        use.cfg.openai.model,
        source.rows,
        pair=use.cfg.pairwise,
        question=source.prompt_tokens,
        answer=source.response_tokens,
        limit=use.cfg.max_new_tokens,
    )
    return use.step(rows=source.rows, num_bytes=source.rows * row_bytes(paid.requests * VERDICT_TOKENS), paid=paid)


def _contest(use: Use) -> Step:
    source = use.given["results"]
    return use.step(rows=source.rows, num_bytes=source.rows * ROW_BYTES)


def _examine(use: Use) -> Step:
    """A question is as long as a prompt, an example as a question; an answer that is scored is a few tokens."""
    tokens: dict[Work, int] = {"generate": 0, "read": 0}
    known = exams(use.cfg)
    for each in known:
        tokens["read"] += each.questions * max(1, each.readings) * use.prompt_tokens * (1 + each.num_fewshot)
        tokens["generate"] += 0 if each.readings else each.questions * use.response_tokens
    return use.step(rows=len(known), prompts=sum(each.questions for each in known), tokens=tokens)


def _report(use: Use) -> Step:
    return use.step(num_bytes=2_000_000)


COUNTS: dict[str, Callable[[Use], Step]] = {
    "ingest": _ingest,
    "synthesize": _synthesize,
    "curate": _curate,
    "embed": _embed,
    "diversify": _diversify,
    "respond": _respond,
    "judge": _judge,
    "select": _select,
    "reference": _reference,
    "finetune": _finetune,
    "evaluate": _evaluate,
    "imitate": _imitate,
    "reward": _reward,
    "appraise": _appraise,
    "contest": _contest,
    "examine": _examine,
    "report": _report,
}
"""Stage → what one use of it takes."""
