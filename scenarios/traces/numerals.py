"""A column of numbers as people's tools write them: decimal commas, thousands, units.

The whole column is read in one way or not at all: "1,234" means one thing in every row.  Where two
readings fit every row and differ, neither is taken.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.model import FloatArray
from scenarios.traces.errors import TraceError

MISSING = frozenset((
    "", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "undefined", "-", "--", "–", "—", "?",
    "\\n", ".", "no data", "no value", "missing", "inf", "+inf", "-inf", "infinity", "+infinity",
    "-infinity", "∞", "#div/0!", "#value!", "#ref!", "#num!",
))  # fmt: skip
"""How a value that was not measured is written.  Infinities come of divisions by an idle moment."""

SPACES = "\u00a0\u202f\u2009 "
PLAIN = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
DIGITS = rf"\d(?:[\d.,'’_{SPACES}]*\d)?[.,]?"
NUMBER = re.compile(rf"([+-]?(?:{DIGITS}|[.,]\d+)(?:[eE][+-]?\d+)?)\s*(.*)")
FACTORS = {
    "k": 1e3, "m": 1e6, "mil": 1e6, "mio": 1e6, "g": 1e9, "b": 1e9, "bil": 1e9, "t": 1e12,
    "tri": 1e12, "ki": 2.0**10, "mi": 2.0**20, "gi": 2.0**30, "ti": 2.0**40,
}  # fmt: skip
"""What a letter after a number multiplies by; those of bytes are the same."""
PREFIX = re.compile(
    r"(Mil|Mio|Bil|Tri|Ki|Mi|Gi|Ti|K|k|M|G|B|T)"
    r"(?:\s+(.*)|(B|b|bps|Bps|bit/s|B/s|b/s|req/s|reqps|rps|ops|ops/s|/s|/min|rpm)|)"
)
MARKS = {"point": ".", "comma": ","}


@dataclass(frozen=True, slots=True, eq=False)
class ValueColumn:
    """A column: `values` (rows,) with NaN where nothing was measured; how it was read."""

    values: FloatArray
    note: str


def is_number(cell: str) -> bool:
    """Whether a field is a number in any of these ways; what is missing is none."""
    text = bare(cell)
    if PLAIN.fullmatch(text):
        return True
    split = NUMBER.fullmatch(_signed(text))
    return (
        split is not None
        and not any(letter.isdigit() for letter in split.group(2))
        and len(split.group(2)) <= 12
        and not split.group(2).startswith((":", "/ ", "-", "+"))
        and any(_pattern(mark).fullmatch(split.group(1)) for mark in MARKS.values())
    )


def is_missing(cell: str) -> bool:
    """Whether a field says that nothing was measured."""
    return bare(cell).lower() in MISSING


def bare(cell: str) -> str:
    """A field without what spreadsheets put around it."""
    text = cell.strip(" \t\u00a0\u202f\ufeff")
    if text.startswith('="') and text.endswith('"'):
        text = text[2:-1]
    return text


def read(cells: Sequence[str], lines: Sequence[int], decimal: str, separator: str) -> ValueColumn:
    """Read a column; `lines` are the lines that the fields stand in.

    `decimal` is the decimal mark, or empty to find out; `separator` is that of the fields, which
    tells whether a comma may have been left for decimals.  Raises TraceError.
    """
    texts = [bare(cell) for cell in cells]
    if separator == "," and not decimal and all(map(PLAIN.fullmatch, texts)):
        return _finite(np.array([float(text) for text in texts]), texts, lines, "decimal point")
    missing = [text.lower() in MISSING for text in texts]
    numbers, units = [], []
    for text, no_value, line in zip(texts, missing, lines, strict=True):
        number, unit = ("", "") if no_value else _split(text, line)
        numbers.append(number)
        units.append(unit)
    factors, unit = _factors(numbers, units, lines)
    mark = _decimal(numbers, lines, decimal, separator)
    values = np.array([_value(number, mark) if number else math.nan for number in numbers])
    if factors is not None:
        values *= factors
    note = _note(numbers, mark, unit, factors is not None, missing=missing, texts=texts)
    return _finite(values, texts, lines, note)


def _finite(
    values: FloatArray, texts: Sequence[str], lines: Sequence[int], note: str
) -> ValueColumn:
    too_large = np.flatnonzero(np.isinf(values))
    if len(too_large):
        at = int(too_large[0])
        raise TraceError(f'line {lines[at]}: "{texts[at][:40]}" is too large a number')
    return ValueColumn(values, note)


def _split(text: str, line: int) -> tuple[str, str]:
    """A number and its unit, both as they are written."""
    if PLAIN.fullmatch(text):
        return text, ""
    split = NUMBER.fullmatch(_signed(text))
    if split is None or any(letter.isdigit() for letter in split.group(2)):
        raise TraceError(f'line {line}: "{text[:40]}" is not a number')
    return split.group(1), split.group(2)


def _signed(text: str) -> str:
    return "-" + text[1:].lstrip() if text[:1] in ("-", "−") else text


def _pattern(mark: str) -> re.Pattern[str]:
    """ValueColumn with this decimal mark: grouped by threes (in India twos) or not at all."""
    return POINT if mark == "." else COMMA


def _grouped(mark: str, other: str) -> re.Pattern[str]:
    return re.compile(
        rf"[+-]?(?:(?:[1-9]\d{{0,2}}(?P<group>[{other}'’_{SPACES}])\d{{3}}(?:(?P=group)\d{{3}})*"
        rf"|[1-9]\d?(?:{other}\d\d)+{other}\d{{3}}|\d+)(?:{re.escape(mark)}\d*)?"
        rf"|{re.escape(mark)}\d+)(?:[eE][+-]?\d+)?"
    )


POINT = _grouped(".", ",")
COMMA = _grouped(",", r"\.")


def _decimal(numbers: Sequence[str], lines: Sequence[int], decimal: str, separator: str) -> str:
    """The decimal mark that every row allows; raises TraceError where none does, or both do."""
    fits: dict[str, bool] = {}
    for mark in MARKS.values():
        pattern = _pattern(mark)
        bad = next(
            (i for i, text in enumerate(numbers) if text and not pattern.fullmatch(text)), None
        )
        fits[mark] = bad is None
        if decimal == mark and bad is not None:
            raise TraceError(
                f'line {lines[bad]}: "{numbers[bad][:40]}" is not a number with trace.decimal='
                f'"{mark}"'
            )
    if decimal:
        return decimal
    if not any(fits.values()):
        raise TraceError(_neither(numbers, lines))
    if not all(fits.values()):
        return "." if fits["."] else ","
    marked = [text for text in numbers if "." in text or "," in text]
    if not marked:
        return "."
    # "1.234" and "1,234" in every row that has a mark: a thousand and more, or one and a bit.
    mark = "." if "." in marked[0] else ","
    if mark == "." and separator == ",":
        return "."  # a comma between the fields is what a decimal point goes with
    short = [text.lstrip("+-") for text in numbers if text and mark not in text]
    if mark == "," and separator == "," and short and max(map(len, short)) <= 3:
        return "."  # "999" and "1,234": groups, since decimals would not be left out all at once
    where = lines[next(i for i, text in enumerate(numbers) if mark in text)]
    raise TraceError(
        f'line {where}: "{marked[0]}" may be a thousand and more or a fraction, as may every '
        'number in this column; say which: trace.decimal="." or trace.decimal=","'
    )


def _neither(numbers: Sequence[str], lines: Sequence[int]) -> str:
    """Why a column is in neither style: a row that is in none, or one of each."""
    for text, line in zip(numbers, lines, strict=True):
        if text and not any(_pattern(mark).fullmatch(text) for mark in MARKS.values()):
            return f'line {line}: "{text[:40]}" is not a number'
    first = [
        next(
            (text, line)
            for text, line in zip(numbers, lines, strict=True)
            if text and not _pattern(mark).fullmatch(text)
        )
        for mark in MARKS.values()
    ]
    (comma, one), (point, other) = first
    return (
        f'line {one}: "{comma}" has a decimal comma and line {other}: "{point}" a decimal point; '
        "one way to write numbers in a column is allowed"
    )


def _value(text: str, mark: str) -> float:
    if PLAIN.fullmatch(text) and (mark == "." or "." not in text):
        return float(text)
    for other in ("'", "’", "_", *SPACES, "," if mark == "." else "."):
        text = text.replace(other, "")
    return float(text.replace(mark, "."))


def _factors(
    numbers: Sequence[str], units: Sequence[str], lines: Sequence[int]
) -> tuple[FloatArray | None, str]:
    """What each row is multiplied by (None: all by 1), and the unit that all share.

    Raises TraceError where rows have different units: 500 ms and 1.2 s are not 500 and 1.2.
    """
    if not any(units):
        return None, ""
    written = {unit for unit in units if unit}
    # "B" is a billion beside K and M, and else the unit: bytes.
    in_billions = any(unit[0] in "kKM" and "B" not in unit and "b" not in unit for unit in written)
    read_as: dict[str, tuple[float, str]] = {"": (1.0, "")}
    for unit in written:
        split = PREFIX.fullmatch(unit)
        if split is None or ((unit == "B" or unit.startswith("B/")) and not in_billions):
            read_as[unit] = (1.0, unit)
        else:
            rest = split.group(2) or split.group(3) or ""
            read_as[unit] = (FACTORS[split.group(1).lower()], rest)
    rests: dict[str, int] = {}
    for number, unit, line in zip(numbers, units, lines, strict=True):
        if number.strip("+-0.,"):  # nothing is the same in any unit
            rests.setdefault(read_as[unit][1], line)
    if len(rests) > 1:
        (one, at), (other, there) = list(rests.items())[:2]
        raise TraceError(
            f'line {at} is in "{one}" and line {there} in "{other}"; one unit in a column is '
            "allowed"
        )
    return np.array([read_as[unit][0] for unit in units]), next(iter(rests), "")


def _note(
    numbers: Sequence[str], mark: str, unit: str, scaled: bool, *, missing: Sequence[bool],
    texts: Sequence[str],
) -> str:  # fmt: skip
    """How a column was read, in words."""
    parts = [f"decimal {'point' if mark == '.' else 'comma'}"]
    used = {letter for text in numbers for letter in text if not letter.isalnum()} - {mark, *"+-"}
    if used:
        parts.append("thousands grouped")
    if scaled and unit:
        parts.append(f'in "{unit}"')
    if scaled and any(text[-1:].isalpha() for text in texts):
        parts.append("units multiplied in")
    if count := sum(missing):
        odd = sorted({text for text, gone in zip(texts, missing, strict=True) if gone and text})
        written = f" ({', '.join(odd[:3])})" if odd else ""
        parts.append(f"{count:,} without a value{written}")
    return ", ".join(parts)
