"""KFP's executor input as options of a command line: what a task is given travels once, not twice.

A pod's command line may name parameters one by one, and a workflow object would hold each value seven times more.
https://github.com/kubeflow/pipelines/blob/master/api/v2alpha1/pipeline_spec.proto (``ExecutorInput``)
"""

from __future__ import annotations

import re
from argparse import Namespace
from typing import Any

from alma.errors import ConfigError
from alma.regular import parse

OPTIONS = ("store", "state", "use", "change", "label")
"""Parameters that are options by the same name."""

INPUT = "in_"
"""How a parameter begins that says where an input port's artifact is: ``in_judge`` = ``--in judge=…``."""


_MADE = re.compile(r"ref_(0|[1-9][0-9]{0,5})")


def fill(options: Namespace) -> Namespace:
    """``options`` with those of ``--executor-input`` over them: what is not a parameter there stays.

    ``label_<n>`` and ``ref_<n>`` together are ``--made LABEL=STAGE/KEY``. Raises ``ConfigError``.
    """
    if not options.executor_input:
        return options
    given = parameters(options.executor_input)
    filled = Namespace(**vars(options))
    for name in OPTIONS:
        if name in given:
            setattr(filled, name, str(given[name]))
    if hasattr(filled, "inputs"):
        ports = {name.removeprefix(INPUT): value for name, value in given.items() if name.startswith(INPUT)}
        filled.inputs = [*filled.inputs, *(f"{port}={value}" for port, value in ports.items())]
    numbers = sorted(int(found[1]) for name in given if (found := _MADE.fullmatch(name)))
    filled.made = [*filled.made, *(f"{given.get(f'label_{number}')}={given[f'ref_{number}']}" for number in numbers)]
    return filled


def parameters(text: str) -> dict[str, Any]:
    """The task's parameters. Raises ``ConfigError`` for what is no executor input."""
    whole = parse(text, "--executor-input", ConfigError)
    try:
        found: dict[str, Any] = whole.get("inputs", {}).get("parameterValues") or {}
        return dict(found)
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"--executor-input is not KFP's executor input: {type(error).__name__} {error}; leave it out"
        ) from error
