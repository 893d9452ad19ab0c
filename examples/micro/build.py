"""Rebuilds the micro world from a seed: the data files, the base model and the outsider.

    python examples/micro/build.py [--out DIR] [--data-only | --outsider-only] [--seed N] [--steps N]

The data files depend on the seed alone and come out the same on every machine. The models
depend also on the machine: the order of floating-point sums differs between processors, thread
counts and releases of torch, so the same seed gives there other models of the same quality.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

import webtext

NUM_SFT, NUM_SCORED = 200, 200
"""Rows of SFT seeds; prompts of the scores that the judge learns from, two rows each."""
HELD_BACK = ("eval_prompts.jsonl", "heldout_scores.jsonl")
"""Files whose prompts the web text never shows."""
Row = dict[str, str | int]


@dataclass(frozen=True)
class Plan:
    """What is built of a web: `MICRO` below, and examples/hard."""

    folder: Path
    """Where the files go, unless said otherwise."""
    web: webtext.Web
    seed: int
    steps: int
    """Of pretraining."""
    num_held_out: int
    """Prompts of the held-out scores, two rows each; families alike."""
    num_eval: int
    """Evaluation prompts; families alike."""
    within: frozenset[str]
    """Families whose answer is by nature a piece of the question."""
    outsider_steps: int
    """Of the outsider's training (`outsider.py`)."""
    start: Path | None = None
    """The model that pretraining starts from; `None` = from nothing."""


MICRO = Plan(
    folder=Path(__file__).parent,
    web=webtext.WEB,
    seed=2412,
    steps=4400,
    num_held_out=260,
    num_eval=598,
    outsider_steps=300,
    within=frozenset({"copy", "first", "last", "drop", "max"}),
)


def draw(rng: Random, web: webtext.Web, count: int, taken: set[str], *, uniform: bool) -> list[str]:
    """New distinct prompts, added to `taken`; families equally often, or as often as on the web."""
    prompts: list[str] = []
    while len(prompts) < count:
        family = web.world.FAMILIES[len(prompts) % len(web.world.FAMILIES)]
        text = web.world.ask(rng, family) if uniform else web.prompt(rng)
        if text not in taken:
            taken.add(text)
            prompts.append(text)
    return prompts


def scored(rng: Random, web: webtext.Web, prompts: list[str], prefix: str) -> list[Row]:
    """Two different answers of web authors to each prompt, each with one human score."""
    rows: list[Row] = []
    for number, prompt in enumerate(prompts):
        answers: list[str] = []
        while len(answers) < 2:
            response = web.answer(rng, prompt)
            if response not in answers:
                answers.append(response)
        for letter, response in zip("ab", answers, strict=True):
            name, score = f"{prefix}-{number:04d}{letter}", web.score(rng, prompt, response)
            rows.append({"id": name, "prompt": prompt, "response": response, "score": score})
    return rows


def data(plan: Plan, seed: int) -> dict[str, list[Row]]:
    """Rows of every data file, by file name."""
    rng, taken, web, truth = Random(seed), set[str](), plan.web, plan.web.world.truth
    evaluation = draw(rng, web, plan.num_eval, taken, uniform=True)
    held_out = draw(rng, web, plan.num_held_out, taken, uniform=True)
    seeds = draw(rng, web, NUM_SFT, taken, uniform=False)
    scores = draw(rng, web, NUM_SCORED, taken, uniform=False)
    sft: list[Row] = [
        {"id": f"sft-{i:04d}", "prompt": each, "response": truth(each) or ""} for i, each in enumerate(seeds)
    ]
    return {
        "sft_seeds.jsonl": sft,
        "scores.jsonl": scored(rng, web, scores, "score"),
        "heldout_scores.jsonl": scored(rng, web, held_out, "heldout"),
        "eval_prompts.jsonl": [
            {
                "id": f"eval-{i:04d}",
                "prompt": each,
                "reference": truth(each) or "",
                "family": each.split()[0],
            }
            for i, each in enumerate(evaluation)
        ],
    }


def check(plan: Plan, files: dict[str, list[Row]]) -> None:
    """No prompt in two files, every prompt a question, no answer in its question.

    Two exceptions to the last: families whose answer is a piece of the question by nature, and
    words that happen to be their own answer (a palindrome to reverse), under 2% of the rows.
    """
    seen: dict[str, str] = {}
    for name, rows in files.items():
        chances = 0
        for prompt in sorted({str(row["prompt"]) for row in rows}):
            if prompt in seen:
                raise ValueError(f"{prompt!r} is in {seen[prompt]} and in {name}")
            seen[prompt] = name
            family, _, arguments = prompt.partition(" ")
            right = plan.web.world.truth(prompt)
            if not right:
                raise ValueError(f"{prompt!r} in {name} is no question")
            if family not in plan.within and right in arguments:
                if right not in arguments.split():
                    raise ValueError(f"{prompt!r} in {name} holds its answer {right!r}")
                chances += 1
        if chances > 0.02 * len(rows):
            raise ValueError(f"{chances} prompts in {name} are their own answer")


def held_back(files: dict[str, list[Row]]) -> frozenset[str]:
    """The prompts that the web text must not show."""
    return frozenset(str(row["prompt"]) for name in HELD_BACK for row in files[name])


def sha256(path: Path) -> str:
    """Of the file's bytes, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def bar(steps: int, per_step: int = 32 * 128, unit: str = "tokens") -> Callable[[int, float, float], None]:
    """A progress line on standard error: share done, loss, rate and time left."""

    def report(step: int, loss: float, rate: float) -> None:
        if step % 20 and step != steps:
            return
        left = (steps - step) * per_step / rate
        done = "#" * (30 * step // steps)
        end = "\r" if sys.stderr.isatty() and step != steps else "\n"
        line = f"[{done:<30}] {step}/{steps}  loss {loss:.3f}  {rate:,.0f} {unit}/s"
        print(
            f"{line}  {left // 60:.0f}:{left % 60:02.0f} left ",
            end=end,
            file=sys.stderr,
            flush=True,
        )

    return report


def machine() -> dict[str, object]:
    """Where a model was trained."""
    return {"machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}"}


def teach_outsider(plan: Plan, out: Path, files: dict[str, list[Row]], seed: int) -> dict[str, object]:
    """Writes the outsider, taught by the truth from the base in `out`; no prompt of a data file is among its pairs."""
    import lm
    import outsider

    started, steps = time.process_time(), plan.outsider_steps
    banned = frozenset(str(row["prompt"]) for rows in files.values() for row in rows)
    held_out = list(islice(outsider.pairs(Random(seed + 1), plan.web, banned), outsider.NUM_HELD_OUT))
    banned |= {each.prompt for each in held_out}
    tokens = lm.tokenizer()
    report = bar(steps, outsider.PAIRS, "pairs")
    model = outsider.train(out / "base", tokens, plan.web, banned, seed=seed, steps=steps, report=report)
    seconds = round(time.process_time() - started)
    outsider.save(model, tokens, out / "outsider")
    right = [each for each in held_out if each.better == plan.web.world.truth(each.prompt)]
    return {
        **outsider.facts(model, steps),
        "held_out_pairs": len(held_out),
        "accuracy": round(outsider.accuracy(model, tokens, held_out), 4),
        "held_out_pairs_with_the_right_answer": len(right),
        "accuracy_with_the_right_answer": round(outsider.accuracy(model, tokens, right), 4),
        "processor_seconds": seconds,
        **machine(),
    }


def write_manifest(out: Path, seed: int, facts: dict[str, object]) -> None:
    """`manifest.json`: what was written, its SHA-256, and where it comes from; written last."""
    files = sorted([*out.glob("*.jsonl"), *(out / "base").glob("*"), *(out / "outsider").glob("*")])
    hashes = {str(each.relative_to(out)): sha256(each) for each in files}
    manifest = {"seed": seed, **facts, "sha256": hashes}
    text = json.dumps(manifest, indent=2) + "\n"
    (out / "manifest.json").write_text(text, encoding="utf-8")
    for name, value in hashes.items():
        print(f"{value}  {name}")


def main(plan: Plan = MICRO) -> None:
    """Writes the data files, then, unless asked not to, the base model, the outsider and the manifest."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, default=plan.folder)
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--data-only", action="store_true", help="leave the models alone")
    only.add_argument("--outsider-only", action="store_true", help="teach the outsider from the base that is there")
    parser.add_argument("--seed", type=int, default=plan.seed)
    parser.add_argument("--steps", type=int, default=plan.steps, help="of pretraining")
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    files = data(plan, arguments.seed)
    check(plan, files)
    for name, rows in files.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (out / name).write_text(text, encoding="utf-8")
        if arguments.data_only:
            print(f"{sha256(out / name)}  {name}")
    if arguments.data_only:
        return
    if arguments.outsider_only:
        base = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["base"]
        taught = teach_outsider(plan, out, files, arguments.seed)
        write_manifest(out, arguments.seed, {"base": base, "outsider": taught})
        return
    import lm  # late, so that --help and --data-only need no torch

    started, steps, banned = time.monotonic(), arguments.steps, held_back(files)
    tokens = lm.tokenizer()
    model = lm.pretrain(tokens, plan.web, banned, seed=arguments.seed, steps=steps, report=bar(steps), start=plan.start)
    lm.save(model, tokens, out / "base")
    base = {**lm.facts(model, steps), "seconds": round(time.monotonic() - started), **machine()}
    write_manifest(out, arguments.seed, {"base": base, "outsider": teach_outsider(plan, out, files, arguments.seed)})


if __name__ == "__main__":
    main()
