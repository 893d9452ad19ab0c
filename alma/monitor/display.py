"""What a run looks like on a terminal: one line per stage with a bar, the rate and the time left.

Where standard error is not a terminal, the same events leave as JSON lines.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.text import Text

from alma.progress import Event, json_lines

Show = Callable[[str, Event], None]


@contextmanager
def display(*, force_json: bool = False) -> Iterator[Show]:
    """Yields a function that shows an event under a label."""
    if force_json or not sys.stderr.isatty():
        yield lambda label, event: json_lines({"label": label, **event})
        return
    with Terminal(Console(stderr=True)) as terminal:
        yield terminal.show


class _State(ProgressColumn):
    """Rate and time left while running; the time it took afterwards."""

    def render(self, task: Task) -> Text:
        return Text(str(task.fields.get("state", "")), style="dim")


class Terminal:
    """Live bars; finished stages stay above them as one line each."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            TextColumn("{task.percentage:>3.0f}%"),
            _State(),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, tuple[TaskID, float]] = {}
        self._last: dict[str, Event] = {}

    def __enter__(self) -> Terminal:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, label: str, event: Event) -> None:
        """Draws one event."""
        name = escape(f"{label:<28}")
        match event["event"]:
            case "sealed":
                self._console.print(f"[green]✓[/] {name} [dim]already done · {event['stage']}/{event['key']}[/]")
            case "start":
                self._tasks[label] = (self._bars.add_task(name, total=None, state="starting"), time.monotonic())
            case "progress" if label in self._tasks:
                self._last[label] = event
                task, _ = self._tasks[label]
                self._bars.update(task, total=event["total"], completed=event["done"], state=pace(event))
            case "note":
                self._console.print(f"  {name} {escape(str(event['message']))}")
            case "end" if label in self._tasks:
                task, start = self._tasks.pop(label)
                self._bars.remove_task(task)
                last = self._last.pop(label, None)
                amount = f"{last['done']:,} {last['unit']} · " if last else ""
                took = f"{amount}{time.monotonic() - start:.1f} s · {event['stage']}/{event['key']}"
                self._console.print(f"[green]✓[/] {name} [dim]{took}[/]")


def pace(event: Event) -> str:
    """Such as: 1,200/4,800 responses · 310/s · 12,400 tokens/s · 11 s left."""
    parts = [f"{event['done']:,}/{event['total']:,} {event['unit']}"]
    if event["per_second"] is not None:
        parts.append(f"{event['per_second']:,.0f}/s" if event["per_second"] >= 10 else f"{event['per_second']:.2g}/s")
    if event["seconds"] > 0 and event["tokens"]:
        parts.append(f"{event['tokens'] / event['seconds']:,.0f} tokens/s")
    if event["left_seconds"] is not None:
        parts.append(f"{roughly(event['left_seconds'])} left")
    return " · ".join(parts)


def roughly(seconds: float) -> str:
    """Seconds as a person says them who guesses: in one unit."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
