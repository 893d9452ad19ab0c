"""Supervised fine-tuning: alma's trainer against TRL's ``SFTTrainer`` with its defaults, on the same rows.

    python benchmarks/sft.py --size tiny

Every training runs in a process of its own, so that its peak memory is its own. Both have the same rows, lengths, batch
of 8 rows, number of steps and arithmetic (bfloat16 on a GPU, float32 on a CPU); all else is what a user gets who sets
nothing: TRL pads and recomputes activations, alma joins rows without padding and recomputes on a GPU only. Rates are
trained tokens per second, padding not counted, over all steps but the first. Memory is of the device on a GPU, else of
the process: its peak, and what it had before the model was loaded.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from models import count_parameters, llama, words
from ratios import options, outcome, publish, publish_rate, spread, summary
from timing import parse

BATCH_ROWS = 8
"""TRL's default."""
MAX_TOKENS = 1024
LEARNING_RATE = 2e-5
MEAN_TOKENS = 40
NAMES = {"alma": "alma", "trl": "TRL's defaults"}


class Clock:
    """Hears of the steps of a training."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.cpu_times: list[float] = []
        self.before = memory()

    def step(self) -> None:
        """A step has ended."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())
        self.cpu_times.append(time.process_time())

    def measured(self, tokens: int) -> dict[str, float]:
        """Tokens of all steps but the first, in proportion: steps have the same number of rows."""
        steps = len(self.times)
        return {
            "tokens": round(tokens * (steps - 1) / steps),
            "seconds": self.times[-1] - self.times[0],
            "cpu_seconds": self.cpu_times[-1] - self.cpu_times[0],
            "all_tokens": tokens,
            "steps": steps,
            "memory_before": self.before,
            "memory_peak": peak(),
        }


def memory() -> int:
    """Bytes in use now."""
    if torch.cuda.is_available():
        return int(torch.cuda.memory_allocated())
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def peak() -> int:
    """Most bytes in use so far."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def alma_side(folder: Path, rows: list[dict[str, str]], scratch: Path) -> dict[str, float]:
    """As stage ``finetune`` trains."""
    from alma.engines import Training, load_trainer
    from alma.sections import Finetune

    cfg = Finetune(
        epochs=1,
        batch_rows=BATCH_ROWS,
        micro_batch_rows=BATCH_ROWS,
        max_tokens=MAX_TOKENS,
        learning_rate=LEARNING_RATE,
        checkpoint_steps=10**6,
    )
    clock = Clock()
    training = Training(
        model=folder,
        rows=rows,
        out=scratch / "out",
        scratch=scratch / "checkpoints",
        on_step=lambda *_: clock.step(),
    )
    metrics = load_trainer("trl").train(cfg, training)
    return clock.measured(int(metrics["num_tokens"]))


def trl_side(folder: Path, rows: list[dict[str, str]], scratch: Path) -> dict[str, float]:
    """As TRL's documentation shows it: conversational prompts and completions, loss on the completion."""
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    class Listener(TrainerCallback):  # type: ignore[misc]
        """Tells the clock."""

        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.step()

    cuda = torch.cuda.is_available()
    turns = [
        {
            "prompt": [{"role": "user", "content": row["prompt"]}],
            "completion": [{"role": "assistant", "content": row["response"]}],
        }
        for row in rows
    ]
    args = SFTConfig(
        output_dir=str(scratch),
        num_train_epochs=1,
        learning_rate=LEARNING_RATE,
        per_device_train_batch_size=BATCH_ROWS,
        max_length=MAX_TOKENS,
        bf16=cuda,
        use_cpu=not cuda,
        dataloader_pin_memory=cuda,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    clock = Clock()
    trainer = SFTTrainer(model=str(folder), args=args, train_dataset=Dataset.from_list(turns), callbacks=[Listener()])
    trainer.train()
    return clock.measured(sum(map(len, trainer.train_dataset["input_ids"])))


SIDES = {"alma": alma_side, "trl": trl_side}


def one(asked: argparse.Namespace) -> None:
    """One training, in this process; its figures are the last line that it prints."""
    folder = Path(asked.folder)
    rows = json.loads((folder.parent / "rows.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="alma-benchmark-") as scratch:
        print(json.dumps(SIDES[asked.side](folder, rows, Path(scratch))))


def child(folder: Path, side: str) -> dict[str, float]:
    """One training in a process of its own."""
    command = [sys.executable, __file__, "--side", side, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stdout}\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main(asked: argparse.Namespace) -> None:
    """Makes model and rows, trains both ways in turn."""
    rng = random.Random(0)
    rows = [
        {
            "prompt": words(rng, rng.randint(*asked.prompt_tokens)),
            "response": words(rng, rng.randint(*asked.response_tokens)),
        }
        for _ in range(asked.rows)
    ]
    with tempfile.TemporaryDirectory(prefix="alma-benchmark-") as scratch:
        folder = Path(scratch, "model")
        llama(folder, asked.size, MEAN_TOKENS)
        Path(scratch, "rows.json").write_text(json.dumps(rows), encoding="utf-8")
        found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
        for repeat in range(asked.repeats):
            for side in sorted(SIDES, reverse=bool(repeat % 2)):
                found[side].append(child(folder, side))
    first, second = (found[side][0]["all_tokens"] for side in SIDES)
    if abs(first - second) > 0.01 * first:
        raise SystemExit(f"the sides train on {first} and {second} tokens")
    workload = {
        "rows": asked.rows,
        "prompt_tokens": "–".join(map(str, asked.prompt_tokens)),
        "response_tokens": "–".join(map(str, asked.response_tokens)),
        "batch_rows": BATCH_ROWS,
    }
    amounts = [[int(each["tokens"]) for each in found[side]] for side in SIDES]
    seconds = [[each["seconds"] for each in found[side]] for side in SIDES]
    cpu_seconds = [[each["cpu_seconds"] for each in found[side]] for side in SIDES]
    measured = summary([NAMES[side] for side in SIDES], amounts, seconds, "tokens", cpu_seconds)
    gibibytes = {
        NAMES[side]: {
            name: spread([each[f"memory_{name}"] / 2**30 for each in found[side]]) for name in ("before", "peak")
        }
        for side in SIDES
    }
    result = outcome(asked, count_parameters(asked.size), workload, **measured, memory_gib=gibibytes)
    publish(asked, result)
    publish_rate(asked, result, "train", "trl", result["sides"]["alma"]["per_second"]["median"])


if __name__ == "__main__":
    parser = options(str(__doc__))
    parser.add_argument("--rows", type=int, default=64, help="training rows (default: 64)")
    parser.add_argument("--prompt-tokens", type=int, nargs=2, default=[20, 60], help="their lengths (default: 20 60)")
    parser.add_argument(
        "--response-tokens", type=int, nargs=2, default=[20, 200], help="lengths of responses (default: 20 200)"
    )
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    given = parse(parser, rows=16, response_tokens=[5, 20])
    (one if given.side else main)(given)
