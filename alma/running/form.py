"""What a person typed into a pipeline's form, over the settings that were compiled in."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from alma.config import METHODS
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


def pairs(given: Sequence[str], option: str) -> dict[str, str]:
    """``NAME=VALUE`` each, as a mapping. Raises ``ConfigError``."""
    found: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise ConfigError(f"{option} {each!r}: write it as NAME=VALUE")
        found[name] = value
    return found
