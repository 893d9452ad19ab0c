"""What a terminal shows, and what a pipe gets."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from alma.monitor.display import Terminal, display, pace, roughly
from alma.progress import Progress

PROGRESS = {
    "event": "progress",
    "done": 1200,
    "total": 4800,
    "unit": "responses",
    "tokens": 24_000,
    "seconds": 2.0,
    "per_second": 600.0,
}


def test_a_bar_says_how_much_how_fast_and_how_long() -> None:
    assert pace({**PROGRESS, "left_seconds": 6.0}) == "1,200/4,800 responses · 600/s · 12,000 tokens/s · 6 s left"
    assert pace({**PROGRESS, "tokens": 0, "per_second": None, "left_seconds": None}) == "1,200/4,800 responses"


def test_each_stage_leaves_one_line() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=200, color_system=None)
    with Terminal(console) as terminal:
        terminal.show("base model", {"event": "sealed", "stage": "ingest", "key": "k1"})
        terminal.show("round 02 · respond", {"event": "start", "stage": "respond", "key": "k2"})
        terminal.show("round 02 · respond", {**PROGRESS, "left_seconds": 6.0})
        terminal.show("round 02 · respond", {"event": "note", "message": "[red]not markup[/]"})
        terminal.show("round 02 · respond", {**PROGRESS, "done": 4800, "left_seconds": 0.0})
        terminal.show("round 02 · respond", {"event": "end", "stage": "respond", "key": "k2"})
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "already done · ingest/k1" in text
    assert "4,800 responses · " in text
    assert "respond/k2" in text
    assert "[red]not markup[/]" in text


def test_a_pipe_gets_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with display() as show:
        show("round 02 · judge", {"event": "note", "message": "a\nb"})
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line).items() >= {"label": "round 02 · judge", "event": "note", "message": "a\nb"}.items()


@given(seconds=st.floats(0, 1e6))
def test_durations_are_short(seconds: float) -> None:
    assert len(roughly(seconds)) <= 8
    assert roughly(seconds).rpartition(" ")[2] in ("s", "min", "h")


def test_work_of_earlier_attempts_counts_as_done_and_not_as_speed() -> None:
    events = []
    with Progress(events.append, 100, "rows", done_before=90) as progress:
        progress.advance(10)
    assert [event["done"] for event in events] == [90, 100, 100]
    assert events[0]["left_seconds"] is None
    assert events[-1]["left_seconds"] == 0
