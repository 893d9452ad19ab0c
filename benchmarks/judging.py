"""Reading p(0..10) off one token with vLLM, against what else one would ask a judge.

    python benchmarks/judging.py --size tiny

One engine stays loaded and all sides use it, its prefix cache emptied before each. Sides:

- alma: one generated token per distinct response; what the responses of a prompt share is computed once;
- a request per pair: the same token of every pair, nothing shared. Its probabilities are checked to be alma's;
- eight texts, rating alone: eight sampled judgements of 4 tokens per pair (``[[7]]``), prefixes shared as with alma;
- eight texts with a reason: the same of 64 tokens, which is a short rationale before the rating.

Rates are responses per second. ``--duplicates`` is the share of responses that repeat another one of their prompt.
Needs vLLM; on a GPU where there is one.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import vllm
from live import kept
from models import llama, words
from ratios import Side, alternate, options, outcome, publish, publish_rate
from timing import parse

from alma.engines import ScoreRequest, ask, load_scorer
from alma.engines.rating import RatingTokens
from alma.prompts import JUDGE_TEMPLATE, judge_prefix, judge_suffix
from alma.sections import Judge

NUM_TEXTS = 8
RATING_TOKENS, REASON_TOKENS = 4, 64
MEAN_TOKENS = 40
TOLERANCE = {"float32": 1e-4, "bfloat16": 3e-2}
"""Largest difference of a probability: batches of other shapes round differently."""


@dataclass
class Case:
    """Prompts, responses, and the live engine."""

    engine: Any
    prefixes_P: list[str]
    suffixes_PN: list[list[str]]
    probs: np.ndarray[Any, Any] | None = None
    """Of alma, (pairs, 11)."""

    @property
    def texts(self) -> list[str]:
        """Whole rating prompts."""
        pairs = zip(self.prefixes_P, self.suffixes_PN, strict=True)
        return [prefix + suffix for prefix, several in pairs for suffix in several]

    def fresh(self) -> Any:
        """The live ``vllm.LLM``, with nothing in its cache."""
        assert self.engine.llm.reset_prefix_cache()
        return self.engine.llm

    def num_tokens(self) -> int:
        """As ``alma plan`` counts them: a prompt once, every response."""
        texts = [*self.prefixes_P, *(suffix for several in self.suffixes_PN for suffix in several)]
        return sum(map(len, self.engine.encode(texts)))


def ours(case: Case, _: int) -> int:
    """The engine as stage ``judge`` asks it."""
    case.fresh()
    found = ask(case.engine, ScoreRequest(case.prefixes_P, case.suffixes_PN, max_tokens=8192))
    case.probs = np.array([each.probs_R for several in found for each in several])
    return len(case.probs)


def one_by_one(case: Case, tolerance: float, _: int) -> int:
    """A request per pair."""
    ratings = RatingTokens.of(case.engine.tokenizer, JUDGE_TEMPLATE)
    assert ratings.ten is None, "the random models know 10 as one token"
    params = vllm.SamplingParams(
        temperature=0.0,
        max_tokens=1,
        logprob_token_ids=list(ratings.first_ids),
        skip_reading_prefix_cache=True,
        detokenize=False,
    )
    found = case.fresh().generate(case.texts, params, use_tqdm=False)
    logprobs = [output.outputs[0].logprobs[0] for output in found]
    first_BR = np.array([[each[token].logprob for token in ratings.first_ids] for each in logprobs])
    probs = ratings.probs(first_BR, None)[0]
    if case.probs is not None:
        apart, varied = float(np.abs(probs - case.probs).max()), float(case.probs.std(0).max())
        if apart > tolerance or varied < 1e-6:
            raise SystemExit(f"probabilities differ by {apart:.1e} where they vary by {varied:.1e}")
    return len(found)


def sampled(case: Case, tokens: int, _: int) -> int:
    """Eight texts per pair."""
    params = vllm.SamplingParams(n=NUM_TEXTS, temperature=1.0, max_tokens=tokens, ignore_eos=True)
    return len(case.fresh().generate(case.texts, params, use_tqdm=False))


def make(asked: argparse.Namespace, engine: Any) -> Case:
    """Random prompts and responses under the paper's rating prompt."""
    rng = random.Random(0)
    prefixes, suffixes = [], []
    for _ in range(asked.prompts):
        prefixes.append(judge_prefix(JUDGE_TEMPLATE, words(rng, asked.prompt_tokens)))
        distinct = max(1, round(asked.responses * (1 - asked.duplicates)))
        responses = [words(rng, rng.randint(*asked.response_tokens)) for _ in range(distinct)]
        responses += rng.choices(responses, k=asked.responses - distinct)
        suffixes.append([judge_suffix(JUDGE_TEMPLATE, each) for each in responses])
    return Case(engine, prefixes, suffixes)


def main(asked: argparse.Namespace) -> None:
    """Measures."""
    with tempfile.TemporaryDirectory(prefix="alma-benchmark-") as scratch:
        parameters = llama(Path(scratch, "model"), asked.size, MEAN_TOKENS)
        cfg = Judge(engine="vllm", batch_rows=asked.batch_rows)
        with kept(load_scorer(cfg, Path(scratch, "model"))) as engine:
            case = make(asked, engine)
            workload = {
                "prompts": asked.prompts,
                "prompt_tokens": asked.prompt_tokens,
                "responses": asked.responses,
                "response_tokens": "–".join(map(str, asked.response_tokens)),
                "duplicates": asked.duplicates,
                "batch_rows": asked.batch_rows,
            }
            result = outcome(asked, parameters, workload)
            ways: dict[str, Callable[[int], int]] = {
                "alma": partial(ours, case),
                "a request per pair": partial(one_by_one, case, TOLERANCE[result["model"]["dtype"]]),
                f"{NUM_TEXTS} texts, rating alone": partial(sampled, case, RATING_TOKENS),
                f"{NUM_TEXTS} texts with a reason": partial(sampled, case, REASON_TOKENS),
            }
            ours(case, -1)  # first use allocates
            sides = [Side(name, way) for name, way in ways.items()]
            result |= alternate(sides, asked.repeats, "responses")
            rate = result["sides"]["alma"]["per_second"]["median"] * case.num_tokens() / len(case.texts)
            publish(asked, result)
            publish_rate(asked, result, "read", "vllm", rate)


if __name__ == "__main__":
    parser = options(str(__doc__))
    parser.add_argument("--prompts", type=int, default=2, help="prompts (default: 2)")
    parser.add_argument("--responses", type=int, default=24, help="responses to each (default: 24)")
    parser.add_argument("--prompt-tokens", type=int, default=300, help="length of a prompt (default: 300)")
    parser.add_argument(
        "--response-tokens", type=int, nargs=2, default=[20, 60], help="lengths of responses (default: 20 60)"
    )
    parser.add_argument("--duplicates", type=float, default=0.0, help="share of repeated responses (default: 0)")
    parser.add_argument("--batch-rows", type=int, default=64, help="requests at once (default: 64; a GPU wants 256)")
    main(parse(parser, prompts=2, responses=3, prompt_tokens=20))
