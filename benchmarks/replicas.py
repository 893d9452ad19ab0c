"""Several engines fed by alma, against vLLM's own data parallel, on the same requests.

    python benchmarks/replicas.py --size tiny --engines 2

vLLM 0.32 refuses ``LLM(data_parallel_size=2)`` outside of processes that one starts oneself, so its side is what ``vllm
serve --data-parallel-size`` is made of: ``AsyncLLM``, which starts the engines and a coordinator and spreads requests
by load. Both sides are loaded before the first is timed, have the same weights, seeds, sampling and limits, begin with
texts and end with texts; their tokens are checked to be the same, before and after both have swapped to another
checkpoint. vLLM is asked in two ways: as it spreads requests, and with all samples of a prompt on one engine, as with
alma. Processor seconds are of this process and all that it started. Needs vLLM.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from live import as_alma_runs
from models import llama, words
from ratios import Side, alternate, options, outcome, publish
from timing import parse

from alma.engines import GenerateRequest, ask, load_generator
from alma.engines.encoding import encode_known
from alma.engines.tokenizer import load_tokenizer, stop_ids
from alma.engines.vllm.start import arguments, library, on_cpu
from alma.sections import Inference, Sampling, Vllm
from alma.seeds import sample_seed

MEAN_TOKENS = 40
BITS = 2**63 - 1
"""vLLM's seeds are signed."""
LEAST_EQUAL = 0.98
"""Of the samples: batches of other sizes round differently, and a rare sample then takes another turn."""

Found = list[list[int]]
"""Tokens of each prompt's samples."""


def cpu_seconds() -> float:
    """Of this process and of all below it that live."""
    here = psutil.Process()
    return sum(sum(each.cpu_times()[:2]) for each in [here, *here.children(recursive=True)])


class Theirs:
    """``AsyncLLM`` with ``data_parallel_size``, asked sample by sample."""

    def __init__(self, cfg: Inference, folder: Path, engines: int) -> None:
        self.cfg, self.path, self.engines = cfg, folder, engines
        self.vllm, self.tokenizer = library(), load_tokenizer(folder)
        self.runner = asyncio.Runner()
        self.llm = self.runner.run(self._start())

    async def _start(self) -> Any:
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        settings = arguments(self.cfg, is_cpu=on_cpu()) | {"data_parallel_size": self.engines}
        return AsyncLLM.from_engine_args(AsyncEngineArgs(str(self.path), enable_prefix_caching=True, **settings))

    def __enter__(self) -> Theirs:
        return self

    def __exit__(self, *_: object) -> None:
        self.llm.shutdown()
        self.runner.close()

    def answer(self, request: GenerateRequest, together: bool) -> Found:
        """Number of tokens of every sample; ``together`` = a prompt's samples on one engine."""
        return self.runner.run(self._answer(request, together))

    async def _answer(self, request: GenerateRequest, together: bool) -> Found:
        vocabulary = self.llm.model_config.get_vocab_size()
        ids_PT = encode_known(self.tokenizer, request.texts_P, vocabulary, self.path)
        several = [
            self._one(ids, seed, request, place % self.engines if together else None)
            for place, (ids, seeds) in enumerate(zip(ids_PT, request.seeds_PN, strict=True))
            for seed in seeds
        ]
        found = iter(await asyncio.gather(*several))
        tokens_PN = [[next(found) for _ in seeds] for seeds in request.seeds_PN]
        self.tokenizer.batch_decode([ids for several in tokens_PN for ids in several])
        return [[len(ids) for ids in several] for several in tokens_PN]

    async def _one(self, ids: list[int], seed: int, request: GenerateRequest, rank: int | None) -> list[int]:
        sampling = request.sampling
        assert sampling is not None
        params = self.vllm.SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=seed & BITS,
            max_tokens=request.max_new_tokens,
            stop_token_ids=sorted(stop_ids(self.path, self.tokenizer)),
            detokenize=False,
            output_kind=self.vllm.sampling_params.RequestOutputKind.FINAL_ONLY,
        )
        name = str(random.getrandbits(64))
        last = None
        async for output in self.llm.generate({"prompt_token_ids": ids}, params, name, data_parallel_rank=rank):
            last = output
        assert last is not None
        return list(last.outputs[0].token_ids)

    def swap(self, folder: Path) -> None:
        """All engines at once."""
        self.runner.run(self.llm.collective_rpc("swap_weights", args=(str(folder),)))
        assert self.runner.run(self.llm.reset_prefix_cache())

    def forget(self) -> None:
        """Empties the caches of prefixes."""
        assert self.runner.run(self.llm.reset_prefix_cache())


def lengths(engine: Any, request: GenerateRequest) -> Found:
    """Number of tokens of every sample, as alma answers."""
    return [[each.num_tokens for each in several] for several in ask(engine, request)]


def check(first: Found, second: Found, what: str) -> float:
    """The fraction of samples with equal lengths; ends the benchmark where it is too small."""
    pairs = [(a, b) for few, more in zip(first, second, strict=True) for a, b in zip(few, more, strict=True)]
    equal = sum(a == b for a, b in pairs) / len(pairs)
    if equal < LEAST_EQUAL:
        raise SystemExit(f"{what}: only {equal:.3f} of the samples have the same number of tokens")
    return equal


def asked_for(texts: Sequence[str], samples: int, limit: int, repeat: int) -> GenerateRequest:
    """Other texts' order and seeds in every repeat, so that no cache of prefixes helps either side."""
    rng = random.Random(repeat)
    several = [f"{words(rng, 2)} {text}" for text in texts]
    seeds = [[sample_seed(repeat, place, i) for i in range(samples)] for place in range(len(texts))]
    return GenerateRequest(several, seeds, Sampling(temperature=1.0, top_p=0.95, max_new_tokens=limit), limit)


@contextmanager
def shared_cores(engines: int) -> Iterator[None]:
    """On a CPU each engine gets its part of the cores, unbound, and compiles nothing, on both sides."""
    wanted = {
        "OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // engines)),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "TORCHDYNAMO_DISABLE": "1",
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted if on_cpu() else {})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def timed(start: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What ``start`` returns, and what it took."""
    begun, cpu_begun = time.perf_counter(), cpu_seconds()
    made = start()
    return made, {"seconds": time.perf_counter() - begun, "cpu_seconds": cpu_seconds() - cpu_begun}


def main(asked: argparse.Namespace) -> None:
    """Starts both, checks that they answer alike, measures, and swaps."""
    library()
    rng = random.Random(0)
    texts = [words(rng, rng.randint(20, 100)) for _ in range(asked.prompts)]
    cfg = Inference(
        engine="vllm", batch_rows=32, vllm=Vllm(data_parallel=asked.engines, kv_cache_gib=0.25, gpu_memory_share=0.4)
    )
    request = partial(asked_for, texts, asked.samples, asked.max_tokens)
    with tempfile.TemporaryDirectory(prefix="alma-benchmark-") as scratch, as_alma_runs(), shared_cores(asked.engines):
        folders = [Path(scratch, str(seed)) for seed in (1, 2)]
        for seed, folder in enumerate(folders):
            parameters = llama(folder, asked.size, MEAN_TOKENS, seed)
        ours, our_start = timed(lambda: load_generator(cfg, folders[0]))
        with ours:
            theirs, their_start = timed(lambda: Theirs(cfg, folders[0], asked.engines))
            with theirs:
                first = lengths(ours, request(-1))
                equal = [check(first, theirs.answer(request(-1), together), "seeded") for together in (True, False)]
                sides = [
                    Side("alma", lambda repeat: sum(map(sum, lengths(ours, request(repeat))))),
                    Side("AsyncLLM", lambda repeat: fresh(theirs, request(repeat), False)),
                    Side("AsyncLLM, by prompt", lambda repeat: fresh(theirs, request(repeat), True)),
                ]
                measured = alternate(sides, asked.repeats, "tokens", cpu_seconds)
                _, our_swap = timed(lambda: ours.swap(folders[1]))
                _, their_swap = timed(lambda: theirs.swap(folders[1]))
                second = lengths(ours, request(-1))
                equal.append(check(second, theirs.answer(request(-1), True), "swapped"))
                if second == first:
                    raise SystemExit("both checkpoints answer alike")
        workload = {
            "engines": asked.engines,
            "prompts": asked.prompts,
            "prompt_tokens": "20–100",
            "samples": asked.samples,
            "max_new_tokens": asked.max_tokens,
            "batch_rows": cfg.batch_rows,
        }
        more = {
            "start": {"alma": our_start, "AsyncLLM": their_start},
            "swap": {"alma": our_swap, "AsyncLLM": their_swap},
            "equal_samples": equal,
        }
        publish(asked, outcome(asked, parameters, workload, **measured, **more))


def fresh(theirs: Theirs, request: GenerateRequest, together: bool) -> int:
    """Tokens of all samples, with nothing in the caches of what the other way of asking left there."""
    theirs.forget()
    return sum(map(sum, theirs.answer(request, together)))


if __name__ == "__main__":
    parser = options(str(__doc__), rates=False)
    parser.add_argument("--engines", type=int, default=2, help="engines side by side (default: 2)")
    parser.add_argument("--prompts", type=int, default=48, help="prompts (default: 48)")
    parser.add_argument("--samples", type=int, default=8, help="N, samples of each (default: 8)")
    parser.add_argument("--max-tokens", type=int, default=32, help="longest response (default: 32)")
    main(parse(parser, prompts=4, samples=2, max_tokens=8))
