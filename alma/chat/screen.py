"""A terminal: answers appear as they grow, of two models in columns where there is room: ``Screen``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from alma.chat.interrupt import interruptible
from alma.chat.speaker import WHY, Answer
from alma.chat.talk import Stream
from alma.chat.together import NOTHING, together
from alma.engines import Completion
from alma.errors import UserError
from alma.text.visible import visible

COLUMN = 40
"""Characters that each model has to have beside the other."""

_SECONDS = 0.1
"""Between two drawings of the columns."""

_BETWEEN = 3
"""Characters between columns."""


class Screen:
    """``alma.chat.talk.Face`` in a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, markup=False, emoji=False)
        self._was_asked: Callable[[], bool] = lambda: False
        """Whether Ctrl-C came while the last line was looked at: templates and a context are, before any answer."""

    def lines(self) -> Iterator[str]:
        """See ``Face``: until Ctrl-D. Ctrl-C throws away what was written on the line."""
        with contextlib.suppress(ImportError):  # editing and earlier lines, where Python has it
            import readline  # noqa: F401

        while True:
            try:
                line = input("> ")
                with interruptible() as self._was_asked:
                    yield line
            except KeyboardInterrupt:
                self.console.print()
            except EOFError:
                self.console.print()
                return

    def show(self, streams: Sequence[Stream]) -> list[tuple[Completion, bool]]:
        """See ``Face``. Ctrl-C stops an answer; of answers side by side both, and before the first one all."""
        if len(streams) > 1 and self.console.width >= len(streams) * (COLUMN + _BETWEEN):
            return self._side_by_side(streams)
        return [self._growing(name if len(streams) > 1 else None, stream) for name, stream in streams]

    def _growing(self, name: str | None, stream: Iterator[Completion]) -> tuple[Completion, bool]:
        if name is not None:
            self.console.print(Text(visible(name), style="bold"))
        shown, last = "", NOTHING
        with interruptible() as stop:
            for [last] in together([stream], lambda: stop() or self._was_asked()):
                # What was shown stays the beginning (``alma.engines.certain``); else all of it is written again.
                new = last.text[len(shown) :] if last.text.startswith(shown) else f"\n{last.text}"
                self.console.file.write(visible(new))
                self.console.file.flush()
                shown = last.text
            self.console.print()
            return last, stop() or self._was_asked()

    def _side_by_side(self, streams: Sequence[Stream]) -> list[tuple[Completion, bool]]:
        names = [name for name, _ in streams]
        latest = [NOTHING] * len(streams)
        drawn = 0.0
        with interruptible() as stop, Live(console=self.console, auto_refresh=False, transient=True) as live:
            for latest in together([stream for _, stream in streams], lambda: stop() or self._was_asked()):
                if time.monotonic() - drawn >= _SECONDS:
                    live.update(self._columns(names, latest, self.console.height - 3), refresh=True)
                    drawn = time.monotonic()
            stopped = stop() or self._was_asked()
        self.console.print(self._columns(names, latest))
        return [(each, stopped) for each in latest]

    def _columns(self, names: Sequence[str], said: Sequence[Completion], most_lines: int | None = None) -> Table:
        """The answers beside each other; of long ones the last lines, as many as fit."""
        table = Table.grid(padding=(0, _BETWEEN, 0, 0), expand=True)
        width = self.console.width // len(names) - _BETWEEN
        for _ in names:
            table.add_column(ratio=1, overflow="fold")
        table.add_row(*(Text(visible(name), style="bold") for name in names))
        cells = [Text(visible(each.text)) for each in said]
        if most_lines is not None:
            cells = [Text("\n").join(each.wrap(self.console, width)[-max(1, most_lines) :]) for each in cells]
        table.add_row(*cells)
        return table

    def told(self, answers: Sequence[tuple[str, Answer]]) -> None:
        """See ``Face``."""
        for name, answer in answers:
            why = WHY.get(answer.end) or ("" if answer.text else "said nothing")
            if why:
                self.note(f"({why})" if len(answers) == 1 else f"({name}: {why})")

    def note(self, text: str) -> None:
        """See ``Face``."""
        self.console.print(Text(visible(text), style="dim"))

    def fault(self, error: UserError) -> None:
        """See ``Face``."""
        self.console.print(Text(visible(str(error)), style="red"))
