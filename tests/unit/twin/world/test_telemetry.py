"""What becomes of samples on their way to the controller."""

from __future__ import annotations

from bisect import insort

import numpy as np
import pytest

from engine.model import SAMPLE_FIELDS
from scenarios.streams import Streams
from twin.config import TelemetryConfig
from twin.world.telemetry import BLOCK, WINDOW, Telemetry

PERFECT = {"lag_s": 3.0, "lag_sigma": 0.0, "loss": 0.0, "nan": 0.0, "duplicate": 0.0}


def telemetry(samples: int = 400, seed: int = 1, **changes: float) -> Telemetry:
    """Samples whose every figure says when it was taken."""
    metrics = np.tile(5.0 * np.arange(1.0, samples + 1.0)[:, None], (1, len(SAMPLE_FIELDS)))
    return Telemetry("api", TelemetryConfig(**(PERFECT | changes)), metrics, Streams(seed))


def times(source: Telemetry, now_s: float) -> list[float]:
    return source.window(now_s)["time_s"].tolist()


def all_of(source: Telemetry) -> list[float]:
    """The times of all samples that ever come, looked at when they and their copies have."""
    came: list[float] = []
    for now_s in np.arange(50.0, 5.0 * len(source.sampled_s) + 150.0, 50.0):
        shown = times(source, now_s)
        came += [time_s for time_s in shown if now_s - 100.0 < time_s <= now_s - 50.0]
    return came


def test_a_sample_is_visible_after_its_delay_and_not_before() -> None:
    source = telemetry()
    source.start()
    assert times(source, 7.9) == []
    assert times(source, 8.0) == [5.0]
    assert times(source, 12.9) == [5.0]
    assert times(source, 13.0) == [5.0, 10.0]


def test_nothing_is_newer_than_now_less_its_own_delay() -> None:
    source = telemetry(lag_sigma=0.8)
    source.start()
    delivered = dict(zip(source.sampled_s.tolist(), source.delivered_s.tolist(), strict=True))
    for now_s in np.arange(5.0, 2000.0, 5.0):
        seen = times(source, now_s)
        assert seen == sorted(seen)
        assert all(delivered[time_s] <= now_s for time_s in seen)


def test_lost_samples_never_come_and_duplicates_come_twice() -> None:
    source = telemetry(4000, loss=0.1)
    source.start()
    assert 0.08 < np.mean(np.isinf(source.delivered_s)) < 0.12
    assert all_of(source) == source.sampled_s[np.isfinite(source.delivered_s)].tolist()
    twice = telemetry(4000, duplicate=0.1)
    twice.start()
    came = all_of(twice)
    assert 4300 < len(came) < 4500
    assert set(came) == set(twice.sampled_s.tolist())
    assert max(came.count(time_s) for time_s in came[:500]) == 2


def test_a_missing_figure_is_nan_and_never_the_time() -> None:
    source = telemetry(60, nan=1.0)
    source.start()
    window = source.window(1e6)
    holes = np.isnan(np.array(window.tolist()))
    assert (holes.sum(axis=1) == 1).all()
    assert not holes[:, 0].any()


def test_a_blackout_holds_samples_back_and_delivers_them_late_in_order() -> None:
    source = telemetry(lag_sigma=0.3)
    held = source.black_out(500.0, 1100.0, 60.0)
    source.start()
    assert 110 <= held <= 130
    before = times(source, 499.0)
    assert times(source, 1099.0) == before
    after = times(source, 1165.0)
    assert after == sorted(after)
    assert after[-1] > 1100.0
    assert min(after) < 1000.0  # the late ones are there too, in their places


def test_a_window_that_was_handed_out_never_changes() -> None:
    source = telemetry(lag_sigma=1.0)
    source.start()
    kept = []
    for now_s in np.arange(5.0, 1500.0, 5.0):
        window = source.window(now_s)
        kept.append((window, window.copy()))
    assert any((w["time_s"] != sorted(w["time_s"])).any() for w, _ in kept) is False
    for window, copy in kept:
        np.testing.assert_array_equal(window, copy)


@pytest.mark.parametrize("seen", [0, 30, 200])
def test_a_window_has_the_newest_of_all_that_came_however_late_and_how_many(seen: int) -> None:
    source = telemetry(2500, lag_s=60.0, lag_sigma=1.2, loss=0.1, duplicate=0.1)
    source.start()
    before = np.tile(-5.0 * np.arange(seen, 0.0, -1.0)[:, None], (1, len(SAMPLE_FIELDS)))
    if seen:
        source.begin_after(before)
    came = before[:, 0].tolist()
    arrivals = sorted(source._queue)
    far = 0
    kept = []
    for now_s in np.arange(5.0, 16_000.0, 35.0):
        while arrivals[0][0] <= now_s:
            taken_s = 5.0 * (arrivals.pop(0)[1] + 1.0)
            far += len(came) >= WINDOW and taken_s < came[-WINDOW]
            insort(came, taken_s)
        window = source.window(now_s)
        assert window["time_s"].tolist() == came[-WINDOW:]
        kept.append((window, window.copy()))
    assert len(came) > 2 * BLOCK and far > 50
    for window, copy in kept:
        np.testing.assert_array_equal(window, copy)


def test_delays_are_drawn_by_name_and_seed_alone() -> None:
    one, same = telemetry(lag_sigma=0.5), telemetry(lag_sigma=0.5)
    np.testing.assert_array_equal(one.delivered_s, same.delivered_s)
    assert (telemetry(lag_sigma=0.5, seed=2).delivered_s != one.delivered_s).any()


def test_streams_are_independent_of_what_else_was_asked_for() -> None:
    streams = Streams(7)
    alone = streams("fleet.api").random(5)
    streams("anything").random(100)
    np.testing.assert_array_equal(streams("fleet.api").random(5), alone)
    assert (streams("fleet.database").random(5) != alone).any()
