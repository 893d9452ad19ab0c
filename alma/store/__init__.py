"""Where artifacts lie: a folder, or ``s3://bucket/prefix``. The only room that moves bytes to or from object storage.

::

    protocol   what a store can do
    folder     a store in a folder; s3: a store in a bucket
    transfer   large objects from S3, and upload: to it; in parallel, resumed after a kill
    arrival    whether what was sent or fetched arrived as it was; mending: what botocore is kept from; bounded: how
               large an answer may be; answers: what is none of S3's
    ranges     a download's finished ranges; multipart: an upload's parts; waiting: a word where nobody answers
    cache      files of the store on this machine, checked; eviction: keeps the cache below its bound
    files      publishing a file whole or not at all; locks: flock(2), where there is one; names: what an object may be
               called
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from alma.errors import ConfigError
from alma.logins import hide_login
from alma.store.folder import FolderStore
from alma.store.protocol import Store

__all__ = ["FolderStore", "Store", "open_store"]


def open_store(uri: str) -> Store:
    """The store at ``uri``: a path, ``file://`` or ``s3://bucket[/prefix]``; another scheme raises ``ConfigError``."""
    # One slash is enough to count as a scheme: "s3:/bucket" is a typing error, not a folder.
    scheme, colon, rest = uri.partition(":/")
    if not colon or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        if not uri or "\0" in uri:
            raise ConfigError(f"store {uri!r} is not a path; give a folder, file:///folder or s3://bucket/prefix")
        return FolderStore(Path(uri))
    host, _, path = rest.removeprefix("/").partition("/")
    if scheme.lower() not in ("file", "s3") or not rest.startswith("/"):
        raise ConfigError(f"store {hide_login(uri)!r}: accepted are a folder, file:///folder and s3://bucket/prefix")
    if "@" in host or ":" in host:
        raise ConfigError(
            f"store {hide_login(uri)!r}: neither credentials nor an endpoint belong in it; set AWS_PROFILE or "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL"
        )
    if scheme.lower() == "s3":
        from alma.store.s3 import S3Store  # imported here, so that a folder store never needs boto3

        return S3Store(host, path.rstrip("/"))
    if host not in ("", "localhost"):
        raise ConfigError(
            f"store {hide_login(uri)!r} names the machine {host!r}; write file:///folder with three slashes"
        )
    return FolderStore(Path("/" + unquote(path)))
