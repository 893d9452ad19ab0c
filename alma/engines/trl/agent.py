"""torchrun, as long as the process lives that started it: ``alma.engines.trl.launch`` does, as a program of its own.

It imports torch alone. What trains is in the processes that it starts, each with the libraries.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PARENT = "ALMA_TRAINING_PARENT"
"""Variable in which its processes find its process id."""


def die_with(parent: int) -> None:
    """Ends this process when ``parent``, which started it, ends in whatever way (Linux).

    Else a training whose stage was killed would go on, and write into what the next attempt reads.
    """
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
    ctypes.CDLL(None, use_errno=True).prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we asked
        os._exit(1)


def main(parent: int, torchrun: list[str]) -> None:
    """Is torchrun until it ends or ``parent`` does."""
    from torch.distributed import run

    die_with(parent)
    os.environ[PARENT] = str(os.getpid())
    run.main(torchrun)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
