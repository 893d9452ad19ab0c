"""The Hugging Face Hub: one pinned commit of a data set or a model, through ``huggingface_hub`` and its cache.

``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HOME`` and ``HF_HUB_OFFLINE`` are respected, as everywhere in that library.
"""

from __future__ import annotations

import glob
import re
from pathlib import Path

from alma.errors import AccessError, ConfigError, DataError, StoreUnavailableError
from alma.logins import hide_logins
from alma.sections import Ingest, IngestModel, IngestRows
from alma.sources import embedders, models, nearest, weights
from alma.sources.rows import SUFFIXES
from alma.sources.session import bound_answers
from alma.store.waiting import waiting

_PLACE = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:/(.+))?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
STRANGE = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)
"""What ``huggingface_hub`` ends in where something else than the Hub answers: a login page, a proxy."""


def place(cfg: Ingest) -> tuple[str, str | None]:
    """The repository ``owner/name`` and the path in it. Raises ``ConfigError`` unless a commit is pinned."""
    source = cfg.source.rstrip("/")
    found = _PLACE.fullmatch(source)
    if found is None or source.startswith(("hf://datasets/", "hf://models/")) or ".." in source.split("/"):
        raise ConfigError(f"source = {cfg.source!r}: write hf://owner/name or hf://owner/name/path/in/the/repository")
    if cfg.revision is None or not _COMMIT.fullmatch(cfg.revision):
        said = "is missing" if cfg.revision is None else f"= {cfg.revision!r} can move"
        kind = "models" if isinstance(cfg, IngestModel) else "datasets"
        url = f"https://huggingface.co/{'' if kind == 'models' else 'datasets/'}{found[1]}"
        raise ConfigError(
            f"revision {said}, and a run must mean the same next month: give the 40 hex digits of a commit of "
            f"{cfg.source}. To see them: git ls-remote {url} {cfg.revision or 'main'}"
        )
    return found[1], found[2]


def identity(cfg: Ingest) -> dict[str, str]:
    """A commit never changes, so its name stands for its content and nothing has to be fetched."""
    repository, path = place(cfg)
    return {"hub": f"{repository}@{cfg.revision}", "path": path or ""}


def fetch_rows(cfg: IngestRows) -> list[Path]:
    """The file that the source names, or else the files of ``cfg.split`` by their names, in order."""
    repository, path = place(cfg)
    if path is not None:
        file = _snapshot(cfg, repository, "dataset", [glob.escape(path)]) / path
        if not file.is_file():
            raise DataError(f"{cfg.source}: no such file in that commit.{_there(cfg, repository, path)}")
        return [file]
    folder = _snapshot(cfg, repository, "dataset", [f"*{glob.escape(cfg.split)}*{suffix}" for suffix in SUFFIXES])
    # The rule of the datasets library: the split's name in the path, set off from letters and digits.
    named = re.compile(rf"(^|.*[^a-zA-Z0-9]){re.escape(cfg.split)}([^a-zA-Z0-9].*|$)")
    names = (p.relative_to(folder) for p in folder.rglob("*") if p.is_file() and p.suffix in SUFFIXES)
    files = sorted(name for name in names if named.fullmatch(name.as_posix()))
    if not files:
        raise DataError(
            f"{cfg.source}: no file is named for split = {cfg.split!r}.{_there(cfg, repository, cfg.split)}"
        )
    if len({(name.parent, name.suffix) for name in files}) > 1:
        listed = ", ".join(name.as_posix() for name in files[:8])
        raise ConfigError(f"{cfg.source}: several sets have a split {cfg.split!r}; add one file to source: {listed}")
    return [folder / name for name in files]


def fetch_model(cfg: IngestModel) -> Path:
    """The folder of the model, in the cache of ``huggingface_hub``; its files may be symbolic links."""
    repository, path = place(cfg)
    prefix = f"{glob.escape(path)}/" if path else ""
    wanted = [prefix + pattern for pattern in models.BELONGS]
    ignored = [prefix + pattern for pattern in (*models.NEVER, "*/*")]  # a star also matches a slash there
    if cfg.task == "embedding":
        wanted += [prefix + pattern for pattern in (*embedders.BELONGS, *embedders.INNER)]
        ignored = [prefix + pattern for pattern in (*models.NEVER, "[!0-9]*/*", "*/*/*")]
    folder = _snapshot(cfg, repository, "model", wanted, ignored) / (path or "")
    if not (folder / "config.json").is_file():
        raise DataError(f"{cfg.source}: no config.json in that commit.{_there(cfg, repository, 'config.json')}")
    if not any(folder.glob("*.safetensors")):
        names = _listing(cfg, repository)
        raise DataError(weights.explain_absent(cfg.source, names))
    return folder


def _snapshot(cfg: Ingest, repository: str, kind: str, wanted: list[str], ignored: list[str] | None = None) -> Path:
    from huggingface_hub import constants, errors, snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    bound_answers()
    disable_progress_bars()  # standard error carries alma's own events
    url = hide_logins(f"{constants.ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{repository}")
    what = f"{cfg.source}: {url}"
    try:
        with waiting(what, "is being fetched for"):
            return Path(
                snapshot_download(
                    repository, repo_type=kind, revision=cfg.revision, allow_patterns=wanted, ignore_patterns=ignored
                )
            )
    except errors.GatedRepoError as error:
        raise AccessError(f"{what} has terms: accept them there, then set HF_TOKEN to a token of yours") from error
    except errors.RepositoryNotFoundError as error:
        raise AccessError(f"{what} does not exist, or is private: check the name, or set HF_TOKEN") from error
    except errors.RevisionNotFoundError as error:
        raise DataError(f"{what} has no commit {cfg.revision}; see git ls-remote {url}") from error
    except errors.LocalEntryNotFoundError as error:
        if constants.HF_HUB_OFFLINE:
            fetch = f"hf download {repository} --repo-type {kind} --revision {cfg.revision}"
            remedy = f"unset it, or fetch the commit first: {fetch}"
            raise DataError(f"{what} is not (wholly) in the cache, and HF_HUB_OFFLINE is set; {remedy}") from error
        raise StoreUnavailableError(f"{what} does not answer: {hide_logins(str(error))}") from error
    except errors.HfHubHTTPError as error:
        if error.response.status_code in (401, 403):
            raise AccessError(f"{what} refuses access ({error.response.status_code}); set HF_TOKEN") from error
        raise StoreUnavailableError(
            f"{what} answered {error.response.status_code}: {hide_logins(str(error))}"
        ) from error
    except errors.HTTPError as error:  # the network, below the Hub's own answers
        raise StoreUnavailableError(f"{what}: {hide_logins(str(error))}") from error
    except STRANGE as error:
        raise StoreUnavailableError(
            f"{what} answered what no Hub does ({type(error).__name__}: {hide_logins(str(error))}); check HF_ENDPOINT, "
            "and what lies between"
        ) from error


def _there(cfg: Ingest, repository: str, wanted: str) -> str:
    """A hint: what the commit holds instead, if the Hub answers."""
    names = _listing(cfg, repository)
    if isinstance(cfg, IngestRows):
        names = [name for name in names if Path(name).suffix in SUFFIXES]
    return nearest(wanted, names)


def _listing(cfg: Ingest, repository: str) -> list[str]:
    from huggingface_hub import HfApi, errors

    kind = "model" if isinstance(cfg, IngestModel) else "dataset"
    try:
        with waiting(cfg.source):
            return list(HfApi().list_repo_files(repository, repo_type=kind, revision=cfg.revision))
    except (errors.HTTPError, errors.OfflineModeIsEnabled, *STRANGE):
        return []  # only ever part of an error message
