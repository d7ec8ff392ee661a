"""Which column holds the times and which the values, and whether a file holds several series.

What the names and the fields do not settle is not guessed: the error lists what there is and says
which key settles it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from scenarios.traces import moments, numerals, table
from scenarios.traces.errors import NoTraceError, TraceError
from scenarios.traces.table import Lines, Measurements, Row

TIME_NAMES = frozenset((
    "time", "timestamp", "date", "datetime", "date time", "ts", "_time", "@timestamp", "t", "when",
    "unix", "epoch", "minute_utc", "minute", "hour", "zeit", "zeitpunkt", "zeitstempel", "datum",
    "heure", "fecha", "time_s", "unix_time", "period", "day", "x",
))  # fmt: skip
ONE_VALUE = ("value", "_value", "metric_value")
VALUE_NAMES = (
    *ONE_VALUE, "values", "requests", "count", "rate", "load", "y", "requests/s", "requests/sec",
    "req/s", "rps", "qps", "reqps", "hits", "throughput", "wert",
)  # fmt: skip
INDEX_NAMES = frozenset(("", "index", "unnamed: 0", "id", "row", "#", "no", "no.", "nr", "n"))
SERIES_NAMES = frozenset((
    "series", "metric", "metric_name", "__name__", "instance", "host", "hostname", "host.name",
    "service", "job", "pod", "container", "target", "endpoint",
))  # fmt: skip
"""Columns called so say which series a row belongs to, even where no two share a time."""
LOCUST = frozenset(("timestamp", "user count", "type", "name", "requests/s"))
LOCUST_TOTAL = "Aggregated"
"""The row of Locust's stats history that sums up the others."""


@dataclass(frozen=True, slots=True)
class TimeFields:
    """Where the time stands: a column, or a date in one and the time of day in another."""

    columns: tuple[int, ...]

    def of(self, row: Row) -> str:
        """The field with the time."""
        if len(self.columns) == 1:
            return row.field(self.columns[0])
        return " ".join(row.field(at) for at in self.columns)


def is_joined(field: str) -> bool:
    """Whether a date and a time of day that stood in two columns are one time."""
    date, _, clock = field.strip().partition(" ")
    return moments.is_date(date) and moments.is_clock(clock)


def is_row(row: Row, time_format: str) -> bool:
    """Whether a line may be a row: it holds a time and, besides, a number or none measured."""
    times = [at for at, field in enumerate(row.fields) if moments.is_time(field, time_format)]
    dated = any(moments.is_date(field) for field in row.fields)
    clocked = dated and any(moments.is_clock(field) for field in row.fields)
    others = [
        at
        for at, field in enumerate(row.fields)
        if at not in times[:1] and (numerals.is_number(field) or numerals.is_missing(field))
    ]
    return bool(times or clocked) and bool(others)


def times(lines: Lines, time_column: str, time_format: str) -> TimeFields:
    """Where the times are; raises NoTraceError where nothing is one, or several are."""
    rows = lines.rows
    sample = rows[:: max(len(rows) // table.SAMPLE_ROWS, 1)]
    width = max(len(row.fields) for row in sample)
    if time_column:
        return TimeFields((_named(rows, time_column, width),))
    share = [
        sum(moments.is_time(row.field(at), time_format) for row in sample) / len(sample)
        for at in range(width)
    ]
    most = max(share)
    if most == 0.0:
        raise NoTraceError(_without_times(rows))
    holds = [at for at in range(width) if share[at] > 0.5 * most]
    if time_format in moments.UNITS or time_format == "excel":
        # Any number may be one then: the time is called so, or stands first.
        called = [at for at in holds if _title(rows, at).lower() in TIME_NAMES]
        return TimeFields(((called or holds)[0],))
    clocks = [at for at in range(width) if _share(sample, at, moments.is_clock) > 0.5 * most]
    if len(holds) > 1:
        holds = _best(rows, sample, holds)
    if len(holds) > 1:
        several = ", ".join(f'"{_title(rows, at)}"' for at in holds)
        raise NoTraceError(
            f"several columns hold times: {several}; say which: trace.time_column=NAME"
        )
    if len(clocks) == 1 and _share(sample, holds[0], moments.is_date) > 0.5 * most:
        return TimeFields((holds[0], clocks[0]))
    return TimeFields((holds[0],))


def values(whole: Measurements, times: TimeFields, wanted: Sequence[str]) -> list[int]:
    """The columns with the values (several: to be summed); raises NoTraceError or TraceError."""
    listed = ", ".join(whole.name(at) for at in range(len(whole.names)))
    if wanted:
        chosen = []
        for name in wanted:
            at = whole.column(name)
            if at is None and not any(whole.names):
                raise TraceError(
                    f'has no header, so no column "{name}"; say the so-manieth: '
                    f"trace.column=1 … {len(whole.names)}"
                )
            if at is None or at in times.columns:
                raise TraceError(f'"{name}" is not one of its columns ({listed}) with values')
            chosen.append(at)
        return chosen
    candidates = numeric(whole, times)
    usual = [at for at in candidates if any(n.lower() in VALUE_NAMES for n in whole.names[at])]
    plain = [at for at in candidates if any(n.lower() in ONE_VALUE for n in whole.names[at])]
    for chosen in (plain, usual, candidates):
        if len(chosen) == 1:
            return chosen
    if not candidates:
        other = [at for at in range(len(whole.names)) if at not in times.columns]
        seen = f'; "{whole.rows[0].field(other[0])[:40]}" is not a number' if other else ""
        raise NoTraceError(f"holds times, but no column of values ({listed}){seen}")
    several = ", ".join(f'"{whole.name(at)}"' for at in (usual or candidates)[:8])
    raise NoTraceError(
        f"several columns hold values: {several}; say which: trace.column=NAME, or "
        "'trace.column=[NAME,NAME]' for their sum"
    )


def numeric(whole: Measurements, times: TimeFields) -> list[int]:
    """Columns of numbers, those left aside that only count the rows."""
    sample = whole.rows[:: max(len(whole.rows) // table.SAMPLE_ROWS, 1)]
    kept = []
    for at in range(len(whole.names)):
        if at in times.columns:
            continue
        numbers = _share(sample, at, numerals.is_number)
        if numbers > 0.0 and numbers + _share(sample, at, numerals.is_missing) >= 0.5:
            kept.append(at)
    return [at for at in kept if not counts_rows(whole, at)]


def counts_rows(whole: Measurements, at: int) -> bool:
    """Whether a column is the index that a table was written with: no name, and 0, 1, 2, ..."""
    names = {name.lower() for name in whole.names[at]} or {""}
    if not names & INDEX_NAMES or (names == {""} and not any(whole.names)):
        return False
    fields = [row.field(at).strip() for row in whole.rows]
    if not all(field.isdigit() for field in fields) or fields[0] not in ("0", "1"):
        return False
    first = int(fields[0])
    return all(int(field) == first + k for k, field in enumerate(fields))


def label_columns(whole: Measurements, times: TimeFields, values: Sequence[int]) -> list[int]:
    """Columns that say which series a row belongs to; none where the file holds one."""
    others = [
        at
        for at in range(len(whole.names))
        if at not in times.columns and at not in values and not counts_rows(whole, at)
    ]
    several = [at for at in others if len({row.field(at) for row in whole.rows}) > 1]
    if not several:
        return []
    texts = [at for at in several if _share(whole.rows, at, _is_label) > 0.5]
    called = [at for at in texts if {n.lower() for n in whole.names[at]} & SERIES_NAMES]
    if called:
        return called
    at_once: dict[str, list[Row]] = defaultdict(list)
    for row in whole.rows:
        at_once[times.of(row)].append(row)
    again = [rows for rows in at_once.values() if len(rows) > 1]
    if not again:
        return []
    apart = [at for at in texts if any(len({r.field(at) for r in rows}) > 1 for rows in again)]
    if apart or len(again) < len(at_once) / 2:
        return apart
    # ValueColumn as labels (a status, a shard) tell apart all rows of most times, or they are none.
    return [at for at in several if all(len({r.field(at) for r in g}) == len(g) for g in again)]


def of_series(
    whole: Measurements, times: TimeFields, values: Sequence[int], wanted: Sequence[str]
) -> tuple[list[list[Row]], str]:
    """The rows of each series that is wanted, and what to say of it.

    Raises NoTraceError where a file holds several and none is named.
    """
    labels = label_columns(whole, times, values)
    lowered = {name.lower() for names in whole.names for name in names}
    if not wanted and labels and lowered >= LOCUST:
        wanted = (LOCUST_TOTAL,)
    if wanted:
        return [_rows_of(whole, times, values, name) for name in wanted], " + ".join(wanted)
    if not labels:
        return [list(whole.rows)], ""
    seen = list(dict.fromkeys(tuple(row.field(at) for at in labels) for row in whole.rows))
    listed = ", ".join(f'"{" ".join(names).strip()}"' for names in seen[:5])
    more = f" and {len(seen) - 5:,} more" if len(seen) > 5 else ""
    raise NoTraceError(
        f"holds {len(seen):,} series ({listed}{more}); say which: trace.series=NAME, or "
        "'trace.series=[NAME,NAME]' for their sum"
    )


def _rows_of(
    whole: Measurements, times: TimeFields, values: Sequence[int], wanted: str
) -> list[Row]:
    """The rows with this label, in any column or in the one named before an equals sign."""
    column, equals, label = wanted.partition("=")
    at = whole.column(column) if equals else None
    places = (
        [at]
        if at is not None
        else [k for k in range(len(whole.names)) if k not in (*times.columns, *values)]
    )
    name = label if at is not None else wanted
    rows = [r for r in whole.rows if any(r.field(k).strip() == name.strip() for k in places)]
    if not rows:
        raise TraceError(f'trace.series: no row belongs to "{wanted}"')
    return rows


def _is_label(field: str) -> bool:
    return bool(field.strip()) and not numerals.is_number(field)


def _share(rows: Sequence[Row], at: int, holds: Callable[[str], bool]) -> float:
    return sum((holds(row.field(at))) for row in rows) / max(len(rows), 1)


def _best(rows: Sequence[Row], sample: Sequence[Row], holds: list[int]) -> list[int]:
    """Of several columns with times: dates before bare numbers, usual names before others."""
    dates = [at for at in holds if _share(sample, at, moments.is_number_alone) < 0.5]
    named = [at for at in holds if _title(rows, at).lower() in TIME_NAMES]
    for group in ([at for at in dates if at in named], named, dates):
        if len(group) == 1:
            return group
    group = [at for at in dates if at in named] or named or dates or holds
    same = all(row.field(at) == row.field(group[0]) for row in sample for at in group)
    if same:
        return group[:1]
    moving = [at for at in group if len({row.field(at) for row in sample[len(sample) // 2 :]}) > 1]
    if len(moving) == 1:
        return moving  # the others hold one time throughout: when it was exported, a period's end
    if not dates and not named and moving and moving[0] == 0 and not _rises(sample, moving[1:]):
        return moving[:1]
    return group


def _rises(sample: Sequence[Row], columns: Sequence[int]) -> bool:
    """Whether the numbers of any of these columns only rise, as a second time would."""
    for at in columns:
        numbers = [float(r.field(at)) for r in sample if moments.is_number_alone(r.field(at))]
        if all(a <= b for a, b in pairwise(numbers)):
            return True
    return False


def _named(rows: Sequence[Row], name: str, width: int) -> int:
    asked = name.strip().lower()
    for row in rows[:20]:
        for at, field in enumerate(row.fields):
            if field.strip().lower() == asked:
                return at
    if asked.isdigit() and 1 <= int(asked) <= width:
        return int(asked) - 1
    first = ", ".join(field.strip() for field in rows[0].fields)
    raise TraceError(f'trace.time_column: "{name}" is not one of its columns ({first[:200]})')


def _title(rows: Sequence[Row], at: int) -> str:
    """What stands above a column, or which it is."""
    title = rows[0].field(at).strip()
    return title if title and not moments.is_time(title) else f"{at + 1}"


def _without_times(rows: Sequence[Row]) -> str:
    if len(rows) == 1 and not any(map(numerals.is_number, rows[0].fields)):
        return "holds no rows"
    row = rows[1] if len(rows) > 1 else rows[0]
    if len(row.fields) < 2:
        return f'has one column ("{row.fields[0][:60]}"), a time and a value are needed'
    called = [at for at in range(len(row.fields)) if _title(rows, at).lower() in TIME_NAMES]
    dates = [
        at
        for at, field in enumerate(row.fields)
        if any(letter.isdigit() for letter in field) and not moments.is_number_alone(field)
    ]
    numbers = [at for at, field in enumerate(row.fields) if moments.is_number_alone(field)]
    at = next(iter((*called, *dates, *numbers, 0)))
    return f"line {row.line}: {moments.no_time(row.field(at).strip())}; not a time and a value"
