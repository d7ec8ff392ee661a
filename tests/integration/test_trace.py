"""A recorded trace in the twin: run, compare, and nothing of what is to come told to anybody."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.config.strict import ConfigError
from tests import composition, warm
from twin.config import RunConfig
from twin.runs.summary import summarise
from twin.world.world import World

START = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
DAYS = 9
REPLAYED = dt.date(2024, 5, 9)
DATA = Path(os.environ.get("WEDTWIN_DATA", Path(__file__).parents[3] / "shared" / "data"))
WORLD_CUP = DATA / "worldcup98"


def minutes(scrambled_from: dt.datetime | None = None) -> pd.DataFrame:
    """Nine made-up days: a curve by day, and a hump of an hour at each match."""
    times = pd.date_range(START, periods=DAYS * 1440, freq="min")
    hours = (times.hour + times.minute / 60.0).to_numpy()
    load = 100.0 + 60.0 * np.sin((hours - 9.0) / 24.0 * 2.0 * np.pi)
    for kick_off in kick_offs():
        load = load + np.where(
            (times >= kick_off) & (times < kick_off + dt.timedelta(hours=1)), 150, 0
        )
    rng = np.random.default_rng(5)
    load = np.round(load * rng.lognormal(0.0, 0.05, len(times)))
    if scrambled_from is not None:
        late = np.flatnonzero(times >= scrambled_from)
        load[late] = 3.0 * load[rng.permutation(late)]
    return pd.DataFrame({"minute": times.strftime("%Y-%m-%dT%H:%MZ"), "requests": load})


def kick_offs() -> list[dt.datetime]:
    return [START + dt.timedelta(days=day, hours=12 + 3 * (day % 3)) for day in range(DAYS)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trace")
    minutes().to_csv(folder / "requests_per_minute.csv.gz", index=False)
    starts = [f"{kick_off:%Y-%m-%dT%H:%MZ}" for kick_off in kick_offs()]
    (folder / "fixtures.csv").write_text("\n".join(["kickoff_utc", *starts]) + "\n")
    noon = dt.datetime(2024, 5, 9, 17, 30, tzinfo=dt.UTC)
    minutes(noon).to_csv(folder / "another_future.csv", index=False)
    return folder


def configuration(folder: Path, *overrides: str) -> RunConfig:
    """The afternoon of the last day, with the match at 18:00 in it."""
    given = [
        "scenario=trace", f"trace.path={folder / 'requests_per_minute.csv.gz'}",
        f"trace.date={REPLAYED}", "trace.start='16:00'", "trace.duration_s=10800",
        "trace.peak_per_s=20000", *overrides,
    ]  # fmt: skip
    return composition.configuration(*given)


def with_calendar(folder: Path, *overrides: str) -> RunConfig:
    names = "trace.event={one: match, many: matches, length_min: 60, before_min: 60, after_min: 60}"
    return configuration(folder, f"trace.calendar={folder / 'fixtures.csv'}", names, *overrides)


def decided(world: World, until_s: float) -> list[tuple[Any, ...]]:
    return [
        (row["time_s"], row["service"], row["to_instances"], row["reason"], row["explanation"])
        for row in world.recorder.decisions
        if row["time_s"] <= world.start_s + until_s
    ]


def test_the_trace_arrives_as_recorded_and_the_engine_carries_it(folder: Path) -> None:
    world = World(with_calendar(folder))
    world.run()
    recorded = minutes()["requests"].to_numpy()[8 * 1440 + 16 * 60 :][:180]
    expected = 20_000.0 * recorded / recorded.max()
    arrived = world.load.arrivals.sum(axis=0).reshape(180, 60).mean(axis=1)
    np.testing.assert_allclose(arrived, expected, rtol=0.02)
    summary = summarise(world)
    events = summary.weddings
    assert (events.total, events.peak_simultaneous) == (1, 1)
    assert events.peak_at == "2024-05-09T18:00:00+00:00"
    assert summary.slo.violation_ratio < 0.001
    assert summary.prescaling.events == 1
    assert summary.prescaling.ready_share == 1.0


def test_the_calendar_tells_the_engine_when_the_load_comes(folder: Path) -> None:
    """Right before the match, the outlook with the calendar is the higher one, and right."""
    at = 130  # minutes into the window, ten into the match
    rates = []
    for config in (configuration(folder), with_calendar(folder)):
        world = World(config)
        outlook = world.feed.outlook(world.start_s)
        column = 60 + at
        assert outlook.start_s + 60.0 * column == world.start_s + 60.0 * at
        rates.append(float(outlook.load[outlook.services["api"], column]))
        truth = float(world.load.demand.rates[0, 60 * (at - 5) : 60 * (at + 5)].mean())
    blind, informed = rates
    assert informed == pytest.approx(truth, rel=0.15)
    assert blind < 0.75 * truth


@pytest.mark.parametrize("calendar", [False, True])
def test_no_decision_depends_on_what_of_the_trace_is_still_to_come(
    folder: Path, calendar: bool
) -> None:
    make = with_calendar if calendar else configuration
    scale = ("trace.peak_per_s=null", "trace.scale=60", "trace.duration_s=7200")
    worlds = [
        World(make(folder, *scale, f"trace.path={folder / name}"))
        for name in ("requests_per_minute.csv.gz", "another_future.csv")
    ]
    for world in worlds:
        world.run()
    one, other = worlds
    assert one.load.arrivals[:, 6000:].sum() < 0.7 * other.load.arrivals[:, 6000:].sum()
    # The scrambled part begins at 17:30; the curve through its first minute bends the one before.
    until_s = 5400.0 - 60.0
    assert decided(one, until_s)
    assert decided(one, until_s) == decided(other, until_s)
    assert decided(one, 7200.0) != decided(other, 7200.0)


@pytest.mark.parametrize(
    "name",
    ["hpa", "kpa", "mpc", "predictive_hpa", "scheduled", "target_tracking", "static",
     "clairvoyant"],
)  # fmt: skip
def test_every_controller_works_on_a_trace(folder: Path, name: str) -> None:
    hour = ("trace.start='17:30'", "trace.duration_s=3600")  # with the beginning of the match
    world = World(with_calendar(folder, f"controller={name}", *hour))
    world.run()
    assert world.platform.conservation_error() < 1e-9
    assert summarise(world).requests.total > 1e6


def test_target_tracking_is_told_the_days_before_and_not_the_day(folder: Path) -> None:
    """The week before is there once only, so its hours are the history."""
    world = World(with_calendar(folder))
    history = world.script.history()
    load = history.load["real-time"]
    assert load.shape == (1, 3)
    recorded = minutes()["requests"].to_numpy()
    week_before = recorded[1440 + 16 * 60 :][:180].reshape(3, 60).mean(axis=1)
    factor = 20_000.0 / recorded[8 * 1440 + 16 * 60 :][:180].max()
    np.testing.assert_allclose(load[0], 0.67 * factor * week_before, rtol=1e-9)


def test_events_that_become_known_during_the_run_enter_the_outlook(
    folder: Path, tmp_path: Path
) -> None:
    calendar = tmp_path / "late.csv"
    rows = [f"{kick_off:%Y-%m-%dT%H:%MZ},2024-04-01T00:00Z" for kick_off in kick_offs()[:-1]]
    rows.append("2024-05-09T18:00Z,2024-05-09T16:20Z")
    calendar.write_text("\n".join(["kickoff_utc,known_utc", *rows]) + "\n")
    world = World(configuration(folder, f"trace.calendar={calendar}"))
    row, column = 0, 60 + 130
    before = world.feed.outlook(world.start_s).load[row, column]
    after = world.feed.outlook(world.start_s + 1800.0).load[row, column]
    assert after > 1.2 * before


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("trace.path=null", r"trace\.path: is missing"),
        ("trace.time_zone=Nowhere/City", r'trace\.time_zone: "Nowhere/City" is not an IANA'),
        ("+trace.mix.web=0.4", r"trace\.mix: the shares add up to 1\.4"),
        (
            "~trace.mix.api +trace.mix.web=0.31",
            r'trace\.mix: "web" is not allowed \(api,.*file-storage',
        ),
        ("+trace.speed=2", r"trace\.speed: unknown key"),
        ("trace.duration_s=1000000", r"trace\.duration_s: 1000000 is not allowed"),
        ("telemetry.interval_s=7", r"telemetry\.interval_s: 7 does not divide trace\.duration_s"),
    ],
)
def test_wrong_keys_of_a_trace_are_named(folder: Path, override: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        configuration(folder, *override.split())


def twin(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return warm.run("twin", *arguments, cwd=folder)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["scenario=worldcup98"], "error: trace.path: is missing; give a CSV file of times"),
        (
            ["scenario=trace", "trace.path=nowhere.csv"],
            "error: trace.path: nowhere.csv: No such file or directory",
        ),
    ],
)
def test_what_is_missing_ends_with_exit_code_2_and_no_traceback(
    tmp_path: Path, arguments: list[str], expected: str
) -> None:
    done = twin("run", *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("summary.json"))


@pytest.mark.slow
def test_the_record_and_the_comparison_speak_of_matches_and_not_of_weddings(
    folder: Path, tmp_path: Path
) -> None:
    window = ["trace.date=2024-05-09", "trace.start='17:00'", "trace.duration_s=5400"]
    asked = [
        "scenario=worldcup98", f"trace.folder={folder}", "trace.time_zone=UTC",
        "output=out", *window,
    ]  # fmt: skip
    done = twin("run", *asked, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 matches at once" in done.stderr
    record = tmp_path / done.stdout.splitlines()[-1]
    report = (record / "report.md").read_text().split("<details>")[0]  # the configuration follows
    assert "wedding" not in report.lower()
    assert "1 match at once" in report
    assert "Ready when matches began" in report
    assert json.loads((record / "summary.json").read_text())["noun"]["many"] == "matches"
    assert len(pd.read_parquet(record / "prescaling.parquet")) == 5

    done = twin("compare", *asked, "controllers=[engine,hpa]", "hpa_targets=[]", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    report = (tmp_path / done.stdout.splitlines()[-1] / "report.md").read_text()
    assert "wedding" not in report.lower()
    assert "matches with all ready" in report


@pytest.mark.skipif(not WORLD_CUP.is_dir(), reason="the World Cup's counts are not on this machine")
def test_the_engine_carries_a_match_day_of_the_world_cup() -> None:
    given = ["scenario=worldcup98", f"trace.folder={WORLD_CUP}", "trace.date=1998-06-23"]
    world = World(composition.configuration(*given))
    world.run()
    summary = summarise(world)
    assert summary.weddings.total == 4
    assert summary.prescaling.ready_share == 1.0
    assert summary.slo.violation_ratio < 0.0005
