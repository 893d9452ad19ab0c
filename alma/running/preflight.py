"""The first task of a pipeline: everything that can be known to be wrong is said here, before any GPU is held.

What a person typed into the form joins the settings that were compiled in. What comes of it is checked and put into the
store; the ledger that names it is what the first layer gets.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from alma import __version__, sources
from alma.config import Method, parse
from alma.errors import AccessError, ConfigError, DataError, IntegrityError, StoreUnavailableError, UserError
from alma.monitor import journal
from alma.recipes.graph import differences, fingerprint, graph, shape
from alma.regular import expand
from alma.running.endpoints import check_endpoints
from alma.running.exams import check_exams
from alma.running.form import CHANGES, check_form, fill_in, resolve
from alma.running.ledger import Ledger, Settings, generation
from alma.running.pod import json_object
from alma.sections import Ingest, IngestModel
from alma.stdout import kept_for_results
from alma.store import Store, open_store
from alma.store.eviction import bound


def check_graph(cfg: Method, compiled: Method, expected: str) -> None:
    """Raises ``ConfigError`` where ``cfg`` asks for other steps than were compiled (``alma.recipes.graph.shape``)."""
    if fingerprint(graph(compiled)) != expected:
        raise ConfigError(
            f"this image holds alma {__version__}, whose recipe differs from the one that was compiled: compile the "
            "pipeline with the version of the image, or give the image of the version that compiled it"
        )
    lines = differences(shape(graph(compiled)), graph(cfg))
    if lines:
        shown = "\n".join(lines[:8]) + (f"\n… and {len(lines) - 8} more" if len(lines) > 8 else "")
        raise ConfigError(
            f"the form's {CHANGES}: these settings need another pipeline than the compiled one:\n{shown}\nTake them "
            "back, or change the run file and compile it again: python -m pipelines compile RUN.toml"
        )


def check_store(uri: str, run: str, record: Mapping[str, Any]) -> Store:
    """Opens the store, writes the run's record there and reads it back.

    Raises ``AccessError`` or ``ConfigError`` that says what to mend; a store that does not answer now, after every
    retry, is more often misspelt than down.
    """
    store = open_store(uri)
    name = journal.record(run)
    data = (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()
    try:
        store.write(name, data)
        if store.read(name) != data:
            raise IntegrityError(f"{store.uri}: {name} reads otherwise than it was written; is it a cache?")
        store.list(journal.folder(run))
    except StoreUnavailableError as error:
        raise ConfigError(str(error)) from error
    except AccessError as error:
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        absent = [key for key in keys if not os.environ.get(key)] if uri.startswith("s3://") else []
        if not absent:
            raise
        raise AccessError(
            f"{error}\n{' and '.join(absent)} came from no secret: create the one that "
            "placement.s3_secret names, with these keys, or give the service account an identity of its own "
            "(docs/kubernetes.md)"
        ) from error
    return store


def check_sources(cfg: Method, base: Path) -> list[str]:
    """Every source is there; returns their names. Raises one error that names each that is not."""
    found: list[str] = []
    faults: list[str] = []
    for name, section in cfg.uses.items():
        if not isinstance(section, Ingest):
            continue
        try:
            sources.check_there(section, base)
        except UserError as error:
            faults.append(f"{name}: {error}")
        else:
            found.append(f"{name} = {section.source}")
    if faults:
        raise DataError("\n".join(faults))
    return found


def check_models(cfg: Method, base: Path) -> list[str]:
    """A line per model that is to be trained or asked: what was proven of it, or who does it.

    Raises ``DataError`` for one that cannot be used. A model elsewhere, and any where there is no torch, as in the
    image of this task, is proven by its ingest: on CPUs, before anything is done with it.
    """
    lines = []
    for name, section in cfg.uses.items():
        if not isinstance(section, IngestModel) or section.task != "generation":
            continue
        if find_spec("torch") is None or sources.scheme(section) != "path":
            lines.append(f"{name}: is proven by its ingest, before a GPU is held")
            continue
        from alma.engines.ways import proof_of

        proof = proof_of(base / expand(section.source))
        left_off = "; ".join(f"{each.check} does not hold, so {each.chosen}" for each in proof.left_off)
        holds = f"all {len(proof.findings)} checks hold"
        lines.append(f"{name}: a model of type {proof.model_type}: {left_off or holds}")
    return lines


@kept_for_results()
def preflight(
    *,
    run_file: str,
    changes: str,
    given_sources: Mapping[str, str],
    form: Mapping[str, str],
    placement: str,
    compiled_graph: str,
    store: str,
    run: str,
    base: Path,
) -> tuple[list[str], str]:
    """All checks, cheapest first; a line per thing that is fine, and the key of the run's first ledger.

    ``run_file`` is the method's tree as it was compiled, JSON; ``placement`` what is compiled of Jobs (``fill_in``).
    """
    bound()  # a size of the cache that is none
    check_form(form)
    compiled = json_object(run_file, "--run-file")
    tree = resolve(compiled, changes, given_sources)
    cfg = parse(tree, "the form")
    check_graph(cfg, parse(compiled, "the compiled run file"), compiled_graph)
    steps = graph(cfg)
    settings = Settings(method=tree, placement=fill_in(json_object(placement, "--placement"), form))
    record = {
        "alma": __version__,
        "method": cfg.title,
        "settings": cfg.model_dump(mode="json"),
        "steps": [step.label for step in steps],
    }
    opened = check_store(store, run, record)
    lines = [
        f"{len(steps)} steps, as compiled",
        *(f"note: {note}" for note in cfg.notes),
        f"store {opened.uri}: can be written, read and listed",
        *(f"source {line}" for line in check_sources(cfg, base)),
        *(f"model {line}" for line in check_models(cfg, base)),
        *(f"endpoint {line}" for line in check_endpoints(cfg)),
        *(f"exams {line}" for line in check_exams(cfg, base, held_elsewhere=True)),
    ]
    ledger = Ledger(settings=settings.write(opened), artifacts={}, generation=generation(opened))
    return lines, ledger.write(opened)
