"""Embedding prompts with vLLM's pooling runner, against the ``hf`` engine, one text a call and in batches.

    python benchmarks/embedding.py --size tiny

Both engines stay loaded and have the same texts; the vectors are checked to be the same. Rates are tokens read per
second. Needs vLLM; on a GPU where there is one.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from live import as_alma_runs
from models import llama, words
from ratios import Side, alternate, options, outcome, publish, publish_rate
from timing import parse

from alma.engines import EmbedRequest, ask, load_embedder
from alma.sections import Embed, Vllm

MEAN_TOKENS = 40
CLOSE = 0.999
"""Smallest cosine between the two engines' vectors of one text: bfloat16 sums differ."""


def check(ours: Any, theirs: Any, texts: list[str]) -> None:
    """Fails unless both read the same out of the texts."""
    pairs = [ask(each, EmbedRequest(texts, max_tokens=512)) for each in (ours, theirs)]
    unit = [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in pairs]
    cosine = float((unit[0] * unit[1]).sum(1).min())
    if cosine < CLOSE:
        raise SystemExit(f"the engines' vectors of one text have a cosine of {cosine:.5f}")


def main(asked: argparse.Namespace) -> None:
    """Measures."""
    rng = random.Random(0)
    texts = [words(rng, rng.randint(*asked.prompt_tokens)) for _ in range(asked.prompts)]
    with tempfile.TemporaryDirectory(prefix="alma-benchmark-") as scratch, as_alma_runs():
        folder = Path(scratch, "model")
        parameters = llama(folder, asked.size, MEAN_TOKENS)
        half = Vllm(gpu_memory_share=0.45)
        with (
            load_embedder(Embed(engine="vllm", vllm=half, batch_rows=64), folder) as ours,
            load_embedder(Embed(engine="hf", batch_rows=64), folder) as theirs,
        ):
            check(ours, theirs, texts)
            num = sum(map(len, ours.encode(texts)))  # type: ignore[attr-defined]

            def run(engine: Any, size: int) -> int:
                for start in range(0, len(texts), size):
                    ask(engine, EmbedRequest(texts[start : start + size], max_tokens=512))
                return num

            sides = [
                Side("alma, vllm", lambda _: run(ours, len(texts))),
                Side("alma, hf", lambda _: run(theirs, len(texts))),
                Side("hf, a call per text", lambda _: run(theirs, 1)),
            ]
            workload = {"texts": len(texts), "text_tokens": "–".join(map(str, asked.prompt_tokens))}
            result = outcome(asked, parameters, workload, **alternate(sides, asked.repeats, "tokens"))
        publish(asked, result)
        publish_rate(asked, result, "embed", "vllm", result["sides"]["alma, vllm"]["per_second"]["median"])
        publish_rate(asked, result, "embed", "hf", result["sides"]["alma, hf"]["per_second"]["median"])


if __name__ == "__main__":
    parser = options(str(__doc__))
    parser.add_argument("--prompts", type=int, default=128, help="texts (default: 128)")
    parser.add_argument("--prompt-tokens", type=int, nargs=2, default=[20, 100], help="their lengths (default: 20 100)")
    main(parse(parser, prompts=4))
