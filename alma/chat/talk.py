"""What becomes of the lines of a person: ``Talk``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from alma.chat.commands import COMMANDS, Command, command_of, said
from alma.chat.settings import Settings
from alma.chat.speaker import Answer, Speaker
from alma.engines import Completion
from alma.errors import ConfigError, DataError, UserError
from alma.regular import expand
from alma.sources.values import Fault, characters

Stream = tuple[str, Iterator[Completion]]
"""A model's name, and its answer as it grows."""


class Face(Protocol):
    """Where a person writes lines and reads answers."""

    def lines(self) -> Iterator[str]:
        """What is written, until it ends."""

    def show(self, streams: Sequence[Stream]) -> list[tuple[Completion, bool]]:
        """Shows answers as they grow; each at last, and whether it was stopped."""

    def told(self, answers: Sequence[tuple[str, Answer]]) -> None:
        """Shows what there is to say of answers that are over; each with its model's name."""

    def note(self, text: str) -> None:
        """Says something that is no model's."""

    def fault(self, error: UserError) -> None:
        """Says what was wrong with the last line, or ends."""


class Talk:
    """One conversation with all models: they hear the same, and each keeps its own answers."""

    def __init__(self, speakers: Sequence[Speaker], settings: Settings, face: Face) -> None:
        self.speakers = speakers
        self.settings = settings
        self.system = settings.system
        self.attempt = 0
        """Answers to the last prompt before this one."""

        self.face = face

    def run(self) -> None:
        """Until the lines end, or ``/quit``."""
        self.face.note(f"{' and '.join(each.name for each in self.speakers)}: /help says what there is to say")
        for line in self.face.lines():
            if not line.strip():
                continue
            try:
                command = command_of(line)
                if command is None:
                    self._ask(said(line))
                elif command.name == "quit":
                    return
                else:
                    self._do(command)
            except UserError as error:
                self.face.fault(error)

    def _do(self, command: Command) -> None:
        if command.name == "again":
            self._again()
        elif command.name == "new":
            self._forget()
            self.face.note("all forgotten")
        elif command.name == "system":
            _check("the system text", command.rest)
            self._forget()
            self.system = command.rest or None
            self.face.note("a new conversation, begun with that" if command.rest else "a new conversation")
        elif command.name == "save":
            self._save(expand(command.rest))
        else:
            self.face.note("\n".join(f"/{name}: {does}" for name, does in COMMANDS.items()))

    def _ask(self, prompt: str, attempt: int = 0) -> None:
        _check("the line", prompt)
        texts = [each.text(prompt, self.system) for each in self.speakers]
        full = [each.name for each, text in zip(self.speakers, texts, strict=True) if not each.has_room(text)]
        if full:
            raise DataError(
                f"the conversation fills the context of {' and of '.join(full)}: nothing was asked and nothing "
                "forgotten; /save FILE keeps it, /new begins anew"
            )
        self.attempt = attempt
        streams = [(each.name, each.stream(text, attempt)) for each, text in zip(self.speakers, texts, strict=True)]
        done = self.face.show(streams)
        answers = [
            (each.name, each.keep(prompt, text, last, stopped=stopped))
            for each, text, (last, stopped) in zip(self.speakers, texts, done, strict=True)
        ]
        self.face.told(answers)

    def _again(self) -> None:
        if not self.speakers[0].answers:
            raise DataError("/again: nothing was asked yet")
        if self.settings.sampling is None:
            raise ConfigError("/again: at temperature 0 the answer would be the same; begin with --temperature 0.7")
        before = [each.answers.pop() for each in self.speakers]
        try:
            self._ask(before[0].prompt, self.attempt + 1)
        except BaseException:
            for speaker, answer in zip(self.speakers, before, strict=True):
                speaker.answers.append(answer)
            raise

    def _forget(self) -> None:
        self.attempt = 0
        for each in self.speakers:
            each.answers.clear()

    def _save(self, path: Path) -> None:
        if not self.speakers[0].answers:
            raise DataError("/save: nothing was said yet")
        rows = [{"model": each.name, "messages": each.messages(self.system)} for each in self.speakers]
        try:
            with path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        except OSError as error:
            raise DataError(f"/save {path}: {error.strerror}; name another file") from error
        self.face.note(f"{len(rows)} {'line' if len(rows) == 1 else 'lines'} appended to {path}")


def _check(name: str, text: str) -> None:
    """Raises ``DataError`` for a text that no tokenizer takes, such as a terminal's bytes that are not UTF-8."""
    try:
        characters(name, text)
    except Fault as fault:
        raise DataError(fault.detail) from fault
