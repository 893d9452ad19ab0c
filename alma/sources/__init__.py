"""Fetches data and models from outside the store: a path, ``s3://bucket/key`` or ``hf://owner/name``.

============  ===========================================================
file          does
============  ===========================================================
``rows``      reads JSONL, JSON, CSV and Parquet, with line numbers
``json_rows`` … JSONL and JSON
``csv_rows``  … CSV
``parquet``   … Parquet, within bounds on what it becomes in memory
``row``       a row, or one that cannot be used
``legible``   refuses what is not UTF-8, or larger than a row may be
``columns``   finds our columns in a row
``paths``     follows a dotted path into a row
``turns``     reads the turns of a conversation, each with its role
``exchange``  finds the exchange of a conversation that is a row
``whole``     reads a conversation whole
``places``    checks a path against who speaks there
``roles``     reads prompt and answer by who speaks
``session``   bounds what the Hub answers
``values``    checks one value of a row: a text, a score, an id
``ids``       decides whether a column tells the rows of a file apart
``lengths``   finds rows that no context window can hold
``held_out``  compares held-out prompts with what is brought for training
``answers``   a comparator's answers beside the prompts that they answer
``models``    checks a model folder and writes its chat template
``heads``     whether a model gives one reward
``model_types`` the types of what a model's JSON files hold
``embedders`` the further files of a sentence-transformers model
``weights``   finds its safetensors and reads their headers
``finite``    whether its weights are numbers
``quantization`` weights that were quantized
``untrained`` tokens that it has never read
``template_date`` the day that its chat template writes
``tasks``     the files of a folder of lm-eval's tasks
``unchanged`` whether what is read is what the work is named by
``hub``       fetches a pinned commit from the Hugging Face Hub
``commit``    whether all of it lies in the cache
============  ===========================================================

Nothing here imports a machine-learning library; ``huggingface_hub`` is imported when an ``hf://`` source is fetched.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import Literal

from alma.errors import AccessError, ConfigError, DataError
from alma.parallel import FILES, in_order
from alma.regular import check_regular, expand
from alma.sections import Ingest, IngestModel, IngestRows, IngestTasks
from alma.sources.row import on_one_line
from alma.store import Store, open_store
from alma.store.cache import current
from alma.store.waiting import waiting

Scheme = Literal["path", "s3", "hf"]


def scheme(cfg: Ingest) -> Scheme:
    """How ``cfg.source`` is reached. Raises ``ConfigError`` for an unknown scheme or a misplaced revision."""
    name, separator, rest = cfg.source.partition("://")
    found: Scheme = "path"
    if separator:
        if name not in ("s3", "hf") or not rest:
            raise ConfigError(f"source = {cfg.source!r}: write a path, s3://bucket/key, or hf://owner/name")
        found = "s3" if name == "s3" else "hf"
    if not cfg.source.strip():
        raise ConfigError("source is empty: write a path, s3://bucket/key, or hf://owner/name")
    if cfg.revision is not None and found != "hf":
        raise ConfigError(
            f"revision = {cfg.revision!r} goes with hf:// sources only, and source = {cfg.source!r}; leave it out"
        )
    return found


def fetch_rows(cfg: IngestRows, base: Path, scratch: Path) -> list[Path]:
    """The files that hold the rows, on this machine; downloads go to ``scratch``.

    A relative path starts at ``base``. Raises ``DataError`` or ``AccessError`` where the source cannot be fetched.
    """
    where = scheme(cfg)
    if where == "hf":
        from alma.sources import hub

        return hub.fetch_rows(cfg)
    return [_s3_file(cfg.source, scratch) if where == "s3" else _local_file(cfg.source, base)]


def fetch_model(cfg: IngestModel, base: Path, scratch: Path) -> Path:
    """The folder that holds the model, on this machine. Raises as ``fetch_rows`` does."""
    where = scheme(cfg)
    if where == "hf":
        from alma.sources import hub

        return hub.fetch_model(cfg)
    return _s3_folder(cfg, scratch) if where == "s3" else _local_folder(cfg.source, base)


def fetch_tasks(cfg: IngestTasks, base: Path, scratch: Path) -> list[tuple[str, Path]]:
    """(name in the folder, file) of all that a task folder holds. Raises as ``fetch_rows`` does."""
    from alma.sources import tasks

    where = scheme(cfg)
    tasks.check_scheme(cfg.source, where)
    folder = _s3_tasks(cfg.source, scratch) if where == "s3" else _local_folder(cfg.source, base)
    return tasks.task_files(folder, cfg.source)


def being_read(source: str) -> AbstractContextManager[None]:
    """Says so, now and then, where reading ``source`` takes long."""
    return waiting(source, "is being read for")


def check_there(cfg: Ingest, base: Path) -> None:
    """Raises as ``fetch_rows`` does where ``cfg.source`` does not exist, without fetching it.

    Of an ``hf://`` source only the name and the revision are checked.
    """
    where = scheme(cfg)
    if isinstance(cfg, IngestTasks):
        from alma.sources import tasks

        tasks.check_scheme(cfg.source, where)
    if where == "hf":
        from alma.sources import hub

        hub.identity(cfg)
    elif where == "s3" and isinstance(cfg, IngestTasks):
        store, name = _s3(cfg.source)
        _s3_names(store, name, cfg.source)
    elif where == "s3":
        store, name = _s3(cfg.source)
        wanted = f"{name}/config.json" if isinstance(cfg, IngestModel) else name
        if not store.exists(wanted):
            raise DataError(f"{cfg.source}: nothing lies there ({wanted}).{nearest(name, _siblings(store))}")
    elif isinstance(cfg, IngestTasks):
        fetch_tasks(cfg, base, base)
    elif isinstance(cfg, IngestModel):
        _local_folder(cfg.source, base)
    else:
        _local_file(cfg.source, base)


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint for a misspelt ``name``: those of ``names`` that are like it, else the first ones; empty without any."""
    there = sorted(map(on_one_line, names))
    close = difflib.get_close_matches(name, there, n=3, cutoff=0.6)
    if close:
        return f" Did you mean {' or '.join(close)}?"
    return f" There is: {', '.join(there[:8])}{', …' if len(there) > 8 else ''}." if there else ""


def _local_file(source: str, base: Path) -> Path:
    path = base / expand(source)
    if path.is_dir():
        files = ", ".join(sorted(on_one_line(p.name) for p in path.iterdir() if p.is_file())[:8])
        raise DataError(f"{source}: is a folder ({path}); name the file in it{': ' + files if files else ''}")
    _must_exist(source, path)
    _must_open(source, path)
    return path


def _local_folder(source: str, base: Path) -> Path:
    path = base / expand(source)
    _must_exist(source, path)
    if not path.is_dir():
        raise DataError(f"{source}: is a file; name the folder that holds it")
    return path


def _must_exist(source: str, path: Path) -> None:
    if path.exists():
        return
    if path.is_symlink():
        raise DataError(f"{source}: is a symbolic link that leads nowhere ({path}); mend it, or name the file itself")
    if path.parent.is_dir():
        raise DataError(
            f"{source}: no such file ({path}).{nearest(path.name, (p.name for p in path.parent.iterdir()))}"
        )
    raise DataError(f"{source}: no such file ({path}); the folder {path.parent} does not exist either")


def _must_open(source: str, path: Path) -> None:
    check_regular(path, named=source)
    try:
        path.open("rb").close()
    except PermissionError as error:
        raise AccessError(f"{source}: this user may not read {path}; try: chmod a+r {path}") from error


def _s3(source: str) -> tuple[Store, str]:
    """The store that holds ``source`` and the name in it: the last part of the key."""
    place, _, name = source.rstrip("/").rpartition("/")
    if place in ("s3:/", "s3:"):
        raise ConfigError(f"source = {source!r} names a bucket; name what lies in it: {source.rstrip('/')}/…")
    return open_store(place), name


def _s3_file(source: str, scratch: Path) -> Path:
    store, name = _s3(source)
    try:
        return _link(current(store, name), scratch / name)
    except FileNotFoundError as error:
        raise DataError(f"{source}: no such object.{nearest(name, _siblings(store))}") from error


def _s3_folder(cfg: IngestModel, scratch: Path) -> Path:
    from alma.sources import embedders, models, weights

    source = cfg.source
    store, name = _s3(source)
    names = [file.removeprefix(f"{name}/") for file in store.list(name)]
    if "config.json" not in names:
        raise DataError(f"{source}: no model lies there (no config.json).{nearest(name, _siblings(store))}")
    files = [file for file in names if models.belongs(file) or (cfg.task == "embedding" and embedders.belongs(file))]
    if not any(file.endswith(".safetensors") for file in files):
        raise DataError(weights.explain_absent(source, names))
    paths = in_order(lambda file: current(store, f"{name}/{file}"), files, FILES)
    for file, path in zip(files, paths, strict=True):
        _link(path, scratch / name / file)
    return scratch / name


def _s3_tasks(source: str, scratch: Path) -> Path:
    store, name = _s3(source)
    files = _s3_names(store, name, source)
    for file, path in zip(files, in_order(lambda file: current(store, file), files, FILES), strict=True):
        _link(path, scratch / file)
    return scratch / name


def _s3_names(store: Store, name: str, source: str) -> list[str]:
    files = list(store.list(name))
    if not any(file.endswith(".yaml") for file in files):
        raise DataError(f"{source}: no .yaml lies there.{nearest(name, _siblings(store))}")
    return files


def _link(path: Path, name: Path) -> Path:
    """Links the cached file ``path`` under its name in the source."""
    name.parent.mkdir(parents=True, exist_ok=True)
    name.unlink(missing_ok=True)
    name.symlink_to(path.resolve())
    return name


def _siblings(store: Store) -> set[str]:
    """Names beside the source; none at the root of a bucket, which may hold millions of objects."""
    at_root = store.uri.removeprefix("s3://").count("/") == 0
    return set() if at_root else {PurePosixPath(name).parts[0] for name in store.list("")}
