"""One stage, once: name the work, skip it if it is sealed, fetch the inputs, call, publish, seal."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from alma.artifact import Artifact, Manifest, Model, Page, Ref, Rows, artifact_key, find_manifest
from alma.artifact.checkpoints import Checkpoints
from alma.artifact.out import Out
from alma.artifact.shard import Shard, ShardDone
from alma.config import explain
from alma.errors import AlmaError, ConfigError
from alma.nodes import Nodes
from alma.progress import Emit, silent
from alma.running.scratch import locked_scratch
from alma.sections import BY, Section
from alma.stages import SHARDABLE, Stage, load_stage
from alma.stdout import kept_for_results
from alma.store import Store

SOURCE_FIELDS = {"source", "revision"}
"""Fields that are no part of a key: the hash of what a source holds is, whatever its address."""

Inputs = Mapping[str, Ref | None]

_WORDS: Mapping[type, str] = {Rows: "rows", Model: "a model", Page: "a report"}


def parse_section(stage: Stage, values: Mapping[str, Any]) -> Section:
    """The stage's section from plain values. Raises ``ConfigError``."""
    section = next((s for s in stage.sections if values.get("kind") in _kinds(s)), stage.sections[0])
    try:
        return section.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(explain(error, f"stage {stage.name}", "section", section)) from error


def name_work(stage: Stage, cfg: Section, inputs: Inputs, base: Path) -> tuple[Ref, dict[str, Any], dict[str, str]]:
    """The artifact that this work leaves, its section as it is keyed, and what its source holds now."""
    section = {name: value for name, value in cfg.keyed().items() if name not in SOURCE_FIELDS}
    identify: Callable[[Section, Path], dict[str, str]] | None = getattr(stage.module, "identify", None)
    identity = identify(cfg, base) if identify else {}
    given = {port: str(ref) for port, ref in inputs.items() if ref is not None}
    key = artifact_key(stage.name, stage.version, section, given, identity)
    return Ref(stage.name, key), section, identity


def run(
    name: str,
    section: Section | Mapping[str, Any],
    inputs: Inputs,
    store: Store,
    *,
    base: Path | None = None,
    emit: Emit = silent,
    stopping: Callable[[], bool] = lambda: False,
) -> Manifest:
    """Runs stage ``name`` and returns its manifest; a sealed artifact is returned at once.

    ``inputs`` maps ports to artifacts of ``store``; ``base`` is the folder that relative sources refer to. Two
    processes that run the same stage on one machine wait for one lock, and the second finds the artifact sealed.
    """
    _, manifest = run_shard(name, section, inputs, store, None, base=base, emit=emit, stopping=stopping)
    assert manifest is not None, "a whole run ends sealed or with an error"
    return manifest


@kept_for_results()
def run_shard(
    name: str,
    section: Section | Mapping[str, Any],
    inputs: Inputs,
    store: Store,
    shard: Shard | None,
    *,
    base: Path | None = None,
    emit: Emit = silent,
    stopping: Callable[[], bool] = lambda: False,
    title: str | None = None,
) -> tuple[Ref, Manifest | None]:
    """As ``run``, of one shard (``None`` = all of it); without a manifest while the artifact is not sealed.

    ``title`` is what people call it. Raises ``ConfigError`` too for a shard of a stage that has none.
    """
    stage = load_stage(name)
    cfg = section if isinstance(section, Section) else parse_section(stage, section)
    base = base or Path.cwd()
    check_ports(stage, inputs)
    ref, keyed, identity = name_work(stage, cfg, inputs, base)
    sealed = find_manifest(store, ref)
    if sealed:
        clear_leftovers(store, sealed, emit)
        return ref, sealed
    if shard and name not in SHARDABLE:
        raise ConfigError(f"stage {name} does not run in shards; those that do: {', '.join(sorted(SHARDABLE))}")
    with locked_scratch(store, ref, str(shard) if shard else Nodes.here().shard or "whole") as scratch:
        sealed = find_manifest(store, ref)
        if sealed:
            clear_leftovers(store, sealed, emit)
            return ref, sealed
        given = {port: source for port, source in inputs.items() if source is not None}
        opened: dict[str, Any] = {port: Artifact.open(store, source) for port, source in given.items()}
        check_kinds(stage, opened)
        out = Out(store, ref, scratch, emit=emit, stopping=stopping, shard=shard, title=title)
        out.clear_folder()
        wanted = inspect.signature(stage.module.run).parameters
        extra = {name: value for name, value in (("base", base), ("identity", identity)) if name in wanted}
        try:
            metrics = stage.module.run(cfg, **opened, **extra, out=out)
        except ShardDone:
            return ref, None
        return ref, out.seal(
            kind=stage.kind(cfg),
            version=stage.version,
            section=keyed,
            inputs={port: str(source) for port, source in given.items()},
            identity=identity,
            metrics=metrics,
            device=_device(),
        )


def clear_leftovers(store: Store, sealed: Manifest, emit: Emit = silent) -> None:
    """Removes checkpoints of a training whose process was killed after it wrote the manifest, before it removed them.

    They are no part of the artifact, so one that cannot be removed is noted and is no error.
    """
    if sealed.kind != "model":
        return

    def note(message: str) -> None:
        emit({"event": "note", "message": message})

    try:
        Checkpoints(store, sealed.ref, note).clear()
    except (AlmaError, OSError) as error:
        note(f"checkpoints of {sealed.ref}, which is sealed, could not be removed from the store: {error}")


def check_ports(stage: Stage, inputs: Inputs) -> None:
    """Raises ``ConfigError`` for a port that the stage does not have, or lacks."""
    unknown = sorted(port for port in set(inputs) - set(stage.ports) if not (stage.family and port.startswith(BY)))
    if unknown:
        raise ConfigError(f"stage {stage.name} has no input {unknown[0]!r}; it has: {', '.join(stage.ports) or 'none'}")
    missing = [port for port, required in stage.ports.items() if required and inputs.get(port) is None]
    if missing:
        raise ConfigError(f"stage {stage.name} needs the input {missing[0]!r}: --in {missing[0]}=<stage>/<key>")


def check_kinds(stage: Stage, opened: Mapping[str, Artifact]) -> None:
    """Raises ``ConfigError`` for an artifact that is not of its port's kind. What rows it takes a stage says itself."""
    for port, artifact in opened.items():
        kind = stage.kinds.get(port, Artifact)
        if not isinstance(artifact, kind):
            raise ConfigError(
                f"stage {stage.name} takes {_WORDS[kind]} as its input {port!r}, and {artifact.ref} is "
                f"{_WORDS[type(artifact)]}; give another artifact with --in {port}=<stage>/<key>"
            )


def _kinds(section: type[Section]) -> tuple[Any, ...]:
    field = section.model_fields.get("kind")
    return get_args(field.annotation) if field else ()


def _device() -> str:
    """What the work ran on, as far as it is known without importing torch."""
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return "cpu"
