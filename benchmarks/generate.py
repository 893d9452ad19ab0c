"""Sampling N responses per prompt: alma's ``hf`` engine against ``model.generate(num_return_sequences=N)``.

    python benchmarks/generate.py

Both sides share one model in memory and have the same prompts, rows per batch, temperature, top_p, limit and end
tokens; both begin with texts and end with texts. First both answer greedily, which must give the same tokens, and
sample, which must give the same mean length; then they are timed in turn. Three cases: the micro world's answers, its
synthesis (a stop text, ``stop_strings`` there), and a 25M-parameter model with uneven answers.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import mean, variance

import torch
from models import MEAN_TOKENS, MICRO, micro, prompts_of, random_llama, words
from timing import Way, compare, machine, options, parse
from transformers.utils import logging

from alma.engines import GenerateRequest, ask
from alma.engines.hf.generate import HfGenerator
from alma.sections import Inference, Sampling

SHOTS = 4


@dataclass(frozen=True)
class Case:
    """One workload: ``num_samples`` continuations of every text, each up to an end token or one of ``stop``."""

    title: str
    texts_P: list[str]
    num_samples: int
    sampling: Sampling
    batch_rows: int
    stop: tuple[str, ...] = ()

    def seeds_PN(self, repeat: int) -> list[list[int]]:
        """Other seeds in every repeat."""
        return [[(repeat * 10**6 + p) * 10**4 + n for n in range(self.num_samples)] for p in range(len(self.texts_P))]


def plain(engine: HfGenerator, case: Case, sampled: bool) -> list[list[tuple[list[int], str]]]:
    """The usual way: the documented call, batch by batch in the given order. (tokens, text) of every sample."""
    tokenizer, samples = engine.tokenizer, case.num_samples if sampled else 1
    settings = {"do_sample": False}
    if sampled:
        sampling = case.sampling
        settings = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        settings["num_return_sequences"] = samples
    if case.stop:
        settings |= {"stop_strings": list(case.stop), "tokenizer": tokenizer}
    num_prompts = max(1, case.batch_rows // samples)
    answers: list[list[tuple[list[int], str]]] = []
    for start in range(0, len(case.texts_P), num_prompts):
        batch = case.texts_P[start : start + num_prompts]
        given = tokenizer(batch, add_special_tokens=False, padding=True, padding_side="left", return_tensors="pt")
        out = engine.model.generate(
            input_ids=given["input_ids"].to(engine.device),
            attention_mask=given["attention_mask"].to(engine.device),
            max_new_tokens=case.sampling.max_new_tokens,
            **settings,
        )
        rows = out[:, given["input_ids"].shape[1] :]
        texts = tokenizer.batch_decode(rows, skip_special_tokens=True)
        several = list(zip(rows.tolist(), texts, strict=True))
        answers += [several[each : each + samples] for each in range(0, len(several), samples)]
    return answers


def ours(engine: HfGenerator, case: Case, repeat: int | None) -> list[list[tuple[int, str]]]:
    """(number of tokens, text) of every sample; greedy where ``repeat`` is ``None``."""
    seeds_PN = [[0]] * len(case.texts_P) if repeat is None else case.seeds_PN(repeat)
    sampling = None if repeat is None else case.sampling
    found = ask(engine, GenerateRequest(case.texts_P, seeds_PN, sampling, case.sampling.max_new_tokens, case.stop))
    return [[(each.num_tokens, each.text) for each in several] for several in found]


def length(engine: HfGenerator, case: Case, ids: list[int]) -> int:
    """Tokens up to the first that ended the answer; what follows is padding."""
    ends = set(engine.end_ids.tolist())
    for place, each in enumerate(ids):
        if each in ends or any(stop in engine.tokenizer.decode([each]) for stop in case.stop):
            return place + 1
    return len(ids)


def words_of(engine: HfGenerator, case: Case, ids: list[int]) -> str:
    """The text of an answer of ``plain``, without what ended it, as alma gives it."""
    kept = ids[: length(engine, case, ids)]
    ends = {*engine.end_ids.tolist()}
    text = engine.tokenizer.decode(kept[:-1] if kept[-1] in ends else kept)
    for stop in case.stop:
        text = text.partition(stop)[0]
    # alma cuts model text at a special token, which the micro base writes after its answer.
    for special in engine.special:
        text = text.partition(special)[0]
    return text


def check(engine: HfGenerator, case: Case) -> None:
    """Fails unless both sides give the same greedy answers and samples of the same mean length."""
    greedy = [(length(engine, case, ids), words_of(engine, case, ids)) for [(ids, _)] in plain(engine, case, False)]
    found = [(num, text.strip()) for [(num, text)] in ours(engine, case, None)]
    equal = sum(a == (n, t.strip()) for a, (n, t) in zip(found, greedy, strict=True))
    # One step in very many has two tokens that are equally probable up to rounding, and batches round differently.
    if equal < 0.98 * len(greedy):
        first = next((a, b) for a, b in zip(found, greedy, strict=True) if a != b)
        raise SystemExit(f"{case.title}: only {equal} of {len(greedy)} greedy answers are equal; the first: {first}")
    torch.manual_seed(0)
    theirs = [mean(length(engine, case, ids) for ids, _ in several) for several in plain(engine, case, True)]
    mine = [mean(num for num, _ in several) for several in ours(engine, case, 0)]
    # Prompts are the same on both sides, so their differences are the independent draws.
    apart = [a - b for a, b in zip(mine, theirs, strict=True)]
    error = sqrt(variance(apart) / len(apart))
    if abs(mean(apart)) > 4 * error:
        raise SystemExit(f"{case.title}: mean lengths differ by {mean(apart):.2f} ± {error:.2f} tokens")
    print(
        f"{case.title}: {equal} of {len(greedy)} greedy answers equal; samples have {mean(mine):.2f} tokens, "
        f"transformers' {mean(theirs):.2f} (difference {mean(apart):+.2f} ± {error:.2f})",
        flush=True,
    )


def measure(folder: Path, cases: list[Case], repeats: int) -> None:
    """Checks and times the cases of one model."""
    for case in cases:
        with HfGenerator(Inference(batch_rows=case.batch_rows), folder) as engine:
            check(engine, case)
            num = len(case.texts_P) * case.num_samples
            ways = [
                Way("alma", lambda repeat: ours(engine, case, repeat), num),  # noqa: B023 - run before the next one
                Way("model.generate", lambda repeat: plain(engine, case, True), num),  # noqa: ARG005, B023
            ]
            compare(case.title, ways, "responses", repeats)


def micro_cases(folder: Path, quick: bool) -> list[Case]:
    """Answers to evaluation prompts, and new prompts after a few others."""
    prompts, seeds = prompts_of(MICRO.evaluation_prompts), prompts_of(MICRO.sft_seeds)
    rng = random.Random(0)
    num_prompts, num_samples, num_lists = (12, 4, 40) if quick else (250, 16, 1000)
    with HfGenerator(Inference(), folder) as engine:
        chats = [engine.chat(prompt) for prompt in prompts[:num_prompts]]
    cfg = MICRO.synthesize
    lists = [
        cfg.header + "".join(cfg.item.format(prompt=each) for each in rng.sample(seeds, SHOTS))
        for _ in range(num_lists)
    ]
    rows = 48 if quick else MICRO.respond.batch_rows
    return [
        Case("micro world, answers", chats, num_samples, MICRO.respond.sampling, rows),
        Case("micro world, new prompts up to a stop text", lists, 1, cfg.sampling, min(rows, 256), cfg.stop),
    ]


def random_case(quick: bool) -> Case:
    """Prompts of 20 to 200 tokens in no order, answers of 1 to 64."""
    rng = random.Random(0)
    num_prompts, num_samples, tokens = (4, 4, 12) if quick else (8, 16, 64)
    texts = [words(rng, rng.randint(20, 200)) for _ in range(num_prompts)]
    return Case(
        f"25M parameters, uneven answers (mean {MEAN_TOKENS} tokens if not cut off)",
        texts,
        num_samples,
        Sampling(temperature=1.0, top_p=0.95, max_new_tokens=tokens),
        8 if quick else 64,
    )


def main(asked: argparse.Namespace) -> None:
    """Runs all cases."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    print(machine())
    with tempfile.TemporaryDirectory(prefix="alma-benchmark-") as scratch:
        if asked.only != "random":
            folder = micro(Path(scratch, "micro"))
            measure(folder, micro_cases(folder, asked.quick), asked.repeats)
        if asked.only != "micro":
            measure(random_llama(Path(scratch, "random")), [random_case(asked.quick)], asked.repeats)


if __name__ == "__main__":
    parser = options(str(__doc__))
    parser.add_argument("--only", choices=["micro", "random"], help="the cases of one model (default: both)")
    main(parse(parser))
