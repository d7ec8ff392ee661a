"""Part of the platform request by request, the rest as a fluid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from engine.model import SAMPLE_FIELDS, BootTime, Call, ServiceSpec
from scenarios.streams import Streams
from twin.queues.fluid import FluidPlatform
from twin.queues.hybrid import HybridPlatform, Share, _mixed
from twin.queues.port import TRUTH_FIELDS, ClientBehaviour
from twin.queues.requests import RequestPlatform

T = {name: i for i, name in enumerate(TRUTH_FIELDS)}
F = {name: i for i, name in enumerate(SAMPLE_FIELDS)}
API = ServiceSpec("api", 1, 1000, 4, 0.1, 1.0, BootTime(60.0, 120.0), 0.0, 0.5, 0.1)
STORE = replace(API, name="store", service_s=0.05, slots=8)
SERVICES = (replace(API, calls=(Call("store", 1.5),)), STORE)
CLIENTS = ClientBehaviour(timeout_s=10.0, max_retries=1)
SECONDS = 600
READY = (60, 30)


def arrivals(rate: float = 1800.0, seconds: int = SECONDS, seed: int = 1) -> np.ndarray:
    first = np.random.default_rng(seed).poisson(rate, seconds).astype(np.float64)
    return np.stack([first, np.zeros(seconds)])


def hybrid(share: Share, load: np.ndarray | None = None, seed: int = 1) -> HybridPlatform:
    load = arrivals() if load is None else load
    platform = HybridPlatform(SERVICES, load, CLIENTS, share, streams=Streams(seed))
    for s, count in enumerate(READY):
        platform.set_ready(s, count)
    return platform


def run(platform: HybridPlatform | FluidPlatform | RequestPlatform, until_s: int = SECONDS) -> None:
    """As the world drives it: a sample at a time."""
    for at_s in range(5, until_s + 1, 5):
        platform.advance(at_s)


def test_one_cell_all_the_time_is_the_request_resolution() -> None:
    both = hybrid(Share(0, SECONDS, warmup_s=0))
    alone = RequestPlatform(
        [replace(spec, slots=1) for spec in SERVICES], arrivals(), CLIENTS,
        Streams(1).quick("requests.cell0"),
    )  # fmt: skip
    for s, count in enumerate(READY):
        alone.set_ready(s, count * SERVICES[s].slots)
    run(both)
    run(alone)
    counted = slice(0, T["needed"])
    np.testing.assert_array_equal(both.truth[..., counted], alone.truth[..., counted])
    np.testing.assert_allclose(both.metrics, alone.metrics, rtol=1e-9)
    np.testing.assert_allclose(both.totals(), alone.totals())
    assert both.response_quantiles(0, (0.5, 0.95)) == pytest.approx(
        alone.response_quantiles(0, (0.5, 0.95)), rel=0.01
    )


def test_before_and_after_the_window_it_is_the_fluid() -> None:
    both = hybrid(Share(200, 400, warmup_s=60))
    fluid = FluidPlatform(SERVICES, arrivals(), CLIENTS)
    for s, count in enumerate(READY):
        fluid.set_ready(s, count)
    run(both)
    run(fluid)
    for rows in (slice(0, 40), slice(80, 120)):
        np.testing.assert_array_equal(both.metrics[:, rows], fluid.metrics[:, rows])
        np.testing.assert_array_equal(both.truth[:, rows], fluid.truth[:, rows])
    assert not np.array_equal(both.truth[:, 40:80], fluid.truth[:, 40:80])


@pytest.mark.parametrize(("cells", "simulated"), [(1, 1), (4, 1), (4, 3), (4, 4), (16, 2)])
def test_the_parts_add_up(cells: int, simulated: int) -> None:
    both = hybrid(Share(100, 500, cells, simulated, 60))
    run(both)
    assert both.conservation_error() < 1e-9
    assert both.little_error() < 1e-6
    assert len(both.cells) == simulated
    given = arrivals()[0, 100:500].sum()
    arrived = both.truth[0, 20:100, T["arrived"]].sum()
    assert arrived == pytest.approx(given, rel=0.02 if simulated < cells else 1e-9)
    totals = both.totals()
    np.testing.assert_allclose(totals[:, :7], both.truth[..., :7].sum(axis=1), rtol=1e-9)
    rate = both.metrics[0, 20:100, F["request_rate"]].mean()
    assert rate == pytest.approx(given / 400.0, rel=0.02)
    busy = 1800.0 * 0.1 / (60 * 4)
    assert both.metrics[0, 20:100, F["cpu"]].mean() == pytest.approx(busy, rel=0.03)


def test_the_slots_of_all_cells_are_those_of_the_platform() -> None:
    share = Share(0, SECONDS, 7, 7, 0)
    both = hybrid(share)
    both.advance(5)
    for s, count in enumerate(READY):
        assert sum(cell.ready(s) for cell in both.cells) == count * SERVICES[s].slots
    both.set_ready(0, 41, crashed=19)
    assert sum(cell.ready(0) for cell in both.cells) == 41 * 4
    assert both.ready(0) == 41
    run(both, 300)


def test_a_backlog_is_handed_to_the_cells() -> None:
    load = arrivals(3000.0)
    load[0, 120:] = np.random.default_rng(2).poisson(900.0, SECONDS - 120)
    both = hybrid(Share(110, 400, 2, 2, 5), load)
    fluid = FluidPlatform(SERVICES, load, CLIENTS)
    for s, count in enumerate(READY):
        fluid.set_ready(s, count)
    run(both)
    run(fluid)
    queued = both.truth[0, 22:30, T["queued"]]
    np.testing.assert_allclose(queued[0], fluid.truth[0, 22, T["queued"]], rtol=0.15)
    cleared = [int(np.argmax(p.truth[0, 24:, T["queued"]] < 10.0)) for p in (both, fluid)]
    assert abs(cleared[0] - cleared[1]) <= 2


def test_the_cells_follow_slowdowns_and_calls_from_before_their_start() -> None:
    share = Share(200, 600, 2, 2, 50)
    both = hybrid(share)
    both.advance(50)
    both.set_slowdown(0, 1.2)
    both.set_calls(0, 1.2)
    for at_s in range(55, SECONDS + 1, 5):
        both.advance(at_s)
    inside = slice(50, 120)
    busy = both.metrics[0, inside, F["cpu"]].mean()
    assert busy == pytest.approx(1.2 * 1800.0 * 0.1 / 240, rel=0.03)
    called = both.truth[1, inside, T["arrived"]].sum()
    assert called == pytest.approx(1.2 * 1.5 * both.truth[0, inside, T["served"]].sum(), rel=0.02)


def test_the_same_seed_gives_the_same_bytes() -> None:
    one, two = (hybrid(Share(100, 500, 4, 3)) for _ in range(2))
    run(one)
    run(two)
    assert one.metrics.tobytes() == two.metrics.tobytes()
    assert one.truth.tobytes() == two.truth.tobytes()
    other = hybrid(Share(100, 500, 4, 3), seed=2)
    run(other)
    assert other.truth.tobytes() != one.truth.tobytes()


def test_it_does_not_matter_in_which_strides_it_is_advanced() -> None:
    one, two = hybrid(Share(100, 500, 2, 1)), hybrid(Share(100, 500, 2, 1))
    run(one)
    for at_s in (37, 190, 520, SECONDS):
        two.advance(at_s)
    np.testing.assert_allclose(one.truth, two.truth, rtol=1e-12)


def exponential(mean_s: float) -> Callable[[float], float]:
    return lambda share: -mean_s * float(np.log(share))


def test_a_mixture_of_equal_parts_is_the_same_again() -> None:
    quantile = exponential(0.3)
    row = np.array([quantile(0.5), quantile(0.05), quantile(0.01)])
    parts = np.stack([row, row, row])[:, None, :]
    weights = np.array([[1.0], [5.0], [2.0]])
    np.testing.assert_allclose(_mixed(parts, weights)[0], row, rtol=1e-9)


def test_the_quantiles_of_a_mixture_of_exponentials() -> None:
    # 1/4 with mean 1, 3/4 with mean 0.1: solved numerically on its own
    fast, slow = exponential(0.1), exponential(1.0)
    parts = np.array([[slow(q) for q in (0.5, 0.05, 0.01)], [fast(q) for q in (0.5, 0.05, 0.01)]])[
        :, None, :
    ]
    mixed = _mixed(parts, np.array([[1.0], [3.0]]))[0]
    grid = np.linspace(0.0, 10.0, 1_000_001)
    survival = 0.25 * np.exp(-grid) + 0.75 * np.exp(-grid / 0.1)
    expected = [grid[np.argmax(survival <= share)] for share in (0.5, 0.05, 0.01)]
    np.testing.assert_allclose(mixed, expected, rtol=1e-4)


def test_a_part_without_requests_has_no_say() -> None:
    row = np.array([0.1, 0.4, 0.6])
    parts = np.stack([np.full(3, np.nan), row])[:, None, :]
    np.testing.assert_allclose(_mixed(parts, np.array([[0.0], [3.0]]))[0], row, rtol=1e-9)
    nobody = _mixed(parts, np.array([[0.0], [0.0]]))[0]
    assert np.isnan(nobody).all()
