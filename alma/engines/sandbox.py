"""Renders chat templates in a process of its own, within bounds: a program, run by its path from ``renderer``.

A template is a program of somebody else's: it may loop for ever, ask for all memory, or end its interpreter. So this
process imports nothing but jinja2, gives itself bounds, reads a request per line and answers each with a line of JSON.
The environment is that of transformers (``utils/chat_template_utils.py``), whose import takes seconds; a test holds
the two equal.
"""

from __future__ import annotations

import datetime
import json
import math
import resource
import signal
import sys
import traceback
from contextlib import suppress
from typing import Any

CPU_SECONDS = 2
"""Of a core, for one rendering; those of published templates take milliseconds."""

MEMORY_BYTES = 2**30
"""Of addresses, for this process."""

MOST_CHARS = 2**20
"""That one rendering may write: the probes are a few lines long."""


class TooLong(Exception):  # noqa: N818 - says what happened; jinja2 shows the template's line of an Exception only
    """The rendering took more than ``CPU_SECONDS``."""


def environment(day: datetime.date) -> Any:
    """jinja2's, as transformers sets it up; ``strftime_now`` is told ``day`` and reads no clock."""
    import jinja2.ext
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(jinja2.ext.Extension):
        """``{% generation %}`` marks what the model writes; here it is written as if the mark were not there."""

        tags = {"generation"}  # noqa: RUF012 - so jinja2 reads it

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return jinja2.nodes.CallBlock(self.call_method("_write"), [], [], body).set_lineno(line)

        def _write(self, caller: Any) -> str:
            return str(caller())

    def raise_exception(message: str) -> None:
        raise jinja2.exceptions.TemplateError(message)

    def tojson(
        x: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
    ) -> str:
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = datetime.datetime.combine(day, datetime.time()).strftime
    return made


def answer(request: dict[str, Any], compiled: dict[str, Any]) -> dict[str, Any]:
    """What a line of JSON asks for: the ``text``, or an ``error`` and the ``line`` of the template that it comes from.

    ``compiled`` keeps the last template.
    """
    source = request["source"]
    try:
        if source not in compiled:
            compiled.clear()
            compiled[source] = environment(datetime.date.fromisoformat(request["day"])).from_string(source)
        text = compiled[source].render(**request["variables"])
    except TooLong as error:
        return {"error": f"takes more than {CPU_SECONDS} s of a core for a few lines", "line": line_of(error)}
    except MemoryError as error:
        return {"error": f"takes more than {MEMORY_BYTES // 2**20:,} MiB of memory", "line": line_of(error)}
    except Exception as error:  # noqa: BLE001 - somebody else's program may fail in any way
        return {"error": str(error)[:MOST_CHARS] or type(error).__name__, "line": line_of(error)}
    if len(text) > MOST_CHARS:
        return {"error": f"writes {len(text):,} characters around a few lines", "line": None}
    return {"text": text}


def line_of(error: BaseException) -> int | None:
    """The template's line at which it failed; ``None`` where that is not known."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<template>"]
    return lines[-1] if lines else getattr(error, "lineno", None)


def bound_memory() -> None:
    """Gives this process its bounds: memory, and no byte into any file."""
    for what, most in ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):  # a system that has no such bound, or a lower one
            resource.setrlimit(what, (most, most))


def bound_time() -> None:
    """Gives the next rendering its seconds: SIGXCPU comes when this process has had them."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used.ru_utime + used.ru_stime) + CPU_SECONDS, most))


def main() -> None:
    """Answers requests until there are none."""

    def stop(signum: int, frame: object) -> None:
        del signum, frame
        raise TooLong

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair; this process ends with its pipe
    sys.path.append(sys.argv[1])
    import jinja2.sandbox  # noqa: F401 - before memory is bounded

    bound_memory()
    signal.signal(signal.SIGXCPU, stop)
    compiled: dict[str, Any] = {}
    for line in sys.stdin:
        try:
            bound_time()
            found = answer(json.loads(line), compiled)
        except TooLong:  # it came just behind the rendering
            found = {"error": f"takes more than {CPU_SECONDS} s of a core for a few lines", "line": None}
        print(json.dumps(found), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
