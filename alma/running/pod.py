"""One stage as a pod runs it: settings and inputs as text and files, what it published as files for the pipeline."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from alma.artifact import Artifact, Folder, Manifest, Ref
from alma.artifact.shard import Shard
from alma.devices import check_gpus
from alma.errors import ConfigError, DataError
from alma.monitor import dashboard
from alma.monitor.display import display
from alma.monitor.journal import Journal, Place, kept
from alma.progress import Event
from alma.running.stage import Inputs, run_shard
from alma.running.stopping import stop_signals
from alma.store import open_store
from alma.store.files import publish


def stage(options: Namespace) -> Ref:
    """Runs what the command line of ``alma stage`` asks for and returns the artifact's name.

    With ``--run`` the step's state is kept in the store while it runs; ``--out``, ``--html``, ``--markdown`` and
    ``--executor-input`` say where the pipeline expects files.
    """
    section = read_section(options.config, options.change, options.source)
    inputs: Inputs = dict(map(read_input, options.inputs))
    shard = Shard.parse(options.shard)
    check_gpus(options.gpus)
    store = open_store(options.store)
    label = options.label or options.stage
    place = options.run and Place(options.run, label, str(shard) if shard else None)
    journal = Journal(store, place, options.stage) if place else None
    with stop_signals() as stopping, display(force_json=options.log == "json") as show:
        show(label, {"event": "start", "stage": options.stage, "key": ""})

        def emit(event: Event) -> None:
            show(label, event)
            if journal:
                journal.hear(event)

        with kept(journal) if journal else nullcontext():
            ref, manifest = run_shard(
                options.stage, section, inputs, store, shard, base=Path(options.base), emit=emit, stopping=stopping
            )
        if journal:
            journal.end("sealed" if manifest else "published", ref)
        if manifest:
            show(label, {"event": "end", "stage": options.stage, "key": ref.key, "metrics": manifest.metrics})
    leave(options, ref, Artifact.open(store, ref) if manifest else None)
    return ref


def read_section(config: str, change: str | None, source: str | None) -> dict[str, Any]:
    """The section's values: ``config`` (JSON or ``@FILE``), then what the recipe and the person set over it.

    Raises ``ConfigError`` that names the option.
    """
    text = config
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"--config {config}: {error.strerror}") from error
    section = json_object(text, "--config")
    section |= json_object(change, "--change") if change else {}
    return section | ({"source": source} if source else {})


def json_object(text: str, option: str) -> dict[str, Any]:
    """A JSON object. Raises ``ConfigError`` that names ``option`` and where the text is wrong."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{option} is not JSON: {error}: {text[:200]}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{option} must be a JSON object, not {text[:40]!r}")
    return value


def read_input(given: str) -> tuple[str, Ref]:
    """``PORT=STAGE/KEY`` or ``PORT=FILE``, a manifest as an earlier step left it. Raises ``ConfigError``."""
    port, equals, name = given.partition("=")
    if not equals:
        raise ConfigError(f"--in {given!r}: write it as PORT=STAGE/KEY or PORT=FILE")
    path = Path(name)
    if not path.is_file():
        return port, Ref.parse(name)
    try:
        manifest = json.loads(path.read_bytes())
        return port, Ref.parse(f"{manifest['stage']}/{manifest['key']}")
    except (ValueError, KeyError, TypeError, DataError) as error:
        raise DataError(f"--in {port}={name}: is not a manifest ({type(error).__name__})") from error


def leave(options: Namespace, ref: Ref, artifact: Artifact | None) -> None:
    """Writes the files that the pipeline declares as outputs; for a shard, a receipt in place of the manifest."""
    if artifact is None:
        _write(options.out, lambda: json.dumps({"published": str(ref), "shard": options.shard}) + "\n")
    else:
        manifest: Manifest = artifact.manifest
        _write(options.out, lambda: manifest.to_bytes().decode())
        _write(options.markdown, lambda: dashboard.markdown(manifest, artifact.cost, options.store))
        _write(options.html, lambda: page(artifact))
    if options.executor_input:
        metrics = artifact.metrics if artifact else {}
        facts = {"artifact": str(ref), "store": options.store, "label": options.label or options.stage}
        dashboard.write_executor_output(options.executor_input, metrics, facts)


def page(artifact: Artifact) -> str:
    """The HTML page of a report. Raises ``ConfigError`` for an artifact that has none."""
    if not isinstance(artifact, Folder) or artifact.manifest.kind != "page":
        raise ConfigError(f"--html: {artifact.ref} is not a page")
    return (artifact.folder / "report.html").read_text(encoding="utf-8")


def _write(path: str | None, text: Callable[[], str]) -> None:
    if path:
        with publish(Path(path)) as target:
            target.write(text().encode())
