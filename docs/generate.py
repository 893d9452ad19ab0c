"""Writes the reference pages from the code they describe: ``python docs/generate.py``.

A test compares the pages with what this makes, so they cannot fall behind.
"""

from __future__ import annotations

import argparse
import os
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from alma import cli
from alma.config import METHODS, Method
from alma.sections import Section

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # components and pipelines are not installed, but run from here

from components.placement import Placement  # noqa: E402
from pipelines import __main__ as pipelines  # noqa: E402


def help_page() -> str:
    """Every command's ``--help``, 100 columns wide."""
    os.environ["COLUMNS"] = "100"
    blocks = [block for top in (cli.parser(), pipelines.parser()) for block in _commands(top.prog, top)]
    lines = ["# Commands", "", "Written by `python docs/generate.py`.", ""]
    for name, command in blocks:
        lines += [f"## {name}", "", "```", command.format_help().rstrip(), "```", ""]
    return "\n".join(lines)


def _commands(name: str, command: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """The command and its subcommands, to any depth."""
    yield name, command
    for action in command._actions:  # argparse offers no public way to its subcommands
        if isinstance(action, argparse._SubParsersAction):
            for verb, each in action.choices.items():
                yield from _commands(f"{name} {verb}", each)


def settings_page() -> str:
    """Every setting of ``[alma]``, ``[isara]`` and ``[placement]`` with its type, default and meaning."""
    lines = [
        "# Settings",
        "",
        "Written by `python docs/generate.py`. [P] is stated in the paper (arXiv 2412.04305), with its section; [C] is",
        "read in the public code of ISARA's authors (arXiv 2401.06785); [ours] is our choice where they are silent.",
        "",
    ]
    seen: dict[type[Section], str] = {}
    for root, tree in (*METHODS.items(), ("placement", Placement)):
        lines += _section(root, tree)
        for name, field in tree.model_fields.items():
            for entry in _kinds_of(field):
                seen[entry] = f"{root}.{name}"
                choice = entry.model_fields["kind"].default
                lines += [f"## [[{root}.{name}]] kind = {choice!r}", *_section("", entry)[1:]]
            kind = _section_of(field)
            if kind is None:
                continue
            if kind in seen:
                lines += [f"## [{root}.{name}]", "", f"The settings of `[{seen[kind]}]`.", ""]
                continue
            seen[kind] = f"{root}.{name}"
            lines += _section(f"{root}.{name}", kind)
    lines += ["# Structures", "", "Tables inside sections: `turns = { question = …, answer = … }`.", ""]
    for kind in _inside(list(seen)):
        lines += _section(kind.__name__, kind)
    return "\n".join(lines)


def _inside(kinds: list[type[Section]]) -> list[type[Section]]:
    """The sections that are fields of these, which have no heading of their own yet."""
    fields = [field for kind in kinds for field in kind.model_fields.values()]
    found = dict.fromkeys(kind for kind in map(_section_of, fields) if kind and kind not in kinds)
    return sorted(found, key=lambda kind: kind.__name__)


def _section(title: str, kind: type[Section]) -> list[str]:
    lines = [f"## [{title}]", "", (kind.__doc__ or "").strip().split("\n")[0], ""]
    lines += ["| setting | type | default | meaning |", "|---|---|---|---|"]
    for name, field in kind.model_fields.items():
        if _section_of(field) and issubclass(kind, Method | Placement):
            continue
        cells = (f"`{name}`", f"`{_type(field.annotation)}`", _default(field), field.description or "")
        lines.append("| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |")
    return [*lines, ""]


def _section_of(field: FieldInfo) -> type[Section] | None:
    kinds = [field.annotation, *typing.get_args(field.annotation)]
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)), None)


def _kinds_of(field: FieldInfo) -> list[type[Section]]:
    """The sections that a list's entries may be, where they are told apart by their ``kind``."""
    entry = next(iter(typing.get_args(field.annotation)), None)
    union = typing.get_args(entry)[0] if typing.get_origin(entry) is typing.Annotated else entry
    kinds = [kind for kind in typing.get_args(union) if isinstance(kind, type) and issubclass(kind, Section)]
    return [kind for kind in kinds if "kind" in kind.model_fields]


def _type(annotation: Any) -> str:
    if typing.get_origin(annotation) is typing.Annotated:
        return _type(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) is typing.Literal:
        return " | ".join(repr(choice) for choice in typing.get_args(annotation))
    if typing.get_origin(annotation) is tuple and "discriminator=" in str(annotation):
        return "list of tables"
    if typing.get_origin(annotation) is tuple:
        return str(annotation).replace("typing.", "")
    if typing.get_origin(annotation) in (dict, list):
        inner = ", ".join(_type(argument) for argument in typing.get_args(annotation))
        return f"{typing.get_origin(annotation).__name__}[{inner}]"
    arguments = typing.get_args(annotation)
    if arguments:
        return " | ".join(_type(argument) for argument in arguments)
    if annotation is type(None):
        return "None"
    return getattr(annotation, "__name__", str(annotation))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Section):
        return ", ".join(f"`{k} = {v}`" for k, v in value.model_dump().items())
    if isinstance(value, str) and len(value) > 60:
        return "see `alma/prompts/`"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10_000:
        return f"`{value:_}`"
    return f"`{value!r}`"


PAGES = {"commands.md": help_page, "settings.md": settings_page}


def main() -> None:
    """Writes all pages."""
    for name, make in PAGES.items():
        (HERE / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
