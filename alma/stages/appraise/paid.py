"""Replies that were paid for and are in no published part yet, kept on this machine: ``Paid``.

A part is published when it is whole. What a killed process had got of the next one is found here by the next attempt on
the same machine, and is not asked for again.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from alma.engines.openai.chat import Reply


class Paid:
    """A file of replies, a line each, written as soon as they come; leave the ``with`` block to close it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._found: dict[str, list[Reply]] = defaultdict(list)
        before = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        for line in before.splitlines():
            try:
                asked, *reply = json.loads(line)
                self._found[asked].append(Reply(*reply))
            except (ValueError, TypeError):  # the process was killed in the middle of this line
                continue
        self._file = path.open("a", encoding="utf-8")
        if before and not before.endswith("\n"):
            self._file.write("\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def take(self, body: Mapping[str, Any]) -> Reply | None:
        """The reply to this body that an earlier attempt got, once for every time that it got one."""
        found = self._found[_name(body)]
        return found.pop(0) if found else None

    def keep(self, body: Mapping[str, Any], reply: Reply) -> None:
        """Writes down a reply; from any thread."""
        line = json.dumps([_name(body), *reply])
        with self._lock:
            self._file.write(line + "\n")
            self._file.flush()


def _name(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
