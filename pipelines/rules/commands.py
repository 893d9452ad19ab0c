"""Command lines: what stands in them when the backend is done with them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pipelines.rules.compiled import Compiled, Use

PLACEHOLDER = re.compile(r"\{\{\$.*?\}\}")
"""Anything that looks like one of KFP's."""

PARAMETER = re.compile(r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}")
OUTPUT_PARAMETER = re.compile(r"\{\{\$\.outputs\.parameters\['([^']+)'\]\.output_file\}\}")
ARTIFACT = re.compile(r"\{\{\$\.(inputs|outputs)\.artifacts\['([^']+)'\]\.(?:path|uri)\}\}")
EXECUTOR_INPUT = "{{$}}"

STRUCTURES = {
    "Concat": "KFP's driver does not join a ConcatPlaceholder, the container gets its JSON; write an f-string",
    "IfPresent": "KFP's driver looks an IfPresentPlaceholder up among the parameters alone and joins nothing inside; "
    "make a component that has just the inputs that are given",
}
STRUCTURE = re.compile(r'\s*\{"(' + "|".join(STRUCTURES) + r')"')


def only_known_placeholders(compiled: Compiled) -> Iterator[str]:
    """Nothing that the driver and launcher leave as it is, or resolve to something else."""
    for use in compiled.running:
        for word in use.words:
            if found := STRUCTURE.match(word):
                yield f"{use}: {word[:80]!r} in the command line: {STRUCTURES[found[1]]}"
            else:
                yield from _placeholders(use, word)


def _placeholders(use: Use, word: str) -> Iterator[str]:
    for found in PLACEHOLDER.findall(word):
        if not _known(use, found):
            yield (
                f"{use}: {found} in the command line: KFP's launcher leaves it as it stands; give paths, URIs and "
                "parameters of the component itself, and the run's id by an environment variable "
                "(kubernetes.use_field_path_as_env with metadata.labels['pipeline/runid'])"
            )


def _known(use: Use, placeholder: str) -> bool:
    if placeholder == EXECUTOR_INPUT:
        return True
    if found := PARAMETER.fullmatch(placeholder):
        inputs = use.component.get("inputDefinitions", {}).get("parameters", {})
        return found[1] in inputs or found[1] in use.given
    if found := OUTPUT_PARAMETER.fullmatch(placeholder):
        return found[1] in use.component.get("outputDefinitions", {}).get("parameters", {})
    if found := ARTIFACT.fullmatch(placeholder):
        side = "inputDefinitions" if found[1] == "inputs" else "outputDefinitions"
        return found[2] in use.component.get(side, {}).get("artifacts", {})
    return False


def every_parameter_given(compiled: Compiled) -> Iterator[str]:
    """A parameter or artifact that a command line uses is given by every task; a default does not count."""
    for use in compiled.running:
        for name in sorted(used(use) - set(use.given)):
            yield (
                f"{use}: the command line uses the parameter {name!r}, which the task does not give: KFP's driver says "
                "'parameter not found' even if it has a default; give it in every task"
            )
        artifacts = use.task.get("inputs", {}).get("artifacts", {})
        taken = {name for word in plain(use) for side, name in ARTIFACT.findall(word) if side == "inputs"}
        for name in sorted(taken - set(artifacts)):
            yield (
                f"{use}: the command line uses the artifact {name!r}, which the task does not give: the container gets "
                "the placeholder's text; make a component without it"
            )


def used(use: Use) -> set[str]:
    """The parameters that a task's command line names."""
    return {name for word in plain(use) for name in PARAMETER.findall(word)}


def plain(use: Use) -> list[str]:
    """The command line without what is refused in it anyway."""
    return [word for word in use.words if not STRUCTURE.match(word)]


def no_text_within_inputs(compiled: Compiled) -> Iterator[str]:
    """A task's input is a constant or a parameter: a text around a parameter (an f-string there) is not resolved."""
    for use in compiled.running:
        for name in sorted(used(use)):
            constant = use.given.get(name, {}).get("runtimeValue", {}).get("constant")
            if isinstance(constant, str) and PARAMETER.search(constant):
                yield (
                    f"{use}: the input {name!r} is {constant!r}: KFP's driver takes that as it stands; join the texts "
                    "in the component's own command line"
                )


def no_dollars(compiled: Compiled) -> Iterator[str]:
    """No ``$`` in what Kubernetes reads as a command line or an environment value.

    It makes ``$$`` one ``$`` and puts variables' values in for ``$(NAME)``. Constants of tasks and defaults of the run
    count where a command line uses them; with ``{{$}}`` in it, it uses them all.
    """
    for use in compiled.running:
        environment = (use.container or {}).get("env", [])
        for where, text in [("its command line", word) for word in use.words] + [
            (f"the variable {one['name']}", one.get("value", "")) for one in environment
        ]:
            if "$" in PLACEHOLDER.sub("", text):
                yield f"{use}: {where} has a '$' in {text[:60]!r}, {_EXPANDED}"
        everything = any(EXECUTOR_INPUT in word for word in use.words)
        for name in sorted(use.given if everything else used(use) & set(use.given)):
            for value in compiled.constants(use.layer, use.given[name]):
                if "$" in PLACEHOLDER.sub("", _text(value)):
                    yield f"{use}: the input {name!r} brings a '$' into its command line, {_EXPANDED}"


_EXPANDED = "which Kubernetes rewrites there ('$$', '$(NAME)'); write it as \\u0024 in JSON, or pass it by the store"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value or "")
