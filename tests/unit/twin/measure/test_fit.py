"""What calibration makes of known distributions."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config.strict import ConfigError
from twin.calibrate import calibration, knee
from twin.calibrate.calibration import Calibration, ServiceFit
from twin.calibrate.command import hop
from twin.calibrate.fit import Estimate, Moments, log_normal, mean, service_time
from twin.measure.bench import BenchError, Measured
from twin.measure.driver import Answers, Arrivals
from twin.measure.meters import COUNTED, Increments
from twin.measure.settings import read


def moments(times: np.ndarray) -> Moments:
    return Moments(len(times), float(times.sum()), float((times**2).sum()))


def test_a_service_time_is_found_within_its_interval() -> None:
    covered = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        blocks = [moments(rng.gamma(2.0, 0.05, 300)) for _ in range(12)]
        average, scv = service_time(blocks)
        covered += abs(average.value - 0.1) <= average.half_width
        covered += abs(scv.value - 0.5) <= scv.half_width
        assert average.value == pytest.approx(0.1, rel=0.06)
        assert scv.value == pytest.approx(0.5, abs=0.1)
    assert covered >= 68  # of 80 intervals of 95 %: fewer with a chance below 0.1 %


def test_what_differs_between_levels_widens_the_interval() -> None:
    rng = np.random.default_rng(1)
    alike = [moments(rng.gamma(2.0, 0.05, 300)) for _ in range(12)]
    apart = [moments(rng.gamma(2.0, 0.05 * (1.0 + 0.2 * (k % 2)), 300)) for k in range(12)]
    assert service_time(apart)[0].half_width > 2.0 * service_time(alike)[0].half_width


def test_stretches_without_requests_do_not_count() -> None:
    rng = np.random.default_rng(1)
    blocks = [moments(rng.gamma(2.0, 0.05, 300)) for _ in range(5)]
    assert service_time(blocks) == service_time([*blocks, Moments(0.0, 0.0, 0.0)])


@pytest.mark.parametrize("blocks", [[], [Moments(3.0, 0.3, 0.04)], [Moments(0.0, 0.0, 0.0)] * 9])
def test_too_little_to_fit_is_said(blocks: list[Moments]) -> None:
    with pytest.raises(ValueError, match="two stretches"):
        service_time(blocks)


def test_boot_times_are_found_within_their_interval() -> None:
    covered = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        median, p95 = log_normal(np.exp(rng.normal(math.log(6.0), 0.3, 10)).tolist())
        covered += abs(median.value - 6.0) <= median.half_width
        covered += abs(p95.value - 6.0 * math.exp(1.645 * 0.3)) <= p95.half_width
    assert covered >= 175  # of 200


@pytest.mark.parametrize("durations", [[], [1.0, 2.0], [1.0, 2.0, 0.0], [3.0, 4.0, -1.0]])
def test_boots_that_cannot_be_fitted_are_said(durations: list[float]) -> None:
    with pytest.raises(ValueError, match="boot times"):
        log_normal(durations)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_a_mean_lies_within_its_values(values: list[float]) -> None:
    estimate = mean(values)
    assert min(values) - 1e-6 <= estimate.value <= max(values) + 1e-6
    assert estimate.half_width >= 0.0


def test_the_promised_load_counts_calls() -> None:
    config = read([])
    specs = config.platform.specs()
    api = config.platform.services["api"]
    database = config.platform.services["database"]
    by_api = api.slots * 2 / api.service_s
    assert knee.saturation(specs, {**config.counts, "api": 2}, {"api": 1.0}) == pytest.approx(
        min(by_api, database.slots / database.service_s / 1.6)
    )


def fitted() -> Calibration:
    config = read([])
    return Calibration(
        services={
            name: ServiceFit(
                service_s=Estimate(0.1234, 0.002),
                service_scv=Estimate(0.9, 0.1),
                boot_median_s=Estimate(6.0, 0.5),
                boot_p95_s=Estimate(9.0, 1.0),
                warmup_s=Estimate(2.0, 0.1),
                requests=1000,
                boots=8,
            )
            for name in config.platform.services
        },
        hop_s=Estimate(0.002, 0.0005),
        telemetry_lag_s=Estimate(0.1, 0.25),
        saturation=16.0,
        knee=14.4,
        steps=(knee.KneeStep(0.9, carried=True, why="", p95_s={"api": 0.7}),),
        levels=(0.3, 0.5, 0.7),
        driver_late_p99_s=0.001,
        fingerprint={"python": "3"},
    )


def test_a_calibration_is_read_as_it_was_written(tmp_path: Path) -> None:
    config = read([])
    calibration.write(tmp_path, config.platform, fitted())
    platform, again = calibration.read(tmp_path)
    assert again == fitted()
    assert platform.name == "calibrated"
    assert platform.services["api"].service_s == 0.1234
    assert platform.services["api"].calls == config.platform.services["api"].calls
    text = (tmp_path / "platform" / "calibrated.yaml").read_text()
    assert "0.1234 ± 0.002" in text
    assert "python: 3" in text


@pytest.mark.parametrize("content", [None, "", "{}", '{"schema": 1, "kind": "calibration"}'])
def test_what_is_no_calibration_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        calibration.write(tmp_path, read([]).platform, fitted())
        (tmp_path / "calibration.json").write_text(content)
    with pytest.raises(ConfigError, match=r"validation\.calibration"):
        calibration.read(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["counts.api=99"], "counts.api: 99 is not allowed"),
        (["+mix.nothing=1"], "mix.nothing"),
        (["levels=[]"], "levels"),
        (["knee.shares=[0.9,0.8]"], "knee.shares"),
        (["validation.repeats=1"], "validation.repeats"),
        (["validation.events=[meteor]"], "validation.events"),
        (["seconds=0"], "seconds"),
        (["secnds=9"], "secnds"),
        (["platform.services.api.slots=0"], "platform.services.api.slots"),
        (["--fast"], "--fast"),
    ],
)
def test_wrong_configurations_name_the_key(arguments: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(arguments)
    assert said in str(caught.value)


def measured(under_way: float, *, all_read: bool) -> Measured:
    """A stretch of 20 s at two services that answer in 0.3 s, seen 10 ms later from outside.

    A share of the requests is answered after the last second only.
    """
    names, seconds, count = ("api", "file-storage"), 20, 400
    late = round(under_way * count)
    came_s = np.concatenate(
        [np.linspace(0.0, seconds - 0.5, count - late), np.full(late, seconds - 0.1)]
    )
    arrivals = Arrivals(
        names, np.repeat(came_s, 2), np.tile(np.arange(2), count), duration_s=seconds
    )
    sent_s = arrivals.time_s
    answers = Answers(arrivals, sent_s, sent_s + 0.31, np.full(2 * count, 200))
    in_time, after = np.zeros((seconds, len(COUNTED))), np.zeros(len(COUNTED))
    for figure, each in (("count", 1.0), ("sum", 0.3)):
        column = COUNTED.index(f"wedtwin_response_seconds_{figure}")
        in_time[0, column] = each * (count - late)
        after[column] = each * late
    reading = Increments(
        counted=dict.fromkeys(names, in_time),
        slots=dict.fromkeys(names, np.ones(seconds)),
        after=dict.fromkeys(names, after) if all_read else {},
    )
    return Measured(answers, reading, {})


@pytest.mark.parametrize("under_way", [0.0, 0.01, 0.05, 0.3])
def test_what_a_hop_costs_is_told_however_many_requests_are_under_way_in_the_end(
    under_way: float,
) -> None:
    assert hop([measured(under_way, all_read=True)]).value == pytest.approx(0.01)


def test_services_that_others_call_tell_nothing_of_a_hop() -> None:
    with pytest.raises(BenchError, match="too few services"):
        hop([measured(0.3, all_read=False)])
