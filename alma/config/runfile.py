"""Reads a run file: TOML in, one frozen tree of settings out. Everything is checked before any work starts."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from alma.config.alma import Alma
from alma.config.isara import Isara
from alma.config.method import Method
from alma.errors import ConfigError
from alma.regular import LEVELS, MANY_DIGITS, SETTINGS_BYTES, TOO_MANY_DIGITS, check_levels, read_regular
from alma.sections import Section

METHODS: dict[str, type[Method]] = {"alma": Alma, "isara": Isara}
"""Root of a run file → the settings of the method that it names: a line per method."""

PLACEMENT = "placement"
"""The root of a run file that is the cluster's."""


def load(path: Path, overrides: Sequence[str] = ()) -> Method:
    """Reads a run file and applies ``overrides`` such as ``alma.rounds=3`` (the right side is TOML).

    Raises ``ConfigError`` that names the file, the key, the value and what is accepted.
    """
    return parse(read_tree(path, overrides), str(path))


def read_tree(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """A run file as plain values, ``overrides`` applied. Raises ``ConfigError`` for one that is not TOML."""
    try:
        text = read_regular(path, SETTINGS_BYTES, kind=ConfigError).decode("utf-8")
        tree = tomllib.loads(text)
    except ConfigError:  # a ValueError, of what the path leads to
        raise
    except FileNotFoundError as error:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.toml")], n=3, cutoff=0.4)
        raise ConfigError(f"{path}: no such run file{_suggest(near) or '; name one that is there'}") from error
    except IsADirectoryError as error:
        raise ConfigError(f"{path}: is a folder; name the run file (a .toml) in it") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}; mend it there") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: is nested too deep to be read; settings have four levels") from error
    except ValueError as error:
        if TOO_MANY_DIGITS in str(error):
            raise ConfigError(f"{path}: {MANY_DIGITS}") from error
        raise ConfigError(f"{path}: not readable as TOML: {error}; mend it") from error
    check_levels(tree, str(path))
    for override in overrides:
        apply(tree, override)
    return tree


def parse(tree: dict[str, Any], origin: str) -> Method:
    """The settings of a parsed run file, of the method that it names. Raises ``ConfigError`` that names ``origin``."""
    roots = (*METHODS, PLACEMENT)
    unknown = sorted(set(tree) - set(roots))
    if unknown:
        known = f"a run file has [{'], ['.join(roots)}]: rename it, or remove it"
        raise ConfigError(f"{origin}: unknown root [{_short(unknown[0])[1:-1]}]; {known}")
    named = [root for root in METHODS if root in tree]
    if len(named) != 1:
        said = f"both [{'] and ['.join(named)}]" if named else "no method"
        raise ConfigError(f"{origin}: {said}; a run file has the settings of one: [{'] or ['.join(METHODS)}]")
    method = METHODS[named[0]]
    try:
        return method.model_validate(tree[named[0]])
    except ValidationError as error:
        raise ConfigError(explain(error, origin, named[0], method)) from error


def explain(error: ValidationError, origin: str, root: str, model: type[Section]) -> str:
    """One line per fault: file, key, value, what is accepted."""
    lines = []
    for fault in error.errors():
        place = ".".join([root, *(str(step) for step in fault["loc"])])
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            fields = _fields_at(model, fault["loc"][:-1])
            near = difflib.get_close_matches(str(fault["loc"][-1]), fields, n=3, cutoff=0.5)
            others = f"; there are: {', '.join(sorted(fields))}" if fields else ""
            message = f"unknown setting{_suggest(near) or others}"
        elif fault["type"] == "missing":
            message = "is required"
        elif fault["type"].startswith("union_tag"):
            kinds = [each.model_fields["kind"].default for each in _sections_at(model, fault["loc"])]
            message = f"kind is {fault.get('ctx', {}).get('tag', 'missing')}; there are: {', '.join(sorted(kinds))}"
        elif fault["type"] == "tuple_type" and _sections_at(model, fault["loc"]):
            message = f"is a list: write [[{place}]] before each entry (it is {_short(fault['input'])})"
        elif fault["type"] != "value_error":
            message = f"{message} (it is {_short(fault['input'])})"
        lines.append(f"{origin}: {place}: {message}")
    return "\n".join(lines)


def _fields_at(model: type[Section], steps: Sequence[int | str]) -> list[str]:
    """The settings of the section at ``steps``."""
    found = _sections_at(model, steps)
    return list(found[0].model_fields) if len(found) == 1 else []


def _sections_at(model: type[Section], steps: Sequence[int | str]) -> list[type[Section]]:
    """What may stand at ``steps``; of a list's entry, the step behind its number is its kind."""
    found = [model]
    for step in steps:
        if isinstance(step, int):
            continue
        of_kind = [each for each in found if "kind" in each.model_fields and each.model_fields["kind"].default == step]
        found = of_kind or [inner for each in found if step in each.model_fields for inner in _sections_in(each, step)]
    return found


def _sections_in(model: type[Section], field: str) -> list[type[Section]]:
    """The sections that a field of ``model`` may hold."""
    waiting: list[Any] = [model.model_fields[field].annotation]
    found = []
    while waiting:
        kind = waiting.pop()
        waiting += getattr(kind, "__args__", ())
        if isinstance(kind, type) and issubclass(kind, Section):
            found.append(kind)
    return found


def apply(tree: dict[str, Any], override: str, where: str = "--set ") -> None:
    """Sets one value of a run file's tree, such as ``alma.rounds=3``. Raises ``ConfigError`` that names ``where``."""
    shown = override if len(override) <= 200 else f"{override[:200]}…"
    place, equals, text = override.partition("=")
    steps = place.strip().split(".")
    if not equals or not all(steps):
        raise ConfigError(f"{where}{shown!r}: write it as alma.section.key=value")
    try:
        loaded = tomllib.loads(f"value = {text}")
        value = loaded["value"] if len(loaded) == 1 else text.strip()
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a bare word, so that nobody has to quote twice in a shell
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{where}{shown!r}: the value is not readable as TOML: {str(error)[:100]}; mend it"
        ) from error
    if len(steps) > LEVELS:
        raise ConfigError(f"{where}{shown!r}: names more than {LEVELS} levels; no setting has as many as ten")
    check_levels(value, f"{where}{shown!r}")
    for step in steps[:-1]:
        tree = _entered(tree, step, f"{where}{shown!r}")
    if not isinstance(tree, dict):
        raise ConfigError(f"{where}{shown!r}: {steps[-2]} is a list: name one of its entries and a setting of it")
    tree[steps[-1]] = value


def _entered(tree: Any, step: str, said: str) -> Any:
    """What lies below ``tree`` under ``step``: a section, made where there is none, or a list's entry of that name."""
    if isinstance(tree, list):
        found = next((each for each in tree if isinstance(each, dict) and each.get("name") == step), None)
        if found is None:
            given = [each["name"] for each in tree if isinstance(each, dict) and "name" in each]
            names = ", ".join(each if isinstance(each, str) else _short(each) for each in given)
            raise ConfigError(f"{said}: no entry is named {step}; there are: {names or 'none'}")
        return found
    found = tree.setdefault(step, {})
    if not isinstance(found, dict | list):
        raise ConfigError(f"{said}: {step} is a value, not a section; name a section")
    return found


def _suggest(near: Sequence[str]) -> str:
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # in it a number of 5,000 digits, which TOML may write as 0xF…
        text = "a whole number of more than 4,300 digits"
    return text if len(text) <= 80 else text[:77] + "..."
