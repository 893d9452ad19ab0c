"""Three checkpoints in one live vLLM engine, weights swapped in place, against three engines started one by one.

    python benchmarks/swap.py --size tiny

Each checkpoint has to answer a few prompts greedily, which must give the same texts on all sides; the answers are
short, so that the change of checkpoint is what is timed. Every repeat: a pool of three from nothing (one start, two
swaps), then three swaps in the engine that is live by now, then three starts. All in one process, so the starts pay for
no imports: a script that starts a process for each checkpoint pays more. Needs vLLM; on a GPU where there is one.
"""

from __future__ import annotations

import argparse
import gc
import random
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from live import as_alma_runs
from models import llama, words
from ratios import options, outcome, publish, summary
from timing import parse

from alma.engines import GenerateRequest, ask, load_generator
from alma.sections import Inference

NUM_PROMPTS, PROMPT_TOKENS, NEW_TOKENS = 8, 20, 8
MEAN_TOKENS = 40
CFG = Inference(engine="vllm", batch_rows=64)


def answers(engine: Any, prompts: list[str]) -> list[str]:
    """The greedy ones."""
    texts = [engine.chat(each) for each in prompts]
    found = ask(engine, GenerateRequest(texts, [[0]] * len(prompts), None, NEW_TOKENS))
    return [several[0].text for several in found]


def swapped(engine: Any, folders: list[Path], prompts: list[str]) -> list[list[str]]:
    """Every checkpoint's answers, by one engine."""
    found = []
    for folder in folders:
        engine.swap(folder)
        found.append(answers(engine, prompts))
    return found


def started(folders: list[Path], prompts: list[str]) -> list[list[str]]:
    """Every checkpoint's answers, each by an engine of its own."""
    found = []
    for folder in folders:
        with load_generator(CFG, folder) as engine:
            found.append(answers(engine, prompts))
    return found


class Stopwatch:
    """Notes how long each of several things took."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []

    def __enter__(self) -> None:
        gc.collect()
        self._begun = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds.append(time.perf_counter() - self._begun[0])
        self.cpu_seconds.append(time.process_time() - self._begun[1])


def measure(folders: list[Path], prompts: list[str], repeats: int) -> dict[str, Any]:
    """Seconds of all sides, by repeat."""
    names = ("three swaps in a live engine", "three engines, one by one", "one start and two swaps")
    swaps, starts, pools = watches = Stopwatch(), Stopwatch(), Stopwatch()
    started(folders[:1], prompts)  # the first engine of a process pays for imports
    for _ in range(repeats):
        with ExitStack() as live:
            with pools:
                engine = live.enter_context(load_generator(CFG, folders[0]))
                first = [answers(engine, prompts), *swapped(engine, folders[1:], prompts)]
            with swaps:
                second = swapped(engine, folders, prompts)
        with starts:
            third = started(folders, prompts)
        if not first == second == third or len({tuple(each) for each in first}) < len(folders):
            raise SystemExit(f"the sides differ, or the checkpoints do not: {first} {second} {third}")
    seconds, cpu_seconds = [each.seconds for each in watches], [each.cpu_seconds for each in watches]
    amounts = [[len(folders)] * repeats] * len(names)
    found = summary(names, amounts, seconds, "checkpoints", cpu_seconds)
    # The same for who has no live engine yet.
    from_nothing = summary(names[::-1], amounts, seconds[::-1], "checkpoints", cpu_seconds[::-1])
    for kind in ("ratios", "ratios_of_cpu_seconds"):
        pair = f"{names[2]} ÷ {names[1]}"
        if kind in found:
            found[kind][pair] = from_nothing[kind][pair]
    return found


def main(asked: argparse.Namespace) -> None:
    """Makes three checkpoints and measures."""
    with tempfile.TemporaryDirectory(prefix="alma-benchmark-") as scratch, as_alma_runs():
        folders = [Path(scratch, str(seed)) for seed in (1, 2, 3)]
        for seed, folder in enumerate(folders):
            parameters = llama(folder, asked.size, MEAN_TOKENS, seed)
        rng = random.Random(0)
        prompts = [words(rng, PROMPT_TOKENS) for _ in range(NUM_PROMPTS)]
        workload = {"prompts": NUM_PROMPTS, "prompt_tokens": PROMPT_TOKENS, "new_tokens": NEW_TOKENS}
        publish(asked, outcome(asked, parameters, workload, **measure(folders, prompts, asked.repeats)))


if __name__ == "__main__":
    main(parse(options(str(__doc__), rates=False)))
