"""Whether a tokenizer that somebody brings keeps within bounds: tried in a process of its own (``tokenizer_sandbox``).

What is tried are texts of all kinds, and what its own regular expressions look for, many times over. A text that only
one expression was made for, and that holds nothing of it, is not found this way.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from alma.bounded import unbounded
from alma.engines import tokenizer_sandbox as sandbox
from alma.errors import DataError
from alma.regular import TOKENIZER_BYTES, check_regular

SECONDS = 300.0
"""By the clock, on a machine that does much else."""

FILES = (
    *("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "merges.txt"),
    *("tokenizer_config.json", "added_tokens.json", "special_tokens_map.json", "chat_template.jinja"),
)
"""What is read where a tokenizer is loaded."""


def try_tokenizer(model: Path) -> None:
    """Raises ``DataError``, the file's name first, for a tokenizer that is too large or costs too much to use.

    The cost is time, memory or tokens for the texts that it is tried with. One without a tokenizer.json is bounded by
    the size of its files: then its program is transformers' own.
    """
    for name in FILES:
        if (model / name).is_file():
            check_regular(model / name, TOKENIZER_BYTES, named=name)
    path = model / "tokenizer.json"
    if not path.is_file():
        return
    import tokenizers

    command = [sys.executable, "-I", sandbox.__file__, str(Path(tokenizers.__file__).parents[1]), str(path.resolve())]
    try:
        with unbounded():
            done = subprocess.run(  # noqa: S603 - our own interpreter and program
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env={},
                timeout=SECONDS,
                check=False,
                start_new_session=True,  # a terminal's Ctrl-C would pass for a fault of the tokenizer
            )
        output, fault = done.stdout, _ended(done.returncode)
    except subprocess.TimeoutExpired as error:
        output, fault = error.stdout or b"", f"takes more than {SECONDS:g} s"
    said = [json.loads(line) for line in output.splitlines() if line.endswith(b"}")]
    fault = next((each["fault"] for each in said if "fault" in each), fault)
    if fault is not None:
        raise DataError(
            f"{path}: {_place(path, said)} {fault}; bring the tokenizer.json that the model was published with"
        )


def _ended(code: int) -> str | None:
    """What is wrong with a process that ended so; ``None`` where nothing is."""
    if code == 0:
        return None
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"takes more than {sandbox.CPU_SECONDS} s of a core"
    if code == -signal.SIGABRT:  # how Rust ends where there is no memory
        return f"takes more than {sandbox.MEMORY_BYTES // 2**20:,} MiB of memory"
    return f"ended the process that tried it ({f'signal {-code}' if code < 0 else f'status {code}'})"


def _place(path: Path, said: list[dict[str, Any]]) -> str:
    """What the process was about to do last: a part of the file, what stands there, and with which text."""
    last = next((each for each in reversed(said) if each.get("part")), {"part": "its JSON"})
    part = last["part"]
    if "text" not in last:
        return str(part)
    written = json.loads(path.read_bytes()).get(part) if part != "model" else None
    patterns = [*sandbox.patterns(written)]
    named = ", ".join([*(repr(each[:60]) for each in patterns[:3]), *(["…"] if len(patterns) > 3 else [])])
    return f"{part}{f' ({named})' if named else ''} with {last['text']!r}…"
