"""The Kubernetes API as this process reaches it: as a pod by its account, as a person by KUBECONFIG."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from alma.bounded_pool import BoundedPool
from alma.errors import ConfigError
from alma.logins import hide_login
from alma.regular import CONFIG_BYTES, check_regular


def connection() -> Any:
    """A ``kubernetes.client.ApiClient`` that asks once and reads answers of a bounded size.

    Raises ``ConfigError`` where nobody says which cluster, or in a way that cannot be read.
    """
    from kubernetes import client, config

    path = os.environ.get("KUBECONFIG")
    settings = client.Configuration()
    settings.host = ""  # else it is this machine where none is named
    try:
        if path:
            for each in filter(os.path.exists, path.split(os.pathsep)):  # it may name some that are not there
                check_regular(Path(each), CONFIG_BYTES, named=f"KUBECONFIG = {each}", kind=ConfigError)
            config.load_kube_config(path, client_configuration=settings)
        else:
            config.load_incluster_config(client_configuration=settings)
    except ConfigError:
        raise
    except Exception as error:  # of YAML, of a document of another shape, of a cloud's login
        said = str(error) if isinstance(error, config.ConfigException) else f"{type(error).__name__}: {error}"
        raise ConfigError(
            f"no cluster: {_where(path)}: {said[:300]}. A pod needs automountServiceAccountToken, a person KUBECONFIG"
        ) from error
    _check(settings, path)
    settings.retries = False
    found = client.ApiClient(settings)
    found.rest_client.pool_manager = BoundedPool(found.rest_client.pool_manager)
    return found


def _check(settings: Any, path: str | None) -> None:
    """Refuses what no request could be made with: it would look like a server that is away."""
    host = str(settings.host)
    try:
        named = urlsplit(host).hostname if host.startswith(("http://", "https://")) else None
    except ValueError:
        named = None
    if not named or not host.isprintable() or " " in host:
        raise ConfigError(
            f"no cluster: {_where(path)} names the server {hide_login(host)[:200]!r}, and no https://HOST[:PORT]"
        )
    token = settings.api_key.get("authorization") or ""
    if not token.isprintable() or not token.isascii():
        raise ConfigError(
            f"no cluster: the token of {_where(path)} holds a line break, or what no header can; write it anew"
        )


def _where(path: str | None) -> str:
    return f"KUBECONFIG = {path}" if path else "the account of this pod, if it is one"
