"""The last task of a layer: what the layer made joins the ledger, whose new name is all that the next layer gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from alma.artifact import Ref, find_manifest
from alma.errors import AlmaError, ConfigError, TransientError
from alma.monitor import journal
from alma.monitor.journal import MOST_LABEL_CHARS, Journal, Place
from alma.pace import BETWEEN
from alma.recipes.graph import SOURCES
from alma.running.ledger import Ledger, distrust_cache
from alma.store import Store, open_store
from alma.store.files import publish


def hand_on(store_uri: str, state: str, made: Sequence[str], *, out: str | None = None, run: str | None = None) -> str:
    """Writes the ledger ``state`` joined by ``made`` (``LABEL=STAGE/KEY`` each); its key, also into file ``out``.

    The journal of ``run`` gets what the cache knew and no step of this run has told, and why handing on failed.

    Kubeflow's cache knows that a task was done, not whether what it made is still there. Where something is not, all
    that the cache knows of this store is distrusted from now on and ``TransientError`` raised: the next attempt at the
    run computes what is missing.
    """
    store = open_store(store_uri)
    found = dict(map(read_made, made))
    with telling(store, run, found):
        check_there(store, found)
        key = Ledger.read(store, state).with_artifacts({label: str(ref) for label, ref in found.items()}).write(store)
        if run:
            journal.mark_sealed(store, run, found)
    if out:
        with publish(Path(out)) as file:
            file.write(key.encode())
    return key


@contextmanager
def telling(store: Store, run: str | None, made: Mapping[str, Ref]) -> Iterator[None]:
    """Keeps in the journal of ``run`` with what error handing on ended; nothing where it ends well."""
    layer = next(iter(made), "").rpartition(BETWEEN)[0] or SOURCES
    place = Place(run, f"{layer}{BETWEEN}hand on") if run else None
    try:
        yield
    except AlmaError as error:
        if place:
            Journal(store, place, "hand-on").end("failed", error=error)
        raise
    if place and store.exists(place.name):
        Journal(store, place, "hand-on").end("sealed")


def read_made(given: str) -> tuple[str, Ref]:
    """``LABEL=STAGE/KEY``. Raises ``ConfigError``."""
    label, equals, name = given.rpartition("=")
    if not equals or not label:
        raise ConfigError(f"--made {given!r}: write it as LABEL=STAGE/KEY")
    if len(label) > MOST_LABEL_CHARS:
        raise ConfigError(f"--made: a label has {len(label):,} characters; give at most {MOST_LABEL_CHARS}")
    return label, Ref.parse(name)


def check_there(store: Store, made: dict[str, Ref]) -> None:
    """Raises ``TransientError`` where an artifact is not whole in the store, and has the cache distrusted."""
    gone = [f"{label} ({ref})" for label, ref in made.items() if find_manifest(store, ref) is None]
    if gone:
        distrust_cache(store)
        raise TransientError(
            f"{store.uri}: {', '.join(gone)} was made and is there no more; submit the run again, and it is made anew"
        )
