"""Says so where a library takes long to import: torch is seconds, and on a busy machine a minute."""

from __future__ import annotations

import importlib
from types import ModuleType

from alma.store.waiting import waiting

SECONDS = 5.0
"""Until a word is said."""


def imported(module: str, library: str | None = None) -> ModuleType:
    """The module; ``library`` is what a person knows of what is imported with it."""
    with waiting(library or module, "is being imported for", SECONDS):
        return importlib.import_module(module)
