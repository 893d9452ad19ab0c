"""Tries a tokenizer.json in a process of its own, within bounds: a program, run by its path from ``tokenizer_trial``.

A tokenizer is somebody else's program, too: its regular expressions may try every way to cut a text in two, its
replacements may double a text twenty times, its vocabulary may fill all memory. So this process imports nothing but
tokenizers, gives itself bounds, and says what it is about to do before it does it, a line of JSON each.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

CPU_SECONDS = 30
"""Of a core, for all; the largest published tokenizers take a tenth of it."""

MEMORY_BYTES = 2**32
"""Of addresses, for this process."""

MOST_TOKENS = 32
"""For a byte of text: a byte is a token at most, of which normalisation may make a few (NFKD: 18)."""

RUN = 2000
"""Characters of a text that repeats what a regular expression looks for."""

TEXTS = (
    "Why is the sky blue? Because of Rayleigh's scattering: 1/λ⁴, 12,345.67 nm.\n\n\tfor i in range(10):  print(i)\r\n",
    "Grüße, 東京都の天気はどうですか。 मौसम कैसा है؟ 👩‍👩‍👧 ﷺ \u0000\u200b\ufeff",
)
"""Texts as there are some."""

_CHARACTERS = "a Z0\n\t.-_\"'é中ा👍"
"""What is repeated, beside what the tokenizer's own patterns hold."""


def patterns(value: Any) -> Iterator[str]:
    """What a part of a tokenizer looks for in a text."""
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            yield from (each for name, each in here.items() if isinstance(each, str) and name in ("Regex", "String"))
            waiting += here.values()
        elif isinstance(here, list):
            waiting += here


def texts(found: str) -> Iterator[str]:
    """Texts that make a pattern work: each of its characters and words many times over, and then none of them."""
    for character in dict.fromkeys(_CHARACTERS + found[:1000]):
        yield character * RUN + "\x01"
    words = dict.fromkeys("".join(c if c.isalnum() else " " for c in found[:1000]).split())
    for word in list(words)[:100]:
        yield word * (RUN // len(word)) + "\x01"


def say(**said: object) -> None:
    """A line to the process that started this one."""
    print(json.dumps(said), flush=True)  # noqa: T201


def run(path: Path) -> None:
    """Loads the tokenizer and has each of its parts work."""
    say(part="its JSON")
    stated = json.loads(path.read_bytes())
    say(part="its vocabulary")
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tried = [*TEXTS]
    for part in ("normalizer", "pre_tokenizer"):
        worker = getattr(tokenizer, part)
        if worker is None:
            continue
        for text in (*TEXTS, *texts("".join(patterns(stated[part])))):
            say(part=part, text=text[:20])
            _ = worker.normalize_str(text) if part == "normalizer" else worker.pre_tokenize_str(text)
            tried.append(text)
    for text in tried:
        say(part="model", text=text[:20])
        ids = tokenizer.encode(text).ids
        if len(ids) > MOST_TOKENS * (len(text.encode()) + 100):
            say(fault=f"makes {len(ids):,} tokens of {len(text):,} characters")
            return
        say(part="decoder", text=text[:20])
        tokenizer.decode(ids[:RUN])
    say(part=None)


def main() -> None:
    """Gives this process its bounds: memory, time, and no byte into any file."""
    sys.path.append(sys.argv[1])
    for what, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):  # a system that has no such bound, or a lower one
            resource.setrlimit(what, (most, most))
    try:
        run(Path(sys.argv[2]))
    except MemoryError:
        say(fault=f"takes more than {MEMORY_BYTES // 2**20:,} MiB of memory")
    except Exception:  # noqa: BLE001 - a file that is no tokenizer is told of by who loads it
        say(part=None)
    except BaseException as error:  # noqa: BLE001 - Rust's panics: a regular expression that was tried too often
        say(fault=f"fails: {error}"[:200])


if __name__ == "__main__":
    main()
