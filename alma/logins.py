"""Logins in addresses, which nothing prints: ``http://user:password@host`` is a usual form."""

from __future__ import annotations

import re

_LOGIN = re.compile(r"(?<=://)[^\s/@]*@")


def hide_login(uri: str) -> str:
    """``uri`` without login, for messages: nothing before the last ``@`` is shown (secret keys may hold slashes)."""
    before, at, behind = uri.rpartition("@")
    scheme = re.search(":/+", before)
    return f"{before[: scheme.end()]}…{at}{behind}" if scheme else uri


def hide_logins(text: str) -> str:
    """``text`` with the login left out of every address in it."""
    return _LOGIN.sub("…@", text)
