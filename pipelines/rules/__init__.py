"""The rules that a real Kubeflow Pipelines 2.17 holds a compiled pipeline to, and ours for what a person can read.

The SDK compiles, and ``kfp.local`` runs, much that the backend's driver and launcher do not resolve. What breaks there
is said here, by layer and task, with what to do about it; ``pipelines compile`` refuses a pipeline with a broken rule.
Facts are from runs on a 2.17.0 backend and from its source at https://github.com/kubeflow/pipelines, backend/src/v2:
``driver/util.go`` (placeholders), ``driver/container.go`` (resources), ``component/launcher_v2.go`` (the command line).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipelines.rules import commands, limits, pods
from pipelines.rules.compiled import Compiled

Rule = Callable[[Compiled], Iterator[str]]

RULES: tuple[Rule, ...] = (
    commands.only_known_placeholders,
    commands.every_parameter_given,
    commands.no_text_within_inputs,
    commands.no_dollars,
    pods.counts_are_text,
    pods.settings_have_an_executor,
    pods.settings_reach_their_layer,
    pods.never_root,
    pods.last_task_runs,
    limits.components,
    limits.parameters,
    limits.layers,
)
"""Each gives a sentence per violation."""


def check(spec: Mapping[str, Any], platform: Mapping[str, Any] | None = None) -> list[str]:
    """What the backend would break on or a person could not read; empty if all is well.

    ``spec`` and ``platform`` are the two documents of a compiled pipeline.
    """
    compiled = Compiled(spec, platform or {})
    return [sentence for rule in RULES for sentence in rule(compiled)]
