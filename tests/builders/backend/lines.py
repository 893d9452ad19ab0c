"""A command line on its way: the driver, then Kubernetes, then the launcher."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from tests.builders.backend.values import BackendError, text

ANY = re.compile(r"\{\{\$.*?\}\}")
INPUT = re.compile(r"\{\{\$\.inputs\.parameters\['(.+?)'\]\}\}")
STRUCTURE = re.compile(r'\s*\{"(IfPresent|Concat)"')


def resolve(
    words: list[str],
    executor_input: dict[str, Any],
    defaults: Mapping[str, Any],
    environment: Mapping[str, str],
    root: PurePosixPath,
) -> list[str]:
    """What the container is started with.

    ``root`` is the folder under which the launcher has its files: ``/`` on a cluster. Raises ``BackendError`` for what
    would reach the container unresolved.
    """
    parameters = executor_input["inputs"].get("parameterValues", {})
    driven = [done for word in words for done in _drive(word, parameters)]
    expanded = [expand(word, environment) for word in driven]
    try:
        arrived = json.loads(expand(json.dumps(executor_input), environment))
    except ValueError as error:
        raise BackendError(f"Kubernetes breaks the executor input by what it puts in for '$(…)': {error}") from error
    known = placeholders(arrived, defaults, root)
    for word in expanded:
        for found in ANY.findall(word):
            if found not in known:
                raise BackendError(f"{found} in {word[:120]!r} reaches the container as it stands")
    return [_replaced(word, known) for word in expanded]


def _drive(word: str, parameters: Mapping[str, Any]) -> list[str]:
    """The driver's part: parameters, and IfPresent on them.

    It leaves a word with an output in it to the launcher, which would find a default: refused here all the same.
    """
    for name in INPUT.findall(word):
        value = parameters.get(name)
        if isinstance(value, str) and INPUT.search(value):
            raise BackendError(f"the input {name!r} is {value!r}, which KFP does not resolve for a command line")
    structure = STRUCTURE.match(word)
    if structure and structure[1] == "Concat":
        raise BackendError(f"a Concat placeholder reaches the container as JSON: {word[:120]}")
    if structure:
        return _present(json.loads(word)["IfPresent"], parameters)
    return [INPUT.sub(lambda found: _parameter(found[1], parameters), word)]


def _present(condition: Mapping[str, Any], parameters: Mapping[str, Any]) -> list[str]:
    name = condition["InputName"]
    if name not in parameters:
        raise BackendError(f"IfPresent on {name!r}: looked up among the given parameters, where it is not")
    words = condition["Then"] if parameters[name] is not None else condition.get("Else", [])
    words = [words] if isinstance(words, str) else words
    if not all(isinstance(word, str) for word in words):
        raise BackendError(f"IfPresent on {name!r}: non-string item in Then or Else")
    return [done for word in words for done in _drive(word, parameters)]


def _parameter(name: str, parameters: Mapping[str, Any]) -> str:
    if name not in parameters:
        raise BackendError(f"parameter {name!r} not found in executor input")
    return text(parameters[name])


def placeholders(executor_input: Mapping[str, Any], defaults: Mapping[str, Any], root: PurePosixPath) -> dict[str, str]:
    """What the launcher puts in, by placeholder. The executor input is first: what stands in it is replaced as well."""
    inputs, outputs = executor_input["inputs"], executor_input["outputs"]
    parameters = {**defaults, **inputs.get("parameterValues", {})}
    known = {"{{$}}": json.dumps(executor_input | {"inputs": inputs | {"parameterValues": parameters}})}
    for side, half in (("inputs", inputs), ("outputs", outputs)):
        for name, listed in half.get("artifacts", {}).items():
            uri = listed["artifacts"][0]["uri"]
            known[f"{{{{$.{side}.artifacts['{name}'].uri}}}}"] = uri
            known[f"{{{{$.{side}.artifacts['{name}'].path}}}}"] = str(local(uri, root))
    for name, value in parameters.items():
        known[f"{{{{$.inputs.parameters['{name}']}}}}"] = text(value)
    for name, record in outputs.get("parameters", {}).items():
        known[f"{{{{$.outputs.parameters['{name}'].output_file}}}}"] = record["outputFile"]
    return known


def local(uri: str, root: PurePosixPath) -> PurePosixPath:
    """Where the launcher has an artifact's file: ``s3://bucket/key`` is ``/s3/bucket/key``."""
    scheme, _, rest = uri.partition("://")
    if scheme not in ("s3", "minio", "gs"):
        raise BackendError(f"failed to generate local path for URI {uri}: unsupported storage scheme")
    return root / ("gcs" if scheme == "gs" else scheme) / rest


def _replaced(word: str, known: Mapping[str, str]) -> str:
    for placeholder, value in known.items():
        word = word.replace(placeholder, value)
    return word


VARIABLE = re.compile(r"\$(\$|\(([^)]*)\))")


def expand(word: str, environment: Mapping[str, str]) -> str:
    """Kubernetes' part: ``$$`` is ``$``, and ``$(NAME)`` the variable's value if the container has one of that name."""

    def value(found: re.Match[str]) -> str:
        return "$" if found[1] == "$" else environment.get(found[2], found[0])

    return VARIABLE.sub(value, word)
