"""Scores, intervals, courses and the command line of the backtest."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from engine.config.strict import ConfigError
from engine.model import Calendar, FloatArray, Series
from engine.prediction.classical import baselines
from engine.prediction.forecaster import LEVELS, NO_EVENTS
from engine.prediction.intervals import quantiles
from reports import rendering
from reports.backtest import content as report
from twin.backtest import cases, command, from_traces, results
from twin.backtest.rolling import RolledForecasts, RollingWindow, roll
from twin.backtest.scores import difference, score
from twin.commands import terminal

HOUR_S = 3600.0


def lognormal(steps: int, seed: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    daily = 2.0 + np.sin(2.0 * np.pi * np.arange(steps) / 24.0)
    return 100.0 * daily * np.exp(0.2 * rng.standard_normal(steps))


def test_intervals_hold_what_they_promise() -> None:
    values = lognormal(4000, 1)
    forecasts = 100.0 * (2.0 + np.sin(2.0 * np.pi * np.arange(4000) / 24.0))
    bounds = quantiles(forecasts, values, 2, HOUR_S, unit=5.0)[500:]
    inside = [
        np.mean((values[500:] >= bounds[:, low]) & (values[500:] <= bounds[:, -1 - low]))
        for low in range(3)
    ]
    np.testing.assert_allclose(inside, [0.95, 0.80, 0.50], atol=0.03)
    assert (np.diff(bounds, axis=1) >= 0.0).all()


def test_intervals_know_nothing_of_what_is_to_come() -> None:
    values = lognormal(600, 2)
    forecasts = np.full(600, 200.0)
    lead, step = 3, 400
    changed = values.copy()
    changed[step - lead + 1 :] *= 5.0
    for row in (300, step):
        one = quantiles(forecasts, values, lead, HOUR_S, unit=5.0)[row]
        other = quantiles(forecasts, changed, lead, HOUR_S, unit=5.0)[row]
        np.testing.assert_array_equal(one, other)


DEGENERATE = {
    "constant": np.full(600, 100.0),
    "third": np.full(600, 7.0 / 3.0),
    "zero": np.zeros(600),
    "below zero": np.full(600, -0.1),
    "constant with gaps": np.where(np.arange(600) % 11 == 0, np.nan, 1e9 / 3.0),
    "zero, then constant": np.where(np.arange(600) < 200, 0.0, 1.1),
}


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("unit", [1.0, 5.0, 1e-3])
def test_a_constant_lies_within_its_own_intervals(name: str, unit: float) -> None:
    values = DEGENERATE[name]
    forecasts = np.where(np.isnan(values), 1e9 / 3.0, values)
    bounds = quantiles(forecasts, values, 1, HOUR_S, unit=unit)[400:]
    there = ~np.isnan(values[400:])
    for low in range(3):
        inside = (values[400:] >= bounds[:, low]) & (values[400:] <= bounds[:, -1 - low])
        assert inside[there].all()
        width = bounds[:, -1 - low] - bounds[:, low]
        assert (width <= 1e-6 * (np.abs(forecasts[400:]) + unit)).all()


@pytest.mark.parametrize("highest", [1700.0, 1e9])
@pytest.mark.parametrize("often", [3, 40])
def test_no_interval_reaches_far_beyond_what_was_seen(highest: float, often: int) -> None:
    """A series that is mostly nothing: errors are many powers of ten, forecasts are sometimes high.

    The bound holds at the time: what comes later is not known yet.
    """
    rng = np.random.default_rng(4)
    values = np.where(np.arange(900) % often == 0, highest * rng.uniform(0.5, 1.0, 900), 0.01)
    forecasts = np.roll(values, 1)
    lead = 1
    bounds = quantiles(forecasts, values, lead, HOUR_S, unit=5e-4)
    so_far = np.maximum.accumulate(values)[:-lead]
    assert np.nanmax(bounds[lead:, -1] / np.maximum(so_far, forecasts[lead:])) <= 1.5 + 1e-6
    assert np.nanmin(bounds) >= 0.0


def test_the_scores_are_those_of_the_textbook() -> None:
    values = np.array([10.0, 20.0, 30.0, 40.0])
    medians = np.array([12.0, 20.0, 27.0, 44.0])
    spread = np.array([-8.0, -4.0, -2.0, 0.0, 2.0, 4.0, 8.0])
    scores = score(
        medians,
        medians[:, None] + spread,
        values,
        np.ones(4, dtype=bool),
        naive_error=3.0,
        day=4,
        step_s=HOUR_S,
    )
    assert scores.wape == pytest.approx(9.0 / 100.0)
    assert scores.mase == pytest.approx(9.0 / 4.0 / 3.0)
    assert (scores.coverage_50, scores.coverage_80, scores.coverage_95) == (0.5, 1.0, 1.0)
    assert scores.width_80 == pytest.approx(8.0 / 25.0)
    assert (scores.peak_height, scores.peak_time_h) == (pytest.approx(0.1), 0.0)
    gaps = values[:, None] - medians[:, None] - spread
    levels = np.array(LEVELS)
    loss = np.maximum(levels * gaps, (levels - 1.0) * gaps).mean()
    assert scores.pinball == pytest.approx(loss / 25.0)


def test_a_difference_is_told_from_chance() -> None:
    rng = np.random.default_rng(3)
    sizes = np.full(480, 10.0)
    errors = np.abs(rng.standard_normal(480))
    near = np.abs(rng.standard_normal(480))
    assert difference(errors, near, sizes, 24, rng=rng).verdict == "same"
    assert difference(errors, errors + 0.3, sizes, 24, rng=rng).verdict == "better"
    assert difference(errors + 0.3, errors, sizes, 24, rng=rng).verdict == "worse"


def test_a_course_forecasts_each_step_once_at_its_lead() -> None:
    values = np.arange(400.0) + 1.0
    series = Series("line", 0.0, HOUR_S, values)
    last = baselines((1, 3))[0]
    outcome = roll(last, series, NO_EVENTS, RollingWindow(200, 300, 400, 50))
    for row, lead in enumerate((1, 3)):
        np.testing.assert_array_equal(outcome.medians[row, 200:400], values[200:400] - lead)
        assert np.isnan(outcome.medians[row, :200]).all()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dat=x"], r"dat: unknown key; did you mean data"),
        (["data=/no/such/folder"], "data: /no/such/folder: there is no such file or folder"),
        (["horizons=0", "data=."], r"horizons: 0 is not allowed \(1 … 168, whole\)"),
        (["horizons=1,1", "data=."], "horizons: each one once"),
        (["seed=-1"], r"seed: -1 is not allowed \(0 … 9,223,372,036,854,775,807, whole\)"),
        (["calendar=x"], "calendar: goes with data"),
        (["data=.", "test_from=soon"], 'test_from: "soon" is not an ISO 8601 time'),
        (["data=.", "days=3"], "days: is for the seasons"),
        (["seed=1", "seed=2"], "seed: is given twice"),
        (["data="], "data: is empty"),
    ],
)
def test_what_cannot_be_asked_is_said(tmp_path: Path, arguments: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        command.run([*arguments, f"output={tmp_path}"], "", lambda _: None)
    assert not list(tmp_path.glob("backtest*"))


@pytest.mark.parametrize(
    ("files", "arguments", "said"),
    [
        (
            {"a.csv": "900000000,1\n900003600,x\n"},
            [],
            r'data: .*a\.csv: line 2: "x" is not a number',
        ),
        (
            {"a.csv": "900000000,1\n900003600,2\n"},
            [],
            "no series that can be forecast.*covers 2 hours",
        ),
        ({"a.csv": "a,b\nc,d\n"}, [], "no series that can be forecast.*not a time and a value"),
        ({"notes.txt": ""}, [], "no .csv or .csv.gz"),
        (
            {"a.csv": "900000000,1\n", "f.csv": "x\n1\n"},
            ["calendar={}/f.csv"],
            "calendar: .*f.csv: no col",
        ),
        (
            {"a.csv": "900000000,1\n"},
            ["calendar={}/none.csv"],
            "calendar: .*none.csv: No such file",
        ),
        ({"long": ""}, ["calendar={}/f.csv"], "none of its events falls"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_file(
    tmp_path: Path, files: dict[str, str], arguments: list[str], said: str
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for name, text in files.items():
        if name == "long":
            rows = "".join(f"{900_000_000 + 3600 * i},{i % 24}\n" for i in range(200))
            (folder / "a.csv").write_text(rows)
            (tmp_path / "f.csv").write_text("start\n2030-01-01\n")
        else:
            (folder / name).write_text(text)
    given = [argument.format(tmp_path if "long" in files else folder) for argument in arguments]
    with pytest.raises(ConfigError, match=said):
        command.run([f"data={folder}", f"output={tmp_path}", *given], "", lambda _: None)


def test_keys_say_how_traces_are_read_as_for_a_run(tmp_path: Path) -> None:
    rows = "".join(f"0{k // 24 % 9 + 1}/05/2024 {k % 24}:00;{k % 24};7\n" for k in range(216))
    (tmp_path / "a.csv").write_text("when;web;api\n" + rows)
    with pytest.raises(ConfigError, match=r'values: "web", "api"; say which: trace\.column='):
        command.run([f"data={tmp_path}", f"output={tmp_path}"], "", lambda _: None)
    options = command.read(
        [f"data={tmp_path}", "trace.column=[web,api]", "trace.time_format=dmy",
         "trace.time_zone=Europe/Berlin", "test_from=2024-05-05"]
    )  # fmt: skip
    midnight = dt.datetime(2024, 5, 4, 22, tzinfo=dt.UTC).timestamp()
    assert options.test_from_s == midnight
    (case,), _ = from_traces.cases(tmp_path, None, (1,), midnight, seed=1, layout=options.layout)
    assert case.series.start_s == midnight - 4 * 86_400.0
    assert case.series.values[:24].tolist() == [7.0 + hour for hour in range(24)]
    with pytest.raises(ConfigError, match=r"^trace\.decimal: "):
        command.read([f"data={tmp_path}", "trace.decimal=x"])
    with pytest.raises(ConfigError, match=r"trace\.column: goes with data="):
        command.read(["trace.column=web"])


def test_a_fixture_list_beside_a_trace_is_its_calendar(tmp_path: Path) -> None:
    rows = "".join(f"{900_000_000 + 3600 * i},{i % 24}\n" for i in range(240))
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    for folder in ("with", "without"):
        (tmp_path / folder / "trace.csv").write_text(rows)
    (tmp_path / "with" / "fixtures.csv").write_text("start,stage\n1998-07-12T04:00Z,Final\n")
    cases, skipped = from_traces.cases(tmp_path, None, (1,), None, seed=1)
    assert {case.name: len(case.calendar.start_s) for case in cases} == {
        "with/trace": 1,
        "without/trace": 0,
    }
    assert [(item.file, item.why) for item in skipped] == [
        ("with/fixtures.csv", "is a calendar of events")
    ]


def test_a_series_that_is_silent_while_it_is_tested_is_left_out(tmp_path: Path) -> None:
    for name, last in (("silent", 0), ("loud", 5)):
        rows = (f"{900_000_000 + 3600 * i},{i % 24 if i < 120 else last}\n" for i in range(240))
        (tmp_path / f"{name}.csv").write_text("".join(rows))
    cases, skipped = from_traces.cases(tmp_path, None, (1,), None, seed=1)
    assert [case.name for case in cases] == ["loud"]
    assert [(item.file, item.why[:16]) for item in skipped] == [("silent", "is 0 throughout ")]


def judged_with_matches(monkeypatch: pytest.MonkeyPatch) -> cases.JudgedCase:
    """Two days of 100 a step, and 200 in the six hours of two matches.

    The forecast is 100 throughout, but right in one match hour and a fifth too low in another.
    """
    values = np.full(72, 100.0)
    values[[34, 35, 36, 60, 61, 62]] = 200.0
    medians = np.full((1, 72), 100.0)
    medians[0, 34], medians[0, 35] = 200.0, 160.0
    spread = np.array([-30.0, -20.0, -10.0, 0.0, 10.0, 20.0, 30.0])
    starts = HOUR_S * np.array([34.5, 60.0])
    calendar = Calendar(starts, np.ones(2), ("", ""), np.full(2, -np.inf))
    case = cases.Case(
        "cup", "", Series("cup", 0.0, HOUR_S, values), calendar, RollingWindow(10, 24, 72, 24),
        (1,), 1,
    )  # fmt: skip
    own = RolledForecasts("event-aware", (1,), medians, medians[..., None] + spread)
    other = RolledForecasts("blind", (1,), medians - 30.0, medians[..., None] - 30.0 + spread)
    monkeypatch.setattr(cases, "rolled", lambda _: [own, other])
    return cases.judge(case)


def test_event_hours_are_judged_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = judged_with_matches(monkeypatch)
    inside = judged.scores[cases.EVENT_HOURS, "event-aware", 1]
    outside = judged.scores[cases.OTHER_HOURS, "event-aware", 1]
    assert (inside.steps, outside.steps) == (6, 42)
    # 160 for 200 is 20 % too low, not more.
    assert (inside.coverage_80, inside.above_90, inside.far_too_low) == pytest.approx(
        (1 / 6, 5 / 6, 4 / 6)
    )
    assert inside.wape == pytest.approx((40.0 + 4 * 100.0) / 1200.0)
    assert (outside.coverage_80, outside.above_90, outside.far_too_low, outside.wape) == (
        1.0, 0.0, 0.0, 0.0,
    )  # fmt: skip
    gap = judged.differences[cases.EVENT_HOURS, "blind", 1]
    assert gap.mean == pytest.approx(-180.0 / 1200.0)
    assert gap.verdict == "better"


def test_the_record_and_the_report_show_both_groups(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    judged = judged_with_matches(monkeypatch)
    about = {"command": "x", "started_at": "2027-01-01T00:00:00+00:00", "seed": 1,
             "source": "traces", "name": "cup", "platform": "", "wall_s": 1.0}  # fmt: skip
    content = results.content([judged, judged], [], about)
    inside, outside = (content["overall"]["1"]["hours"][p] for p in ("event hours", "other hours"))
    assert (inside["hours"], outside["hours"]) == (12.0, 84.0)
    assert inside["far_too_low"] == pytest.approx(4 / 6)
    assert inside["median_wape"] == pytest.approx(440.0 / 1200.0)
    texts = report.tell(content)
    assert texts.hours is not None
    assert [cell.replace("\xa0", " ") for cell in texts.hours.rows[0]] == [
        "1 h", "event hours", "12", "16.7 %", "83.3 %", "66.7 %", "36.7 %",
    ]  # fmt: skip
    assert "## In event hours and outside" in rendering.text("backtest", texts=texts)
    terminal.show_backtest(content, Path())
    assert "66.7%" in capsys.readouterr().err
