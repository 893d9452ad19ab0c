"""The end of a machine that helped in a training: when the first machine has sealed what was trained."""

from __future__ import annotations

import time
from collections.abc import Callable

from alma.artifact import Manifest, Ref, find_manifest
from alma.errors import Stopped, TransientError
from alma.nodes import Nodes
from alma.store import Store

POLL_SECONDS = 2.0


def await_seal(store: Store, ref: Ref, nodes: Nodes, stopping: Callable[[], bool]) -> Manifest:
    """Waits until ``ref`` is sealed. A helper that ended earlier could not train again with a first one that died.

    Raises ``TransientError`` when the first machine begins anew, ``Stopped`` when it is asked to stop.
    """
    closed = False
    while True:
        manifest = find_manifest(store, ref)
        if manifest:
            return manifest
        if stopping():
            raise Stopped(f"{ref}: stopped as asked before the first machine had sealed it")
        met = nodes.is_met()
        if met and closed:
            raise TransientError(f"{ref}: the first machine trains anew, and needs this one again")
        closed = closed or not met
        time.sleep(POLL_SECONDS)
