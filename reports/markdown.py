"""What Markdown texts consist of: tables, code, and words that Markdown does not act on."""

from __future__ import annotations

import re
from collections.abc import Callable

from reports.tables import TextTable


def table(of: TextTable) -> str:
    """A table whose cells may hold Markdown; a pipe stays a pipe, a new line becomes a space."""
    return _table(of, cell)


def plain_table(of: TextTable) -> str:
    """A table of plain words, such as names that somebody else chose."""
    return _table(of, plain)


def plain(value: str) -> str:
    """`value` as plain words: on one line, with nothing in it that Markdown or HTML acts on."""
    value = " ".join(value.split())
    value = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    value = re.sub(r"([\\`*\[\]|~#])", r"\\\1", value).replace("@", "&#64;")
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", value)


def cell(value: str) -> str:
    """`value` as it is, but on one line and with no pipe that would end the cell."""
    return value.replace("|", "\\|").replace("\n", " ")


def code(value: str) -> str:
    """`value` as a code span that is safe in a table."""
    return f"`{' '.join(value.split()).replace('`', chr(39)).replace('|', '¦')}`"


def fenced(source: str, language: str) -> str:
    """A code block with a fence longer than any in it."""
    longest = max((len(run) for run in re.findall(r"`+", source)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{source.rstrip()}\n{fence}"


def _table(of: TextTable, shown: Callable[[str], str]) -> str:
    rows = [
        [shown(heading) for heading in of.headings],
        ["---:" if flag else "---" for flag in of.numeric],
        *([shown(each) for each in row] for row in of.rows),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
