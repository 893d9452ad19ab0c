"""How the threads of numerical libraries wait for each other: asleep, so that a busy machine slows a stage by its load.

OpenMP's threads meet after every operation. GNU's OpenMP, which torch is built with, lets a thread that came early spin
for up to 300,000 rounds, milliseconds, before it sleeps (https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html).
Where other processes want the cores, it spins in the time of the thread that it waits for. A small model has operations
of microseconds and pays this at each of them: ``benchmarks/busy.py`` measures it.

How many threads there are is left to torch: results depend on it in their last digits.
"""

from __future__ import annotations

from collections.abc import MutableMapping

POLICY = "OMP_WAIT_POLICY"
CHOSEN_BY = (POLICY, "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Variables by which a person chooses how long threads spin: OpenMP's own, GNU's and Intel's."""


def sleep_while_waiting(environment: MutableMapping[str, str]) -> None:
    """Has OpenMP's threads sleep while they wait, unless ``environment`` says otherwise.

    For ``os.environ`` it has to come before torch is imported, which reads it once; child processes inherit it.
    """
    if not any(name in environment for name in CHOSEN_BY):
        environment[POLICY] = "PASSIVE"
