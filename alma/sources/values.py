"""Checks one value of a row: a text, a score, an id.

Tables bring decimals, UUIDs and dates beside plain ones.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from alma.sources.row import shown

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_UNUSABLE = re.compile("[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]")
_WHOLE_FLOATS: Final = 2**53
"""Beyond it a float no longer tells neighbouring whole numbers apart."""
_MOST_DIGITS: Final = 76  # of Arrow's decimals


class Fault(Exception):  # noqa: N818 - of one row: caught and counted, it ends no program
    """What is wrong with one row: ``reason`` is the kind of fault, ``detail`` says it with the value."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def text(name: str, value: Any) -> str:
    """``value`` where it is a text with something in it."""
    if value is None or (isinstance(value, str) and not value.strip()):
        raise Fault(f"empty {name}", f"{name} is empty: {shown(value)}")
    return characters(name, value)


def texts(name: str, value: Any) -> tuple[str, ...]:
    """The texts of a list that is not empty."""
    if not isinstance(value, list | tuple) or not value:
        hint = "; a CSV field cannot hold a list, so bring JSONL" if isinstance(value, str) else ""
        raise Fault(f"{name} not a list", f"{name} is {shown(value)}, and not a list of texts{hint}")
    return tuple(text(f"an entry of {name}", each) for each in value)


def characters(name: str, value: Any) -> str:
    """``value`` where it is a text, which may be empty, without control characters."""
    if not isinstance(value, str):
        hint = "; write the column as strings" if isinstance(value, bytes) else ""
        raise Fault(f"{name} not text", f"{name} is {shown(value)} ({type(value).__name__}), and not text{hint}")
    bad = _UNUSABLE.search(value)
    if bad:
        code, around = ord(bad[0]), shown(value[max(0, bad.start() - 10) : bad.end() + 10])
        what = "half a character (a lone surrogate)" if code >= 0xD800 else "a control character"
        detail = f"{name} has {what}, U+{code:04X}, at place {bad.start()}: {around}"
        raise Fault(f"unusable character in {name}", detail)
    return value


def score(value: Any, numbers_are_text: bool) -> float:
    """A number from 0 to 10: whole, with a fraction or decimal, of any width; in CSV, where all is text, spelt."""
    number = value
    if numbers_are_text and isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        number = float(value)
    if isinstance(number, bool) or not isinstance(number, int | float | Decimal):
        spelt = isinstance(value, str) and _NUMBER.fullmatch(value.strip())
        hint = "; write it without quotes (in Parquet: a column of numbers)" if spelt else ""
        raise Fault("score not a number", f"score is {shown(value)}, and not a number{hint}")
    if isinstance(number, Decimal) and not number.is_finite():  # compared with anything, it raises
        number = math.nan
    if not 0 <= number <= 10:  # NaN is not either
        raise Fault("score outside 0 to 10", f"score is {shown(value)}; the scale is 0 (unusable) to 10 (outstanding)")
    return float(number)


_SPELT: Final = {"true": True, "1": True, "false": False, "0": False}


def flag(name: str, value: Any, numbers_are_text: bool) -> bool:
    """True or false, or 1 or 0; in CSV, where all is text, spelt."""
    if numbers_are_text and isinstance(value, str) and value.strip().lower() in _SPELT:
        return _SPELT[value.strip().lower()]
    if isinstance(value, bool) or (isinstance(value, int | float | Decimal) and value in (0, 1)):
        return bool(value)
    raise Fault(f"{name} not true or false", f"{name} is {shown(value)}, and neither true nor false")


def is_hole(value: Any) -> bool:
    """Whether there is no value: null, or NaN, which pandas and NumPy write for it."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def identifier(value: Any) -> str | None:
    """The text of an id; ``None`` where it is null, NaN or empty. Raises ``Fault`` for what is no text or whole number.

    pandas turns whole numbers beside a hole into floats: 1.0 is read as 1.
    """
    if is_hole(value) or value == "":
        return None
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, str):
        return text("id", value)
    number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if not number or not _is_whole(value):
        detail = f"id is {shown(value)} ({type(value).__name__}), and neither a text nor a whole number"
        raise Fault("id not usable", detail)
    if isinstance(value, float) and abs(value) >= _WHOLE_FLOATS:
        raise Fault("id not usable", f"id is {shown(value)}: a float of this size has lost its last digits")
    return str(int(value))


def _is_whole(number: float | Decimal) -> bool:
    if isinstance(number, Decimal):
        return number.is_finite() and number.adjusted() < _MOST_DIGITS and number == int(number)
    return isinstance(number, int) or number.is_integer()
