"""Draws what is learnt from and what is held out, with no prompt in both, and writes them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alma.convert.question import Converted, Question
from alma.errors import AccessError, ConfigError, DataError
from alma.text.normalise import normalise


def split(
    questions: Sequence[Question],
    num_learn: int,
    num_hold: int | None,
    seed: int,
    file: str,
    *,
    names: tuple[str | None, str | None],
) -> Converted:
    """Draws both from ``questions``, whose normalised prompts differ and whose order does not depend on the file's.

    ``names`` are those of the file to learn from and of the one to hold out; ``None`` for one that is not written, as
    one is not of which no prompt is asked for. Raises ``ConfigError`` where there are too few of them.
    """
    if num_learn < 0 or (num_hold is not None and num_hold < 0):
        raise ConfigError(f"seeds = {num_learn} and evaluation = {num_hold} must not be below 0")
    learn, hold = names[0] if num_learn else None, names[1] if num_hold != 0 else None
    if not learn and not hold:
        raise ConfigError("no prompt is asked for: give --seeds or --evaluation a number above 0")
    rng = random.Random(seed)
    answered = [each for each in questions if each.responses]
    if len(answered) < num_learn:
        raise ConfigError(
            f"{file}: {len(answered)} of {len(questions)} questions have a response to learn from, and {num_learn} "
            "seeds are asked for; ask for fewer, or take another file or family"
        )
    drawn = rng.sample(answered, num_learn)
    learnt = [row for each in drawn for row in _learnt(each, rng)]
    taken = {normalise(each.prompt) for each in drawn}
    left = [each for each in questions if normalise(each.prompt) not in taken]
    wanted = len(left) if num_hold is None else num_hold
    if hold and (not left or len(left) < wanted):
        raise ConfigError(
            f"{file}: {len(left)} questions are left beside {num_learn} seeds, and {wanted or 'some'} are asked for to "
            "evaluate with; ask for fewer"
        )
    held = rng.sample(left, wanted)
    overlap = taken & {normalise(each.prompt) for each in held}
    assert not overlap, f"in both files: {sorted(overlap)[:3]}"
    rows = [row for each in held for row in _held(each)]
    files = {name: found for name, found in ((learn, learnt), (hold, rows)) if name}
    return Converted(files, len(left) - wanted)


def _learnt(question: Question, rng: random.Random) -> list[dict[str, Any]]:
    if question.messages is not None:
        return [{"messages": question.messages}]
    if question.scored is not None:
        return question.scored
    return [{"prompt": question.prompt, "response": rng.choice(sorted(question.responses))}]


def _held(question: Question) -> list[dict[str, Any]]:
    return question.evaluation_rows() if question.scored is None else question.scored


def write(converted: Converted, out: Path) -> None:
    """Writes the files into folder ``out``; one that is there with another content raises ``DataError``."""
    texts = {out / name: "".join(map(_line, rows)).encode() for name, rows in converted.files.items()}
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
        raise DataError(f"{out}: is no folder; name one for --out") from error
    except PermissionError as error:
        raise AccessError(f"{out}: {error.strerror}") from error


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"
