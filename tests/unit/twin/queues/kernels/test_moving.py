"""The parts of a tick of a fluid service, each by hand."""

import numpy as np
import pytest
from numba import njit

from engine.model import BootTime, ServiceSpec
from twin.queues.fluid import FluidPlatform
from twin.queues.kernels.fluid import layout, moving
from twin.queues.kernels.fluid.layout import Fluid, Pace, Turn
from twin.queues.port import ClientBehaviour

NEW, CALLED, ADMITTED, WAITING = 0, 2, 3, 4  # of a cohort with one retry


@njit
def time_out(arrays, tick):
    moving.time_out(Fluid(*arrays), Turn(0, tick))


@njit
def arrive(arrays, tick):
    return moving.arrive(Fluid(*arrays), Turn(0, tick))


@njit
def start_in_turn(arrays, tick, capacity, arrived):
    return moving.start_in_turn(Fluid(*arrays), Turn(0, tick), capacity, arrived)


@njit
def shed(arrays, tick):
    moving.shed(Fluid(*arrays), Turn(0, tick))


@njit
def complete(arrays, pace, arrived):
    moving.complete(Fluid(*arrays), 0, Pace(*pace), arrived)


@pytest.fixture
def fluid() -> Fluid:
    """One service of ten slots in one instance, a request a second each, in tick 7."""
    spec = ServiceSpec("api", 1, 100, 10, 1.0, 1.0, BootTime(60.0, 120.0), 0.0, 2.0, 0.1)
    client = ClientBehaviour(3.0, 1, 0.5, 0.0, 2.0)
    arrivals = np.full((1, 10), 4.0)
    platform = FluidPlatform([spec], arrivals, client)
    platform.set_ready(0, 1)
    return platform._fluid


def waiting(fluid: Fluid, tick: int, amount: float) -> None:
    """A cohort of that tick waits, of new requests only."""
    here = tick % fluid.cohorts.shape[1]
    fluid.cohorts[0, here] = 0.0
    fluid.cohorts[0, here, [NEW, ADMITTED, WAITING]] = amount
    if fluid.state[0, layout.QUEUED] == 0.0:
        fluid.state[0, layout.HEAD] = tick
    fluid.state[0, layout.QUEUED] += amount


def test_who_has_waited_as_long_as_he_has_patience_leaves_and_half_come_again(
    fluid: Fluid,
) -> None:
    waiting(fluid, 4, 6.0)
    waiting(fluid, 5, 1.0)
    time_out(tuple(fluid), 7)
    assert fluid.state[0, [layout.QUEUED, layout.HEAD, layout.TIMED_OUT]].tolist() == [
        1.0,
        5.0,
        6.0,
    ]
    assert fluid.retries.sum() == pytest.approx(3.0)


def test_a_cohort_is_of_new_requests_of_retries_and_of_calls(fluid: Fluid) -> None:
    due = 7 % fluid.retries.shape[1]
    fluid.retries[0, due, 1] = 2.0
    fluid.incoming[0] = 5.0, 0.5
    assert arrive(tuple(fluid), 7) == 11.5
    here = 7 % fluid.cohorts.shape[1]
    assert fluid.cohorts[0, here, : CALLED + 1].tolist() == [4.5, 2.0, 5.0]
    assert fluid.state[0, layout.RETRIED] == 2.0
    assert fluid.retries[0, due].sum() == 0.0


def test_the_oldest_start_first_and_their_waits_run_evenly(fluid: Fluid) -> None:
    waiting(fluid, 6, 8.0)
    fluid.cohorts[0, 7 % fluid.cohorts.shape[1], NEW] = 4.0
    assert start_in_turn(tuple(fluid), 7, 10.0, 4.0) == 10.0
    assert fluid.state[0, [layout.QUEUED, layout.HEAD]].tolist() == [2.0, 7.0]
    assert fluid.done[0].tolist() == [10.0, 0.0, 0.0]
    spans = fluid.spans[0, : fluid.span_count[0]]
    assert spans[:, 0].sum() == pytest.approx(10.0)
    # The eight came in the course of second 6 and start in the first 0.8 s of second 7; two of the
    # four came in its first half and start in its last 0.2 s.
    mean_s = (8.0 * 0.9 + 2.0 * (0.9 - 0.25)) / 10.0
    assert (spans[:, 0] * spans[:, 1]).sum() / 10.0 == pytest.approx(mean_s)


def test_a_backlog_that_ends_delays_only_who_comes_before_its_end(fluid: Fluid) -> None:
    waiting(fluid, 6, 3.0)
    fluid.cohorts[0, 7 % fluid.cohorts.shape[1], NEW] = 4.0
    assert start_in_turn(tuple(fluid), 7, 10.0, 4.0) == 7.0
    assert fluid.state[0, [layout.QUEUED, layout.HEAD]].tolist() == [0.0, 8.0]
    spans = fluid.spans[0, : fluid.span_count[0]]
    # Three of ten a second, four of which are new: gone after half a second.
    assert spans[-1].tolist() == [2.0, 0.0]


def test_what_finds_the_queue_full_is_turned_away(fluid: Fluid) -> None:
    waiting(fluid, 6, 18.0)
    waiting(fluid, 7, 5.0)
    shed(tuple(fluid), 7)
    assert fluid.state[0, [layout.QUEUED, layout.SHED]].tolist() == [20.0, 3.0]
    assert fluid.cohorts[0, 7 % fluid.cohorts.shape[1], [NEW, WAITING]].tolist() == [2.0, 2.0]
    assert fluid.retries.sum() == pytest.approx(1.5)


def test_half_of_what_holds_its_slot_for_a_second_finishes_in_it(fluid: Fluid) -> None:
    fluid.in_service[0, 0], fluid.done[0, 0] = 2.0, 6.0
    complete(tuple(fluid), (10.0, 1.0, 10.0), 6.0)
    assert fluid.done[0, 0] == fluid.in_service[0, 0] == 4.0
    assert fluid.state[0, layout.BUSY] == pytest.approx(0.4)
