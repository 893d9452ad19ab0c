"""An exported model, uploaded to the Hugging Face Hub."""

from __future__ import annotations

import re
from pathlib import Path

from alma.errors import AccessError, ConfigError, StoreUnavailableError
from alma.logins import hide_logins
from alma.sources.hub import STRANGE
from alma.sources.session import bound_answers
from alma.store.waiting import waiting

_REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)


def check_repository(option: str, repository: str) -> None:
    """Raises ``ConfigError``, which names ``option``, unless it is ``owner/name``."""
    if not _REPOSITORY.fullmatch(repository):
        raise ConfigError(f"{option} {repository!r}: a repository of the Hub is owner/name; write it so")


def check_push(repository: str) -> None:
    """Raises ``ConfigError`` where ``--push repository`` cannot succeed, before anything is exported."""
    from huggingface_hub import constants

    check_repository("--push", repository)
    if constants.HF_HUB_OFFLINE:
        raise ConfigError(f"--push {repository}: HF_HUB_OFFLINE is set, and --push needs the Hub; unset it")


def push(folder: Path, repository: str, *, public: bool) -> str:
    """Uploads ``folder`` to the model repository ``owner/name``, which is made, private, if it is not there.

    ``HF_TOKEN`` and ``HF_ENDPOINT`` as everywhere in that library. Returns the commit's address. Raises ``AccessError``
    where the Hub refuses, ``StoreUnavailableError`` where it does not answer.
    """
    from huggingface_hub import HfApi, errors
    from huggingface_hub.utils import disable_progress_bars

    check_push(repository)
    bound_answers()
    disable_progress_bars()
    api = HfApi(library_name="alma")
    try:
        with waiting(f"the Hub ({repository})", "is being written to for"):
            api.create_repo(repository, private=not public, exist_ok=True)
            commit = api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Export by alma")
    except (errors.LocalTokenNotFoundError, errors.GatedRepoError, errors.RepositoryNotFoundError) as error:
        raise AccessError(f"{repository}: the Hub refuses access; set HF_TOKEN to a token that may write") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise AccessError(
                f"{repository}: the Hub refuses access ({status}); set HF_TOKEN to a token that may write there"
            ) from error
        raise StoreUnavailableError(f"{repository}: the Hub answered {status}: {hide_logins(str(error))}") from error
    except errors.HTTPError as error:
        raise StoreUnavailableError(f"{repository}: the Hub does not answer: {hide_logins(str(error))}") from error
    except STRANGE as error:
        raise StoreUnavailableError(
            f"{repository}: what answered is no Hub ({type(error).__name__}: {hide_logins(str(error))}); check "
            "HF_ENDPOINT"
        ) from error
    return str(commit.commit_url)
