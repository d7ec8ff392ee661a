"""A column of times as people's tools write them, to epoch seconds.

The column is read in one way: which of the numbers is the month, what a large number counts, and in
which zone a time without one is, holds for every row.  Where two readings fit every row and differ,
neither is taken.  What only counts rows (0, 1, 2, ...) is no time.

It is long because all readings of a column have to be beside each other to be told apart.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from engine.model import FloatArray
from scenarios.traces.errors import TraceError
from scenarios.traces.numerals import bare

UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
EARLIEST_S, LATEST_S = 315_532_800.0, 4_133_980_800.0
"""1980 and 2101: numbers that are times of these years in one unit are in none of another."""
ORDERS = {"ymd": (0, 1, 2), "dmy": (2, 1, 0), "mdy": (2, 0, 1)}
ORDER_NAMES = {"ymd": "year, month, day", "dmy": "day, month, year", "mdy": "month, day, year"}
EXCEL_EPOCH_S = -2_209_161_600.0  # 30 December 1899
EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 (on the clocks of any zone)
CLEARLY_SHORTER = 5.0
"""With the day taken for the month, two days become a month."""
FINE_ENOUGH = 20.0
"""So many times the last digit of a number with an exponent has to go into the rows' distance."""

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTH = r"(?P<month>(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*)\.?"
WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+)?"
CLOCK = (
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<part>\d{1,12}))?)?)?"
    r"(?:\s*(?P<half>[ap])\.?m\.?)?"
)
OFFSET = r"[+-]\d\d(?::?\d\d)?"
ZONE = (
    rf"(?P<zone>z|(?:utc|gmt)?\s?{OFFSET}(?:\s+(?:[a-z]{{2,5}}|\([^)]*\)))?(?:\[[\w/+-]+\])?"
    rf"|(?:utc|gmt)\s?[+-]\d{{1,2}}|[a-z]{{1,5}}|[a-z_]+/[\w/+-]+)"
)
END = rf"(?:\s*{ZONE})?"
SHAPES = tuple(
    re.compile(shape, re.IGNORECASE)
    for shape in (
        rf"{WEEKDAY}(?P<a>\d{{1,4}})(?P<mark>[-/.])(?P<b>\d{{1,2}})(?P=mark)(?P<c>\d{{1,4}})"
        rf"(?:(?:\s*[T_,]\s*|\s+){CLOCK})?{END}",
        rf"{WEEKDAY}(?P<day>\d{{1,2}})(?:\.\s*|[\s/-]+){MONTH}[\s,/-]*(?P<year>\d{{4}}|\d\d)"
        rf"(?:(?:[:T,]\s*|,?\s+(?:at\s+)?){CLOCK})?{END}",
        rf"{WEEKDAY}{MONTH}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year>\d{{4}})"
        rf"(?:,?\s+(?:at\s+)?{CLOCK})?{END}",
        rf"{WEEKDAY}{MONTH}\s+(?P<day>\d{{1,2}})\s+{CLOCK}(?:\s+{ZONE})?\s+(?P<year>\d{{4}})",
    )
)
NUMERIC = re.compile(r"-?\d+(?:\.\d+)?(?:[eE]\+?\d+)?")
COMPACT = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
                     r"(?:[01]\d|2[0-3])?(?:[0-5]\d)?(?:[0-5]\d)?")  # fmt: skip
CLOCK_ALONE = re.compile(r"\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?:\s*[ap]\.?m\.?)?", re.IGNORECASE)

HOURS = {
    "utc": 0, "gmt": 0, "z": 0, "wet": 0, "west": 1, "cet": 1, "cest": 2, "eet": 2, "eest": 3,
    "msk": 3, "est": -5, "edt": -4, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7,
    "jst": 9, "aest": 10, "aedt": 11, "nzst": 12, "nzdt": 13,
}  # fmt: skip
"""Short names of zones that stand for one offset; BST, CST and IST do not."""


@dataclass(frozen=True, slots=True, eq=False)
class TimeColumn:
    """A column: `times_s` (rows,) epoch seconds in the order of the rows; how it was read."""

    times_s: FloatArray
    note: str
    own_zone: bool
    """Whether the times say their zone themselves."""
    offsets_s: frozenset[float]
    """Offsets from UTC that they say."""


class _Written(NamedTuple):
    """A time as it is written: three numbers of a date in an order yet unknown, or a known one."""

    date: tuple[int, int, int]
    orders: tuple[str, ...]
    clock_s: float
    zone: str


def is_time(cell: str, time_format: str = "") -> bool:
    """Whether a field by itself may be a time: a date, or a number that is one of our years."""
    text = bare(cell)
    if "%" in time_format:
        try:
            dt.datetime.strptime(text, time_format)  # noqa: DTZ007 (only whether it can)
        except ValueError:
            return False
        return True
    if time_format in UNITS or time_format == "excel":
        return NUMERIC.fullmatch(text) is not None
    if NUMERIC.fullmatch(text):
        return COMPACT.fullmatch(text) is not None or _unit(abs(float(text))) is not None
    written = _written(text)
    return written is not None and bool(written.orders)


def is_number_alone(cell: str) -> bool:
    """Whether a time is a bare number, which a count of bytes may be, too."""
    return NUMERIC.fullmatch(bare(cell)) is not None


def is_clock(cell: str) -> bool:
    """Whether a field is a time of day alone."""
    return CLOCK_ALONE.fullmatch(bare(cell)) is not None


def is_date(cell: str) -> bool:
    """Whether a field is a date without a time of day."""
    text = bare(cell)
    if COMPACT.fullmatch(text):
        return len(text) == 8
    return _written(text) is not None and ":" not in text and "T" not in text


def read(
    cells: Sequence[str],
    lines: Sequence[int],
    *,
    zone: str,
    time_format: str = "",
    name: str = "",
    repeats: bool = False,
) -> TimeColumn:
    """Read a column; `lines` are the lines that the fields stand in.

    A time without a zone is in the one that the column's `name` ends with ("kickoff_utc"), or in
    `zone`.  An hour that a clock set back shows twice is told apart by the order of the rows, in
    which `repeats` allows a time to stand several times.  Raises TraceError.
    """
    texts = [bare(cell) for cell in cells]
    zone = _zone_of(name) or zone
    if "%" in time_format:
        return _by_pattern(texts, lines, time_format, zone, repeats=repeats)
    if time_format == "excel":
        return _spreadsheet_days(texts, lines, zone, repeats)
    if time_format in UNITS:
        return _numbers(texts, lines, time_format)
    numeric = [NUMERIC.fullmatch(text) is not None for text in texts]
    if all(numeric) and not time_format:
        if all(COMPACT.fullmatch(text) for text in texts):
            written = [_compact(text) for text in texts]
            return _dates(written, texts, lines, "", zone=zone, repeats=repeats)
        return _numbers(texts, lines, "")
    one_by_one = [
        None if number else _written(text) for text, number in zip(texts, numeric, strict=True)
    ]
    if None in one_by_one:
        at = one_by_one.index(None)
        raise TraceError(f"line {lines[at]}: {no_time(texts[at])}")
    return _dates(
        [w for w in one_by_one if w], texts, lines, time_format, zone=zone, repeats=repeats
    )


def no_time(text: str) -> str:
    """What is wrong with a field where a time should be."""
    if NUMERIC.fullmatch(text):
        return (
            f'"{text[:40]}" is no time of the years 1980 to 2100, so what it counts is not clear; '
            "for seconds since 1970 say trace.time_format=s (or ms, us, ns, excel: days of a "
            "spreadsheet)"
        )
    return (
        f'"{text[:40]}" is not a time (ISO 8601, seconds since 1970, or a date that names its '
        "month or has it in one place); say how it is written: trace.time_format='%d.%m.%Y %H:%M'"
    )


def _unit(size: float) -> str | None:
    """What a number counts since 1970 to be a time of our years."""
    return next(
        (name for name, unit in UNITS.items() if EARLIEST_S <= size * unit < LATEST_S), None
    )


def _spreadsheet_days(
    texts: Sequence[str], lines: Sequence[int], zone: str, repeats: bool
) -> TimeColumn:
    """Days since the end of 1899, on the clocks of `zone`."""
    _all_numeric(texts, lines)
    wall_s = np.round(86_400.0 * np.array([float(text) for text in texts]), 3) + EXCEL_EPOCH_S
    times_s = localised(wall_s, zone, repeats, lambda at: (texts[at], lines[at]))
    return TimeColumn(times_s, f"days of a spreadsheet, read as {zone}", False, frozenset())


def _all_numeric(texts: Sequence[str], lines: Sequence[int]) -> None:
    for text, line in zip(texts, lines, strict=True):
        if not NUMERIC.fullmatch(text):
            raise TraceError(f"line {line}: {no_time(text)}")


def _numbers(texts: Sequence[str], lines: Sequence[int], unit: str) -> TimeColumn:
    _all_numeric(texts, lines)
    units = {unit or _unit(abs(float(text))) for text in texts}
    if None in units:
        at = next(i for i, text in enumerate(texts) if _unit(abs(float(text))) is None)
        raise TraceError(f"line {lines[at]}: {no_time(texts[at])}")
    if len(units) > 1:
        at = next(
            i for i, text in enumerate(texts) if _unit(abs(float(text))) != _unit(float(texts[0]))
        )
        raise TraceError(
            f'line {lines[at]}: "{texts[at][:40]}" and "{texts[0][:40]}" do not count the same; '
            "one unit of time in a column is allowed"
        )
    (only,) = units
    per_s = round(1.0 / UNITS[str(only)])
    # Nanoseconds have more digits than a float: whole seconds and the rest apart.
    times_s = np.array(
        [
            int(text) // per_s + (int(text) % per_s) / per_s
            if text.lstrip("-").isdigit()
            else float(text) / per_s
            for text in texts
        ]
    )
    _check_not_rounded(texts, lines, times_s, UNITS[str(only)])
    names = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
    return TimeColumn(times_s, f"{names[str(only)]} since 1970", True, frozenset())


def _check_not_rounded(
    texts: Sequence[str], lines: Sequence[int], times_s: FloatArray, unit_s: float
) -> None:
    """Raise TraceError for 1.71452E+12, as a spreadsheet shows milliseconds: the minutes are lost.

    Numbers that some languages shorten without a loss (1.7145216e+09) end with no zero, and the
    last digit of the longest is far below the rows' distance.
    """
    split = [text.lower().partition("e") for text in texts if "e" in text.lower()]
    if not split:
        return
    last_s = min(
        unit_s * 10.0 ** (int(exponent) - len(digits.partition(".")[2]))
        for digits, _, exponent in split
    )
    padded = any("." in digits and digits.endswith("0") for digits, _, _ in split)
    steps_s = np.abs(np.diff(times_s))
    step_s = float(np.median(steps_s)) if len(steps_s) else 0.0
    if last_s > 1.0 and (padded or FINE_ENOUGH * last_s > step_s):
        raise TraceError(
            f'line {lines[0]}: "{texts[0][:40]}" is rounded (a spreadsheet shows long numbers so); '
            "export the column as whole numbers or as dates"
        )


@lru_cache(maxsize=4096)
def _day(year: int, month: int, day: int) -> float | None:
    """Days since 1970; None where there is no such day."""
    try:
        return float((dt.date(year, month, day) - EPOCH.date()).days)
    except ValueError:
        return None


def _written(text: str) -> _Written | None:
    """A date and a time of day taken apart; None where it is none."""
    if len(text) >= 8 and text[4] == "-" and text[:4].isdigit() and (iso := _iso(text)):
        return iso
    for shape in SHAPES:
        match = shape.fullmatch(text)
        if match is None:
            continue
        part = match.groupdict()
        clock_s = _clock_s(part)
        if clock_s is None:
            return None
        zone = (part["zone"] or "").strip()
        if "a" in part:
            a, b, c = part["a"], part["b"], part["c"]
            return _Written((int(a), int(b), int(c)), _orders(a, c, part["mark"]), clock_s, zone)
        year = int(part["year"])
        month = MONTHS.index(part["month"][:3].lower()) + 1
        return _Written((_full(year), month, int(part["day"])), ("ymd",), clock_s, zone)
    return None


def _iso(text: str) -> _Written | None:
    """ISO 8601 by the standard library, which is fast."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    clock_s = 3600.0 * moment.hour + 60.0 * moment.minute + moment.second
    offset = moment.utcoffset()
    zone = "" if offset is None else f"{offset.total_seconds():+.0f}s"
    clock_s += moment.microsecond / 1e6
    return _Written((moment.year, moment.month, moment.day), ("ymd",), clock_s, zone)


def _compact(text: str) -> _Written:
    """20240501, perhaps with hours, minutes and seconds."""
    date = (int(text[:4]), int(text[4:6]), int(text[6:8]))
    clock = [int(text[k : k + 2] or "0") for k in (8, 10, 12)]
    return _Written(date, ("ymd",), 3600.0 * clock[0] + 60.0 * clock[1] + clock[2], "")


def _clock_s(part: dict[str, str | None]) -> float | None:
    """Seconds since midnight; None where there is no such time of day."""
    if part["hour"] is None:
        return 0.0
    hour, half = int(part["hour"]), (part["half"] or "").lower()
    minute, second = int(part["minute"] or 0), int(part["second"] or 0)
    if half and not 1 <= hour <= 12:
        return None
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    if minute > 59 or second > 60 or hour > 24 or (hour == 24 and (minute or second)):
        return None
    return 3600.0 * hour + 60.0 * minute + second + float(f"0.{part['part'] or 0}")


def _orders(first: str, last: str, mark: str) -> tuple[str, ...]:
    """The orders that the lengths of a date's numbers allow."""
    if len(first) >= 3:
        return ("ymd",) if len(first) == 4 and len(last) <= 2 else ()
    if mark == ".":
        return ("dmy",)
    return ("dmy", "mdy") if len(last) == 4 else ("dmy", "mdy", "ymd") if len(last) == 2 else ()


def _full(year: int) -> int:
    """A year of two digits is of this century, or of the last thirty years of the one before."""
    return year if year >= 100 else year + (2000 if year < 70 else 1900)


def _days(written: Sequence[_Written], order: str) -> list[float]:
    """Days since 1970 in this order of the numbers, up to the first line that is none in it."""
    days: list[float] = []
    for w in written:
        if order not in w.orders:
            break
        y, m, d = (w.date[k] for k in ORDERS[order])
        day = _day(_full(y), m, d)
        if day is None:
            break
        days.append(day)
    return days


def _dates(
    written: Sequence[_Written], texts: Sequence[str], lines: Sequence[int], asked: str,
    *, zone: str, repeats: bool,
) -> TimeColumn:  # fmt: skip
    if all(w.orders == ("ymd",) for w in written):
        asked = ""  # they say themselves which is the month
    clock_s = np.array([w.clock_s for w in written])
    readings: dict[str, FloatArray] = {}
    refused = 0
    for order in ORDERS:
        if asked and order != asked:
            continue
        days = _days(written, order)
        if len(days) == len(written):
            readings[order] = 86_400.0 * np.array(days) + clock_s
        else:
            refused = max(refused, len(days))
    if not readings:
        so_far = f" (the lines before are {ORDER_NAMES.get(asked, 'written otherwise')})"
        raise TraceError(
            f'line {lines[refused]}: "{texts[refused][:40]}" is not a time that is written like '
            f"the others{so_far if refused else ''}"
        )
    order, doubt = _likeliest(readings, clock_s)
    if doubt:
        one, other = (ORDER_NAMES[name] for name in (order, doubt))
        raise TraceError(
            f'line {lines[0]}: "{texts[0][:40]}" may be {one} or {other}, as may every date in '
            f"this column; say which: trace.time_format={order} or trace.time_format={doubt}"
        )
    wall_s = readings[order]
    spoken = ORDER_NAMES[order]
    zones = [w.zone for w in written]
    if not any(zones):
        times_s = localised(wall_s, zone, repeats, lambda at: (texts[at], lines[at]))
        return TimeColumn(times_s, f"{spoken}; without a zone, read as {zone}", False, frozenset())
    if not all(zones):
        bare_at, zoned_at = zones.index(""), next(i for i, z in enumerate(zones) if z)
        raise TraceError(
            f'line {lines[bare_at]}: "{texts[bare_at][:40]}" has no time zone and line '
            f'{lines[zoned_at]}: "{texts[zoned_at][:40]}" has one; all or none are allowed'
        )
    offsets_s = np.empty(len(zones))
    for at, name in enumerate(zones):
        offset_s = _offset_s(name, float(wall_s[at]), zone)
        if offset_s is None:
            raise TraceError(
                f'line {lines[at]}: "{name}" in "{texts[at][:60]}" is not one time zone '
                "(write an offset such as +02:00, or name the zone in trace.time_zone)"
            )
        offsets_s[at] = offset_s
    several = sorted(set(offsets_s.tolist()))
    offsets = ", ".join(_spoken_offset(s) for s in several[:4])
    note = f"{spoken}; each with its zone ({offsets}{', …' if len(several) > 4 else ''})"
    return TimeColumn(wall_s - offsets_s, note, True, frozenset(several))


def _likeliest(readings: dict[str, FloatArray], clock_s: FloatArray) -> tuple[str, str]:
    """The order to read by, and the one that it cannot be told from ("": none).

    With times of day, days in their order follow each other; taken for months they leave gaps.
    """
    names = sorted(readings, key=lambda name: float(np.ptp(readings[name])))
    first = names[0]
    for other in names[1:]:
        if np.array_equal(readings[first], readings[other]):
            continue
        longer = float(np.ptp(readings[other])) >= CLEARLY_SHORTER * float(np.ptp(readings[first]))
        if not (longer and np.unique(clock_s).size > 1 and np.ptp(readings[first]) > 0.0):
            return first, other
    return first, ""


def localised(
    wall_s: FloatArray, zone: str, repeats: bool, written: Callable[[int], tuple[str, int]]
) -> FloatArray:
    """Epoch seconds of times on the clocks of `zone`, `wall_s` seconds since 1970 on them.

    An hour that is there twice is the first one, until the order of the rows or their usual
    distance says that it is the second.  Raises TraceError for a time that no clock has shown.
    """
    if zone == "UTC":
        return wall_s
    where = ZoneInfo(zone)
    offsets: dict[int, tuple[float, float]] = {}
    quarter = np.floor(wall_s / 900.0).astype(np.int64)
    for key in np.unique(quarter).tolist():
        moment = EPOCH + dt.timedelta(seconds=900 * key)
        early, late = (
            moment.replace(tzinfo=where, fold=fold).utcoffset() or dt.timedelta() for fold in (0, 1)
        )
        offsets[key] = early.total_seconds(), late.total_seconds()
    early_s, late_s = np.array([offsets[key] for key in quarter.tolist()]).T
    skipped = np.flatnonzero(early_s < late_s)
    if len(skipped):
        text, line = written(int(skipped[0]))
        raise TraceError(
            f'line {line}: "{text[:40]}" is a time that clocks in {zone} skipped; '
            "trace.time_zone is another one, or these times are UTC"
        )
    times_s = wall_s - early_s
    twice = np.flatnonzero(early_s > late_s)
    order = range(len(times_s))
    falling = np.count_nonzero(np.diff(wall_s) < 0.0) > len(wall_s) / 2
    if len(twice):
        both = set(twice.tolist())
        before, usual_s = -np.inf, float(np.median(np.abs(np.diff(wall_s)))) if both else 0.0
        for at in reversed(order) if falling else order:
            again = times_s[at] < before or (times_s[at] == before and not repeats)
            second_s = wall_s[at] - late_s[at]
            in_step = second_s - before == usual_s and not repeats
            if at in both and (again or in_step):
                times_s[at] = second_s
            before = times_s[at]
    return times_s


def _zone_of(name: str) -> str:
    """The zone that a column's name ends with: "kickoff_utc", "Time (Europe/Berlin)"."""
    match = re.search(r"(?:[_\s.]|[(\[])(utc|gmt|[A-Za-z_]+/[\w/+-]+)[)\]]?$", name.strip(), re.I)
    if match is None:
        return ""
    zone = "UTC" if match.group(1).lower() in ("utc", "gmt") else match.group(1)
    return zone if _zone_info(zone) is not None else ""


@lru_cache(maxsize=256)
def _zone_info(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _offset_s(name: str, wall_s: float, zone: str) -> float | None:
    """Seconds ahead of UTC that a written zone means at a time on its clocks; None: not one."""
    if name.endswith("s") and name[0] in "+-" and name[1:-1].isdigit():  # as _iso writes it
        return float(name[:-1])
    match = re.match(r"(?:utc|gmt)?\s?([+-])(\d{1,2}):?(\d\d)?", name, re.IGNORECASE)
    if match is not None:
        hours, minutes = int(match.group(2)), int(match.group(3) or 0)
        size = 3600.0 * hours + 60.0 * minutes
        return None if size > 16 * 3600 else size if match.group(1) == "+" else -size
    if "/" in name:
        where = _zone_info(name)
        return None if where is None else _utcoffset_s(wall_s, where, 0)
    short = name.lower()
    where = _zone_info(zone)
    if where is not None and short not in ("utc", "gmt", "z"):
        moment = EPOCH + dt.timedelta(seconds=wall_s)
        for fold in (0, 1):
            if (moment.replace(tzinfo=where, fold=fold).tzname() or "").lower() == short:
                return _utcoffset_s(wall_s, where, fold)
    return None if short not in HOURS else 3600.0 * HOURS[short]


def _utcoffset_s(wall_s: float, where: ZoneInfo, fold: int) -> float:
    moment = (EPOCH + dt.timedelta(seconds=wall_s)).replace(tzinfo=where, fold=fold)
    return (moment.utcoffset() or dt.timedelta()).total_seconds()


def _spoken_offset(offset_s: float) -> str:
    if offset_s == 0.0:
        return "UTC"
    hours, minutes = divmod(round(abs(offset_s) / 60.0), 60)
    return f"{'-' if offset_s < 0.0 else '+'}{hours:02d}:{minutes:02d}"


def _by_pattern(
    texts: Sequence[str], lines: Sequence[int], pattern: str, zone: str, *, repeats: bool
) -> TimeColumn:
    """Times that the user has said how to read."""
    wall_s, offsets_s = np.empty(len(texts)), np.zeros(len(texts))
    zoned = "%z" in pattern
    for at, text in enumerate(texts):
        try:
            moment = dt.datetime.strptime(text, pattern)  # noqa: DTZ007 (its zone comes below)
        except ValueError:
            raise TraceError(
                f'line {lines[at]}: "{text[:40]}" is not a time of trace.time_format="{pattern}"'
            ) from None
        offset = moment.utcoffset()
        offsets_s[at] = 0.0 if offset is None else offset.total_seconds()
        wall_s[at] = (moment.replace(tzinfo=None) - EPOCH).total_seconds()
    if zoned:
        return TimeColumn(wall_s - offsets_s, f"{pattern}, each with its zone", True,
                       frozenset(offsets_s.tolist()))  # fmt: skip
    times_s = localised(wall_s, zone, repeats, lambda at: (texts[at], lines[at]))
    return TimeColumn(times_s, f"{pattern}; without a zone, read as {zone}", False, frozenset())


def parse_time(text: str, zone: str = "UTC") -> float:
    """Epoch seconds of an ISO 8601 time (without a zone: in `zone`); raises ValueError."""
    moment = dt.datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    return moment.timestamp()
