"""How numbers are written on the page."""

from __future__ import annotations

from alma.page.numbers import Estimate


def percent(fraction: float, digits: int = 1) -> str:
    """0.8642 → ``86.4%``."""
    return f"{100 * fraction:.{digits}f}%"


def points(difference: float) -> str:
    """A difference of fractions, 0.0642 → ``+6.4 points``."""
    return f"{signed(100 * difference, 1)} points"


def signed(value: float, digits: int = 2) -> str:
    """``+0.25`` or ``−0.25``, with a real minus."""
    return f"{value:+.{digits}f}".replace("-", "−")


def signed_interval(estimate: Estimate | None, scale: float = 1.0, digits: int = 2) -> str:
    """A difference times ``scale``: ``+0.25 (+0.11 to +0.39)``; a dash for nothing."""
    if estimate is None:
        return "–"
    text = signed(scale * estimate.value, digits)
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} ({signed(scale * estimate.low, digits)} to {signed(scale * estimate.high, digits)})"


def amount(value: float) -> str:
    """1234567 → ``1.2 M``."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= size:
            return f"{value / (1e3 if unit == ' k' else size):.{0 if unit == ' k' else 1}f}{unit}"
    return f"{value:,.0f}"


def device_time(seconds: float) -> str:
    """Seconds of a device, whose hours are paid for: ``42 s``, ``3 min 20 s``, ``5.2 h``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if (whole := round(seconds)) < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{seconds / 3600:.1f} h"


def rounded(seconds: float) -> str:
    """Seconds in their largest unit: ``28 min``."""
    return f"{seconds / 60:.0f} min" if 100 <= seconds < 3600 else device_time(seconds)


def percent_interval(estimate: Estimate | None) -> str:
    """``86.4% (83.2 – 89.1)``; a dash for nothing."""
    if estimate is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return percent(estimate.value)
    return f"{percent(estimate.value)} ({100 * estimate.low:.1f} – {100 * estimate.high:.1f})"


def interval(estimate: Estimate | None, digits: int = 2) -> str:
    """``7.81 (7.70 – 7.92)``; a dash for nothing."""
    if estimate is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.{digits}f}"
    return f"{estimate.value:.{digits}f} ({estimate.low:.{digits}f} – {estimate.high:.{digits}f})"
