"""Runs the command line and SIGKILLs itself at a named point: ``python killed.py WHERE PATTERN COUNT -- ARGUMENTS``.

WHERE is ``before`` or ``after`` the COUNT-th publication of an object whose name matches PATTERN, or ``step``: the
COUNT-th advance of a progress bar whose unit matches PATTERN.
"""

import os
import re
import signal
import sys
from typing import Any

from alma import cli
from alma.progress import Progress
from alma.store import FolderStore


def main() -> None:
    where, pattern, count, _, *arguments = sys.argv[1:]
    left = int(count)

    def die_at(name: str) -> None:
        nonlocal left
        if re.search(pattern, name):
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(method: Any, name_of: Any) -> Any:
        def called(self: FolderStore, *given: Any) -> None:
            if where == "before":
                die_at(name_of(*given))
            method(self, *given)
            if where == "after":
                die_at(name_of(*given))

        return called

    FolderStore.write = around(FolderStore.write, lambda name, data: name)  # type: ignore[method-assign]
    FolderStore.upload = around(FolderStore.upload, lambda path, name: name)  # type: ignore[method-assign]
    if where == "step":
        advance = Progress.advance

        def counted(self: Progress, amount: int = 1, tokens: int = 0) -> None:
            advance(self, amount, tokens)
            die_at(self.unit)

        Progress.advance = counted  # type: ignore[method-assign]
    cli.main(arguments)


if __name__ == "__main__":
    main()
