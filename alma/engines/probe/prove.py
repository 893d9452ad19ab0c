"""Proves a model: what is safe with its architecture is found out on a miniature, in seconds."""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from alma.engines.hf.rotary import borders_of, by_row
from alma.engines.model_folder import text_config
from alma.engines.probe import checks
from alma.engines.probe.miniature import BORDER, NUM_IDS, miniature
from alma.engines.ways import SAFEST, Finding, Proof, Ways
from alma.errors import DataError, NoSpaceError
from alma.remedies import as_ours

TOLERANCE = 0.01
"""Nats. The same arithmetic in another order differs by 1e-6 to 1e-3 in float32; what is wrong by 0.1 and more."""

_SHORT, _LONG = (5, 19, 12, 3, 16), (BORDER - 8, BORDER + 12, BORDER + 3, BORDER - 2)


_PROVEN: dict[str, Proof] = {}
"""By the text of config.json: nothing else of a folder is read."""


def prove(model: Path) -> Proof:
    """Tries the architecture of the model in folder ``model``; raises ``DataError`` where it holds no config.

    A config is tried once per process.
    """
    config = text_config(model)
    vars(config).pop("quantization_config", None)  # a miniature's weights are whole
    text = (model / "config.json").read_text(encoding="utf-8")
    if text not in _PROVEN:
        with _apart():
            _PROVEN[text] = prove_config(config)
    return _PROVEN[text]


def prove_config(config: Any) -> Proof:
    """Tries the architecture that ``config`` (of transformers) describes."""
    try:
        small = miniature(config)
    except DataError as error:
        finding = Finding("a miniature of the model", None, str(error), "one whole text at a time")
        return Proof(config.model_type, SAFEST, (finding,))
    by_row(small)
    with torch.inference_mode():
        return _Trial(config.model_type, small).run()


class _Trial:
    """The checks of one model, in their order; each finds what the next ones may take for granted."""

    def __init__(self, model_type: str, small: Any) -> None:
        self.model_type = model_type
        self.subject = checks.Subject(small)
        generator = torch.Generator().manual_seed(0)
        sizes = [_SHORT] if borders_of(small) is None else [_SHORT, _LONG]
        self.groups = [
            [torch.randint(3, NUM_IDS, (size,), generator=generator).tolist() for size in each] for each in sizes
        ]
        self.findings: list[Finding] = []

    def run(self) -> Proof:
        """All checks."""
        for name, check, wrong in (
            ("saved and loaded", checks.reloaded, "what is written is not what is read again"),
            ("a text read twice", checks.twice, "what it says depends on what it has read before"),
            ("the beginning of a text, with and without what follows", checks.causal, "it sees what comes later"),
        ):
            sides = 1 if check is checks.causal else 2  # beyond a border all that came before is turned anew
            if not self._holds(name, check, sides=sides):
                differs = self.findings[-1]
                said = differs.problem or f"log-probabilities differ by up to {differs.differs:g}"
                refusal = (
                    f"a model of type {self.model_type} cannot be used: {wrong} ({name}: {said}); take another model, "
                    "or a version of transformers in which this holds"
                )
                return Proof(self.model_type, SAFEST, tuple(self.findings), refusal)
        ways = Ways(
            packed=self._holds("joined into one row", checks.packed, "rows of a training are padded, not joined"),
            right=self._holds("side by side, padded on the right", checks.right, "one row at a time"),
            left=self._holds("side by side, padded on the left", checks.left, "rows of one length, or one at a time"),
        )
        ways = self._cached(ways)
        if ways.cache == "none":
            return Proof(self.model_type, replace(ways, prefix=False), tuple(self.findings))
        prefix = self._holds(
            "rated after a cached beginning", checks.rated(ways), "every text that is rated is read whole"
        )
        return Proof(self.model_type, replace(ways, prefix=prefix), tuple(self.findings))

    def _cached(self, ways: Ways) -> Ways:
        """The fastest way to let texts grow; every way that was tried and does not hold is a finding."""
        said = {
            ("shared", True): "a prompt is read once for all its samples",
            ("own", True): "a prompt is read once for each of its samples",
            ("shared", False): "prompts of one length side by side",
            ("own", False): "prompts of one length side by side, each read for each of its samples",
        }
        candidates = checks.cached_ways(ways)
        for place, each in enumerate(candidates):
            following = [*candidates[place + 1 :], None][0]
            chosen = "whole texts, without a cache" if following is None else said[following.cache, following.left]
            name = f"a token at a time with a cache: {said[each.cache, each.left]}"
            if self._holds(name, checks.grown(each), chosen):
                return each
        return replace(ways, cache="none")

    def _holds(self, name: str, check: checks.Check, chosen: str = "", sides: int = 2) -> bool:
        """Runs a check on texts on one side of the rotary border, and, with ``sides`` = 2, on texts on both."""
        for place, texts_NT in enumerate(self.groups[:sides]):
            said = name if place == 0 else f"{name}, on both sides of the rotary border"
            try:
                differs = check(self.subject, texts_NT)
            except Exception as error:
                if isinstance(ours := as_ours(error), NoSpaceError):  # the machine is at fault, and not the model
                    raise NoSpaceError(
                        f"a model is tried with temporary files in {tempfile.gettempdir()} (TMPDIR names another "
                        f"place): {ours}"
                    ) from error
                problem = f"{type(error).__name__}: {error}".partition("\n")[0][:200]
                self.findings.append(Finding(said, None, problem, chosen))
                return False
            if differs == math.inf:
                self.findings.append(Finding(said, None, "log-probabilities that are no numbers", chosen))
                return False
            if not differs <= TOLERANCE:
                # To one digit: the others depend on the machine, and the proof is part of a sealed artifact.
                self.findings.append(Finding(said, float(f"{differs:.0e}"), "", chosen))
                return False
            self.findings.append(Finding(said, 0.0))
        return True


@contextmanager
def _apart() -> Iterator[None]:
    """Leaves the process' random numbers as they were, and keeps transformers' remarks off the terminal."""
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
