"""Figures as people read them.

A report that rounds 99.996 % to 100 % or 0.0004 to 0.00 has lied, so each function keeps as many
digits as it takes to tell a figure from the limit that it is near to.  What is not there (None,
NaN) is a dash, never a zero.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping

from engine.record.schema.summary import Outcome

NOTHING = "–"
GAP = "\N{NO-BREAK SPACE}"  # between a figure and its unit
ROUNDING = 1e-12  # shares that differ by less are the same, floating point apart


OUTCOMES: Mapping[Outcome, str] = {
    "passed": "✓ passed",
    "failed": "✗ FAILED",
    "not judged": "○ not judged",
}
"""How a limit came out, with a sign for who sees no colours."""


def count(value: float | None) -> str:
    """Whole things with thousands separators: 100,000."""
    return NOTHING if _missing(value) else f"{value:,.0f}"


def compact(value: float | None) -> str:
    """A rate or count in three digits or so: 412, 38.2k, 1.31M."""
    if _missing(value):
        return NOTHING
    assert value is not None
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}" if abs(value) < 999.5 * size else f"{value:.3g}"
    return f"{value:.3g}"


def large(value: float | None) -> str:
    """A large count in words: 12.1 billion, 3.4 million, 99,120."""
    if _missing(value):
        return NOTHING
    assert value is not None
    for size, word in ((1e9, "billion"), (1e6, "million")):
        if abs(value) >= 0.9995 * size:
            return f"{value / size:.3g} {word}" if abs(value) < 999.5 * size else f"{value:.3g}"
    return count(value)


def percent(share: float | None) -> str:
    """A share 0-1 as per cent, with two digits of its distance to 0 and to 1: 99.9962 %."""
    if _missing(share):
        return NOTHING
    assert share is not None
    if ROUNDING < share < 1e-6:
        return f"under 0.0001{GAP}%"
    if 1e-6 > 1.0 - share > ROUNDING:
        return f"over 99.9999{GAP}%"
    return f"{_digits_near_the_ends(share, 100.0, 2)}{GAP}%"


def fraction(share: float | None) -> str:
    """A share 0-1 as it is, with four digits of its distance to 0 and to 1: 0.99996184."""
    if _missing(share):
        return NOTHING
    assert share is not None
    return f"{share:.4g}" if ROUNDING < share < 1e-6 else _digits_near_the_ends(share, 1.0, 4)


def roughly(share: float | None) -> str:
    """A share 0-1 as per cent where a tenth of a per cent is enough: 93 %, 4.2 %."""
    if _missing(share):
        return NOTHING
    assert share is not None
    return f"{100.0 * share:.{0 if share >= 0.0995 else 1}f}{GAP}%"


def usd(value: float | None, *, signed: bool = False) -> str:
    """Money: $1,204, $3.20, $0.0043; with `signed` also +$3.20."""
    if _missing(value):
        return NOTHING
    assert value is not None
    size = abs(value)
    if size >= 1000.0:
        digits = 0
    elif size >= 0.1 or size == 0.0:
        digits = 2
    else:
        digits = min(1 - math.floor(math.log10(size)), 6)
    sign = "−" if value < 0 else "+" if signed else ""
    return f"{sign}${size:,.{digits}f}"


def seconds(value: float | None) -> str:
    """A duration in the unit that suits it: 38 ms, 4.2 s, 12 min 5 s, 3 h 20 min."""
    if _missing(value):
        return NOTHING
    assert value is not None
    if value == 0.0:
        return "0 s"
    if abs(value) < 1e-3:
        return f"{value * 1e6:.3g}{GAP}µs"
    if abs(value) < 0.9995:
        return f"{value * 1e3:.3g}{GAP}ms"
    if abs(value) < 99.95:
        return f"{value:.3g}{GAP}s"
    whole = round(value)
    if whole < 3600:
        return (
            f"{whole // 60}{GAP}min {whole % 60}{GAP}s" if whole % 60 else f"{whole // 60}{GAP}min"
        )
    minutes = round(value / 60.0)
    return (
        f"{minutes // 60}{GAP}h {minutes % 60}{GAP}min"
        if minutes % 60
        else f"{minutes // 60}{GAP}h"
    )


def figure(value: float | None) -> str:
    """A bare number with all of its significant digits up to six."""
    return NOTHING if _missing(value) else f"{value:,.6g}"


def figure_of(metric: str, value: float | None) -> str:
    """A figure of the summary in the unit that the last part of its path says."""
    if _missing(value):
        return NOTHING
    last = metric.rsplit(".", 1)[-1]
    path = metric.split(".")
    if last.endswith(("_ratio", "_share")) or last in ("availability", "wape", "coverage_80"):
        return f"{fraction(value)} ({percent(value)})"
    if last.endswith("_usd"):
        return f"{figure(value)} USD"
    if last.endswith("_s") or any(part.endswith("_s") for part in path[:-1]):
        return f"{figure(value)} s"
    if last.endswith("_mib"):
        return f"{figure(value)} MiB"
    return figure(value)


def clock(time_s: float) -> str:
    """Time of day, UTC: 21:40:15."""
    return f"{_utc(time_s):%H:%M:%S}"


def date(time_s: float) -> str:
    """A day, UTC: Sat 19 June 2027."""
    day = _utc(time_s)
    return f"{day:%a} {day.day} {day:%B %Y}"


def moment(iso: str) -> str:
    """An ISO time as "19 June 2027, 21:40 UTC"; a text that is no time stays as it is."""
    try:
        when = dt.datetime.fromisoformat(iso)
    except ValueError:
        return iso
    when = when.replace(tzinfo=dt.UTC) if when.tzinfo is None else when.astimezone(dt.UTC)
    return f"{when.day} {when:%B %Y, %H:%M} UTC"


def words(name: str) -> str:
    """An identifier as words: wedding_floor becomes "wedding floor"."""
    return name.replace("_", " ")


def plural(number: float, one: str, many: str = "") -> str:
    """A count with its noun: 1 action, 2 actions."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def _digits_near_the_ends(share: float, scale: float, significant: int) -> str:
    nearest = min(abs(share), abs(1.0 - share)) * scale
    if nearest <= ROUNDING * scale:
        return f"{share * scale:.0f}"
    digits = min(max(significant - 1 - math.floor(math.log10(nearest)), 0), 10)
    text = f"{share * scale:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _utc(time_s: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(time_s, dt.UTC)


def _missing(value: float | None) -> bool:
    return value is None or not math.isfinite(value)
