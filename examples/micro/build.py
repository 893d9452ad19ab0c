"""Rebuilds the micro world from a seed: the data files and the base model.

    python examples/micro/build.py [--out DIR] [--data-only] [--seed N] [--steps N]

The data files depend on the seed alone and come out the same on every machine. The base model
depends also on the machine: the order of floating-point sums differs between processors, thread
counts and releases of torch, so the same seed gives there another model of the same quality.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import webtext
import world

SEED = 2412
STEPS = 4400
NUM_SFT, NUM_SCORED, NUM_HELD_OUT, NUM_EVAL = 200, 200, 260, 598
"""Rows of SFT seeds and of evaluation prompts; prompts of the two score files, two rows each."""
HELD_BACK = ("eval_prompts.jsonl", "heldout_scores.jsonl")
"""Files whose prompts the web text never shows."""
WITHIN = frozenset({"copy", "first", "last", "drop", "max"})
"""Families whose answer is by nature a piece of the question."""
Row = dict[str, str | int]


def draw(rng: Random, count: int, taken: set[str], *, uniform: bool) -> list[str]:
    """New distinct prompts, added to `taken`; families equally often, or as often as on the web."""
    prompts: list[str] = []
    while len(prompts) < count:
        family = world.FAMILIES[len(prompts) % len(world.FAMILIES)]
        text = world.ask(rng, family) if uniform else webtext.prompt(rng)
        if text not in taken:
            taken.add(text)
            prompts.append(text)
    return prompts


def scored(rng: Random, prompts: list[str], prefix: str) -> list[Row]:
    """Two different answers of web authors to each prompt, each with one human score."""
    rows: list[Row] = []
    for number, prompt in enumerate(prompts):
        answers: list[str] = []
        while len(answers) < 2:
            response = webtext.answer(rng, prompt)
            if response not in answers:
                answers.append(response)
        for letter, response in zip("ab", answers, strict=True):
            name, score = f"{prefix}-{number:04d}{letter}", webtext.score(rng, prompt, response)
            rows.append({"id": name, "prompt": prompt, "response": response, "score": score})
    return rows


def data(seed: int) -> dict[str, list[Row]]:
    """Rows of every data file, by file name."""
    rng, taken = Random(seed), set[str]()
    evaluation = draw(rng, NUM_EVAL, taken, uniform=True)
    held_out = draw(rng, NUM_HELD_OUT, taken, uniform=True)
    seeds = draw(rng, NUM_SFT, taken, uniform=False)
    scores = draw(rng, NUM_SCORED, taken, uniform=False)
    sft: list[Row] = [
        {"id": f"sft-{i:04d}", "prompt": each, "response": world.truth(each) or ""} for i, each in enumerate(seeds)
    ]
    return {
        "sft_seeds.jsonl": sft,
        "scores.jsonl": scored(rng, scores, "score"),
        "heldout_scores.jsonl": scored(rng, held_out, "heldout"),
        "eval_prompts.jsonl": [
            {
                "id": f"eval-{i:04d}",
                "prompt": each,
                "reference": world.truth(each) or "",
                "family": each.split()[0],
            }
            for i, each in enumerate(evaluation)
        ],
    }


def check(files: dict[str, list[Row]]) -> None:
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
            right = world.truth(prompt)
            if not right:
                raise ValueError(f"{prompt!r} in {name} is no question")
            if family not in WITHIN and right in arguments:
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


def bar(steps: int) -> Callable[[int, float, float], None]:
    """A progress line on standard error: share done, loss, rate and time left."""

    def report(step: int, loss: float, rate: float, tokens_per_step: int = 32 * 128) -> None:
        if step % 20 and step != steps:
            return
        left = (steps - step) * tokens_per_step / rate
        done = "#" * (30 * step // steps)
        end = "\r" if sys.stderr.isatty() and step != steps else "\n"
        line = f"[{done:<30}] {step}/{steps}  loss {loss:.3f}  {rate / 1000:.1f}k tokens/s"
        print(
            f"{line}  {left // 60:.0f}:{left % 60:02.0f} left ",
            end=end,
            file=sys.stderr,
            flush=True,
        )

    return report


def write_manifest(out: Path, seed: int, facts: dict[str, object]) -> None:
    """`manifest.json`: what was written, its SHA-256, and where it comes from; written last."""
    files = sorted([*out.glob("*.jsonl"), *(out / "base").glob("*")])
    hashes = {str(each.relative_to(out)): sha256(each) for each in files}
    manifest = {"seed": seed, "base": facts, "sha256": hashes}
    text = json.dumps(manifest, indent=2) + "\n"
    (out / "manifest.json").write_text(text, encoding="utf-8")
    for name, value in hashes.items():
        print(f"{value}  {name}")


def main() -> None:
    """Writes the data files, then, unless asked not to, the base model and the manifest."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--data-only", action="store_true", help="leave the base model alone")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--steps", type=int, default=STEPS, help="of pretraining")
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    files = data(arguments.seed)
    check(files)
    for name, rows in files.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (out / name).write_text(text, encoding="utf-8")
        if arguments.data_only:
            print(f"{sha256(out / name)}  {name}")
    if arguments.data_only:
        return
    import lm  # late, so that --help and --data-only need no torch

    started, steps = time.monotonic(), arguments.steps
    tokens = lm.tokenizer()
    model = lm.pretrain(tokens, held_back(files), seed=arguments.seed, steps=steps, report=bar(steps))
    lm.save(model, tokens, out / "base")
    facts = lm.facts(model, steps)
    facts["seconds"] = round(time.monotonic() - started)
    facts["machine"] = f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    write_manifest(out, arguments.seed, facts)


if __name__ == "__main__":
    main()
