"""The Hugging Face Hub: one pinned commit of a data set or a model, through ``huggingface_hub`` and its cache.

``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HOME`` and ``HF_HUB_OFFLINE`` are respected, as everywhere in that library.
"""

from __future__ import annotations

import errno
import glob
import re
from functools import partial
from pathlib import Path

from alma.errors import AccessError, ConfigError, DataError, StoreUnavailableError
from alma.logins import hide_logins
from alma.sections import Ingest, IngestModel, IngestRows
from alma.sources import embedders, models, nearest, weights
from alma.sources.commit import Commit, listed
from alma.sources.row import on_one_line
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
        commit = _fetched(cfg, repository, [glob.escape(path)], alone=path)
        if path not in commit.sizes:
            raise DataError(f"{cfg.source}: no such file in that commit.{nearest(path, _rows(commit))}")
        commit.check_whole([path])
        return [commit.folder / path]
    commit = _fetched(cfg, repository, [f"*{glob.escape(cfg.split)}*{suffix}" for suffix in SUFFIXES])
    # The rule of the datasets library: the split's name in the path, set off from letters and digits.
    named = re.compile(rf"(^|.*[^a-zA-Z0-9]){re.escape(cfg.split)}([^a-zA-Z0-9].*|$)")
    files = sorted(Path(name) for name in _rows(commit) if named.fullmatch(name))
    if not files:
        raise DataError(f"{cfg.source}: no file is named for split = {cfg.split!r}.{nearest(cfg.split, _rows(commit))}")
    if len({(name.parent, name.suffix) for name in files}) > 1:
        several = ", ".join(on_one_line(name.as_posix()) for name in files[:8])
        raise ConfigError(f"{cfg.source}: several sets have a split {cfg.split!r}; add one file to source: {several}")
    commit.check_whole(name.as_posix() for name in files)
    return [commit.folder / name for name in files]


def fetch_model(cfg: IngestModel) -> Path:
    """The folder of the model, in the cache of ``huggingface_hub``; its files may be symbolic links."""
    from huggingface_hub.utils import filter_repo_objects

    repository, path = place(cfg)
    prefix = f"{glob.escape(path)}/" if path else ""
    wanted = [prefix + pattern for pattern in models.BELONGS]
    ignored = [prefix + pattern for pattern in (*models.NEVER, "*/*")]  # a star also matches a slash there
    if cfg.task == "embedding":
        wanted += [prefix + pattern for pattern in (*embedders.BELONGS, *embedders.INNER)]
        ignored = [prefix + pattern for pattern in (*models.NEVER, "[!0-9]*/*", "*/*/*")]
    commit = _fetched(cfg, repository, wanted, ignored)
    folder = commit.folder / (path or "")
    if (Path(path or "") / "config.json").as_posix() not in commit.sizes:
        raise DataError(f"{cfg.source}: no config.json in that commit.{nearest('config.json', commit.sizes)}")
    belonging = partial(filter_repo_objects, allow_patterns=wanted, ignore_patterns=ignored)
    commit.check_whole(belonging(commit.sizes))
    commit.check_nothing_else(belonging(each.relative_to(commit.folder).as_posix() for each in folder.rglob("*")))
    if not any(folder.glob("*.safetensors")):
        raise DataError(weights.explain_absent(cfg.source, commit.sizes))
    return folder


def _rows(commit: Commit) -> list[str]:
    """The files of rows."""
    return [name for name in commit.sizes if Path(name).suffix in SUFFIXES]


def _fetched(
    cfg: Ingest, repository: str, wanted: list[str], ignored: list[str] | None = None, alone: str | None = None
) -> Commit:
    from huggingface_hub import constants, errors, snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    bound_answers()
    disable_progress_bars()  # standard error carries alma's own events
    kind = "model" if isinstance(cfg, IngestModel) else "dataset"
    url = hide_logins(f"{constants.ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{repository}")
    what = f"{cfg.source}: {url}"
    fetch = f"hf download {repository} --repo-type {kind} --revision {cfg.revision}"
    assert cfg.revision is not None, "place() has seen that it is a commit"
    try:
        with waiting(what, "is being fetched for"):
            folder = Path(
                snapshot_download(
                    repository, repo_type=kind, revision=cfg.revision, allow_patterns=wanted, ignore_patterns=ignored
                )
            )
            return Commit(cfg.source, folder, listed(repository, kind, cfg.revision, folder, alone), fetch)
    except errors.GatedRepoError as error:
        raise AccessError(f"{what} has terms: accept them there, then set HF_TOKEN to a token of yours") from error
    except errors.RepositoryNotFoundError as error:
        raise AccessError(f"{what} does not exist, or is private: check the name, or set HF_TOKEN") from error
    except errors.RevisionNotFoundError as error:
        raise DataError(f"{what} has no commit {cfg.revision}; see git ls-remote {url}") from error
    except errors.OfflineModeIsEnabled as error:
        raise DataError(
            f"{what}: the cache has no list of the files of that commit, so that what lies there may be a part of "
            f"it, and HF_HUB_OFFLINE is set; unset it, or fetch the commit, with its list, first: {fetch}"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        if constants.HF_HUB_OFFLINE:
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
    except OSError as error:
        if error.errno not in (None, errno.ENAMETOOLONG):  # a disk of this machine
            raise
        said = "a name that no disk takes" if error.errno else hide_logins(str(error).partition("\n")[0])
        raise StoreUnavailableError(
            f"{what} answered what no Hub does: {said}; check HF_ENDPOINT, and what lies between, and try again"
        ) from error
    except STRANGE as error:
        raise StoreUnavailableError(
            f"{what} answered what no Hub does ({type(error).__name__}: {hide_logins(str(error))}); check HF_ENDPOINT, "
            "and what lies between"
        ) from error
