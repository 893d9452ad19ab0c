"""Draws seeds and evaluation prompts that do not overlap, and writes them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alma.convert.question import Converted, Question
from alma.errors import AccessError, ConfigError, DataError
from alma.text.normalise import normalise


def split(questions: Sequence[Question], num_seeds: int, num_evaluation: int | None, seed: int, file: str) -> Converted:
    """Draws both from ``questions``, whose normalised prompts differ and whose order does not depend on the file's.

    Raises ``ConfigError`` where there are too few of them.
    """
    if num_seeds < 1 or (num_evaluation is not None and num_evaluation < 1):
        raise ConfigError(f"seeds = {num_seeds} and evaluation = {num_evaluation} must be 1 or more")
    rng = random.Random(seed)
    answered = [each for each in questions if each.responses]
    if len(answered) < num_seeds:
        raise ConfigError(
            f"{file}: {len(answered)} of {len(questions)} questions have a response to learn from, and {num_seeds} "
            "seeds are asked for; ask for fewer, or take another file or family"
        )
    drawn = rng.sample(answered, num_seeds)
    seeds = [{"prompt": each.prompt, "response": rng.choice(sorted(each.responses))} for each in drawn]
    taken = {normalise(row["prompt"]) for row in seeds}
    left = [each for each in questions if normalise(each.prompt) not in taken]
    wanted = len(left) if num_evaluation is None else num_evaluation
    if not left or len(left) < wanted:
        raise ConfigError(
            f"{file}: {len(left)} questions are left beside {num_seeds} seeds, and {wanted or 'some'} are asked for to "
            "evaluate with; ask for fewer"
        )
    evaluation = [each.evaluation_row() for each in rng.sample(left, wanted)]
    overlap = taken & {normalise(row["prompt"]) for row in evaluation}
    assert not overlap, f"in both files: {sorted(overlap)[:3]}"
    return Converted(seeds, evaluation, len(left) - wanted)


def write(converted: Converted, out: Path) -> None:
    """Writes both files into folder ``out``; one that is there with another content raises ``DataError``."""
    files = {out / "seeds.jsonl": converted.seeds, out / "evaluation.jsonl": converted.evaluation}
    texts = {path: "".join(map(_line, rows)).encode() for path, rows in files.items()}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            if path.exists() and path.read_bytes() != text:
                raise DataError(f"{path} is there, with another content; name another folder, or remove it")
        for path, text in texts.items():
            unfinished = path.with_name(f".{path.name}.unfinished")
            unfinished.write_bytes(text)
            unfinished.replace(path)
    except (FileExistsError, NotADirectoryError) as error:
        raise DataError(f"{out}: is no folder") from error
    except PermissionError as error:
        raise AccessError(f"{out}: {error.strerror}") from error


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"
