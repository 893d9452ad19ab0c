"""``alma run``: the recipe on this machine, and a record of what ran."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from alma.artifact import Manifest
from alma.config import Method
from alma.monitor.display import display
from alma.monitor.journal import slug
from alma.monitor.outcome import print_outcome
from alma.recipes import Outcome, recipe_of
from alma.running.endpoints import check_endpoints
from alma.running.exams import check_exams
from alma.running.local import Local
from alma.running.stopping import stop_signals
from alma.store import Store, open_store


def run_recipe(cfg: Method, run_file: Path, store_uri: str, *, as_json: bool, isolate: bool) -> Outcome:
    """Runs the method, keeps a list of what ran in ``runs/`` of the store, prints the outcome."""
    store = open_store(store_uri)
    with stop_signals() as stop, display(force_json=as_json) as show:
        name = run_name(cfg, run_file)
        local = Local(
            store,
            run_file.resolve().parent,
            show,
            isolate=isolate,
            stop=stop,
            run_name=name,
            first=lambda: [*check_endpoints(cfg), *check_exams(cfg, run_file.resolve().parent)],
        )
        try:
            outcome = recipe_of(cfg)(cfg, local)
        finally:
            record = keep_record(store, cfg, name, local.done)
    print_outcome(store, outcome, local.done, record)
    return outcome


def run_name(cfg: Method, run_file: Path) -> str:
    """The run file's name and a hash of its settings: the same command resumes the same run."""
    settings = json.dumps(cfg.model_dump(mode="json"), sort_keys=True)
    return f"{slug(run_file.stem) or 'run'}-{hashlib.sha256(settings.encode()).hexdigest()[:8]}"


def keep_record(store: Store, cfg: Method, run: str, done: dict[str, Manifest]) -> str:
    """Writes which artifact each label of this run is; returns the record's name."""
    settings = cfg.model_dump(mode="json")
    name = f"runs/{run}.json"
    record = {"settings": settings, "artifacts": {label: str(manifest.ref) for label, manifest in done.items()}}
    store.write(name, (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
    return name
