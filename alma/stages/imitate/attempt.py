"""One attempt at a new question and its answer, and where attempts wait until the whole stage is done."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from alma.artifact.out import Out


@dataclass(slots=True)
class Answer:
    """One answer of a question. ``text`` is cut at the first marker; ``score`` is the judge's, where one is asked."""

    text: str
    seed: int
    num_tokens: int
    ended: bool
    score: float | None = None


@dataclass(slots=True)
class Attempt:
    """A question, the ids of what it was written after, its answers, and why it was dropped (``None`` = it was not).

    ``seed`` is that of the question's sample; ``None`` where the question was there before.
    """

    number: int
    seed: int | None
    question: str = ""
    shot_ids: list[str] = field(default_factory=list)
    num_tokens: int = 0
    ended: bool = True
    reason: str | None = None
    answers: list[Answer] = field(default_factory=list)
    answer_shot_ids: list[str] = field(default_factory=list)

    @property
    def all_tokens(self) -> int:
        """Tokens generated for it, of all its answers."""
        return self.num_tokens + sum(answer.num_tokens for answer in self.answers)


def in_parts(
    out: Out, what: str, attempts: Sequence[Attempt], part_rows: int, write: Callable[[Sequence[Attempt]], None]
) -> list[Attempt]:
    """The attempts after ``write`` has changed them, part by part; finished parts of a killed process are kept.

    The parts lie on this machine and are not published: which attempts become rows is known when all of them are there.
    """
    done: list[Attempt] = []
    with out.progress(len(attempts), what) as progress:
        for start in range(0, len(attempts), part_rows):
            out.check_stop()
            part = attempts[start : start + part_rows]
            path = out.scratch / "attempts" / f"{what}-{start}-{len(part)}.json"
            if path.is_file():
                part = _load(path)
            else:
                write(part)
                _save(path, part)
            done.extend(part)
            progress.advance(len(part), sum(attempt.all_tokens for attempt in part))
    return done


def _load(path: Path) -> list[Attempt]:
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [Attempt(**row | {"answers": [Answer(**each) for each in row["answers"]]}) for row in rows]


def _save(path: Path, attempts: Sequence[Attempt]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".tmp")
    scratch.write_text(json.dumps([asdict(each) for each in attempts]), encoding="utf-8")
    scratch.replace(path)
