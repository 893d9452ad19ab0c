"""Writes the two domains of ISARA's transfer experiments, and a mixture of their seeds, into domains/.

    python examples/paper/domains.py

The world is examples/isara's; a domain is half of its things, asked for and answered as there. No question names things
of both. Questions are drawn anew, so one in some thousands may have stood on a page that the base has read.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from random import Random

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "isara"))
import schools  # noqa: E402 - that folder holds plain modules, no package

sys.path.pop(0)

SEED = 2401
NUM_SEEDS, NUM_EVALUATION = 64, 150
Row = dict[str, str | list[str]]


def draw(rng: Random, half: int, count: int, taken: set[str]) -> list[str]:
    """New distinct questions about the things of one half, on which the domain's school and most people differ."""
    middle = schools.NUM_THINGS // 2
    weights = [float((place >= middle) == bool(half)) for place in range(schools.NUM_THINGS)]
    found: list[str] = []
    while len(found) < count:
        question = schools.ask(rng, weights)
        if question not in taken and schools.truth(question) != schools.truth(question, 0):
            taken.add(question)
            found.append(question)
    return found


def files() -> dict[str, list[Row]]:
    """Rows of every file, by its name."""
    rng, taken = Random(SEED), set[str]()
    found: dict[str, list[Row]] = {}
    for half, name in enumerate("ab"):
        seeds = draw(rng, half, NUM_SEEDS, taken)
        asked = draw(rng, half, NUM_EVALUATION, taken)
        found[f"seeds-{name}.jsonl"] = [
            {"id": f"{name}-{i:02d}", "prompt": each, "response": schools.truth(each) or ""}
            for i, each in enumerate(seeds)
        ]
        found[f"evaluation-{name}.jsonl"] = [
            {"id": f"{name}-{i:03d}", "prompt": each, "reference": schools.truth(each) or ""}
            for i, each in enumerate(asked)
        ]
    both = (found[f"seeds-{name}.jsonl"][: NUM_SEEDS // 2] for name in "ab")
    found["seeds-mixed.jsonl"] = [row for rows in both for row in rows]
    return found


if __name__ == "__main__":
    for file, rows in files().items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (HERE / "domains" / file).write_text(text, encoding="utf-8")
