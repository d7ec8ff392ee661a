from __future__ import annotations

import gzip
import math
import re
from pathlib import Path

import numpy as np
import pytest

from scenarios.traces import files as traces
from scenarios.traces.files import NoTraceError, TraceError

HOUR = 3600.0


def written(folder: Path, text: str, name: str = "trace.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def dated(text: str) -> str:
    """Times of day at the beginning of a line as those of the first of January 1970."""
    return re.sub(r"(?m)^(\d\d:\d\d)(?=,|$)", r"1970-01-01T\1Z", text)


@pytest.mark.parametrize(
    ("text", "times_s", "values"),
    [
        ("1970-01-01T00:00Z,1\n1970-01-01T01:00Z,2\n", [0, 3600], [1, 2]),
        ("timestamp,value\n1970-01-01 00:00:00,1\n1970-01-01 01:00:00,2\n", [0, 3600], [1, 2]),
        ("t,v\n1970-01-01T02:00+02:00,1\n", [0], [1]),
        ("900000000.0,1\n900000060,2.5e3\n", [9e8, 9e8 + 60], [1, 2500]),
        ("ms,v\n1500000000000,1\n", [1_500_000_000], [1]),
        ("time,label,value\n00:00,7,1\n00:01,8,2\n", [0, 60], [1, 2]),
        (
            "time,value,label\n00:00,1,9\n00:01,,9\n00:02,nan,9\n",
            [0, 60, 120],
            [1, math.nan, math.nan],
        ),
        ("\ufefftime,value\n00:00,1\n\n00:01,2\n", [0, 60], [1, 2]),
        ("00:02,3\n00:00,1\n00:01,2\n", [0, 60, 120], [1, 2, 3]),
        ("00:00,1\n00:01,2\n00:01,9\n", [0, 60], [1, 2]),
    ],
)
def test_a_time_and_a_value_are_read_however_they_are_written(
    tmp_path: Path, text: str, times_s: list[float], values: list[float]
) -> None:
    trace = traces.read(written(tmp_path, dated(text)))
    np.testing.assert_array_equal(trace.times_s, times_s)
    np.testing.assert_array_equal(trace.values, values)


def test_a_gzipped_trace_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv.gz"
    path.write_bytes(gzip.compress(dated("timestamp,value\n00:00,1\n00:01,2\n").encode()))
    assert traces.read(path).name == "trace"
    assert traces.read(path).step_s == 60.0


@pytest.mark.parametrize(
    "text",
    ["a,b\nx,1\n", "kickoff,team\n1998-06-10T15:30Z,Brazil\n", "", "only\n1\n", "time,value\n"],
)
def test_what_is_something_else_is_told_from_a_trace(tmp_path: Path, text: str) -> None:
    with pytest.raises(NoTraceError, match=r"trace\.csv"):
        traces.read(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("00:00,1\n00:01,two\n", r'line 2: "two" is not a number'),
        ("time,value\n00:00,1\nyesterday,2\n", r'line 3: "yesterday" is not a time'),
        ("00:00,1\n00:01\n", r"line 2: has no value"),
    ],
)
def test_a_broken_trace_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(TraceError, match=said) as refused:
        traces.read(written(tmp_path, dated(text)))
    assert not isinstance(refused.value, NoTraceError)


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv.gz"
    path.write_bytes(gzip.compress(b"1970-01-01T00:00Z,1\n" * 10_000)[:-20])
    with pytest.raises(TraceError, match=r"trace\.csv\.gz"):
        traces.read(path)


def test_a_folder_is_searched_to_its_depths(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("a/b/one.csv", "a/two.csv.gz", "three.csv", "notes.txt"):
        (tmp_path / name).write_text("")
    assert [path.name for path in traces.find(tmp_path)] == ["one.csv", "two.csv.gz", "three.csv"]
    with pytest.raises(TraceError, match="no such"):
        traces.find(tmp_path / "missing")


def test_the_grid_has_means_where_rows_are_and_nothing_where_none_are(tmp_path: Path) -> None:
    rows = [(9e8 + 600 * i, i) for i in range(24) if not 6 <= i < 12]
    trace = traces.read(written(tmp_path, "".join(f"{t},{v}\n" for t, v in rows)))
    series = traces.on_grid(trace, HOUR)
    assert series.start_s == 9e8
    np.testing.assert_array_equal(series.values, [2.5, math.nan, 14.5, 20.5])


def test_rows_are_steps_wherever_their_clock_begins(tmp_path: Path) -> None:
    """Half-hour zones, local midnights, and scrapes that come a little early or late."""
    for step, phase, shaken in ((3600, 1800, 0), (86_400, 79_200, 0), (60, 30, 6), (60, 0, 6)):
        times = [900_028_800 + phase + step * k + (-1) ** k * shaken / 2 for k in range(48)]
        path = written(tmp_path, "".join(f"{t},{k}\n" for k, t in enumerate(times)))
        series = traces.on_grid(traces.read(path), float(step))
        assert series.start_s == 900_028_800 + phase, (step, phase, shaken)
        np.testing.assert_array_equal(series.values, np.arange(48))


def test_a_barely_begun_step_is_left_out(tmp_path: Path) -> None:
    trace = traces.read(written(tmp_path, "".join(f"{9e8 + 600 * i},1\n" for i in range(5, 20))))
    series = traces.on_grid(trace, HOUR)
    assert series.start_s == 9e8 + HOUR
    assert len(series.values) == 2


def test_a_wrong_year_does_not_fill_the_memory(tmp_path: Path) -> None:
    trace = traces.read(written(tmp_path, "1998-01-01,1\n1998-01-02,1\n9998-01-01,1\n"))
    with pytest.raises(TraceError, match="steps of 60 s"):
        traces.on_grid(trace, 60.0)
