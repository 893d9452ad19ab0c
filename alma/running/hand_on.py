"""The last task of a layer: what the layer made joins the ledger, whose new name is all that the next layer gets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alma.artifact import Ref, find_manifest
from alma.errors import ConfigError, TransientError
from alma.running.ledger import Ledger, distrust_cache
from alma.store import Store, open_store
from alma.store.files import publish


def hand_on(store_uri: str, state: str, made: Sequence[str], *, out: str | None = None) -> str:
    """Writes the ledger ``state`` joined by ``made`` (``LABEL=STAGE/KEY`` each); its key, also into file ``out``.

    Kubeflow's cache knows that a task was done, not whether what it made is still there. Where something is not, all
    that the cache knows of this store is distrusted from now on and ``TransientError`` raised: the next attempt at the
    run computes what is missing.
    """
    store = open_store(store_uri)
    found = dict(map(read_made, made))
    check_there(store, found)
    key = Ledger.read(store, state).with_artifacts({label: str(ref) for label, ref in found.items()}).write(store)
    if out:
        with publish(Path(out)) as file:
            file.write(key.encode())
    return key


def read_made(given: str) -> tuple[str, Ref]:
    """``LABEL=STAGE/KEY``. Raises ``ConfigError``."""
    label, equals, name = given.rpartition("=")
    if not equals or not label:
        raise ConfigError(f"--made {given!r}: write it as LABEL=STAGE/KEY")
    return label, Ref.parse(name)


def check_there(store: Store, made: dict[str, Ref]) -> None:
    """Raises ``TransientError`` where an artifact is not whole in the store, and has the cache distrusted."""
    gone = [f"{label} ({ref})" for label, ref in made.items() if find_manifest(store, ref) is None]
    if gone:
        distrust_cache(store)
        raise TransientError(
            f"{store.uri}: {', '.join(gone)} was made and is there no more; submit the run again, and it is made anew"
        )
