"""Spoils inputs: bytes, the numbers and words within them, and what a JSON text is made of.

All is drawn from one NumPy generator, so that a seed is a row of inputs.  A spoilt input begins as
a valid one, because what is wrong from its first byte on never comes past the first check.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

BYTES = (0, 1, 9, 10, 13, 32, 34, 39, 44, 45, 47, 58, 91, 92, 93, 123, 125, 127, 128, 255)
TOKENS: tuple[bytes, ...] = (
    b"", b"0", b"-1", b"1e400", b"-1e400", b"NaN", b"Infinity", b"9" * 25, b"1" + b"0" * 400,
    b"null", b"true", b"[]", b"{}", b'""', b'"\\ud800"', b"\xff\xfe", b"\xef\xbb\xbf",
    b"\xf0\x9f\x92\x8d", b"\r\n", b"\n\n", b"\x00", b"%s%n", b"../../etc/passwd", b"0001-01-01",
    b"9999-12-31T23:59:59Z", b"2027-03-28T02:30:00", b"[" * 200, b'{"a":' * 200, b"\xff" * 10,
)  # fmt: skip
"""What readers stumble over: numbers that no float holds, nesting, halves of characters, dates."""
VALUES: tuple[Callable[[], Any], ...] = (
    lambda: None, lambda: True, lambda: False, lambda: 0, lambda: -1, lambda: 2**63,
    lambda: 10**400, lambda: 1e308, lambda: float("nan"), lambda: float("inf"), lambda: "",
    lambda: "\ud800", lambda: "x" * 1000, lambda: list, list, dict, lambda: [[]],
    lambda: [None] * 100, lambda: {"": None}, lambda: "1e999", lambda: "nan", lambda: -0.0,
)  # fmt: skip
SCALED: tuple[Callable[[Any], Any], ...] = (
    lambda n: -n, lambda n: n + 1, lambda n: n * 10**9, lambda n: str(n), lambda n: n // 3,
)  # fmt: skip
LONGEST = 1 << 16
"""Bytes of a spoilt input: what is longer is refused by its size, where there is a limit."""


def spoilt(rng: np.random.Generator, whole: bytes, others: Sequence[bytes]) -> bytes:
    """`whole`, spoilt in one to four places; `others` are valid inputs to take pieces from."""
    if rng.random() < 0.4 and whole[:1] in (b"{", b"["):
        return json_spoilt(rng, whole)
    made = bytearray(whole)
    for _ in range(1 + int(rng.geometric(0.5))):
        SPOILERS[int(rng.integers(len(SPOILERS)))](rng, made, others)
    return bytes(made[:LONGEST])


def json_spoilt(rng: np.random.Generator, whole: bytes) -> bytes:
    """One or more values of a JSON text replaced, left out or put in another place."""
    try:
        document = json.loads(whole)
    except (ValueError, RecursionError):
        return whole
    for _ in range(1 + int(rng.geometric(0.6))):
        document = value_spoilt(rng, document)
    try:
        return json.dumps(document).encode()
    except (ValueError, RecursionError, TypeError):
        return whole


def value_spoilt(rng: np.random.Generator, document: Any) -> Any:
    """The same plain value with one value within it spoilt."""
    places: list[tuple[Any, Any]] = []
    _places(document, places)
    if not places:
        return _odd(rng)
    within, key = places[int(rng.integers(len(places)))]
    match int(rng.integers(5)):
        case 0:
            del within[key]
        case 1:
            other, there = places[int(rng.integers(len(places)))]
            try:
                within[key] = json.loads(json.dumps(other[there]))
            except (KeyError, IndexError):
                within[key] = _odd(rng)
        case 2 if isinstance(within[key], int | float) and not isinstance(within[key], bool):
            within[key] = SCALED[int(rng.integers(len(SCALED)))](within[key])
        case 3:
            within[key] = _nested(_odd(rng), int(rng.choice([1, 2, 50])))
        case _:
            within[key] = _odd(rng)
    return document


def _odd(rng: np.random.Generator) -> Any:
    value = VALUES[int(rng.integers(len(VALUES)))]()
    return value if value is not list else list(range(50))


def _nested(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = [value]
    return value


def _places(value: Any, places: list[tuple[Any, Any]]) -> None:
    if not isinstance(value, dict | list):
        return
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    for key in keys:
        places.append((value, key))
        if len(places) < 2000:
            _places(value[key], places)


# --- of bytes; each changes `made`


def _set(rng: np.random.Generator, made: bytearray, _: Sequence[bytes]) -> None:
    if made:
        made[int(rng.integers(len(made)))] = BYTES[int(rng.integers(len(BYTES)))]


def _flip(rng: np.random.Generator, made: bytearray, _: Sequence[bytes]) -> None:
    if made:
        made[int(rng.integers(len(made)))] ^= 1 << int(rng.integers(8))


def _drop(rng: np.random.Generator, made: bytearray, _: Sequence[bytes]) -> None:
    start, end = _span(rng, made, 64)
    del made[start:end]


def _again(rng: np.random.Generator, made: bytearray, _: Sequence[bytes]) -> None:
    start, end = _span(rng, made, 256)
    made[start:start] = made[start:end] * int(rng.choice([1, 2, 16]))


def _cut(rng: np.random.Generator, made: bytearray, _: Sequence[bytes]) -> None:
    del made[int(rng.integers(len(made) + 1)) :]


def _token(rng: np.random.Generator, made: bytearray, _: Sequence[bytes]) -> None:
    start, end = _span(rng, made, 8)
    made[start : end if rng.random() < 0.5 else start] = TOKENS[int(rng.integers(len(TOKENS)))]


def _number(rng: np.random.Generator, made: bytearray, _: Sequence[bytes]) -> None:
    """Another number in the place of one that is written in digits."""
    if not made:
        return
    at = int(rng.integers(len(made)))
    while at < len(made) and not 48 <= made[at] <= 57:
        at += 1
    end = at
    while end < len(made) and 48 <= made[end] <= 57:
        end += 1
    made[at:end] = TOKENS[int(rng.integers(9))]


def _spliced(rng: np.random.Generator, made: bytearray, others: Sequence[bytes]) -> None:
    other = others[int(rng.integers(len(others)))]
    start, end = _span(rng, bytearray(other), 512)
    at = int(rng.integers(len(made) + 1))
    made[at:at] = other[start:end]


def _span(rng: np.random.Generator, made: bytearray, longest: int) -> tuple[int, int]:
    start = int(rng.integers(len(made) + 1))
    return start, min(start + 1 + int(rng.integers(longest)), len(made))


SPOILERS = (_set, _flip, _flip, _drop, _again, _cut, _token, _token, _number, _spliced)
