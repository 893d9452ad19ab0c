"""Renders chat templates in a bounded process (``sandbox``), which lives as long as it is needed.

A template never runs in this process: not where a model is taken in, and not where it is trained or asked.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from alma.bounded import unbounded
from alma.engines import sandbox
from alma.errors import DataError
from alma.sections.ingest import TEMPLATE_DATE

SECONDS = 30.0
"""For one rendering, by the clock: what the bound on a core's time cannot interrupt is killed then."""

MOST_CHARS = 2**20
"""Of a template; published ones have up to 30,000."""

SLOW_SECONDS, SLOW_MEAN = 20.0, 0.25
"""Together, and for each on average, of all renderings by one process: beyond both the template is refused."""

Message = Mapping[str, str]


def render_messages(tokenizer: Any, messages: Sequence[Message], *, ask: bool) -> str:
    """What the tokenizer's chat template makes of ``messages``, its generation prompt added where it is to ``ask``.

    Raises ``DataError`` that names the template and its line where it fails, or goes beyond its bounds.
    """
    try:
        source, tokens = tokenizer.get_chat_template(), tokenizer.special_tokens_map
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # no template, or none of those there are
        raise DataError(f"the chat template of {tokenizer.name_or_path} cannot render a dialogue: {error}") from error
    if not isinstance(source, str) or len(source) > MOST_CHARS:
        what = f"is {len(source):,} characters long" if isinstance(source, str) else f"is a {type(source).__name__}"
        raise DataError(f"the chat template of {_place(tokenizer)} {what}; write it as a text of up to {MOST_CHARS:,}")
    variables = {
        "messages": [dict(each) for each in messages],
        "tools": None,
        "documents": None,
        "add_generation_prompt": ask,
        **tokens,
    }
    answer = _rendered(json.dumps({"source": source, "variables": variables, "day": TEMPLATE_DATE.isoformat()}))
    if "text" in answer:
        return str(answer["text"])
    place = _place(tokenizer, answer["line"])
    raise DataError(f"the chat template of {place} cannot render a dialogue: {answer['error']}")


def _place(tokenizer: Any, line: int | None = None) -> str:
    """The model, the file in which its template stands, and the line."""
    folder = Path(str(tokenizer.name_or_path))
    file = next((name for name in ("chat_template.jinja", "tokenizer_config.json") if (folder / name).is_file()), None)
    where = [*([file] if file else []), *([f"line {line} of the template"] if line else [])]
    return f"{folder} ({', '.join(where)})" if where else str(folder)


@lru_cache(maxsize=1024)
def _rendered(request: str) -> dict[str, Any]:
    """The answer to a request. Whoever loads a tokenizer anew asks for the same renderings again."""
    with _LOCK:
        child = _children.get(os.getpid())  # a process that was forked has none: the pipes are its parent's
        if child is None or not child.usable:
            child = _children[os.getpid()] = _Child()
        return child.ask(request)


_LOCK = threading.RLock()
_children: dict[int, _Child] = {}
os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release)


class _Child:
    """A process that renders."""

    def __init__(self) -> None:
        import jinja2

        packages = str(Path(jinja2.__file__).parents[1])
        with unbounded():
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
                [sys.executable, "-I", sandbox.__file__, packages],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={},
                start_new_session=True,  # a terminal's Ctrl-C would end it before it can say that it ignores it
            )
        self._end = weakref.finalize(self, _end, self._process, os.getpid())
        self._spent = 0.0
        self._asked = 0
        self._source = ""

    @property
    def usable(self) -> bool:
        """Whether it can be asked again."""
        return self._end.alive

    def ask(self, request: str) -> dict[str, Any]:
        """The answer; without one, what happened is the error and the process is ended."""
        start = time.monotonic()
        fault = None
        try:
            line = self._line(request.encode() + b"\n", start + SECONDS)
        except TimeoutError:
            fault = f"takes more than {SECONDS:g} s for a few lines"
        except (EOFError, BrokenPipeError):
            code = self._process.wait()
            fault = f"it ended the process that renders it ({f'signal {-code}' if code < 0 else f'status {code}'})"
        except BaseException:  # its answer would be taken for that to the next request
            self._end()
            raise
        self._spent += time.monotonic() - start
        self._asked += 1
        if fault is None and self._spent > SLOW_SECONDS and self._spent / self._asked > SLOW_MEAN:
            fault = f"takes {self._spent / self._asked:.1f} s for a few lines, {self._asked} times over"
        if fault is not None:
            self._end()
            return {"error": fault, "line": None}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _line(self, request: bytes, deadline: float) -> bytes:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(request)
        self._process.stdin.flush()
        out = self._process.stdout.fileno()
        waiting = select.poll()
        waiting.register(out, select.POLLIN)
        blocks: list[bytes] = []
        while not blocks or not blocks[-1].endswith(b"\n"):
            if not waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise TimeoutError
            blocks.append(os.read(out, 2**16))
            if not blocks[-1]:
                raise EOFError
        return b"".join(blocks)


def _end(process: subprocess.Popen[bytes], owner: int) -> None:
    if os.getpid() != owner:
        return
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except BrokenPipeError:  # of what was not read
                continue
