"""No terminal: every line of the input is a turn or a command, and answers are lines of the output: ``Pipe``."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Iterator, Sequence

from alma.chat.speaker import WHY, Answer
from alma.chat.talk import Stream
from alma.chat.together import NOTHING
from alma.engines import Completion
from alma.errors import DataError, UserError
from alma.text.visible import visible


class Pipe:
    """``alma.chat.talk.Face`` over standard input and output. What is wrong with a line ends it.

    With ``as_json`` a line of the input is a text as JSON, so that it may hold line breaks, and one of the output an
    object: ``model, prompt, response, num_tokens, end`` (``alma.chat.speaker.End``).
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._line = 0

    def lines(self) -> Iterator[str]:
        """See ``Face``."""
        for data in sys.stdin.buffer:
            self._line += 1
            try:
                line = data.decode()
            except UnicodeDecodeError as error:
                raise DataError(f"line {self._line} of the input: byte {error.start} is not UTF-8") from error
            line = line.rstrip("\r\n")
            yield self._text(line) if self.as_json and line.strip() else line

    def _text(self, line: str) -> str:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, str):
            raise DataError(
                f'line {self._line} of the input: {line[:60]!r} is no text as JSON, such as "Hello"; with --json each '
                "line is one"
            )
        return value

    def show(self, streams: Sequence[Stream]) -> list[tuple[Completion, bool]]:
        """See ``Face``: nothing is shown before it is whole."""
        return [(next(iter(deque(stream, maxlen=1)), NOTHING), False) for _, stream in streams]

    def told(self, answers: Sequence[tuple[str, Answer]]) -> None:
        """See ``Face``."""
        for name, answer in answers:
            if self.as_json:  # ASCII, so that it is safe on a terminal and the whole of it comes through a pipe
                told = {"model": name, "prompt": answer.prompt, "response": answer.text}
                line = json.dumps(told | {"num_tokens": answer.num_tokens, "end": answer.end})
            else:
                line = f"{visible(name)}: {visible(answer.text)}" if len(answers) > 1 else visible(answer.text)
                if answer.end in WHY:
                    self.note(f"line {self._line}: {name}: {WHY[answer.end]}")
            print(line, flush=True)  # noqa: T201

    def note(self, text: str) -> None:
        """See ``Face``."""
        print(visible(text), file=sys.stderr)  # noqa: T201

    def fault(self, error: UserError) -> None:
        """See ``Face``."""
        raise type(error)(f"line {self._line} of the input: {error}") from error
