"""Files as tools and people export them: read right, or refused; never read as something else.

It is long because it is one table after the other about one module.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios.traces import files as traces
from scenarios.traces.files import FileLayout, Trace, TraceError

START = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
ROWS = 60
MOMENTS = tuple(START + dt.timedelta(hours=k) for k in range(ROWS))
VALUES = tuple(round(1000.0 + 600.0 * math.sin(k / 4.0) + k / 7.0, 3) for k in range(ROWS))
TIMES_S = np.array([moment.timestamp() for moment in MOMENTS])


def stamped(pattern: str) -> Callable[[dt.datetime], str]:
    return lambda moment: moment.strftime(pattern)


TIMES: dict[str, Callable[[dt.datetime], str]] = {
    "iso with Z": stamped("%Y-%m-%dT%H:%M:%SZ"),
    "iso with an offset": lambda m: m.astimezone(ZoneInfo("Asia/Kolkata")).isoformat(),
    "iso with a space": stamped("%Y-%m-%d %H:%M:%S"),
    "iso to the minute": stamped("%Y-%m-%dT%H:%M"),
    "iso with nanoseconds": stamped("%Y-%m-%dT%H:%M:%S.000000000Z"),
    "iso with a short offset": stamped("%Y-%m-%d %H:%M:%S+00"),
    "slashes, year first": stamped("%Y/%m/%d %H:%M:%S"),
    "the month first": stamped("%m/%d/%Y %H:%M"),
    "the month first, half days": stamped("%m/%d/%Y %I:%M:%S %p"),
    "as a browser in the States": stamped("%m/%d/%Y, %I:%M:%S %p"),
    "the day first": stamped("%d/%m/%Y %H:%M"),
    "dots": stamped("%d.%m.%Y %H:%M:%S"),
    "dots, two digits": stamped("%d.%m.%y %H:%M"),
    "dashes, day first": stamped("%d-%m-%Y %H:%M"),
    "a named month": stamped("%d %b %Y %H:%M"),
    "a named month first": stamped("%b %d, %Y %I:%M %p"),
    "of a web server": stamped("%d/%b/%Y:%H:%M:%S +0000"),
    "of a mail": stamped("%a, %d %b %Y %H:%M:%S GMT"),
    "of date": stamped("%a %b %d %H:%M:%S UTC %Y"),
    "of go": stamped("%Y-%m-%d %H:%M:%S +0000 UTC"),
    "of a browser": lambda m: (
        f"{m.astimezone(ZoneInfo('Europe/Berlin')):%a %b %d %Y %H:%M:%S GMT%z} "
        "(Central European Time)"
    ),
    "of java": lambda m: m.astimezone(ZoneInfo("Europe/Berlin")).isoformat() + "[Europe/Berlin]",
    "with the name of its zone": stamped("%Y-%m-%d %H:%M:%S UTC"),
    "with a short name": lambda m: f"{m.astimezone(ZoneInfo('America/New_York')):%F %T %Z}",
    "with a city": lambda m: f"{m.astimezone(ZoneInfo('Asia/Tokyo')):%F %T} Asia/Tokyo",
    "seconds": lambda m: f"{m.timestamp():.0f}",
    "seconds with a fraction": lambda m: f"{m.timestamp():.3f}",
    "milliseconds": lambda m: f"{m.timestamp() * 1e3:.0f}",
    "microseconds": lambda m: f"{m.timestamp() * 1e6:.0f}",
    "nanoseconds": lambda m: f"{int(m.timestamp()) * 10**9}",
    "seconds, shortened without a loss": lambda m: f"{m.timestamp() / 1e9!r}e+09",
    "digits": stamped("%Y%m%d%H%M%S"),
    "digits to the minute": stamped("%Y%m%d%H%M"),
    "digits to the hour": stamped("%Y%m%d%H"),
}  # fmt: skip


def grouped(mark: str, decimal: str, digits: int = 3) -> Callable[[float], str]:
    def write(value: float) -> str:
        text = f"{value:,.{digits}f}"
        return text.replace(",", "\0").replace(".", decimal).replace("\0", mark)

    return write


NUMBERS: dict[str, tuple[Callable[[float], str], float]] = {
    "a point": (lambda v: f"{v:.3f}", 1e-9),
    "a comma": (lambda v: f"{v:.2f}".replace(".", ","), 0.0051),
    "groups and a point": (grouped(",", ".", 2), 0.0051),
    "groups and a comma": (grouped(".", ",", 2), 0.0051),
    "groups by spaces": (grouped("\u202f", ",", 2), 0.0051),
    "groups by apostrophes": (grouped("'", ".", 2), 0.0051),
    "whole": (lambda v: f"{v:.0f}", 0.51),
    "an exponent": (lambda v: f"{v:.6e}", 1e-3),
    "thousands": (lambda v: f"{v / 1e3:.2f} K" if v > 999 else f"{v:.0f}", 5.1),
    "a rate": (lambda v: f"{v / 1e3:.2f}K req/s" if v > 999 else f"{v:.0f} req/s", 5.1),
    "a unit": (lambda v: f"{v:.1f} rps", 0.051),
    "in quotes of a spreadsheet": (lambda v: f'="{v:.3f}"', 1e-9),
}  # fmt: skip

LAYOUTS: dict[str, Callable[[list[str], list[str]], list[list[str]]]] = {
    "time and value": lambda t, v: [["time", "value"], *map(list, zip(t, v, strict=True))],
    "without names": lambda t, v: [*map(list, zip(t, v, strict=True))],
    "value first": lambda t, v: [["requests", "timestamp"], *map(list, zip(v, t, strict=True))],
    "with the index of a frame": lambda t, v: [
        ["", "timestamp", "value"],
        *([str(k), a, b] for k, (a, b) in enumerate(zip(t, v, strict=True))),
    ],
    "with a named index from 1": lambda t, v: [
        ["id", "Zeit", "Wert"],
        *([str(k + 1), a, b] for k, (a, b) in enumerate(zip(t, v, strict=True))),
    ],
    "with other columns": lambda t, v: [
        ["time", "host", "value", "label"],
        *([a, "web-1", b, str(k % 2)] for k, (a, b) in enumerate(zip(t, v, strict=True))),
    ],
    "with an empty last column": lambda t, v: [
        ["Label", "RequestCount", ""],
        ["Id", "m1", ""],
        *([a, b, ""] for a, b in zip(t, v, strict=True)),
    ],
    "newest first": lambda t, v: [
        ["time", "value"],
        *map(list, zip(t[::-1], v[::-1], strict=True)),
    ],
}
SEPARATORS = (",", ";", "\t", "|")


def line(fields: list[str], separator: str) -> str:
    return separator.join(
        '"' + field.replace('"', '""') + '"' if separator in field or '"' in field else field
        for field in fields
    )


def written(folder: Path, lines: list[str], encoding: str = "utf-8", end: str = "\n") -> Path:
    path = folder / "trace.csv"
    path.write_bytes((end.join(lines) + end).encode(encoding))
    return path


def export(
    folder: Path, time: str = "iso with Z", number: str = "a point", layout: str = "time and value",
    *, separator: str = ",",
) -> Path:  # fmt: skip
    times = [TIMES[time](moment) for moment in MOMENTS]
    values = [NUMBERS[number][0](value) for value in VALUES]
    rows = LAYOUTS[layout](times, values)
    return written(folder, [line(row, separator) for row in rows])


def same(trace: Trace, number: str = "a point") -> bool:
    return (
        len(trace.times_s) == ROWS
        and np.allclose(trace.times_s, TIMES_S, rtol=0.0, atol=1e-3)
        and np.allclose(trace.values, VALUES, rtol=0.0, atol=NUMBERS[number][1])
        and trace.duplicates == trace.unsorted == 0
    )


@pytest.mark.parametrize("time", TIMES)
def test_a_time_is_read_however_it_is_written_whatever_else_the_file_has(
    tmp_path: Path, time: str
) -> None:
    for turn, layout in enumerate(LAYOUTS, sorted(TIMES).index(time)):
        separator = SEPARATORS[turn % 4]
        trace = traces.read(export(tmp_path, time, "a point", layout, separator=separator))
        assert same(trace), (layout, separator, trace.read_as, trace.times_s[:3])


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_is_read_however_it_is_written_whatever_else_the_file_has(
    tmp_path: Path, number: str
) -> None:
    times = ("iso with Z", "the month first", "milliseconds", "dots", "as a browser in the States")
    for turn, layout in enumerate([*LAYOUTS, *LAYOUTS], sorted(NUMBERS).index(number)):
        separator, time = SEPARATORS[turn % 4], times[turn % 5]
        trace = traces.read(export(tmp_path, time, number, layout, separator=separator))
        assert same(trace, number), (layout, separator, time, trace.read_as)


QUIRKS: dict[str, Callable[[list[str]], list[str]]] = {
    "a line for spreadsheets": lambda lines: ["sep=,", *lines],
    "comments": lambda lines: ["# exported by x", "# 60 rows", *lines],
    "a comment inside": lambda lines: [*lines[:9], "# restart", *lines[9:]],
    "a title": lambda lines: ["Requests of all services", "", *lines],
    "a preamble": lambda lines: ["Exported,2024-05-05 10:00:00", "By,somebody", *lines],
    "a sum at the end": lambda lines: [*lines, "Total,60000"],
    "a count at the end": lambda lines: [*lines, "(60 rows)"],
    "empty lines": lambda lines: [lines[0], "", *lines[1:], "", ""],
    "names again": lambda lines: [*lines[:20], lines[0], *lines[20:]],
    "names in a comment": lambda lines: ["# time,value", *lines[1:]],
    "spaces around": lambda lines: [row.replace(",", " , ") for row in lines],
    "all in quotes": lambda lines: ['"' + row.replace(",", '","') + '"' for row in lines],
    "a long name": lambda lines: [
        'Time,"{__name__=""http_requests_total"", job=""api""}"', *lines[1:]
    ],
    "a row name that has no name": lambda lines: [
        lines[0], *(f"{k},{row}" for k, row in enumerate(lines[1:]))
    ],
    "influx": lambda lines: [
        "#group,false,false", "#datatype,string,long", "#default,_result,",
        ",result,table,_start,_stop,_time,_value",
        *(f",,0,2024-05-01T00:00:00Z,2024-06-01T00:00:00Z,{row}" for row in lines[1:]),
    ],
    "k6": lambda lines: [
        "metric_name,timestamp,metric_value", *(f"http_reqs,{row}" for row in lines[1:])
    ],
    "date and clock apart": lambda lines: [
        "Date,Time,value", *(row.replace("T", ",").replace("Z", "") for row in lines[1:])
    ],
}  # fmt: skip


@pytest.mark.parametrize("quirk", QUIRKS)
@pytest.mark.parametrize(
    ("encoding", "end"),
    [
        ("utf-8", "\n"), ("utf-8-sig", "\r\n"), ("utf-16", "\r\n"), ("utf-16-le", "\n"),
        ("utf-32", "\n"), ("latin-1", "\r"),
    ],
)  # fmt: skip
def test_what_stands_around_the_rows_does_no_harm(
    tmp_path: Path, quirk: str, encoding: str, end: str
) -> None:
    plain = export(tmp_path).read_text().splitlines()
    trace = traces.read(written(tmp_path, QUIRKS[quirk](plain), encoding, end))
    assert same(trace), trace.read_as


def test_names_with_umlauts_of_an_old_windows_are_read(tmp_path: Path) -> None:
    plain = export(tmp_path).read_text().splitlines()
    path = written(tmp_path, ["Zeitpunkt für Grafik,Aufrufe (größer)", *plain[1:]], "cp1252")
    trace = traces.read(path)
    assert same(trace)
    assert trace.read_as[0].startswith("Windows-1252")
    assert "Zeitpunkt für Grafik" in trace.read_as[1]


LOCUST = "Timestamp,User Count,Type,Name,Requests/s,Failures/s,50%,95%,Total Request Count"


@pytest.mark.parametrize("full", [False, True])
def test_the_history_of_locust_gives_the_requests_of_all(tmp_path: Path, full: bool) -> None:
    lines = [LOCUST]
    for k, (moment, value) in enumerate(zip(MOMENTS, VALUES, strict=True)):
        at, of = f"{moment.timestamp():.0f}", f"0.0,{'N/A' if not k else 12},40,{1_000_000_000 + k}"
        if full:
            lines.append(f"{at},100,GET,/,{value / 3:.3f},{of}")
        lines.append(f"{at},100,,Aggregated,{value:.3f},{of}")
    assert same(traces.read(written(tmp_path, lines)))


def test_of_several_series_the_one_that_is_named_is_read(tmp_path: Path) -> None:
    pairs = list(zip((f"{m:%FT%TZ}" for m in MOMENTS), VALUES, strict=True))
    long = ["time,series,value"]
    for at, value in pairs:
        long += [f"{at},api,{value}", f"{at},web,{2 * value:.3f}"]
    path = written(tmp_path, long)
    with pytest.raises(TraceError, match=r'2 series \("api", "web"\); say which: trace\.series'):
        traces.read(path)
    assert same(traces.read(path, layout=FileLayout(series=("api",))))
    assert same(traces.read(path, layout=FileLayout(series=("series=api",))))
    both = traces.read(path, layout=FileLayout(series=("api", "web")))
    np.testing.assert_allclose(both.values, 3.0 * np.array(VALUES), atol=0.01)
    with pytest.raises(TraceError, match='no row belongs to "db"'):
        traces.read(path, layout=FileLayout(series=("db",)))

    path = written(tmp_path, ["time,api,web", *(f"{at},{v},{2 * v:.3f}" for at, v in pairs)])
    with pytest.raises(TraceError, match=r'values: "api", "web"; say which: trace\.column=NAME'):
        traces.read(path)
    assert same(traces.read(path, layout=FileLayout(columns=("api",))))
    both = traces.read(path, layout=FileLayout(columns=("api", "web")))
    np.testing.assert_allclose(both.values, 3.0 * np.array(VALUES), atol=0.01)


def test_series_that_never_share_a_time_are_told_apart_by_their_column(tmp_path: Path) -> None:
    lines = ["time,instance,value"]
    for k, (moment, value) in enumerate(zip(MOMENTS, VALUES, strict=True)):
        lines.append(f"{moment:%FT%TZ},web-{k % 2},{value}")
    with pytest.raises(TraceError, match="2 series"):
        traces.read(written(tmp_path, lines))


def test_rows_that_are_events_are_counted_or_added_up(tmp_path: Path) -> None:
    lines = ["metric_name,timestamp,metric_value,status"]
    for second in (0, 0, 0, 7, 7, 61, 185):
        lines.append(f"http_reqs,{1714521600 + second},1,200")
        lines.append(f"data_sent,{1714521600 + second},100,200")
    path = written(tmp_path, lines)
    for asked, each in (("count", 1.0), ("sum", 100.0)):
        layout = FileLayout(series=("data_sent",), repeated=asked)
        series = traces.on_grid(traces.read(path, layout=layout), 60.0)
        assert series.values * 60.0 == pytest.approx([5 * each, each, 0.0, each])


AMBIGUOUS: dict[str, tuple[list[str], str, FileLayout, float]] = {
    "a point or groups": (
        ["time;value", "2024-05-01;1.234", "2024-05-02;5.678"],
        r'"1\.234" may be a thousand and more or a fraction.*trace\.decimal',
        FileLayout(decimal=","),
        1234.0,
    ),
    "a comma or groups": (
        ["time,value", '2024-05-01,"1,234"', '2024-05-02,"5,678"'],
        r'"1,234" may be.*trace\.decimal', FileLayout(decimal=","), 1.234,
    ),
    "the day or the month": (
        ["time,value", "01/02/2024,7", "02/02/2024,8"],
        r"may be (day, month, year or month|month, day, year or day).*trace\.time_format",
        FileLayout(time_format="dmy"), 7.0,
    ),
    "the day or the month within a day": (
        ["time,value", "01/02/2024 10:00,7", "01/02/2024 11:00,8"],
        r"trace\.time_format=", FileLayout(time_format="mdy"), 7.0,
    ),
    "two columns of times": (
        ["a,b,value", "2024-05-01T00:00Z,2024-05-01T01:00Z,7",
         "2024-05-01T01:00Z,2024-05-01T02:00Z,8"],
        r'several columns hold times: "a", "b"; say which: trace\.time_column',
        FileLayout(time_column="b"), 7.0,
    ),
    "two usual names": (
        ["time,requests,rate", "2024-05-01,7,70", "2024-05-02,8,80"],
        r'values: "requests", "rate"; say which: trace\.column',
        FileLayout(columns=("rate",)), 70.0,
    ),
    "no names": (
        ["2024-05-01,7,70", "2024-05-02,8,80"],
        r'values: "2", "3"; say which', FileLayout(columns=("3",)), 70.0,
    ),
    "the index of a frame without times": (
        [",value", "0,7", "1,8", "2,9"],
        r'"0" is no time of the years 1980 to 2100.*trace\.time_format=s',
        FileLayout(time_format="s"),
        7.0,
    ),
    "days of a spreadsheet": (
        ["time,value", "45413.5,7", "45413.54166667,8"],
        r"is no time of the years.*excel", FileLayout(time_format="excel"), 7.0,
    ),
    "a pattern of one's own": (
        ["time,value", "2024w18-3 10h,7", "2024w18-3 11h,8"],
        r'is not a time.*trace\.time_format', FileLayout(time_format="%Yw%W-%w %Hh"), 7.0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_what_may_be_read_in_two_ways_is_refused_until_one_is_named(
    tmp_path: Path, name: str
) -> None:
    lines, said, layout, first = AMBIGUOUS[name]
    path = written(tmp_path, lines)
    with pytest.raises(TraceError, match=said):
        traces.read(path)
    assert traces.read(path, layout=layout).values[0] == first


REFUSED: dict[str, tuple[list[str], str]] = {
    "a decimal comma between commas": (
        ["time,value", "2024-05-01,7,5", "2024-05-02,8,5"],
        "line 2: has 3 fields, the names of the columns in line 1 are 2",
    ),
    "a decimal comma between commas, no names": (
        ["2024-05-01,7,5", "2024-05-02,8,5"], 'values: "2", "3"; say which',
    ),
    "some decimals after a comma": (
        ["time,value", "2024-05-01,7", "2024-05-02,8,5"], "line 3: has 3 fields",
    ),
    "an offset in some": (
        ["time,value", "2024-05-01T00:00Z,7", "2024-05-01T01:00,8"],
        r'line 3: "2024-05-01T01:00" has no time zone and line 2',
    ),
    "a zone that is several": (
        ["time,value", "2024-05-01 00:00 IST,7", "2024-05-01 01:00 IST,8"],
        r'"IST" in .* is not one time zone.*trace\.time_zone',
    ),
    "different units": (
        ["time,value", "2024-05-01,500 ms", "2024-05-02,1.2 s"], 'line 2 is in "ms" and line 3',
    ),
    "seconds and milliseconds": (
        ["time,value", "1714521600,7", "1714525200000,8"], "do not count the same",
    ),
    "rounded milliseconds": (
        ["time,value", "1.71452E+12,7", "1.71453E+12,8"], "is rounded",
    ),
    "rounded seconds": (
        ["time,value", *(f"{1714521600 + 3600 * k:e},{k}" for k in range(9))], "is rounded",
    ),
    "both decimal marks": (
        ["time;value", "2024-05-01;7,5", "2024-05-02;8.25"], "one way to write numbers",
    ),
    "a broken first row": (
        ["time,value", "yesterday,1", "2024-05-01,7", "2024-05-02,8"], "line 2: .*neither names",
    ),
    "a word among the numbers": (
        ["time,value", "2024-05-01,7", "2024-05-02,many", "2024-05-03,8"], 'line 3: "many" is not',
    ),
    "a word among the times": (
        ["time,value", "2024-05-01,7", "soon,8", "2024-05-03,8"], 'line 3: "soon" is not a time',
    ),
    "a last row that is cut off": (
        ["time,value", "2024-05-01,7", "2024-05-02,8", "2024-05-"], 'line 4: "2024-05-" is not',
    ),
    "a workbook": (["PK\x03\x04time,value"], "is an Excel workbook.*export it as CSV"),
    "JSON": (['{"time": 1}'], "is JSON"),
    "a page": (["<!DOCTYPE html>"], "is HTML"),
    "names alone": (["time,value"], "holds no rows"),
    "nothing": ([""], "holds no rows"),
    "times of day": (["time,value", "00:00,7", "01:00,8"], "is not a time"),
    "no column of values": (["time,name", "2024-05-01,a", "2024-05-02,b"], "no column of values"),
    "thirty days in February": (
        ["time,value", "2024-02-29,7", "2024-02-30,8"], 'line 3: "2024-02-30" is not a time',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_broken_is_refused_with_what_was_seen(tmp_path: Path, name: str) -> None:
    lines, said = REFUSED[name]
    with pytest.raises(TraceError, match=said):
        traces.read(written(tmp_path, lines))


def test_what_was_not_measured_is_said_and_left_open(tmp_path: Path) -> None:
    marks = ["+Inf", "-", "N/A", "", "NaN", "null", "No data", "#DIV/0!", "7"]
    rows = [f"2024-05-{k + 1:02d},{mark}" for k, mark in enumerate(marks)]
    trace = traces.read(written(tmp_path, ["time,value", *rows]))
    assert np.isnan(trace.values).tolist() == [True] * 8 + [False]
    assert "8 without a value" in trace.read_as[2]


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe"])
@pytest.mark.parametrize(("month", "step_min"), [(4, 60), (11, 30), (3, 15), (10, 60)])
@pytest.mark.parametrize("backwards", [False, True])
def test_clocks_that_are_set_forward_and_back_lose_and_double_no_hour(
    tmp_path: Path, zone: str, month: int, step_min: int, *, backwards: bool
) -> None:
    begin = dt.datetime(2024, month, 1, tzinfo=dt.UTC) - dt.timedelta(days=8)
    moments = [begin + dt.timedelta(minutes=step_min * k) for k in range(20 * 1440 // step_min)]
    rows = [f"{m.astimezone(ZoneInfo(zone)):%F %T},{k}" for k, m in enumerate(moments)]
    path = written(tmp_path, ["time,value", *(rows[::-1] if backwards else rows)])
    trace = traces.read(path, layout=FileLayout(zone=zone))
    np.testing.assert_array_equal(trace.times_s, [m.timestamp() for m in moments])
    np.testing.assert_array_equal(trace.values, np.arange(len(moments)))


def test_a_time_that_no_clock_showed_means_another_zone(tmp_path: Path) -> None:
    rows = [f"2024-03-10 {hour:02d}:00:00,1" for hour in range(5)]
    path = written(tmp_path, ["time,value", *rows])
    with pytest.raises(TraceError, match=r'line 4: "2024-03-10 02:00:00" is a time that clocks in'):
        traces.read(path, layout=FileLayout(zone="America/New_York"))


def test_a_column_that_says_utc_is_in_utc(tmp_path: Path) -> None:
    path = written(tmp_path, ["minute_utc,value", "2024-05-01 00:00,1", "2024-05-01 00:01,2"])
    trace = traces.read(path, layout=FileLayout(zone="Europe/Berlin"))
    assert trace.times_s[0] == START.timestamp()


@given(
    values=st.lists(st.floats(0.0, 1e9).map(lambda v: round(v, 3)), min_size=3, max_size=12),
    start=st.integers(400_000_000, 4_000_000_000),
    step=st.sampled_from([1, 60, 300, 3600, 86_400]),
    time=st.sampled_from(sorted(TIMES)),
    number=st.sampled_from(["a point", "a comma", "groups and a point", "groups and a comma"]),
    separator=st.sampled_from(SEPARATORS),
    layout=st.sampled_from(sorted(LAYOUTS)),
)
def test_what_is_written_comes_back_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], start: int, step: int,
    *, time: str, number: str, separator: str, layout: str,
) -> None:  # fmt: skip
    """Two readings that fit are refused; no reading is ever another one."""
    folder = tmp_path_factory.getbasetemp()
    finest = 3600 if time.endswith("hour") else 60 if time not in EXACT else 1
    step = max(step, finest)
    moments = [
        dt.datetime.fromtimestamp(start // finest * finest + step * k, dt.UTC)
        for k in range(len(values))
    ]
    write, tolerance = NUMBERS[number]
    rows = LAYOUTS[layout]([TIMES[time](m) for m in moments], [write(v) for v in values])
    path = written(folder, [line(row, separator) for row in rows])
    try:
        trace = traces.read(path)
    except TraceError:
        return
    np.testing.assert_allclose(trace.times_s, [m.timestamp() for m in moments], atol=1e-3)
    np.testing.assert_allclose(trace.values, values, atol=tolerance)


EXACT = {
    time
    for time, write in TIMES.items()
    if write(START) != write(START + dt.timedelta(seconds=1))
}  # fmt: skip
