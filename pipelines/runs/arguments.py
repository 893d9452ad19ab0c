"""The parameters of one run: from a file and ``--set``, checked against what the pipeline declares."""

from __future__ import annotations

import difflib
import json
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from alma.errors import ConfigError
from alma.regular import SETTINGS_BYTES, check_levels, read_regular
from alma.text.twice import first_twice
from pipelines.rules.limits import PARAMETER_BYTES, go_json

KINDS = {
    "STRING": "a text",
    "NUMBER_INTEGER": "a whole number",
    "NUMBER_DOUBLE": "a number",
    "BOOLEAN": "true or false",
    "LIST": "a list",
    "STRUCT": "a mapping",
}


def arguments(spec: Mapping[str, Any], file: Path | None, settings: Sequence[str]) -> dict[str, Any]:
    """The values to run ``spec`` with: the file's, then each ``NAME=VALUE`` over them.

    A mapping or list given for a text parameter becomes its JSON. ``NAME?=VALUE`` counts only where the pipeline has
    that parameter. Raises ``ConfigError`` for unknown and missing names, wrong types, and more than KFP takes.
    """
    declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    given: dict[str, Any] = {}
    for name, value in (_read(file) if file else {}).items():
        _known(name, declared, f"{file}")
        given[name] = _value(value, declared[name]["parameterType"], f"{file}: {name}")
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting}: NAME=VALUE is needed")
        if name.endswith("?"):
            name = name.removesuffix("?")
            if name not in declared:
                continue
        _known(name, declared, "--set")
        kind = declared[name]["parameterType"]
        given[name] = _value(text if kind == "STRING" else _parsed(setting, text), kind, f"--set {name}")
    _complete(given, declared)
    return given


def num_bytes(values: Mapping[str, Any]) -> int:
    """Bytes of the parameters as the server counts them: Go's JSON."""
    return len(go_json(dict(values)).encode())


def _complete(given: Mapping[str, Any], declared: Mapping[str, Any]) -> None:
    missing = [
        name
        for name, parameter in declared.items()
        if name not in given and "defaultValue" not in parameter and not parameter.get("isOptional")
    ]
    if missing:
        raise ConfigError(f"the pipeline needs {', '.join(sorted(missing))}: give them in --parameters or with --set")
    size = num_bytes(given)
    if size > PARAMETER_BYTES:
        largest = max(given, key=lambda name: num_bytes({name: given[name]}))
        raise ConfigError(
            f"the parameters take {size:,} bytes and KFP takes {PARAMETER_BYTES:,}; the largest is {largest} "
            f"({num_bytes({largest: given[largest]}):,}): leave out what is the pipeline's default, or compile it in"
        )


def _known(name: Any, declared: Mapping[str, Any], where: str) -> None:
    if not isinstance(name, str):
        raise ConfigError(f"{where}: {name!r} is no name of a parameter; quote it")
    if name not in declared:
        close = difflib.get_close_matches(name, declared, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are: {', '.join(sorted(declared)) or 'none'}"
        raise ConfigError(f"{where}: the pipeline has no parameter {name!r}; {hint}")


def _value(value: Any, kind: str, where: str) -> Any:
    _check_size(value, where)
    check_levels(value, where)
    if kind == "STRING" and isinstance(value, (dict, list)):
        return _json(where, value)
    if kind == "NUMBER_INTEGER" and isinstance(value, float) and value.is_integer():
        value = int(value)
    fits = {
        "STRING": isinstance(value, str),
        "NUMBER_INTEGER": isinstance(value, int) and not isinstance(value, bool),
        "NUMBER_DOUBLE": isinstance(value, (int, float)) and not isinstance(value, bool),
        "BOOLEAN": isinstance(value, bool),
        "LIST": isinstance(value, list),
        "STRUCT": isinstance(value, dict),
    }
    if kind not in fits:
        raise ConfigError(f"{where}: a {kind} cannot be given from outside; leave it out")
    if not fits[kind]:
        quote = "; quote it" if kind == "STRING" else ""
        raise ConfigError(f"{where}: {_short(value)} is {_what(value)} and {KINDS[kind]} is needed{quote}")
    _json(where, value)
    return value


def _check_size(value: Any, where: str) -> None:
    """Raises ``ConfigError`` for what is too large whatever it holds: YAML's aliases make billions of a few lines.

    And for names that are no texts, which JSON has none of.
    """
    waiting, count = [value], 0
    while waiting:
        here = waiting.pop()
        inside = list(here.values()) if isinstance(here, dict) else here if isinstance(here, list) else []
        for key in [key for key in here if not isinstance(key, str)] if isinstance(here, dict) else ():
            raise ConfigError(f"{where}: {_short(key)} is {_what(key)} and no name; quote it")
        count += len(inside)
        if count > PARAMETER_BYTES:
            raise ConfigError(
                f"{where}: holds more than {PARAMETER_BYTES:,} values, and KFP takes as many bytes of all parameters; "
                "leave out what is the pipeline's default, or compile it in"
            )
        waiting += inside


def _json(where: str, value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        text.encode()  # half of a surrogate pair is no text
        return text  # noqa: TRY300
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: cannot be JSON: {error}; give another value") from None


def _what(value: Any) -> str:
    names = {
        bool: "a truth value",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "a mapping",
    }
    return "empty" if value is None else names.get(type(value), f"a {type(value).__name__}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _parsed(setting: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError(f'--set {setting}: the value has to be JSON, such as 3, true or ["a"]') from None


def _read(path: Path) -> dict[Any, Any]:
    """A file of parameters: YAML, or JSON where it is called so (YAML reads its escapes and exponents otherwise)."""
    try:
        text = read_regular(path, SETTINGS_BYTES, named=f"--parameters {path}", kind=ConfigError).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--parameters {path}: {getattr(error, 'strerror', None) or error}; name a YAML or JSON file"
        ) from None
    read = _read_json(path, text) if path.suffix == ".json" else _read_yaml(path, text)
    if read is None:
        return {}
    if not isinstance(read, dict):
        raise ConfigError(f"--parameters {path}: a mapping of names to values is needed, and it is {_what(read)}")
    return read


def _read_json(path: Path, text: str) -> Any:
    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice = first_twice(key for key, _ in pairs)
        if twice is not None:
            raise ConfigError(f"--parameters {path}: {_short(twice)} is given twice; leave one of them")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=mapping)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"--parameters {path}: not JSON: {error}; mend it there") from None


def _read_yaml(path: Path, text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Refuses a key given twice, of which YAML would take the last."""

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
        seen: set[Any] = set()
        for i, key in enumerate(keys):
            if not isinstance(key, Hashable):
                continue  # YAML itself refuses it
            if key in seen:
                line = node.value[i][0].start_mark.line + 1
                raise ConfigError(f"--parameters {path} line {line}: {_short(key)} is given twice; leave one of them")
            seen.add(key)
        built: dict[Any, Any] = yaml.SafeLoader.construct_mapping(loader, node, deep=True)
        return built

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        return yaml.load(text, Loader)  # noqa: S506 - a SafeLoader
    except ConfigError:
        raise
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"--parameters {path}: not YAML: {error}; mend it there") from None
    except (TypeError, ValueError) as error:  # such as the 31st of February
        raise ConfigError(f"--parameters {path}: a value that no parameter can hold: {error}; quote it") from None
