"""`python -m twin backtest`, run as a user does."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports.__main__ import main as reports_again
from scenarios.seasons.years import multiplied
from tests import warm
from twin.backtest import from_seasons
from twin.backtest.cases import ALL, judge
from twin.backtest.command import TEST_DAYS
from twin.forecast.settings import seasons_of

REAL = Path(__file__).parents[3] / "shared" / "data" / "worldcup98"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return warm.run("twin", "backtest", *arguments)


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    folder = tmp_path / "data"
    folder.mkdir()
    for name, noise in (("calm", 0.02), ("wild", 0.3)):
        hours = np.arange(24 * 9)
        values = np.exp(3.0 + np.sin(2.0 * np.pi * hours / 24.0) + rng.normal(0.0, noise, 216))
        times_s = 1_699_999_200 + 3600 * hours
        rows = "".join(f"{t},{v:.4f}\n" for t, v in zip(times_s, values, strict=True))
        (folder / f"{name}.csv.gz").write_bytes(gzip.compress(f"time,value\n{rows}".encode()))
    (folder / "labels.csv").write_text("series,label\ncalm,fine\n")
    return folder


def test_a_folder_of_traces_gives_a_record_with_reports(traces: Path, tmp_path: Path) -> None:
    done = run(f"data={traces}", f"output={tmp_path}", "workers=1", "horizons=1")
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.splitlines()[-1])
    assert {path.name for path in folder.iterdir()} == {
        "results.json", "results.parquet", "forecasts.parquet", "report.html", "report.md",
    }  # fmt: skip
    content = json.loads((folder / "results.json").read_text())
    assert [case["name"] for case in content["cases"]] == ["calm", "wild"]
    assert content["skipped"][0]["file"] == "labels.csv"
    own = [case["parts"]["all"]["1"]["forecasters"]["short horizon"] for case in content["cases"]]
    median = np.median([figures["wape"] for figures in own])
    assert content["overall"]["1"]["own_median_wape"] == pytest.approx(median)
    assert f"{median:.1%}" in done.stderr
    figures = content["cases"][0]["parts"]["all"]["1"]["forecasters"]
    assert {"short horizon", "seasonal naive", "last week", "Holt-Winters", "AutoETS"} < set(
        figures
    )
    assert figures["short horizon"]["wape"] < figures["last value"]["wape"]
    table = pd.read_parquet(folder / "results.parquet")
    assert set(table["horizon_h"]) == {1.0}
    page = (folder / "report.html").read_text()
    assert page.count("<svg") >= 4
    assert reports_again([str(folder)]) == 0
    assert (folder / "report.html").read_text() == page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_bad_input_ends_with_2_and_writes_nothing(tmp_path: Path) -> None:
    done = run(f"data={tmp_path / 'none'}", f"output={tmp_path / 'out'}")
    assert done.returncode == 2
    assert "there is no such file or folder" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_seasons_are_forecast_as_well_as_is_claimed() -> None:
    config = from_seasons.configuration(1)
    seasons = multiplied(seasons_of(config), config.multiple)
    july = dt.date(seasons.years[-1], 7, 14)
    assert (july.month, july.day) in from_seasons.STARTS
    cases = from_seasons.from_date(seasons, july, (2, 24), 1, test_days=TEST_DAYS)
    case = next(c for c in cases if c.service == "api")
    judged = judge(case)
    assert judged.scores[ALL, judged.own, 24].wape < 0.08
    assert judged.scores[ALL, judged.own, 2].wape < 0.05
    for outcome in judged.outcomes[1:]:
        assert judged.differences[ALL, outcome.name, 2].verdict == "better"


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not REAL.is_dir(), reason="the World Cup trace is not here")
def test_a_fixture_list_helps_with_a_real_load() -> None:
    from twin.backtest import from_traces

    (case,), _ = from_traces.cases(REAL, None, (2,), None, seed=1)
    judged = judge(case)
    for outcome in judged.outcomes[1:]:
        assert judged.differences[ALL, outcome.name, 2].verdict == "better"
