"""Texts of models as cells of a spreadsheet: none of them is run as a formula, or read as a number or a date.

An apostrophe before such a text makes spreadsheets take it as it is (OWASP, *CSV Injection*,
https://owasp.org/www-community/attacks/CSV_Injection). Texts that begin with one get another, so that it can be taken
off again.
"""

from __future__ import annotations

MARK = "'"
_FORMULA = "=+-@|%\t\r\n＝＋－＠"
"""Characters with which a formula, or a command of DDE, begins; the wide forms are read as the others."""

_SHORT = 40
"""No number and no date has more characters."""

MOST = 32_767
"""Characters of a cell that Excel keeps."""


def cell(text: str) -> str:
    """What is written for ``text``."""
    return MARK + text if _is_read_otherwise(text) else text


def text_of(written: str) -> str:
    """The text that ``cell`` wrote so."""
    return written.removeprefix(MARK)


def is_text(written: str, text: str) -> bool:
    """Whether a cell still holds ``text``: with the apostrophe or without it, line ends as the spreadsheet has them."""
    return _lines(text) in (_lines(text_of(written)), _lines(written))


def _is_read_otherwise(text: str) -> bool:
    start = text.lstrip()[:1]
    if text[:1] == MARK or text[:1] in _FORMULA or start in _FORMULA:
        return True
    short = len(text) <= _SHORT
    return short and (any(each.isdigit() for each in text) or text.strip().casefold() in ("true", "false"))


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
