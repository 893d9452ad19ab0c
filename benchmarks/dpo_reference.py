"""DPO with the reference's log-probabilities as an artifact, against three ways to have them in the training.

    python benchmarks/dpo_reference.py --size tiny

The artifact is made once, by the stage ``reference``, and read by every training on its pairs: other β, other seeds, a
retry. The others are alma's own trainer without the artifact, ``trl.DPOTrainer`` with ``precompute_ref_log_probs``, and
as it is by default, with a second model in memory and a second forward pass in every step. All train on the same pairs
with the same batches, steps and arithmetic (bfloat16 on a GPU, float32 on a CPU), each in a process of its own, so that
its peak memory is its own. Seconds are of all that a training does once its libraries are imported: loading, training,
saving. With and without the artifact alma's losses have to agree.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from models import count_parameters, llama, words
from ratios import options, outcome, publish, spread
from sft import memory, peak
from timing import parse

BATCH_ROWS = 8
MAX_TOKENS = 1024
LEARNING_RATE = 5e-7
MEAN_TOKENS = 40
SIDES = {
    "artifact": "alma, artifact",
    "within": "alma, without it",
    "precompute": "TRL, precompute",
    "second": "TRL, second model",
}
MAX_APART = 1e-4
"""Of the losses of a step, with and without the artifact."""

Found = dict[str, Any]


def read(folder: Path, rows: list[dict[str, str]], _: argparse.Namespace) -> Found:
    """The artifact's numbers, as the stage ``reference`` reads them."""
    from alma.engines import load_reference
    from alma.sections import Reference

    start, cpu_start = time.perf_counter(), time.process_time()
    with load_reference(Reference(max_tokens=MAX_TOKENS), folder) as reference:
        found = reference.read(rows)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    logprobs_of(folder).write_text(json.dumps([each and asdict(each) for each in found]), encoding="utf-8")
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak": peak()}


def alma_side(folder: Path, rows: list[dict[str, str]], asked: argparse.Namespace) -> Found:
    """As stage ``finetune`` trains."""
    from alma.engines import PairLogprobs, Training, load_trainer
    from alma.sections import Finetune

    cfg = Finetune(
        objective="dpo",
        epochs=asked.epochs,
        batch_rows=BATCH_ROWS,
        micro_batch_rows=BATCH_ROWS,
        max_tokens=MAX_TOKENS,
        learning_rate=LEARNING_RATE,
        checkpoint_steps=10**6,
    )
    given = json.loads(logprobs_of(folder).read_text(encoding="utf-8")) if asked.side == "artifact" else None
    losses: list[float] = []
    with tempfile.TemporaryDirectory(prefix="alma-benchmark-") as scratch:
        Path(scratch, "checkpoints").mkdir()
        training = Training(
            model=folder,
            rows=rows,
            out=Path(scratch, "out"),
            scratch=Path(scratch, "checkpoints"),
            on_step=lambda _step, _steps, row: losses.append(row["loss"]),
            reference=given and [PairLogprobs(**each) for each in given[: len(rows)]],
        )
        before, start, cpu_start = memory(), time.perf_counter(), time.process_time()
        metrics = load_trainer("trl").train(cfg, training)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    tokens = int(metrics["num_tokens"])
    return found_of(seconds, cpu_seconds, before, tokens, losses)


def trl_side(folder: Path, rows: list[dict[str, str]], asked: argparse.Namespace) -> Found:
    """As TRL's documentation shows it: conversational pairs; all but the reference as alma has it."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    cuda = torch.cuda.is_available()
    dialogues = [
        {"prompt": [{"role": "user", "content": row["prompt"]}]}
        | {side: [{"role": "assistant", "content": row[side]}] for side in ("chosen", "rejected")}
        for row in rows
    ]
    with tempfile.TemporaryDirectory(prefix="alma-benchmark-") as scratch:
        args = DPOConfig(
            output_dir=scratch,
            num_train_epochs=asked.epochs,
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="cosine",
            per_device_train_batch_size=BATCH_ROWS,
            max_length=MAX_TOKENS,
            precompute_ref_log_probs=asked.side == "precompute",
            optim="adamw_torch_fused",
            gradient_checkpointing=cuda,
            bf16=cuda,
            use_cpu=not cuda,
            dataloader_pin_memory=cuda,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        before, start, cpu_start = memory(), time.perf_counter(), time.process_time()
        trainer = DPOTrainer(model=str(folder), args=args, train_dataset=Dataset.from_list(dialogues))
        trainer.train()
        trainer.save_model(scratch)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    logged = [each for each in trainer.state.log_history if "loss" in each]
    return found_of(seconds, cpu_seconds, before, int(logged[-1]["num_tokens"]), [each["loss"] for each in logged])


def found_of(seconds: float, cpu_seconds: float, before: int, tokens: int, losses: list[float]) -> Found:
    """What a training is measured by."""
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "before": before,
        "peak": peak(),
        "tokens": tokens,
        "losses": losses,
    }


def logprobs_of(folder: Path) -> Path:
    """Where what the reference thinks of them lies."""
    return folder.parent / "logprobs.json"


def trained(folder: Path, side: str, asked: argparse.Namespace) -> Found:
    """One side; with ``--quick`` in this process, which has imported the libraries once for all of them."""
    if asked.quick:
        return one(argparse.Namespace(side=side, folder=str(folder), epochs=asked.epochs))
    return child(folder, side, asked)


def child(folder: Path, side: str, asked: argparse.Namespace) -> Found:
    """One side in a process of its own; its figures are the last line that it prints."""
    command = [sys.executable, __file__, "--side", side, "--folder", str(folder), "--epochs", str(asked.epochs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stdout}\n{done.stderr}")
    found: Found = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def check(found: dict[str, list[Found]]) -> float:
    """How far apart alma's losses are; ends the benchmark where the sides did not do the same."""
    pairs = zip(found["artifact"][0]["losses"], found["within"][0]["losses"], strict=True)
    apart = max(abs(a - b) for a, b in pairs)
    if apart > MAX_APART:
        raise SystemExit(f"losses with and without the artifact are {apart:.2e} apart")
    tokens, steps = found["artifact"][0]["tokens"], len(found["artifact"][0]["losses"])
    for side in SIDES:
        first = found[side][0]
        if len(first["losses"]) != steps or abs(first["tokens"] - tokens) > 0.01 * tokens:
            raise SystemExit(
                f"{side}: {len(first['losses'])} steps of {first['tokens']} tokens, not {steps} of {tokens}"
            )
    return apart


def ratios(found: dict[str, list[Found]], reads: Sequence[Found], what: str, trainings: int) -> dict[str, Any]:
    """Seconds of ``trainings`` of each other side over those of ours with the artifact, made once: above 1, we win."""
    ours = [read[what] + trainings * each[what] for read, each in zip(reads, found["artifact"], strict=True)]
    return {
        f"{name} ÷ {SIDES['artifact']}": spread(
            [trainings * each[what] / own for each, own in zip(found[side], ours, strict=True)]
        )
        for side, name in SIDES.items()
        if side != "artifact"
    }


def main(asked: argparse.Namespace) -> None:
    """Makes model and pairs, reads the reference and trains all ways in turn."""
    rng = random.Random(0)
    low, high = asked.response_tokens
    rows = [
        {"prompt": words(rng, rng.randint(*asked.prompt_tokens))}
        | {side: words(rng, rng.randint(low, high)) for side in ("chosen", "rejected")}
        for _ in range(asked.rows)
    ]
    found: dict[str, list[Found]] = {side: [] for side in SIDES}
    reads: list[Found] = []
    with tempfile.TemporaryDirectory(prefix="alma-benchmark-") as scratch:
        folder = Path(scratch, "model")
        llama(folder, asked.size, MEAN_TOKENS)
        Path(scratch, "rows.json").write_text(json.dumps(rows), encoding="utf-8")
        for repeat in range(asked.repeats):
            reads.append(trained(folder, "read", asked))
            order = list(SIDES)
            for side in order[repeat % len(order) :] + order[: repeat % len(order)]:
                found[side].append(trained(folder, side, asked))
    apart = check(found)
    workload = {
        "pairs": asked.rows,
        "prompt_tokens": "–".join(map(str, asked.prompt_tokens)),
        "response_tokens": "–".join(map(str, asked.response_tokens)),
        "batch_rows": BATCH_ROWS,
        "epochs": asked.epochs,
    }
    sides = {"artifact made": reads, **{name: found[side] for side, name in SIDES.items()}}
    measured = {
        "losses_apart": apart,
        "seconds": {name: spread([each["seconds"] for each in several]) for name, several in sides.items()},
        "cpu_seconds": {name: spread([each["cpu_seconds"] for each in several]) for name, several in sides.items()},
        "peak_gib": {name: spread([each["peak"] / 2**30 for each in several]) for name, several in sides.items()},
    }
    for trainings in (1, asked.trainings):
        measured[f"ratios_of_{trainings}_trainings"] = ratios(found, reads, "seconds", trainings)
        measured[f"ratios_of_{trainings}_trainings_cpu_seconds"] = ratios(found, reads, "cpu_seconds", trainings)
    publish(asked, outcome(asked, count_parameters(asked.size), workload, **measured))


def one(asked: argparse.Namespace) -> Found:
    """One side, in this process; a first time with one pair, which imports what there is to import."""
    run = {"read": read, "artifact": alma_side, "within": alma_side}.get(asked.side, trl_side)
    folder = Path(asked.folder)
    rows: list[dict[str, str]] = json.loads((folder.parent / "rows.json").read_text(encoding="utf-8"))
    run(folder, rows[:1], asked)
    return run(folder, rows, asked)


if __name__ == "__main__":
    parser = options(str(__doc__), rates=False)
    parser.add_argument("--rows", type=int, default=64, help="preference pairs (default: 64)")
    parser.add_argument("--epochs", type=int, default=2, help="passes over them (default: 2)")
    parser.add_argument("--trainings", type=int, default=3, help="trainings that share an artifact (default: 3)")
    parser.add_argument("--prompt-tokens", type=int, nargs=2, default=[20, 60], help="their lengths (default: 20 60)")
    parser.add_argument(
        "--response-tokens", type=int, nargs=2, default=[20, 200], help="lengths of responses (default: 20 200)"
    )
    parser.add_argument("--side", choices=["read", *SIDES], help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    given = parse(parser, rows=16, epochs=1, response_tokens=[5, 20])
    if given.side:
        print(json.dumps(one(given)))
    else:
        main(given)
