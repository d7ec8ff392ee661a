"""From the lines of a file to a table: what separates its fields, where its rows begin and end.

Around the rows exports put titles, comments, a line `sep=;` for a spreadsheet, names in one line or
in three, totals at the end.  A row is a line with a time in the column that holds times; what
stands before the first one names the columns, and what stands after the last one is left out only
if it looks like a sum or a remark.  Whatever else is no row is an error, with its line.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from scenarios.traces import moments, numerals
from scenarios.traces.errors import NoTraceError, TraceError

SEPARATORS = {"tab": "\t", "space": " "}
"""How separators are called that cannot be typed well."""
CANDIDATES = ("\t", ";", "|", ",", " ")
"""In this order: within fields there may be commas and spaces, hardly ever the others."""
SAMPLE_ROWS = 200
MOST_ROWS = 20_000_000
COMMENT = re.compile(r"\s*(#|//)")
SEP_LINE = re.compile(r'"?sep=(\\t|.)"?,*', re.IGNORECASE)
FOOTER = re.compile(
    r"(grand |sub)?(total|sum|mean|average|avg|min|max|count|median|std|stdev|summe|gesamt|"
    r"mittelwert|rows?|records?|end|eof|done|generated|exported|created|source|note|report|"
    r"copyright|\(?\d[\d,]* rows?\)?)\b.*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Row:
    """The fields of a line, and which line it is."""

    line: int
    fields: tuple[str, ...]

    def field(self, at: int) -> str:
        """A field; those that the line ends without are empty."""
        return self.fields[at] if at < len(self.fields) else ""


@dataclass(frozen=True, slots=True)
class Lines:
    """All lines of a file that hold fields, and what was left out."""

    rows: tuple[Row, ...]
    separator: str
    comments: tuple[Row, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Measurements:
    """Measurements of measurements: all that have a time, in the order of the file.

    `names` holds what each column is called: nothing, a name, or several where a file gives each
    column one in several lines.
    """

    names: tuple[tuple[str, ...], ...]
    rows: tuple[Row, ...]
    separator: str
    left_out: tuple[str, ...]

    def name(self, at: int) -> str:
        """A column as one may call it."""
        return self.names[at][0] if self.names[at] else f"{at + 1}"

    def column(self, wanted: str) -> int | None:
        """The column that is called so, or is the so-manieth; None: there is none."""
        asked = wanted.strip().lower()
        for same in (lambda name: name.strip() == wanted.strip(), lambda n: n.lower() == asked):
            for at, names in enumerate(self.names):
                if any(same(name) for name in names):
                    return at
        if asked.isdigit() and 1 <= int(asked) <= len(self.names):
            return int(asked) - 1
        return None

    def fields(self, at: int) -> list[str]:
        """The fields of a column."""
        return [row.field(at) for row in self.rows]


def split(lines: Sequence[str], separator: str, is_row: Callable[[Row], bool]) -> Lines:
    """The fields of each line; raises TraceError.

    `separator` is the one between them, or empty to find out: the one with which most lines are
    rows, as `is_row` knows them.
    """
    kept: list[tuple[int, str]] = []
    comments: list[tuple[int, str]] = []
    left_out = []
    for number, line in enumerate(lines, 1):
        if not line.strip(" \t\ufeff"):
            continue
        if not kept and (match := SEP_LINE.fullmatch(line.strip())):
            separator = separator or match.group(1).replace("\\t", "\t")
            left_out.append(f"line {number} ({line.strip()[:20]})")
        elif COMMENT.match(line):
            comments.append((number, line))
        else:
            kept.append((number, line))
    if not kept:
        raise NoTraceError("holds no rows")
    if len(kept) > MOST_ROWS:
        raise TraceError(f"{len(kept):,} lines are not allowed (1 … {MOST_ROWS:,})")
    mark = SEPARATORS.get(separator, separator) or _separator(kept, is_row)
    if comments:
        left_out.append(f"{len(comments):,} comment{'s' * (len(comments) > 1)}")
    return Lines(
        tuple(_rows(kept, mark)), mark, tuple(_rows(_bare(comments), mark)), tuple(left_out)
    )


def spoken(separator: str) -> str:
    """A separator as one may call it."""
    return {"\t": "tabs", " ": "spaces"}.get(separator, f'"{separator}"')


def cut(lines: Lines, time: Callable[[Row], str], is_time: Callable[[str], bool]) -> Measurements:
    """The rows between the names and the footer; `time` gives the field that holds the time.

    That each of them has one is for whoever reads the times.  Raises TraceError.
    """
    rows = lines.rows
    first = next(at for at, row in enumerate(rows) if is_time(time(row)))
    last = next(at for at in range(len(rows) - 1, -1, -1) if is_time(time(rows[at])))
    width = max(len(row.fields) for row in rows[first : first + SAMPLE_ROWS])
    heads = _heads(lines, rows[:first], rows[first], width)
    left_out = list(lines.left_out)
    again = {head.fields for head in heads}
    kept = [row for row in rows[first : last + 1] if row.fields not in again]
    repeated = last + 1 - first - len(kept)
    for row in kept:
        if len(row.fields) > width and any(field.strip() for field in row.fields[width:]):
            raise TraceError(
                f"line {row.line}: has {len(row.fields)} fields where the first rows have {width}; "
                f"a number with {spoken(lines.separator)} in it must be in quotes"
            )
    if heads:
        _check_width(heads[-1], kept, width, lines.separator)
    if repeated:
        left_out.append(f"the names of the columns, repeated {repeated:,} times")
    for row in rows[last + 1 :]:
        if not FOOTER.fullmatch(next(field for field in row.fields if field.strip()).strip()):
            raise TraceError(f"line {row.line}: {moments.no_time(time(row).strip())}")
        left_out.append(f'line {row.line} ("{row.fields[0].strip()[:20]}")')
    titles = sum(1 for row in rows[:first] if row not in heads)
    if titles:
        left_out.append(f"{titles} line{'s' * (titles > 1)} above the names of the columns")
    return Measurements(_names(heads, width, kept), tuple(kept), lines.separator, tuple(left_out))


def _heads(lines: Lines, before: Sequence[Row], first: Row, width: int) -> list[Row]:
    """The lines that name the columns; raises TraceError where the last one seems a broken row."""
    heads = [row for row in before if sum(bool(field.strip()) for field in row.fields) > 1]
    if not heads and width > 1:
        # Some tools write the names as the last comment: "# time value".
        close = [row for row in lines.comments if row.line < first.line][-1:]
        heads = [row for row in close if len(row.fields) == width]
    if heads and len(heads[-1].fields) == width:
        numbers = [
            at
            for at, field in enumerate(heads[-1].fields)
            if numerals.is_number(first.field(at)) and numerals.is_number(field)
        ]
        numeric = [at for at in range(width) if numerals.is_number(first.field(at))]
        if numbers and numbers == numeric:
            raise TraceError(
                f'line {heads[-1].line}: "{separator_joined(heads[-1], lines.separator)}" neither '
                f"names the columns nor begins with a time like line {first.line}"
            )
    return heads


def separator_joined(row: Row, separator: str) -> str:
    """A line as it stood there, the beginning of it."""
    return separator.join(row.fields)[:60]


def _check_width(head: Row, rows: Sequence[Row], width: int, separator: str) -> None:
    """Raise TraceError where a row has fields beyond those that have a name."""
    if len(head.fields) >= width or _begins_with_its_number(rows):
        return
    for row in rows:
        if any(field.strip() for field in row.fields[len(head.fields) :]):
            raise TraceError(
                f"line {row.line}: has {len(row.fields)} fields, the names of the columns in line "
                f"{head.line} are {len(head.fields)}; a number with {spoken(separator)} in it "
                "must be in quotes"
            )


def _begins_with_its_number(rows: Sequence[Row]) -> bool:
    """Whether the first field of each row counts the rows: R leaves out the name of this column."""
    fields = [row.field(0).strip() for row in rows]
    if not all(field.isdigit() for field in fields):
        return False
    return fields[0] in ("0", "1") and all(
        int(field) == int(fields[0]) + k for k, field in enumerate(fields)
    )


def _names(heads: Sequence[Row], width: int, rows: Sequence[Row]) -> tuple[tuple[str, ...], ...]:
    names: list[list[str]] = [[] for _ in range(width)]
    for head in heads:
        numbered = len(head.fields) == width - 1 and _begins_with_its_number(rows)
        shift = 1 if numbered else 0
        for at, field in enumerate(head.fields[:width]):
            if field.strip():
                names[at + shift].append(field.strip())
    return tuple(tuple(column) for column in names)


def _separator(kept: Sequence[tuple[int, str]], is_row: Callable[[Row], bool]) -> str:
    sample = [*kept[: SAMPLE_ROWS // 2], *kept[SAMPLE_ROWS // 2 :][-SAMPLE_ROWS // 2 :]]
    for mark in CANDIDATES:
        rows = list(_rows(sample, mark))
        if sum(map(is_row, rows)) > 0.5 * len(rows) or (
            len(rows) < 8 and any(is_row(row) for row in rows)
        ):
            return mark
    return max(",;\t|", key=lambda mark: sum(mark in line for _, line in sample))


def _rows(lines: Sequence[tuple[int, str]], separator: str) -> Iterator[Row]:
    """The fields of the lines; a field in quotes may go over several."""
    if separator == " ":
        for number, line in lines:
            yield Row(number, tuple(line.split()))
        return
    reader = csv.reader((line for _, line in lines), delimiter=separator, skipinitialspace=True)
    before = 0
    try:
        for fields in reader:
            yield Row(lines[before][0], tuple(fields))
            before = reader.line_num
    except csv.Error as error:
        raise TraceError(f"line {lines[before][0]}: not a CSV text ({error})") from None


def _bare(comments: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    return [(number, line.lstrip().lstrip("#/").strip()) for number, line in comments]
