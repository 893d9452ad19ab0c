"""Writes tasks/questions.jsonl: exam questions for lm-eval, from the evaluation prompts that the base never read.

python examples/micro/exams.py
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import world

HERE = Path(__file__).parent
NUM_EACH = 8
"""Questions of each family."""


def choices(rng: Random, prompt: str) -> list[str]:
    """The right answer, the popular misconception and two slips of one character, all different, shuffled."""
    right = str(world.truth(prompt))
    found = {right, world.mistake(prompt)}
    letters = world.LETTERS if right.isalpha() else "0123456789"
    while len(found) < 4:
        place = rng.randrange(len(right))
        found.add(right[:place] + rng.choice(letters) + right[place + 1 :])
    shuffled = sorted(found)
    rng.shuffle(shuffled)
    return shuffled


def questions() -> list[dict[str, object]]:
    """Rows: prompt, answer, choices and the place of the answer among them, families in turn."""
    rng, num_of = Random(0), dict.fromkeys((family.name for family in world.FAMILIES), 0)
    rows: list[dict[str, object]] = []
    for line in (HERE / "eval_prompts.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if num_of[row["family"]] < NUM_EACH:
            num_of[row["family"]] += 1
            shown = choices(rng, row["prompt"])
            answer = row["reference"]
            rows.append({"prompt": row["prompt"], "answer": answer, "choices": shown, "label": shown.index(answer)})
    return rows


def main() -> None:
    """Writes the file."""
    text = "".join(json.dumps(row) + "\n" for row in questions())
    (HERE / "tasks" / "questions.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
