"""Faults of the metrics alone: drawn the same again, and seen in the samples and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from engine.model import SAMPLE_FIELDS
from scenarios.streams import Streams
from twin.config import TelemetryConfig
from twin.hunt.metrics import NOISE, WAYS, MetricsFault, drawn, leave_out, parse, spoil, stir
from twin.hunt.worlds import METRICS_SETTLE_S, METRICS_SHARED, configuration, generate_metrics
from twin.world.telemetry import Telemetry

SAMPLES = 60
PLAIN = TelemetryConfig(lag_s=0.0, lag_sigma=0.0, loss=0.0, nan=0.0, duplicate=0.0)


def shown(*faults: dict[str, Any], name: str = "web") -> np.ndarray:
    """What a controller sees of samples whose figures are all 2, each 5 s for five minutes."""
    metrics = np.full((SAMPLES, len(SAMPLE_FIELDS)), 2.0)
    metrics[:, 0] = 5.0 * np.arange(1, SAMPLES + 1)
    telemetry = Telemetry("web", PLAIN, metrics, Streams(1))
    spoil(telemetry, parse(faults), name, Streams(2))
    telemetry.start()
    window = telemetry.window(300.0)
    assert (metrics[:, 1:] == 2.0).all()
    return window


def fault(way: str, at: float = 100.0, duration_s: float = 50.0, **more: Any) -> dict[str, Any]:
    return {"way": way, "at": at, "duration_s": duration_s, **more}


@pytest.mark.parametrize("factor", [0.0, 1e-9, 1e12, -1.0, math.inf, math.nan])
def test_a_figure_is_wrong_by_any_factor_for_its_time_and_no_other_is(factor: float) -> None:
    window = shown(fault("times", figures=["cpu"], factor=factor))
    inside = (window["time_s"] > 100.0) & (window["time_s"] <= 150.0)
    np.testing.assert_array_equal(window["cpu"][inside], np.full(10, 2.0 * factor))
    assert (window["cpu"][~inside] == 2.0).all()
    assert all((window[name] == 2.0).all() for name in SAMPLE_FIELDS[2:])


def test_a_response_time_is_wrong_in_all_its_quantiles() -> None:
    window = shown(fault("times", figures=["response_time"], factor=3.0))
    assert [sum(window[name] == 6.0) for name in ("p50_s", "p95_s", "p99_s")] == [10, 10, 10]


def test_lost_targets_take_their_part_of_what_is_summed_and_leave_the_shares() -> None:
    window = shown(fault("targets_lost", factor=0.25))
    assert [sum(window[name] == 0.5) for name in ("request_rate", "queue_depth")] == [10, 10]
    assert (window["cpu"] == 2.0).all()


def test_a_renamed_figure_is_missing() -> None:
    window = shown(fault("renamed", figures=["memory", "error_rate"]))
    assert [np.isnan(window[name]).sum() for name in ("memory", "error_rate")] == [10, 10]


def test_in_the_dark_no_sample_comes() -> None:
    assert len(shown(fault("dark"))) == SAMPLES - 10


def test_seldom_is_one_sample_in_an_interval() -> None:
    window = shown(fault("seldom", at=0.0, duration_s=300.0, interval_s=30.0))
    assert window["time_s"].tolist() == [5.0, *np.arange(30.0, 301.0, 30.0)]


def test_with_the_clock_off_the_times_are_wrong_and_the_samples_come_as_before() -> None:
    window = shown(fault("clock", at=200.0, duration_s=50.0, step_s=-120.0))
    assert len(window) == SAMPLES
    assert (np.diff(window["time_s"]) >= 0.0).all()
    assert window["time_s"].max() == 300.0
    assert not ((window["time_s"] > 200.0) & (window["time_s"] <= 250.0)).any()


def test_a_share_of_the_samples_and_the_other_services_are_left_as_they_are() -> None:
    some = fault("times", at=0.0, duration_s=300.0, figures=["cpu"], factor=0.0, share=0.3)
    assert 5 < int((shown(some)["cpu"] == 0.0).sum()) < 35
    other = fault("times", figures=["cpu"], factor=0.0, services=["store"])
    assert (shown(other)["cpu"] == 2.0).all()


def test_what_nobody_measures_is_missing_from_the_first_sample_on() -> None:
    telemetry = Telemetry("web", PLAIN, np.full((3, len(SAMPLE_FIELDS)), 2.0), Streams(1))
    leave_out(telemetry, ["cpu"])
    telemetry.start()
    window = telemetry.window(300.0)
    assert len(window) == 3
    assert np.isnan(window["cpu"]).all()
    assert (window["memory"] == 2.0).all()


@pytest.mark.parametrize(
    "wrong",
    [
        fault("upside_down"),
        fault("times", figures=["load"]),
        fault("times", share=0.0),
        fault("clock", step_s=-121.0),
        fault("seldom", interval_s=61.0),
        fault("dark", duration_s=0.0),
        fault("dark", factors=1.0),
    ],
)
def test_what_is_no_fault_of_the_metrics_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"metrics|MetricsFault"):
        parse([wrong])


def test_each_way_is_drawn_and_all_are_over_in_time() -> None:
    rng = np.random.default_rng(1)
    faults: list[MetricsFault] = []
    for _ in range(200):
        faults.extend(parse(drawn(rng, ["web", "store"], 600)))
    assert {one.way for one in faults} == set(WAYS)
    assert max(one.end_s for one in faults) <= 601.0
    assert any(one.share < 1.0 for one in faults)


def kinds(worlds: Sequence[dict[str, Any]]) -> set[str]:
    return {one.kind for world in worlds for one in parse(world["metrics"])}


def test_a_world_is_legal_the_same_again_and_goes_on_long_enough_after_its_faults() -> None:
    worlds = [generate_metrics(3, index) for index in range(60)]
    for index, world in enumerate(worlds):
        assert repr(world) == repr(generate_metrics(3, index))  # NaN is not NaN
        raw = {key: value for key, value in world.items() if key not in ("metrics", "unmeasured")}
        duration_s = configuration(raw).population.duration_s
        assert (
            max(one.end_s for one in parse(world["metrics"])) <= duration_s - METRICS_SETTLE_S + 1
        )
    assert len(kinds(worlds)) > 25
    assert repr(generate_metrics(4, 1)) != repr(worlds[1])


def test_worlds_in_a_row_differ_in_the_faults_of_their_metrics_alone() -> None:
    row = [generate_metrics(3, index) for index in range(METRICS_SHARED)]
    assert len({repr(world.pop("metrics")) for world in row}) == METRICS_SHARED
    for world in row:
        world.pop("scenario")  # its name is its number
    assert all(world == row[0] for world in row)
    assert generate_metrics(3, METRICS_SHARED)["platform"] != row[0]["platform"]


def test_stirred_samples_are_all_there_with_each_figure_off_by_a_usual_noise_of_its_own() -> None:
    metrics = np.full((SAMPLES, len(SAMPLE_FIELDS)), 2.0)
    metrics[:, 0] = 5.0 * np.arange(1, SAMPLES + 1)
    telemetry = Telemetry("web", PLAIN, metrics, Streams(1))
    stir(telemetry, PLAIN, Streams(1)("again"))
    telemetry.start()
    window = telemetry.window(300.0)
    off = np.array([[np.log(row[name] / 2.0) for name in SAMPLE_FIELDS[1:]] for row in window])
    assert off.shape == (SAMPLES, len(SAMPLE_FIELDS) - 1)
    assert len(np.unique(off)) == off.size
    assert 0.5 * NOISE < off.std() < 2.0 * NOISE
    assert (metrics[:, 1:] == 2.0).all()


def test_stirred_samples_are_late_and_lost_as_is_usual_and_each_time_others() -> None:
    usual = TelemetryConfig(loss=0.3)
    metrics = np.full((SAMPLES, len(SAMPLE_FIELDS)), 2.0)
    delivered = []
    for name in ("one", "other"):
        telemetry = Telemetry("web", usual, metrics, Streams(1))
        before = telemetry.delivered_s.copy()
        stir(telemetry, usual, Streams(1)(name))
        assert (telemetry.delivered_s != before).any()
        assert 0 < np.isinf(telemetry.delivered_s).sum() < SAMPLES / 2
        delivered.append(telemetry.delivered_s)
    assert (delivered[0] != delivered[1]).any()
