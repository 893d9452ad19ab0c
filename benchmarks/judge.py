"""Reading p(0..10) of many responses: alma's shared prefix against a forward pass over every whole rating prompt.

    python benchmarks/judge.py

All sides share one model in memory, begin with texts, read the same tokens and end with the same probabilities, which
is checked first. The usual ways are three: whole rating prompts in batches padded right, taking each row's own position
from the logits of all positions; the same padded left and sorted by length, where the model's head computes only the
position that is read; and one call per response. Two cases: long prompts with short responses under the paper's rating
prompt on 25M parameters, and the micro world's short ones.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from models import MICRO, letters, micro, prompts_of, random_llama, words
from timing import Way, compare, machine, options, parse
from transformers.utils import logging

from alma.engines import ScoreRequest, ask
from alma.engines.hf.score import HfScorer
from alma.prompts import JUDGE_TEMPLATE, judge_prefix, judge_suffix
from alma.sections import Judge


@dataclass(frozen=True)
class Case:
    """One workload. The slow way, one call per response, does the first ``num_single`` responses only."""

    title: str
    template: str
    prompts_P: list[str]
    responses_PN: list[list[str]]
    batch_rows: int
    num_single: int

    def texts(self) -> list[str]:
        """Whole rating prompts."""
        prefixes = [judge_prefix(self.template, prompt) for prompt in self.prompts_P]
        return [
            prefix + judge_suffix(self.template, each)
            for prefix, several in zip(prefixes, self.responses_PN, strict=True)
            for each in several
        ]


def ours(scorer: HfScorer, case: Case) -> np.ndarray[Any, Any]:
    """(rows, 11)."""
    prefixes = [judge_prefix(case.template, prompt) for prompt in case.prompts_P]
    suffixes = [[judge_suffix(case.template, each) for each in several] for several in case.responses_PN]
    found = ask(scorer, ScoreRequest(prefixes, suffixes, max_tokens=8192))
    return np.array([each.probs_R for several in found for each in several])


@torch.inference_mode()
def right_padded(scorer: HfScorer, case: Case) -> np.ndarray[Any, Any]:
    """Batches in the given order; logits of all positions, of which each row's own are taken."""
    found = []
    for ids_BT in batches(encoded(scorer, case.texts()), case.batch_rows):
        ids, mask = scorer.padded(ids_BT, "right")
        logits_BTV = scorer.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        rows_B1 = torch.arange(len(ids_BT), device=scorer.device)[:, None]
        places_BK = mask.sum(1)[:, None] + torch.arange(-depth(scorer), 0, device=scorer.device)
        found.append(read(scorer, logits_BTV[rows_B1, places_BK]))
    return np.concatenate(found)


@torch.inference_mode()
def left_padded(scorer: HfScorer, case: Case) -> np.ndarray[Any, Any]:
    """As good as whole prompts get: rows of like length together, logits of what is read only."""
    ids_BT = encoded(scorer, case.texts())
    order = sorted(range(len(ids_BT)), key=lambda row: -len(ids_BT[row]))
    found = []
    for batch in batches([ids_BT[row] for row in order], case.batch_rows):
        ids, mask = scorer.padded(batch, "left")
        places = (mask.cumsum(1) - 1).clamp_min(0)
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": places}
        found.append(read(scorer, scorer.model(**inputs, use_cache=False, logits_to_keep=depth(scorer)).logits))
    return np.concatenate(found)[np.argsort(order)]


@torch.inference_mode()
def one_by_one(scorer: HfScorer, case: Case) -> np.ndarray[Any, Any]:
    """One call per response."""
    found = []
    for text in case.texts()[: case.num_single]:
        ids = torch.tensor(encoded(scorer, [text]), device=scorer.device)
        found.append(read(scorer, scorer.model(input_ids=ids, use_cache=False).logits[:, -depth(scorer) :]))
    return np.concatenate(found)


def encoded(scorer: HfScorer, texts: list[str]) -> list[list[int]]:
    """Tokens; where "10" is two of them the first one follows, since the second is read after it."""
    second = [] if scorer.ratings.ten is None else [scorer.ratings.ten[0]]
    return [ids + second for ids in scorer.encode(texts)]


def depth(scorer: HfScorer) -> int:
    """Positions that are read."""
    return 1 if scorer.ratings.ten is None else 2


def read(scorer: HfScorer, logits_BKV: torch.Tensor) -> np.ndarray[Any, Any]:
    """p(0..10), (B, 11), off the last ``depth`` positions."""
    logprobs_BKV = logits_BKV.float().log_softmax(-1)
    ratings = scorer.ratings
    first_BR = logprobs_BKV[:, 0, list(ratings.first_ids)].double().cpu().numpy()
    second_B = None if ratings.ten is None else logprobs_BKV[:, 1, ratings.ten[1]].double().cpu().numpy()
    return ratings.probs(first_BR, second_B)[0]


def batches(rows: list[list[int]], num: int) -> Iterator[list[list[int]]]:
    """In order, ``num`` at a time."""
    return (rows[start : start + num] for start in range(0, len(rows), num))


def measure(folder: Path, case: Case, repeats: int) -> None:
    """Checks that all ways give the same probabilities, then times them."""
    num = sum(map(len, case.responses_PN))
    with HfScorer(Judge(template=case.template, batch_rows=case.batch_rows), folder) as scorer:
        sides = [
            ("alma", ours, num),
            ("whole prompts, all logits", right_padded, num),
            ("whole prompts, sorted, last logits", left_padded, num),
            ("one call per response", one_by_one, case.num_single),
        ]
        wanted = ours(scorer, case)
        apart = max(float(np.abs(side(scorer, case) - wanted[:count]).max()) for _, side, count in sides[1:])
        varied = float(wanted.std(0).max())
        if not (apart < 1e-4 and varied > 100 * apart):
            raise SystemExit(f"{case.title}: probabilities differ by {apart:.1e} where they vary by {varied:.1e}")
        sizes = [len(ids) for ids in encoded(scorer, case.texts())]
        print(
            f"{case.title}: probabilities equal to {apart:.1e} (they vary by {varied:.1e} over responses); rating "
            f"prompts of {min(sizes)}–{max(sizes)} tokens",
            flush=True,
        )
        ways = [Way(name, lambda _, side=side: side(scorer, case), count) for name, side, count in sides]
        compare(case.title, ways, "responses", repeats)


def long_case(quick: bool) -> Case:
    """64 responses of 20 to 60 tokens to a prompt of 300, each."""
    rng = random.Random(0)
    num_prompts, prompt_tokens, num = (2, 30, 4) if quick else (1, 300, 64)
    prompts = [words(rng, prompt_tokens) for _ in range(num_prompts)]
    responses = [[words(rng, rng.randint(20, 60)) for _ in range(num)] for _ in prompts]
    title = f"25M parameters, prompts of {prompt_tokens} tokens × {num} responses of 20 to 60"
    return Case(title, JUDGE_TEMPLATE, prompts, responses, 64, 4 if quick else 16)


def micro_case(quick: bool) -> Case:
    """24 different responses of a few letters to each prompt."""
    rng = random.Random(0)
    num_prompts, num = (8, 4) if quick else (300, 24)
    prompts = prompts_of(MICRO.evaluation_prompts)[:num_prompts]
    responses = [[letters(rng, 1, 12) for _ in range(num)] for _ in prompts]
    title = f"micro world, {num_prompts} prompts × {num} responses of 1 to 12 tokens"
    return Case(title, MICRO.judge.template, prompts, responses, MICRO.judge.batch_rows, 8 if quick else 480)


def main(asked: argparse.Namespace) -> None:
    """Runs both cases."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    print(machine())
    with tempfile.TemporaryDirectory(prefix="alma-benchmark-") as scratch:
        if asked.only != "random":
            measure(micro(Path(scratch, "micro")), micro_case(asked.quick), asked.repeats)
        if asked.only != "micro":
            measure(random_llama(Path(scratch, "random")), long_case(asked.quick), asked.repeats)


if __name__ == "__main__":
    parser = options(str(__doc__))
    parser.add_argument("--only", choices=["micro", "random"], help="the cases of one model (default: both)")
    main(parse(parser))
