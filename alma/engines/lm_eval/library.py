"""The library: imported when an exam is held, and never before."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

from alma.errors import ConfigError

REMEDY = (
    "use an image made from images/harness, or install it: pip install -c constraints.txt 'alma-align[torch,harness]'"
)


def library(name: str = "lm_eval") -> ModuleType:
    """The module ``lm_eval``, or one of its own. Raises ``ConfigError`` where it is not installed.

    A metric that it does not have itself is a script of the Hub, which is not fetched.
    """
    os.environ.setdefault("HF_EVALUATE_OFFLINE", "1")
    try:
        with quiet():
            return import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"an evaluator of kind 'harness' needs {error.name}, which is not here: {REMEDY}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps its remarks off the terminal: standard error carries alma's own events."""
    logger = logging.getLogger("lm_eval")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
