"""`python -m twin forecast` as a user calls it."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.config import composition
from engine.prediction import day_ahead
from tests import warm
from twin.__main__ import main

SMALL = ("seasons.drawn=60",)
SERVICES = ("api", "database", "file-storage", "real-time", "ai-services")
HEADER = "id,date,time,time_zone,type,guests,vendors\n"


@pytest.fixture(scope="module", autouse=True)
def _composed_once() -> Iterator[None]:
    """Compose the same words once: that takes most of the time that a wrong word does."""
    original, trees = composition.composed, dict[str, Any]()

    def composed(*arguments: Any, **named: Any) -> dict[str, Any]:
        asked_for = repr((arguments, named))
        if asked_for not in trees:
            trees[asked_for] = original(*arguments, **named)
        return copy.deepcopy(trees[asked_for])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(composition, "composed", composed)
        yield


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["twin", "forecast", *arguments])
    code = 0
    try:
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def answer(out: str) -> dict[str, Any]:
    folder = Path(out.strip().splitlines()[-1])
    assert {file.name for file in folder.iterdir()} >= {
        "forecast.json", "config.yaml", "report.html", "report.md",
    }  # fmt: skip
    return json.loads((folder / "forecast.json").read_text())


@pytest.mark.parametrize(
    "arguments",
    [
        ("day", "date=2027-06-19"),
        ("wedding", "date=2028-02-29", "seasons.years=5", "guests=0"),
        ("wedding", "guests=10000", "type=luxury"),
        ("wedding", "date=2027-11-07", "time=01:30"),
        ("season", "year=2027", "season=summer"),
        ("season", "season=winter", "now=2027-03-01"),
    ],
)
def test_a_forecast_is_written_as_data_and_as_a_report(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: tuple[str, ...],
) -> None:
    code, out, err = asked(capsys, monkeypatch, *arguments, *SMALL)
    assert code == 0, err
    content = answer(out)
    assert content["result"]["levels"][3] == 0.5
    assert content["title"] in err
    if arguments[0] == "season":
        assert content["valid_until"] > content["generated_at"]
    else:
        assert all(len(rows) == 24 for rows in content["result"]["quantiles"].values())


def test_a_season_is_of_the_platform_that_is_run_and_planned_whatever_is_drawn(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    answers = {}
    for size in ("", "population.simultaneous=1000"):
        words = ("season", "season=summer", *SMALL, *([size] if size else []))
        code, out, err = asked(capsys, monkeypatch, *words)
        assert code == 0, err
        first = err.strip().splitlines()[0]
        assert f"platform of {'1,000' if size else '100,000'} weddings at once" in first
        assert "60 drawn" in first
        for heading in ("from", "date", "service"):
            rows = [line for line in err.splitlines() if line.startswith(heading + " ")]
            assert rows, heading
            assert all(len(row) <= 100 for row in rows)
        answers[size] = answer(out)
    large, small = answers.values()
    assert large["result"]["booked"] == 100.0 * small["result"]["booked"]
    for name in SERVICES:
        ratio = large["result"]["required"][name] / small["result"]["required"][name]
        assert ratio > 5.0, name  # less than 100: a small fleet needs more to spare
    weeks = large["result"]["weeks"]
    cut = [week for week in weeks if week["days"] < 7]
    assert cut
    assert f"{cut[-1]['days']} of 7" in err
    assert all(len(curve["quantiles"]["0.5"]) == len(weeks) - len(cut) for curve in large["curves"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), '"" is not allowed (day, wedding, season, train)'),
        (("dya",), "did you mean day"),
        (("day", "date=2027-13-01"), 'date: "2027-13-01" is not a date'),
        (("day", "date=2027-02-29"), 'date: "2027-02-29" is not a date'),
        (("day", "date=2040-01-01"), "date: 2040-01-01 is not allowed (2024-01-01 …"),
        (("day", "date=2027-06-19", "now=2027-07-01"), "date: 2027-06-19 is over at 2027-07-01"),
        (("day", "now=yesterday"), 'now: "yesterday" is not an ISO 8601 time'),
        (("day", "date=2027-06-19", "date=2027-06-20"), "date: is given twice"),
        (("day", "weddings=/nowhere.csv"), "weddings: /nowhere.csv: cannot be read"),
        (("wedding", "zone=America/New_Yrok"), "did you mean America/New_York"),
        (("wedding", "type=huge"), 'type: "huge" is not allowed (intimate, medium'),
        (("wedding", "guests=-1"), "guests: -1 is not allowed (0 … 100,000, whole)"),
        (("wedding", "guests=many"), 'guests: many is not allowed (0 … 100,000, whole)'),
        (("wedding", "time=25:00"), 'time: "25:00" is not a time of day'),
        (("wedding", "date=2027-06-19", "now=2027-06-21"), "date: was over at"),
        (("season", "season=sumer"), "did you mean summer"),
        (("season", "year=2031"), "year: 2031 is not allowed (2024 … 2027"),
        (("season", "year=2026", "now=2027-06-01"), "year: all 2026 is over"),
        (("season", "year=2024"), "history: 0 days are too few for a season (at least 365)"),
        (("train", "seasons.years=1"), "history: 0 days are too few to learn from"),
        (("day", "seasons.drawn=-5"), "seasons.drawn: -5 is not allowed (1 …"),
        (("day", "nosuch=1"), "nosuch"),
    ],
)  # fmt: skip
def test_what_cannot_be_forecast_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: tuple[str, ...],
    *,
    message: str,
) -> None:
    small = () if any("drawn" in argument for argument in arguments) else SMALL
    code, out, err = asked(capsys, monkeypatch, *arguments, *small) \
        if arguments else asked(capsys, monkeypatch)  # fmt: skip
    assert code == 2
    assert out == ""
    assert message in err
    assert "Traceback" not in err
    assert not list(tmp_path.rglob("forecast.json"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("id,date\n", "has no column time, time_zone"),
        (
            HEADER + "a,2027-06-19,16:00,Mars/Olympus,medium,100,12\n",
            '"Mars/Olympus" is',
        ),
        (HEADER + "a,2027-02-30,16:00,America/Denver,medium,100,12\n", 'date: "2027-02-30" is not'),
        (HEADER + "a,2027-06-19,4pm,America/Denver,medium,100,12\n", 'time: "4pm" is not'),
        (HEADER + "a,2027-06-19,16:00,America/Denver,tiny,100,12\n", 'type: "tiny" is not one of'),
        (
            HEADER + "a,2027-06-19,16:00,America/Denver,medium,-2,12\n",
            'guests: "-2" is',
        ),
        (
            HEADER + 2 * "a,2027-06-19,16:00,America/Denver,medium,9,1\n",
            "id: appears",
        ),
    ],
)
def test_a_list_of_weddings_with_an_error_names_it(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    lines: str,
    *,
    message: str,
) -> None:
    path = tmp_path / "weddings.csv"
    path.write_text(lines)
    code, _, err = asked(
        capsys, monkeypatch, "day", "date=2027-06-19", f"weddings={path}", *SMALL,
    )  # fmt: skip
    assert code == 2
    assert message in err


def test_a_list_of_one_wedding_or_none_is_forecast(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "weddings.csv"
    for count in (0, 1):
        path.write_text(HEADER + count * "a,2027-06-19,16:00,America/Denver,medium,100,12\n")
        code, out, err = asked(
            capsys, monkeypatch, "day", "date=2027-06-19", f"weddings={path}", *SMALL,
        )  # fmt: skip
        assert code == 0, err
        assert answer(out)["result"]["weddings"] == count


def test_a_broken_model_falls_back_to_the_schedule_and_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = tmp_path / "broken.wedmodel"
    model.write_bytes(b"not a model")
    code, out, err = asked(
        capsys, monkeypatch, "day", "date=2027-06-19", f"model={model}", *SMALL,
    )  # fmt: skip
    assert code == 0
    content = answer(out)
    assert content["day_ahead"]["source"] == "schedule"
    assert "of the schedule alone" in err
    assert "broken.wedmodel: is damaged or not a model" in " ".join(err.split())


@pytest.mark.slow
def test_the_trained_model_keeps_its_promises(tmp_path: Path) -> None:
    small = ("seasons.drawn=500", "seasons.years=3", f"output={tmp_path}")
    path = tmp_path / "own.wedmodel"
    trained = warm.run("twin", "forecast", "train", f"model={path}", *small)
    assert trained.returncode == 0, trained.stderr
    content = answer(trained.stdout)
    for score in content["result"]["scores"]:
        assert score["wape"] <= 0.08, score["service"]
        assert 0.76 <= score["coverage"]["0.8"] <= 0.84, score["service"]
        assert all(other["high"] < 0.0 for other in score["others"].values())
        busy, rest = score["hours"]["busiest Saturdays"], score["hours"]["other hours"]
        assert 26 * 24 <= busy["hours"] <= 27 * 24
        assert 360 * 24 <= busy["hours"] + rest["hours"] <= 366 * 24
    day = warm.run("twin", "forecast", "day", "date=2026-06-20", f"model={path}", *small)
    assert day.returncode == 0, day.stderr
    assert answer(day.stdout)["day_ahead"]["source"] == "model"


TRAIN = """
from engine.prediction import artefact, day_ahead
from twin.forecast.settings import composed, seasons_of
from twin.forecast.training import issues_of

config = composed(["seasons.drawn=60", "seasons.years=2"])
issues = issues_of(seasons_of(config), config.platform.specs(), last_day=62)
day_ahead.BOOSTING["max_iter"], day_ahead.LEVELS = 2, (0.1, 0.9)
made = artefact.dump(day_ahead.fit(issues, config.seed).artefact())
"""


def test_a_model_trained_on_the_same_seasons_is_the_same_bytes_in_any_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(day_ahead.BOOSTING, "max_iter", 2)  # to be set back after this test
    monkeypatch.setattr(day_ahead, "LEVELS", (0.1, 0.9))
    here: dict[str, Any] = {}
    exec(TRAIN, here)
    there = subprocess.run(
        [sys.executable, "-c", TRAIN + "import sys; sys.stdout.buffer.write(made)"],
        env=os.environ | {"PYTHONHASHSEED": "77"}, capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert there == here["made"]
    assert len(there) > 10_000
