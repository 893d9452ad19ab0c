"""How a model may be run so that every row gets its own result, whatever lies beside it; and how that was found out.

What is not safe with a model is left off by itself: rows apart instead of joined, one by one instead of side by side,
whole texts instead of a cache. ``alma.engines.probe`` finds it out, ``proof.json`` in the model's folder holds it, and
whatever is trained from that model carries it on.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from alma.errors import DataError

PROOF = "proof.json"

_EXACT = ConfigDict(extra="forbid", strict=True)

Cache = Literal["shared", "own", "none"]


@with_config(_EXACT)
@dataclass(frozen=True, slots=True)
class Ways:
    """What is safe with a model. By default everything is."""

    packed: bool = True
    """Rows of a training joined into one sequence, told apart by their positions."""

    right: bool = True
    """Rows of several lengths side by side, padded on the right; without a cache."""

    left: bool = True
    """Rows of several lengths side by side, padded on the left; with and without a cache."""

    cache: Cache = "shared"
    """``shared``: a prompt is read once for all its samples. ``own``: once for each of them. ``none``: the whole text
    is read again for every token."""

    prefix: bool = True
    """Several tokens at once after a cached beginning, as when responses to one prompt are rated."""


SAFEST = Ways(packed=False, right=False, left=False, cache="none", prefix=False)
"""One whole text at a time, as for a model that nothing is known of."""


@with_config(_EXACT)
@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried."""

    check: str
    """What was compared, in words."""

    differs: float | None
    """The largest difference of a log-probability, in nats, to one digit; 0 where it is rounding, ``None`` where it
    could not be run."""

    problem: str = ""
    """Why it could not be run, or what is wrong."""

    chosen: str = ""
    """What is done instead; empty where it is safe."""


@with_config(_EXACT)
@dataclass(frozen=True, slots=True)
class Proof:
    """What was found out about one model. ``refusal`` says why it cannot be used at all."""

    model_type: str
    ways: Ways
    findings: tuple[Finding, ...]
    refusal: str = ""

    @property
    def left_off(self) -> tuple[Finding, ...]:
        """The findings for which something is done instead."""
        return tuple(each for each in self.findings if each.chosen)

    def write(self, path: Path) -> None:
        """Writes JSON."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads what ``write`` wrote; raises ``DataError`` for anything else."""
        try:
            return TypeAdapter(cls).validate_json(path.read_bytes())
        except OSError as error:
            problem = str(error)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            problem = f"{'.'.join(map(str, first['loc'])) or 'all of it'}: {first['msg']}"
        raise DataError(f"{path} is no proof of a model ({problem}); remove it, and the model is tried again")


def proof_of(model: Path) -> Proof:
    """What its ``proof.json`` says of the model in folder ``model``, or what is found out now.

    Raises ``DataError`` for a model that cannot be used rightly in any way.
    """
    if (model / PROOF).is_file():
        proof = Proof.read(model / PROOF)
    else:
        from alma.engines.probe.prove import prove  # torch, and the engines that ask here

        proof = prove(model)
    if proof.refusal:
        raise DataError(f"{model}: {proof.refusal}")
    return proof


def ways_of(model: Path) -> Ways:
    """How the model in folder ``model`` may be run; raises as ``proof_of`` does."""
    return proof_of(model).ways
