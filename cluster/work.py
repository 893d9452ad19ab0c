"""What the command line of a stage asks for, read where no stage runs: its artifact's name, and its pods' commands."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from alma.artifact import Ref
from alma.errors import ConfigError
from alma.running.executor_input import fill
from alma.running.ledger import Ledger, Settings
from alma.running.pod import json_object, read_work
from alma.running.stage import check_ports, name_work, parse_section
from alma.stages import SHARDABLE, load_stage
from alma.store import Store, open_store
from cluster.names import check_run
from cluster.placement import StagePlacement, parse, placement_of

INDEX = "$(JOB_COMPLETION_INDEX)"
"""Kubernetes puts the pod's index here when it starts the container."""


@dataclass(frozen=True)
class Work:
    """One use of a stage: everything resolved that a pod would look up in files of this one."""

    store: Store
    ref: Ref
    section: dict[str, Any]
    inputs: dict[str, Ref]
    base: str
    run: str
    label: str

    @classmethod
    def read(cls, options: Namespace) -> Self:
        """Raises as ``alma stage`` would for what is wrong with its options, and for a run without a name."""
        options, run = fill(options), check_run(options.run)
        store = open_store(options.store)
        section, given = read_work(options, store)
        inputs = {port: ref for port, ref in given.items() if ref is not None}
        stage = load_stage(options.stage)
        check_ports(stage, inputs)
        ref, _, _ = name_work(stage, parse_section(stage, section), inputs, Path(options.base))
        label = options.label or options.stage
        return cls(store, ref, section, inputs, options.base, run, label)

    def arguments(self, placement: StagePlacement, lease: str) -> list[str]:
        """Of ``alma`` in a pod of the Job, as the pod's spec has them: ``$`` doubled, since Kubernetes reads it."""
        words = ["stage", self.ref.stage, "--store", self.store.uri, "--config", json.dumps(self.section)]
        for port, ref in self.inputs.items():
            words += ["--in", f"{port}={ref}"]
        words += ["--base", self.base, "--gpus", str(placement.gpus), "--run", self.run, "--label", self.label]
        words += ["--lease", lease, "--log", "json"]
        shard = ["--shard", f"{INDEX}/{placement.shards}"] if placement.shards > 1 else []
        return [word.replace("$", "$$") for word in words] + shard


def read_placement(options: Namespace) -> StagePlacement:
    """How the stage's Job runs, as ``--placement`` or the run's settings say.

    Raises ``ConfigError`` that names the field, also for what the stage cannot.
    """
    options, stage = fill(options), options.stage
    if options.placement:
        found = parse(stage, json_object(options.placement, "--placement"))
    elif options.state:
        store = open_store(options.store)
        settings = Settings.read(store, Ledger.read(store, options.state).settings)
        found = placement_of(stage, settings.placement.get("stages", {}))
    else:
        raise ConfigError("how does the Job run? Give --state, whose settings say so, or --placement")
    if found.shards > 1 and stage not in SHARDABLE:
        raise ConfigError(
            f"placement.stages.{stage}.shards = {found.shards}: {stage} does not run in shards; those that do: "
            f"{', '.join(sorted(SHARDABLE))}"
        )
    if found.nodes > 1 and stage != "finetune":
        raise ConfigError(f"placement.stages.{stage}.nodes = {found.nodes}: only finetune runs on several nodes")
    return found
