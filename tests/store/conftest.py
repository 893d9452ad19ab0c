"""What tests of S3 share: a proxy before the server, and a store behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from alma.store import open_store
from alma.store.ranges import RANGE_BYTES
from alma.store.s3 import S3Store
from tests.builders.proxy import Proxy, running

if TYPE_CHECKING:
    from tests.conftest import S3Server


@pytest.fixture
def proxy(s3_store_uri: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """It counts, holds back and spoils answers at a chosen moment; the environment leads to it, not to the server."""
    del s3_store_uri  # whose environment this one takes the place of
    with running(s3_server.endpoint, RANGE_BYTES) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        yield proxy


@pytest.fixture
def store(s3_store_uri: str, proxy: Proxy) -> S3Store:
    """An empty prefix of a bucket, asked through the proxy."""
    store = open_store(s3_store_uri)
    assert isinstance(store, S3Store)
    return store
