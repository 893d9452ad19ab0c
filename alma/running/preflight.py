"""The first task of a pipeline: everything that can be known to be wrong is said here, before any GPU is held.

The settings arrive as a pipeline's parameters: text that a person may have edited in a form, section by section.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alma import __version__, sources
from alma.config import Method, parse
from alma.errors import AccessError, ConfigError, DataError, IntegrityError, StoreUnavailableError, UserError
from alma.monitor import journal
from alma.recipes.graph import differences, graph
from alma.running.pod import json_object
from alma.sections import Ingest
from alma.store import Store, open_store
from alma.store.eviction import bound

PARAMETERS = "pipeline parameters"
"""What errors name where a run file has a path."""


def assemble(settings: str, sections: Sequence[str], given_sources: Sequence[str]) -> Method:
    """The run's settings from ``settings`` (JSON of those fixed at compile time) and ``NAME=JSON``, ``NAME=SOURCE``.

    Raises ``ConfigError`` that names the parameter, the value and what is accepted.
    """
    tree = json_object(settings, "--settings")
    for given in sections:
        name, _, text = given.partition("=")
        tree[name] = json_object(text, f"the parameter {name}")
    for given in given_sources:
        name, _, source = given.partition("=")
        tree.setdefault(name, {})["source"] = source
    return parse({str(tree.pop("method", "")): tree}, PARAMETERS)


def check_graph(cfg: Method, compiled: str) -> None:
    """Raises ``ConfigError`` where ``cfg`` asks for other steps than were compiled (``alma.recipes.graph.shape``)."""
    lines = differences(json_object(compiled, "--graph"), graph(cfg))
    if lines:
        shown = "\n".join(lines[:8]) + (f"\n… and {len(lines) - 8} more" if len(lines) > 8 else "")
        raise ConfigError(
            f"{PARAMETERS}: these settings need another pipeline than the compiled one:\n{shown}\nSet the parameters "
            "back, or change the run file and compile it again: python -m pipelines compile RUN.toml"
        )


def check_gpus(given: Sequence[str]) -> None:
    """Raises ``ConfigError`` for ``NAME=COUNT`` whose count is not at least 1: it was compiled for pods with GPUs.

    Whether the cluster has so many is not asked: one that scales up from none has none before it is asked for.
    """
    for text in given:
        name, _, count = text.partition("=")
        if not count.isdecimal() or int(count) < 1:
            role = name.removesuffix("_gpus")
            raise ConfigError(
                f"the parameter {name} is {count}, and these pods were compiled to have GPUs: give 1 or more, or "
                f"compile again with placement.{role}.gpus = 0"
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
            f"{error}\n{' and '.join(absent)} came from no secret: create the one that the parameter s3_secret names, "
            "with these keys, or give the service account an identity of its own (docs/kubernetes.md)"
        ) from error
    return store


def check_endpoints(cfg: Method) -> list[str]:
    """Every endpoint that a step asks serves its model; returns their addresses. Raises as ``Endpoint`` does."""
    from alma.engines.openai.endpoint import Endpoint

    asked = {step.use: getattr(cfg, step.use) for step in graph(cfg)}
    settings = [section.openai for section in asked.values() if getattr(section, "engine", None) == "openai"]
    for each in settings:
        with Endpoint(each):
            pass
    return [each.endpoint for each in settings]


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


def preflight(
    *,
    settings: str,
    sections: Sequence[str],
    given_sources: Sequence[str],
    compiled: str,
    store: str,
    run: str,
    base: Path,
    gpus: Sequence[str] = (),
) -> list[str]:
    """All checks, cheapest first; returns a line per thing that is fine."""
    bound()  # a size of the cache that is none
    check_gpus(gpus)
    cfg = assemble(settings, sections, given_sources)
    check_graph(cfg, compiled)
    steps = graph(cfg)
    record = {
        "alma": __version__,
        "method": cfg.title,
        "settings": cfg.model_dump(mode="json"),
        "steps": [step.label for step in steps],
    }
    opened = check_store(store, run, record)
    return [
        f"{len(steps)} steps, as compiled",
        f"store {opened.uri}: can be written, read and listed",
        *(f"source {line}" for line in check_sources(cfg, base)),
        *(f"endpoint {address}" for address in check_endpoints(cfg)),
    ]
