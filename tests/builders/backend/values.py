"""Parameters and artifacts as the backend holds them: typed values, records, and their texts."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

from pipelines.rules.limits import go_json


class BackendError(AssertionError):
    """The backend would break here, or hand a container something that nobody meant."""


@dataclass(frozen=True)
class Artifact:
    """One artifact as it is recorded: in MLMD by its number, which is its name to those that read it."""

    id: str
    uri: str
    type: dict[str, Any]
    metadata: dict[str, Any]

    def record(self) -> dict[str, Any]:
        """What a task that reads it gets in its executor input."""
        return {"name": self.id, "uri": self.uri, "type": self.type, "metadata": self.metadata}


@dataclass
class Outputs:
    """What a task or layer left."""

    parameters: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, Artifact] = field(default_factory=dict)


TYPES: dict[str, tuple[type, ...]] = {
    "NUMBER_INTEGER": (int, float),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "STRUCT": (dict,),
    "TASK_FINAL_STATUS": (dict,),
}


def typed(name: str, value: Any, kind: str) -> Any:
    """``value`` as a parameter of type ``kind``: a text is made of anything where one is asked for."""
    if kind == "STRING":
        return text(value)
    if kind not in TYPES:
        raise BackendError(f"parameter {name!r} has the type {kind}, which is not known here")
    right = isinstance(value, TYPES[kind]) and (kind == "BOOLEAN") == isinstance(value, bool)
    if not right:
        raise BackendError(f"input parameter {name!r} type mismatch: expect {kind}, got {value!r}")
    return value


def text(value: Any) -> str:
    """A parameter's value in a command line."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(int(value)) if float(value).is_integer() else repr(value)
    return go_json(value)


def from_file(name: str, content: str, kind: str) -> Any:
    """The value of an output parameter from the file that a container wrote. A text keeps its last line's end."""
    if kind == "STRING":
        return content
    try:
        if kind == "NUMBER_INTEGER":
            return int(content.strip())
        if kind == "NUMBER_DOUBLE":
            return float(content.strip())
        if kind == "BOOLEAN":
            return {"true": True, "false": False}[content.strip().lower()]
        return typed(name, json.loads(content), kind)
    except (ValueError, KeyError) as error:
        raise BackendError(f"output parameter {name!r} of type {kind} cannot be {content[:80]!r}") from error


def metadata(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """An artifact's metadata as MLMD keeps it: it has no null and makes numbers of truth values."""
    for key, value in values.items():
        if value is None:
            raise BackendError(f"metadata {key!r} of the artifact {name!r} is null: unknown/unsupported value type")
        if isinstance(value, float) and not math.isfinite(value):
            raise BackendError(f"metadata {key!r} of the artifact {name!r} is {value}, which JSON does not have")
    return {key: int(value) if isinstance(value, bool) else value for key, value in values.items()}
