from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios.traces.config import TraceConfig
from scenarios.traces.replay import ReplayError, load, realise

START = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
MIX = {"api": 0.6, "file-storage": 0.4}


def rows(hours: int, step_min: int = 60) -> list[str]:
    """A made-up day after the other, the busiest hour in the afternoon."""
    lines = []
    for k in range(hours * 60 // step_min):
        at = START + dt.timedelta(minutes=step_min * k)
        value = 100.0 + 80.0 * np.sin((at.hour + at.minute / 60.0 - 9.0) / 24.0 * 2.0 * np.pi)
        lines.append(f"{at:%Y-%m-%dT%H:%M}Z,{value:.3f}")
    return lines


def write(path: Path, lines: list[str], header: str = "time,value") -> Path:
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def config(path: Path, **changes: object) -> TraceConfig:
    figures: dict[str, object] = {
        "path": str(path), "mix": MIX, "date": dt.date(2024, 5, 3), "peak_per_s": 1000.0,
    }  # fmt: skip
    return TraceConfig.model_validate(figures | changes)


def streams(name: str) -> np.random.Generator:
    return np.random.default_rng(list(name.encode()))


def test_the_busiest_step_is_as_large_as_asked_for(tmp_path: Path) -> None:
    replay = load(config(write(tmp_path / "t.csv", rows(96))))
    hourly = replay.rates.reshape(24, 3600).mean(axis=1)
    assert hourly.max() == pytest.approx(1000.0)
    assert replay.start_s == dt.datetime(2024, 5, 3, tzinfo=dt.UTC).timestamp()


@pytest.mark.parametrize("step_min", [1, 5, 15, 60])
def test_sums_over_the_steps_of_the_trace_are_conserved(tmp_path: Path, step_min: int) -> None:
    asked = config(write(tmp_path / "t.csv", rows(80, step_min)), peak_per_s=None, scale=2.0)
    replay = load(asked)
    demand = realise(replay, asked, 0.2, 120.0, streams=streams)
    recorded = [float(row.split(",")[1]) for row in rows(80, step_min)]
    per_day = 24 * 60 // step_min
    expected = 2.0 * np.array(recorded[2 * per_day : 3 * per_day])
    per_step = replay.rates.reshape(per_day, -1).mean(axis=1)
    np.testing.assert_allclose(per_step, expected, rtol=1e-9)
    for row, share in enumerate(MIX.values()):
        served = demand.rates[row].reshape(per_day, -1).mean(axis=1)
        np.testing.assert_allclose(served, share * expected, rtol=1e-9)
    within = demand.rates[0].reshape(per_day, -1).std(axis=1)
    assert within.max() > 0.0  # the noise is there all the same


@given(st.lists(st.floats(0.0, 1e6), min_size=60, max_size=60))
def test_no_second_has_a_negative_load_whatever_the_trace(values: list[float]) -> None:
    from engine.model import Series
    from scenarios.traces.replay import _by_second

    series = Series("made up", 0.0, 60.0, np.array(values))
    rates = _by_second(series, 600.0, 1800)
    assert (rates >= 0.0).all()
    assert rates.sum() == pytest.approx(60.0 * sum(values[10:40]), rel=1e-9, abs=1e-6)


def test_history_ends_where_the_window_begins(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", rows(96))
    asked = config(path, peak_per_s=None, scale=1.0)
    one = load(asked)
    changed = [row if k < 48 else row.split(",")[0] + ",7" for k, row in enumerate(rows(96))]
    other = load(config(write(path, changed), peak_per_s=None, scale=1.0))
    assert one.history.start_s + one.history.step_s * len(one.history.values) == one.start_s
    np.testing.assert_array_equal(one.history.values, other.history.values)
    assert one.rates.mean() != pytest.approx(other.rates.mean())


def test_without_a_date_the_last_whole_day_is_replayed(tmp_path: Path) -> None:
    replay = load(config(write(tmp_path / "t.csv", rows(100)), date=None))
    assert replay.start_s == dt.datetime(2024, 5, 4, tzinfo=dt.UTC).timestamp()


def test_date_and_start_are_in_the_time_zone(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", rows(96))
    replay = load(config(path, time_zone="Europe/Paris", start="06:30"))
    assert replay.start_s == dt.datetime(2024, 5, 3, 4, 30, tzinfo=dt.UTC).timestamp()
    naive = [row.replace("Z", "") for row in rows(96)]
    other = load(config(write(path, naive), time_zone="Europe/Paris", start="06:30"))
    assert other.start_s == replay.start_s
    assert other.rates[0] != pytest.approx(replay.rates[0])


def test_a_column_can_be_named(tmp_path: Path) -> None:
    lines = [row + ",3" for row in rows(96)]
    path = write(tmp_path / "t.csv", lines, "time,cpu,hits")
    replay = load(config(path, column="hits"))
    np.testing.assert_allclose(replay.rates, 1000.0)
    with pytest.raises(ReplayError, match=r'trace\.path.*"queries" is not one of its columns'):
        load(config(path, column="queries"))


def test_events_of_the_calendar_are_counted_while_they_last(tmp_path: Path) -> None:
    calendar = tmp_path / "c.csv"
    calendar.write_text("start\n2024-05-03T12:00Z\n2024-05-03T12:30Z\n")
    asked = config(
        write(tmp_path / "t.csv", rows(96)), calendar=str(calendar), event={"length_min": 60}
    )
    demand = realise(load(asked), asked, 0.03, 120.0, streams=streams)
    at = [12 * 3600 - 1, 12 * 3600, 12 * 3600 + 1800, 13 * 3600, 13 * 3600 + 1800]
    assert demand.in_progress[at].tolist() == [0, 1, 2, 1, 0]


def _replaced(k: int, line: str) -> Callable[[list[str]], list[str]]:
    def change(lines: list[str]) -> list[str]:
        return [*lines[:k], line, *lines[k + 1 :]]

    return change


BAD: dict[str, tuple[Callable[[list[str]], list[str]], dict[str, object], str]] = {
    "a file without rows": (lambda lines: lines[:0], {}, r"trace\.path: .*holds no rows"),
    "one row": (lambda lines: lines[:1], {}, r"trace\.path: .*one row, two at least"),
    "times out of order": (
        lambda lines: [lines[1], lines[0], *lines[2:]], {}, r"trace\.path: .*earlier than the row",
    ),
    "a time twice": (
        lambda lines: [lines[0], *lines], {}, r"trace\.path: .*1 rows repeat a time",
    ),
    "a value that is not there": (
        _replaced(50, "2024-05-03T02:00Z,nan"), {},
        r"trace\.path: 1 of the 24 steps of 3600 s in the window have no value.*2024-05-03T02:00Z",
    ),
    "a row that is not there": (
        lambda lines: lines[:50] + lines[51:], {}, r"trace\.path: 1 of the 24 steps",
    ),
    "a negative count": (
        _replaced(7, "2024-05-01T07:00Z,-5"), {}, r"trace\.path: .*-5 at 2024-05-01T07:00Z is not",
    ),
    "no number": (_replaced(7, "2024-05-01T07:00Z,many"), {}, r'trace\.path: .*line 9: "many"'),
    "no time": (_replaced(7, "yesterday,5"), {}, r'trace\.path: .*line 9: "yesterday"'),
    "a window before the trace": (
        lambda lines: lines, {"date": dt.date(2024, 4, 1)},
        r"trace\.date: .*2024-04-01T00:00Z.*is not allowed \(inside 2024-05-01T01:00Z",
    ),
    "a window after the trace": (
        lambda lines: lines, {"date": dt.date(2024, 5, 5)}, r"trace\.date: .* 2024-05-05T00:00Z",
    ),
    "a window of zeros": (
        lambda lines: [line.split(",")[0] + ",0" for line in lines], {},
        r"trace\.date: the window holds nothing but zeros",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_trace_is_refused_with_its_key(tmp_path: Path, name: str) -> None:
    change, keys, expected = BAD[name]
    path = write(tmp_path / "t.csv", change(rows(96)))
    with pytest.raises(ReplayError, match=expected):
        load(config(path, **keys))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, r"trace\.calendar: .*No such file"),
        ("start\n", r"trace\.calendar: .*holds no events"),
        ("venue\nParis\n", r"trace\.calendar: .*no column for the start"),
        ("start\nsoon\n", r'trace\.calendar: .*line 2: "soon"'),
    ],
)
def test_a_bad_calendar_is_refused_with_its_key(
    tmp_path: Path, content: str | None, expected: str
) -> None:
    calendar = tmp_path / "c.csv"
    if content is not None:
        calendar.write_text(content)
    path = write(tmp_path / "t.csv", rows(96))
    with pytest.raises(ReplayError, match=expected):
        load(config(path, calendar=str(calendar)))


def test_the_first_of_repeated_rows_is_taken_if_asked_for(tmp_path: Path) -> None:
    lines = rows(96)
    path = write(tmp_path / "t.csv", [*lines[:50], lines[49].split(",")[0] + ",999", *lines[50:]])
    plain = write(tmp_path / "plain.csv", lines)
    one, other = (load(config(file, duplicates="first")) for file in (path, plain))
    np.testing.assert_array_equal(one.rates, other.rates)


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match=r"trace\.path: .*nowhere\.csv: No such file"):
        load(config(tmp_path / "nowhere.csv"))
    asked = TraceConfig(folder=str(tmp_path), mix=MIX, peak_per_s=1.0)
    with pytest.raises(ReplayError, match=r"requests_per_minute\.csv\.gz: No such file"):
        load(asked)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"path": None}, r"trace\.path: is missing; give a CSV"),
        ({"scale": 2.0}, r"trace\.peak_per_s: give either"),
        ({"peak_per_s": None}, r"trace\.peak_per_s: give either"),
        ({"time_zone": "Mars/Base"}, r'"Mars/Base" is not an IANA time zone'),
        ({"start": "25:00"}, r'"25:00" is not a time of day'),
        ({"date": "1998-13-01"}, r"date"),
        ({"duration_s": 100}, r"duration_s"),
        ({"mix": {"api": 0.5}}, r"add up to 0\.5"),
        ({"mix": {}}, r"mix"),
        ({"history_days": 0}, r"history_days"),
    ],
)
def test_bad_keys_are_refused(tmp_path: Path, keys: dict[str, object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        TraceConfig.model_validate(
            {"path": str(tmp_path / "t.csv"), "mix": MIX, "peak_per_s": 1.0} | keys
        )


LOCAL = [row.replace("Z", "") for row in rows(96)]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"])
def test_a_trace_and_its_calendar_are_on_the_same_clocks(tmp_path: Path, zone: str) -> None:
    """Events at the busiest hour are there in whatever zone both files are."""
    calendar = tmp_path / "c.csv"
    calendar.write_text("start\n2024-05-02T15:00\n2024-05-03T15:00\n")
    path = write(tmp_path / "t.csv", LOCAL)
    replay = load(config(path, calendar=str(calendar), time_zone=zone))
    second = int(replay.calendar.start_s[1] - replay.start_s)
    assert second == 15 * 3600
    hourly = replay.rates.reshape(24, 3600).mean(axis=1)
    assert int(hourly.argmax()) == 15
    assert replay.read_as[1].endswith(f"without a zone, read as {zone}")
    assert replay.calendar_read_as.endswith(f"without a zone, read as {zone}")


def test_what_says_its_zone_keeps_it(tmp_path: Path) -> None:
    calendar = tmp_path / "c.csv"
    calendar.write_text("kickoff_utc,known\n2024-05-03 12:00,\n2024-05-03 13:00,2024-05-01 09:00\n")
    path = write(tmp_path / "t.csv", LOCAL)
    replay = load(config(path, calendar=str(calendar), time_zone="Europe/Berlin"))
    noon = dt.datetime(2024, 5, 3, 12, tzinfo=dt.UTC).timestamp()
    np.testing.assert_array_equal(replay.calendar.start_s, [noon, noon + 3600.0])
    assert replay.calendar.known_s[1] == dt.datetime(2024, 5, 1, 7, tzinfo=dt.UTC).timestamp()


def test_a_calendar_without_a_zone_beside_a_trace_of_another_is_refused(tmp_path: Path) -> None:
    calendar = tmp_path / "c.csv"
    calendar.write_text("start\n2024-05-03T15:00\n")
    path = write(tmp_path / "t.csv", [row.replace("Z", "+02:00") for row in rows(96)])
    with pytest.raises(
        ReplayError, match=r"trace\.calendar: .*name the zone of both in trace\.tim"
    ):
        load(config(path, calendar=str(calendar)))
    assert load(config(path, calendar=str(calendar), time_zone="Europe/Berlin")).calendar.kinds
    calendar.write_text("start\n2024-05-03T15:00+02:00\n")
    assert load(config(path, calendar=str(calendar))).calendar.kinds


def test_a_calendar_with_a_zone_in_some_rows_is_refused(tmp_path: Path) -> None:
    calendar = tmp_path / "c.csv"
    calendar.write_text("start\n2024-05-03T15:00\n2024-05-04T15:00Z\n")
    path = write(tmp_path / "t.csv", LOCAL)
    with pytest.raises(ReplayError, match=r"trace\.calendar: .*line 2: .* has no time zone"):
        load(config(path, calendar=str(calendar)))


@pytest.mark.parametrize(
    "text",
    [
        "start;size\n03.05.2024 12:00;2,5\n", "\ufeffstart\tsize\n2024-05-03 12:00\t2.5\n",
        "sep=;\nsize;date\n2.5;05/03/2024 12:00 PM\n",
        "# of the club\nstart,size\n1714737600,2.5\n",
    ],
)  # fmt: skip
def test_a_calendar_is_read_as_people_export_it(tmp_path: Path, text: str) -> None:
    calendar = tmp_path / "c.csv"
    calendar.write_text(text)
    path = write(tmp_path / "t.csv", LOCAL)
    if "05/03" in text:
        with pytest.raises(ReplayError, match=r"may be"):
            load(config(path, calendar=str(calendar)))
        return
    replay = load(config(path, calendar=str(calendar)))
    assert replay.calendar.start_s[0] - replay.start_s == 12 * 3600.0


@pytest.mark.parametrize("idle", [slice(0, 9), slice(15, 24), slice(8, 16), slice(0, 23)])
def test_a_window_that_is_idle_in_a_part_is_replayed(tmp_path: Path, idle: slice) -> None:
    lines = rows(96)
    for hour in range(24)[idle]:
        lines[48 + hour] = lines[48 + hour].split(",")[0] + ",0"
    replay = load(config(write(tmp_path / "t.csv", lines)))
    hourly = replay.rates.reshape(24, 3600).mean(axis=1)
    assert (hourly[idle] == 0.0).all()
    assert hourly.max() == pytest.approx(1000.0)


def test_each_service_may_have_a_column_with_its_own_load(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    lines = ["time,web,jobs,other"]
    for hour in range(80):
        at = dt.datetime(2024, 5, 1, tzinfo=dt.UTC) + dt.timedelta(hours=hour)
        lines.append(f"{at:%Y-%m-%dT%H:%MZ},{100 + hour % 24},{5 if hour % 24 < 12 else 50},9")
    path.write_text("\n".join(lines) + "\n")
    asked = config(
        path, mix={}, columns={"api": "web", "queue": "jobs"}, peak_per_s=None, scale=2.0
    )
    replay = load(asked)
    demand = realise(replay, asked, 0.0, 120.0, streams=streams)
    assert demand.services == ("api", "queue")
    hourly = demand.rates.reshape(2, 24, 3600).mean(axis=2)
    np.testing.assert_allclose(hourly[0], 2.0 * (100 + np.arange(24)), rtol=1e-9)
    np.testing.assert_allclose(hourly[1], 2.0 * np.where(np.arange(24) < 12, 5, 50), rtol=1e-9)
    np.testing.assert_allclose(replay.rates, demand.rates.sum(axis=0), rtol=0.2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"columns": {"api": "web"}}, "give either trace.mix"),
        ({"mix": {}}, "give either trace.mix"),
        ({"mix": {}, "columns": {"api": "web"}, "column": "web"}, "so neither trace.column nor"),
    ],
)
def test_shares_and_columns_exclude_each_other(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        config(tmp_path / "t.csv", **changes)
