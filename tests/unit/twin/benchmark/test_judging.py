"""The scorers of other people's benchmarks, on series small enough to be worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.config.strict import ConfigError
from twin.benchmark import command, courses, frozen, microsoft, nab, nezha

FIVE = pd.date_range("2026-01-01", periods=400, freq="5min")


def nab_folder(folder: Path, windows: object = None) -> Path:
    """Four series of 400 values, a jump in three of them."""
    rng = np.random.default_rng(5)
    labels = {}
    for name, jump in (("a", 300), ("b", 250), ("c", 340), ("calm", None)):
        values = rng.normal(10.0, 1.0, len(FIVE))
        own = []
        if jump is not None:
            values[jump : jump + 20] += 15.0
            own = [[str(FIVE[jump - 5]), str(FIVE[jump + 25])]]
        labels[f"group/{name}.csv"] = own
        (folder / "data" / "group").mkdir(parents=True, exist_ok=True)
        pd.DataFrame({"timestamp": FIVE, "value": values}).to_csv(
            folder / "data" / "group" / f"{name}.csv.gz", index=False
        )
    (folder / "labels").mkdir()
    (folder / "labels" / "combined_windows.json").write_text(json.dumps(windows or labels))
    return folder


def alarms_at(case: nab.NabCase, *at: int) -> dict[str, float]:
    scored = np.zeros(len(case.course.values))
    scored[list(at)] = 1.0
    return nab.figures(nab.counts(case, [scored], np.array([1.0]))[0])


def case_of(*windows: tuple[int, int]) -> nab.NabCase:
    time_s = 300.0 * np.arange(400)
    return nab.NabCase(courses.BenchmarkSeries("one", time_s, np.zeros(400)), windows)


def test_no_alarm_is_worth_nothing_and_each_window_at_its_first_value_everything() -> None:
    case = case_of((100, 149), (200, 239))
    for profile in nab.PROFILES:
        assert alarms_at(case)[profile] == 0.0
        assert alarms_at(case, 100, 200)[profile] == pytest.approx(100.0)


def test_of_several_alarms_in_a_window_the_earliest_counts() -> None:
    case = case_of((100, 149))
    assert alarms_at(case, 120, 130, 149) == {
        **alarms_at(case, 120), "caught": 1.0,
    }  # fmt: skip
    assert alarms_at(case, 120)["standard"] > alarms_at(case, 130)["standard"] > 50.0


def test_an_alarm_at_the_last_value_is_worth_hardly_more_than_none() -> None:
    # y = -1/50: 2 / (1 + exp(-0.1)) - 1 = 0.04996 of 0.98661, and a miss less.
    assert alarms_at(case_of((100, 149)), 149)["standard"] == pytest.approx(
        50.0 * (1.0 + 0.049958 / 0.986614), abs=1e-3
    )


def test_a_false_alarm_costs_less_shortly_after_a_window() -> None:
    case = case_of((100, 149))
    before, shortly, late = (alarms_at(case, 110, at)["standard"] for at in (80, 152, 390))
    assert shortly > late == pytest.approx(before)
    assert alarms_at(case, 110)["standard"] - late == pytest.approx(100.0 * 0.11 / 2.0)


def test_nothing_counts_in_the_first_seventh_of_a_file() -> None:
    assert alarms_at(case_of((100, 149)), 10, 30, 59)["standard"] == 0.0
    assert alarms_at(case_of((100, 149)), 60)["standard"] < 0.0


def microsoft_case(label: list[int]) -> microsoft.MicrosoftCase:
    marked = np.array(label) == 1
    course = courses.BenchmarkSeries("one", 3600.0 * np.arange(len(label)), np.zeros(len(label)))
    return microsoft.MicrosoftCase(course, microsoft.runs(marked))


@pytest.mark.parametrize(
    ("alarms", "right", "sent", "caught"),
    [((20,), 1, 1, 1), ((17,), 0, 1, 0), ((18,), 1, 1, 1), ((25,), 1, 1, 1), ((26,), 0, 1, 0),
     ((20, 22, 25), 1, 1, 1), ((20, 26), 1, 2, 1), ((), 0, 0, 0), ((21, 40), 2, 2, 2)],
)  # fmt: skip
def test_an_alarm_is_right_near_an_event_and_the_next_comes_six_hours_later(
    alarms: tuple[int, ...], right: int, sent: int, caught: int
) -> None:
    label = [0] * 60
    label[20:24] = [1] * 4
    label[40] = 1
    scored = np.zeros(60)
    scored[list(alarms)] = 9.0
    counted = microsoft.counts(microsoft_case(label), [scored], np.array([9.0]))[0]
    own = dict(zip(microsoft.COUNTS, counted.tolist(), strict=True))
    assert (own["right"], own["alarms"], own["caught"], own["events"]) == (right, sent, caught, 2)


def nezha_folder(folder: Path) -> Path:
    """Two services for three hours; the cpu of one is taken away after two."""
    rng = np.random.default_rng(9)
    times = pd.date_range("2026-01-01T10:00:00Z", periods=180, freq="1min")
    frames = []
    for service in ("shop", "cart"):
        cpu = rng.normal(20.0, 0.5, len(times))
        if service == "cart":
            cpu[121:125] *= 6.0
        frames.append(pd.DataFrame({"timestamp": times, "service": service, "cpu_millicores": cpu}))
    (folder / "day").mkdir(parents=True)
    pd.concat(frames).to_csv(folder / "day" / "metrics.csv", index=False)
    pd.DataFrame({
        "inject_utc": ["2026-01-01T10:05:00Z", "2026-01-01T12:00:30Z"],
        "service": ["shop", "cart"], "fault": ["cpu_contention"] * 2,
    }).to_csv(folder / "day" / "faults.csv", index=False)  # fmt: skip
    return folder


def test_a_fault_shows_at_its_service_and_none_is_judged_before_enough_values(
    tmp_path: Path,
) -> None:
    (case,) = nezha.read(nezha_folder(tmp_path))
    scores = courses.scores("departures", case.courses)
    own = nezha.figures(nezha.counts(case, scores, np.array([3.0]))[0])
    assert own["cpu_contention judged"] == 1.0  # the other one was after five minutes
    assert own["cpu_contention noticed"] == own["cpu_contention first"] == 1.0
    assert own["false a service hour"] == 0.0


def test_every_detector_goes_through_series_of_several_lengths_as_through_each_alone() -> None:
    rng = np.random.default_rng(1)
    several = [
        courses.BenchmarkSeries(str(n), 3600.0 * np.arange(n), rng.normal(10.0, 1.0, n))
        for n in (90, 150)
    ]
    for detector in (*courses.MADE, courses.SIMPLE):
        together = courses.scores(detector, several)
        for course, scored in zip(several, together, strict=True):
            assert np.allclose(courses.scores(detector, [course])[0], scored)


def test_a_small_benchmark_is_judged_with_thresholds_that_were_frozen_on_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = nab_folder(tmp_path / "data")
    first = command.run(
        command.read(["nab", f"data={data}", f"output={tmp_path}", f"freeze={tmp_path}/t.yaml"]),
        "-",
    )
    again = command.run(
        command.read(["nab", f"data={data}", f"output={tmp_path}",
                      f"thresholds={tmp_path}/t.yaml"]), "-",
    )  # fmt: skip
    assert first != again
    one, two = (json.loads((folder / command.FILE).read_text()) for folder in (first, again))
    assert two["chosen_with"] == two["files"] == 4
    for was, now in zip(one["detectors"], two["detectors"], strict=True):
        assert was["figures"] == now["figures"]
    tails = two["detectors"][0]
    assert tails["detector"] == "tails"
    assert tails["figures"]["caught"] == 3.0
    assert tails["figures"]["standard"] > 60.0
    assert "rolling z (simple rule)" in capsys.readouterr().err


def test_the_thresholds_of_the_product_name_their_day_and_files() -> None:
    every = frozen.read()
    assert set(every) == set(command.NAMES)
    for name, benchmark in (("nab", nab), ("microsoft", microsoft), ("nezha", nezha)):
        assert every[name].files
        assert set(every[name].thresholds) == set(benchmark.DETECTORS)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["numenta", "data=x"], "nab, microsoft, nezha"),
        ([], "benchmark"),
        (["nab"], "data: is missing"),
        (["nab", "data=x", "freeze=a", "thresholds=b"], "freeze"),
        (["nab", "dada=x"], "dada"),
    ],
)
def test_a_wrong_word_is_refused_with_its_key(words: list[str], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        command.read(words)


def test_data_that_are_not_the_benchmarks_are_refused_with_what_is_expected(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError, match=r"data: .*combined_windows\.json"):
        nab.read(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"data: .*there is no such folder; expected is"):
        microsoft.read(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"data: .*has no \.csv"):
        nezha.read(tmp_path)
    (tmp_path / "x.csv").write_text("timestamp,value\n2026-01-01,3\n")
    with pytest.raises(ConfigError, match=r"x\.csv: column label is missing"):
        microsoft.read(tmp_path)
    (tmp_path / "x.csv").write_text("timestamp,value,label\n2026-01-01,three,0\n")
    with pytest.raises(ConfigError, match=r"x\.csv: value has what is no number"):
        microsoft.read(tmp_path)
    (tmp_path / "x.csv").write_text("timestamp,value,label\nyesterday,3,0\n")
    with pytest.raises(ConfigError, match=r"x\.csv: timestamp has what is no time"):
        microsoft.read(tmp_path)
    (tmp_path / "x.csv").write_text("timestamp,value,label\n2026-01-01,3,2\n")
    with pytest.raises(ConfigError, match=r"x\.csv: label: 0 and 1 are allowed"):
        microsoft.read(tmp_path)
    with pytest.raises(ConfigError, match="says nothing of group/a"):
        nab.read(nab_folder(tmp_path / "nab", {"other.csv": []}))
