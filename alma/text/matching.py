"""Whether texts match a regular expression that somebody wrote, in a bounded process (``matcher``).

The expressions are Python's, matched by Python's own ``re``: an engine that is never slow knows neither references back
nor looking ahead, and an expression would mean something else there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice

from alma.bounded import unbounded
from alma.errors import ConfigError, TransientError
from alma.text import matcher

AT_ONCE = 64
"""Texts that are asked for together."""

SHOWN_CHARS = 40


def full_matches(setting: str, pattern: str, texts: Iterable[tuple[str, str]]) -> Iterator[bool]:
    """For each text, whether ``pattern`` matches it in full; a dot matches line ends too. The texts have names.

    Raises ``ConfigError``, which names ``setting`` and the text, where one takes more than ``matcher.CPU_SECONDS`` or
    ``matcher.MEMORY_BYTES``.
    """
    with unbounded():
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
            [sys.executable, "-I", matcher.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={}
        )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        waiting = iter(texts)
        process.stdin.write(json.dumps(pattern).encode() + b"\n")
        while asked := list(islice(waiting, AT_ONCE)):
            process.stdin.write(json.dumps([text for _, text in asked]).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                raise BrokenPipeError
            answer = json.loads(line)
            matched = answer["matched"]
            yield from matched
            if answer["fault"] is not None:
                name, text = asked[len(matched)]
                raise ConfigError(
                    f"{setting} = {pattern[:60]!r}: takes more than {answer['fault']} for {name}, which has "
                    f"{len(text):,} characters ({text[:SHOWN_CHARS]!r}…); write it so that a text can be matched in "
                    "one way only: 'a+' where it is '(a+)+'"
                )
    except BrokenPipeError as error:
        code = process.wait()
        how = f"signal {-code}" if code < 0 else f"status {code}"
        raise TransientError(f"the process that matches {setting} ended ({how}); run again to go on") from error
    finally:
        process.kill()
        with suppress(BrokenPipeError):  # of what was not read
            process.communicate()
