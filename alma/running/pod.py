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
from alma.monitor.journal import MOST_LABEL_CHARS, Journal, Place, kept
from alma.nodes import Nodes
from alma.progress import Event
from alma.regular import DOCUMENT_BYTES, check_levels, parse, read_regular
from alma.running.executor_input import fill
from alma.running.hand_on import check_there, hand_on, read_made
from alma.running.helper import await_seal
from alma.running.lease import watched
from alma.running.ledger import Ledger, Settings
from alma.running.outputs import check_outputs
from alma.running.stage import Inputs, run_shard
from alma.running.stopping import stop_signals
from alma.stages import check_known
from alma.store import Store, open_store
from alma.store.files import publish

EARLIER = "@"
"""Before the label of a step of an earlier layer, in ``--in PORT=@LABEL``."""


def stage(options: Namespace) -> Ref:
    """Runs what the command line of ``alma stage`` asks for and returns the artifact's name.

    With ``--run`` the step's state is kept in the store while it runs; ``--out``, ``--ref``, ``--html``,
    ``--markdown`` and ``--executor-input`` say where the pipeline expects files.
    """
    options = fill(options)
    check_known(options.stage)
    if options.label and len(options.label) > MOST_LABEL_CHARS:
        raise ConfigError(f"--label has {len(options.label):,} characters; give at most {MOST_LABEL_CHARS}")
    store = open_store(options.store)
    label, shard, nodes = options.label or options.stage, Shard.parse(options.shard), Nodes.here()
    place = options.run and Place(options.run, label, str(shard) if shard else nodes.shard)
    journal = Journal(store, place, options.stage) if place else None
    with kept(journal) if journal else nullcontext():  # also that an input is gone, or no GPU there
        ref, manifest = _run(options, store, shard, nodes, journal)
    if journal:
        journal.end("sealed" if manifest else "published", ref)
    leave(options, ref, Artifact.open(store, ref) if manifest else None)
    return ref


def _run(
    options: Namespace, store: Store, shard: Shard | None, nodes: Nodes, journal: Journal | None
) -> tuple[Ref, Manifest | None]:
    """The artifact's name, and its manifest once it is whole."""
    section, inputs = read_work(options, store)
    check_gpus(options.gpus)
    label = options.label or options.stage
    with (
        stop_signals() as stopping,
        watched(store, options.lease, stopping),
        display(force_json=options.log == "json") as show,
    ):
        show(label, {"event": "start", "stage": options.stage, "key": ""})

        def emit(event: Event) -> None:
            show(label, event)
            if journal:
                journal.hear(event)

        ref, manifest = run_shard(
            options.stage,
            section,
            inputs,
            store,
            shard,
            base=Path(options.base),
            emit=emit,
            stopping=stopping,
            title=f"{options.run}/{label}" if options.run else None,
        )
        if manifest is None and nodes.helps:
            manifest = await_seal(store, ref, nodes, stopping)
        if manifest:
            show(label, {"event": "end", "stage": options.stage, "key": ref.key, "metrics": manifest.metrics})
    if manifest and options.new_state:
        made = [*options.made, f"{label}={ref}"]
        hand_on(options.store, options.state or "", made, out=options.new_state, run=options.run)
    return ref, manifest


def read_work(options: Namespace, store: Store) -> tuple[dict[str, Any], Inputs]:
    """The section and the inputs that a command line asks for. Raises ``ConfigError`` and ``DataError``.

    ``TransientError`` where what an earlier layer made is not there any more.
    """
    ledger = Ledger.read(store, options.state) if options.state else None
    if ledger:
        ledger = ledger.with_artifacts({label: str(ref) for label, ref in map(read_made, options.made)})
    section = read_section(options, store, ledger)
    check_outputs(options, section.get("source"))
    inputs: Inputs = dict(read_input(given, ledger) for given in options.inputs)
    if ledger:
        check_there(store, {port: ref for port, ref in inputs.items() if ref})
    return section, inputs


def read_section(options: Namespace, store: Store, ledger: Ledger | None) -> dict[str, Any]:
    """The section's values: the run's settings of ``--use``, or ``--config``; then what the recipe set over them.

    Raises ``ConfigError`` for a use that the run has not, or what is no JSON object.
    """
    if ledger is None:
        section = json_object(_config(options.config), "--config")
    else:
        cfg = Settings.read(store, ledger.settings).cfg()
        if options.use not in cfg.uses:
            raise ConfigError(f"--use {options.use}: the run's settings have {', '.join(cfg.uses)}; name one")
        section = cfg.uses[options.use].model_dump(mode="json")
    return section | (json_object(options.change, "--change") if options.change else {})


def _config(text: str) -> str:
    if not text.startswith("@"):
        return text
    try:
        data = read_regular(Path(text[1:]), DOCUMENT_BYTES, named=f"--config {text}", kind=ConfigError)
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"--config {text}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"--config {text}: {error.strerror}; name a file with the section as JSON") from error


def json_object(text: str, option: str) -> dict[str, Any]:
    """A JSON object. Raises ``ConfigError`` that names ``option`` and where the text is wrong."""
    value = parse(text, f"{option} {text[:200]!r}", ConfigError)
    if not isinstance(value, dict):
        raise ConfigError(f"{option} must be a JSON object, not {text[:40]!r}")
    check_levels(value, f"{option} {text[:200]!r}")
    return value


def read_input(given: str, ledger: Ledger | None = None) -> tuple[str, Ref]:
    """An input of a stage. Raises ``ConfigError``, or ``DataError`` for what is not there.

    ``PORT=STAGE/KEY``; ``PORT=FILE``, a manifest as an earlier step left it; ``PORT=@LABEL``, of the ledger.
    """
    port, equals, name = given.partition("=")
    if not equals:
        raise ConfigError(f"--in {given!r}: write it as PORT=STAGE/KEY, PORT=FILE or PORT=@LABEL")
    if name.startswith(EARLIER):
        if ledger is None:
            raise ConfigError(f"--in {given!r} names a step of an earlier layer, which needs --state")
        return port, ledger.ref(name.removeprefix(EARLIER))
    path = Path(name)
    if not path.is_file():
        return port, Ref.parse(name)
    try:
        manifest = parse(read_regular(path, DOCUMENT_BYTES), f"--in {given}")
        return port, Ref.parse(f"{manifest['stage']}/{manifest['key']}")
    except (ValueError, KeyError, TypeError, DataError) as error:
        raise DataError(
            f"--in {port}={name}: is not a manifest ({type(error).__name__}); give what --out of a stage left"
        ) from error


def leave(options: Namespace, ref: Ref, artifact: Artifact | None) -> None:
    """Writes the files that the pipeline declares as outputs; for a shard, a receipt in place of the manifest."""
    if artifact is None:
        write_file(options.out, lambda: json.dumps({"published": str(ref), "shard": options.shard}) + "\n")
        return
    manifest: Manifest = artifact.manifest
    write_file(options.out, lambda: manifest.to_bytes().decode())
    write_file(options.ref, lambda: str(ref))
    write_file(options.markdown, lambda: dashboard.markdown(manifest, artifact.cost, options.store))
    write_file(options.html, lambda: page(artifact))
    if options.executor_input:
        facts = {"address": f"{artifact.store.uri}/{ref}"}
        dashboard.write_executor_output(options.executor_input, artifact.metrics, facts)


def page(artifact: Artifact) -> str:
    """The HTML page of a report. Raises ``ConfigError`` for an artifact that has none."""
    if not isinstance(artifact, Folder) or artifact.manifest.kind != "page":
        raise ConfigError(f"--html: {artifact.ref} is not a page; leave --html out, which is for a report")
    return (artifact.folder / "report.html").read_text(encoding="utf-8")


def write_file(path: str | None, text: Callable[[], str]) -> None:
    """Writes what ``text`` gives to ``path``, whole; nothing where there is no path."""
    if path:
        with publish(Path(path)) as target:
            target.write(text().encode())
