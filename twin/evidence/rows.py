"""Rows as text: a JSON object on each line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any


class NoRowError(ValueError):
    """A line that is no row; the message says which."""


def parsed(lines: Iterable[str]) -> list[dict[str, Any]]:
    """The rows on these lines, empty ones left out; raises NoRowError."""
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise NoRowError(f"line {number} is no JSON object")
        rows.append(row)
    return rows


def written(rows: Iterable[dict[str, Any]]) -> bytes:
    """The rows as text; raises ValueError for NaN or infinity."""
    return "".join(json.dumps(r, sort_keys=True, allow_nan=False) + "\n" for r in rows).encode()
