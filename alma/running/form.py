"""What a person typed into a pipeline's form, over the settings that were compiled in."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from alma.config import METHODS
from alma.config.kubernetes import Image, Labels, Size, Tolerated
from alma.config.runfile import apply
from alma.errors import ConfigError
from alma.regular import check_levels, parse

CHANGES = "changes"
"""The field that holds a setting per line."""

FIELD = "form field"
"""What stands for a field's value in settings (``pipelines.job_placement``). No label has such a name."""


def changes(text: str) -> list[str]:
    """The lines of ``changes``: ``alma.rounds=3`` each; empty ones and those that begin with # count as none.

    Raises ``ConfigError`` for a line that sets something else than the method, and for a ``$``, which may not have
    arrived as it was typed: Kubernetes turns ``$$`` in a command line into ``$``.
    """
    lines = [line.strip() for line in text.splitlines()]
    found = [line for line in lines if line and not line.startswith("#")]
    for line in found:
        root = line.partition("=")[0].partition(".")[0].strip()
        if root not in METHODS:
            raise ConfigError(
                f"the form's {CHANGES}: {line!r}: a line sets {' or '.join(f'{name}.…' for name in METHODS)}; what is "
                "not of the method (placement) is another field of the form, or is compiled in"
            )
        if "$" in line:
            raise ConfigError(
                f"the form's {CHANGES}: {line!r}: write $ as \\u0024, in a TOML string (\"…\"): a pod's command line "
                "does not keep it"
            )
    return found


def resolve(compiled: Mapping[str, Any], text: str, sources: Mapping[str, str]) -> dict[str, Any]:
    """The method's tree: ``compiled``, then the form's ``sources`` (use → where it lies), then its ``changes``."""
    tree = copy.deepcopy(dict(compiled))
    root = next(iter(tree), None)
    if list(tree) != [root] or root not in METHODS or not isinstance(tree[root], dict):
        raise ConfigError(f"--run-file holds no [{'] or ['.join(METHODS)}] alone; compile the run file again")
    for use, source in sources.items():
        if not isinstance(tree[root].setdefault(use, {}), dict):
            raise ConfigError(f"--source {use}: {root}.{use} is no section; name one that is")
        tree[root][use]["source"] = source
    for line in changes(text):
        apply(tree, line, f"the form's {CHANGES}: ")
    return tree


def fill_in(value: Any, form: Mapping[str, str]) -> Any:
    """``value`` with every ``{FIELD: NAME}`` in it replaced by what that field of the form holds.

    ``{FIELD: NAME, "json": true}`` is read as JSON. Raises ``ConfigError`` that names the field.
    """
    if isinstance(value, dict) and FIELD in value:
        field = str(value[FIELD])
        if field not in form:
            raise ConfigError(f"the form has no field {field!r}, which the placement was compiled with")
        if not value.get("json"):
            return form[field]
        found = parse(form[field], f"the form's {field}", ConfigError)
        check_levels(found, f"the form's {field}")
        return found
    if isinstance(value, dict):
        return {name: fill_in(each, form) for name, each in value.items()}
    if isinstance(value, list):
        return [fill_in(each, form) for each in value]
    return value


_WORDS: dict[str, TypeAdapter[Any]] = {
    "image_": TypeAdapter(Image),
    "memory_": TypeAdapter(Size),
    "node_selector": TypeAdapter(Labels),
    "node_tolerations": TypeAdapter(list[Tolerated]),
}
"""How fields begin whose values go to Kubernetes → what it takes."""

_GPUS = "gpus_"
"""How the fields begin that hold a number of GPUs."""


def check_form(form: Mapping[str, str]) -> None:
    """Raises ``ConfigError`` for a field that Kubernetes would refuse, later, when its pods are made.

    ``gpus_ROLE`` is at least 1: its pods were compiled to have GPUs. Whether the cluster has so many is not asked: one
    that scales up from none has none before it is asked for.
    """
    for name, text in form.items():
        if name.startswith(_GPUS) and not (text.isdecimal() and len(text) < 10 and int(text) >= 1):
            raise ConfigError(
                f"the form's {name} is {text[:80]!r}, and these pods were compiled to have GPUs: give 1 or more, or "
                f"compile again with placement.{name.removeprefix(_GPUS)}.gpus = 0"
            )
        for beginning, kind in _WORDS.items():
            if name.startswith(beginning):
                _check_field(name, text, kind)


def _check_field(name: str, text: str, kind: TypeAdapter[Any]) -> None:
    value: Any = text
    if name in ("node_selector", "node_tolerations"):
        value = parse(text, f"the form's {name}", ConfigError)
        check_levels(value, f"the form's {name}")
    try:
        kind.validate_python(value)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join([name, *map(str, fault["loc"])])
        raise ConfigError(f"the form's {place}: {fault['msg'].removeprefix('Value error, ')}") from error


def pairs(given: Sequence[str], option: str) -> dict[str, str]:
    """``NAME=VALUE`` each, as a mapping. Raises ``ConfigError``."""
    found: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise ConfigError(f"{option} {each!r}: write it as NAME=VALUE")
        found[name] = value
    return found
