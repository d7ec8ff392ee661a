"""Tables of finished texts, which every report fills and every page and Markdown text shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TextTable:
    """Finished cells, the lines after the first in small; `numeric` columns are set flush right."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]


def table(headings: tuple[str, ...], numeric: str, rows: Iterable[tuple[str, ...]]) -> TextTable:
    """A table; `numeric` has a "#" for each column that is set flush right."""
    flags = tuple(mark == "#" for mark in numeric)
    assert len(flags) == len(headings), headings
    return TextTable(headings, tuple(rows), flags)
