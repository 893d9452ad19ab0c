"""A login in an address is not printed."""

from __future__ import annotations

import pytest

from alma.logins import hide_login, hide_logins


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("s3://key:sec/ret@host/b", "s3://…@host/b"),
        ("s3://key:sec\nret@host", "s3://…@host"),
        ("s3:/key@one@host", "s3:/…@host"),
        ("s3://bucket/prefix", "s3://bucket/prefix"),
        ("folder/me@home", "folder/me@home"),
    ],
)
def test_nothing_before_the_last_sign_is_shown(uri: str, shown: str) -> None:
    assert hide_login(uri) == shown


@pytest.mark.timeout(60)
def test_an_address_of_any_length_is_read_once() -> None:
    assert hide_login(":/" * 500_000) == ":/" * 500_000


def test_addresses_within_a_text_have_no_login() -> None:
    text = "https://me:s3cret@host/a does not answer: <http://tok@h:1>, http://host/me@x and me@home://b"
    assert hide_logins(text) == "https://…@host/a does not answer: <http://…@h:1>, http://host/me@x and me@home://b"
    assert hide_logins("://" * 500_000) == "://" * 500_000
