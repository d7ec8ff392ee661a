"""Rows of a log, read one after the other, opened as far as their keys are here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from engine.security.audit.sealed_rows import RowSealer, SealedRowError, is_sealed


def rows_in(lines: Iterable[str], sealer: RowSealer | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line with its row; one that cannot be opened says so and nothing besides.

    Raises ValueError for a line that is no row.
    """
    for line in lines:
        try:
            row: dict[str, Any] = json.loads(line)
        except RecursionError:
            raise ValueError("a line is no row of the log") from None
        if not isinstance(row, dict):
            raise ValueError("a line is no row of the log")
        if is_sealed(row):
            row = _opened(row, sealer)
        yield line.rstrip("\n"), row


def _opened(row: dict[str, Any], sealer: RowSealer | None) -> dict[str, Any]:
    why = "there is no key to open it with"
    if sealer is not None:
        try:
            return sealer.opened(row)
        except SealedRowError as error:
            why = str(error)
    return {
        "at_ms": 0, "actor": "(sealed)", "action": "", "target": "", "outcome": "", "why": why,
        "before": {}, "after": {},
    }  # fmt: skip
