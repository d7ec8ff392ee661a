"""An instance's capacity: slots, the queue's order, its limit, and the counting of busy time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.staging.slots import GaveUp, ServiceTimes, Shed, Slots


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def test_those_who_wait_are_served_in_the_order_of_their_coming() -> None:
    async def body() -> None:
        slots = Slots(1, 10)
        served: list[int] = []

        async def guest(number: int) -> None:
            await slots.take(600.0)
            served.append(number)
            await asyncio.sleep(0)
            slots.give_back()

        await asyncio.gather(*(guest(number) for number in range(8)))
        assert served == list(range(8))
        assert (slots.busy, slots.waiting) == (0, 0)

    run(body)


def test_whoever_finds_the_queue_full_is_shed_at_once() -> None:
    async def body() -> None:
        slots = Slots(2, 1)
        await slots.take(600.0)
        await slots.take(600.0)
        waiting = asyncio.create_task(slots.take(600.0))
        await asyncio.sleep(0)
        with pytest.raises(Shed):
            await slots.take(600.0)
        slots.give_back()
        await waiting
        assert slots.busy == 2

    run(body)


def test_whoever_waits_too_long_gives_up_and_leaves_the_queue() -> None:
    async def body() -> None:
        slots = Slots(1, 10)
        await slots.take(600.0)
        with pytest.raises(GaveUp):
            await slots.take(0.01)
        assert slots.waiting == 0
        slots.give_back()
        assert slots.busy == 0

    run(body)


@pytest.mark.parametrize("handed_over", [False, True])
def test_a_guest_who_leaves_keeps_no_slot(handed_over: bool) -> None:
    async def body() -> None:
        slots = Slots(1, 10)
        await slots.take(600.0)
        guest = asyncio.create_task(slots.take(600.0))
        await asyncio.sleep(0)
        if handed_over:
            slots.give_back()  # the guest has the slot now, but did not hear of it yet
        guest.cancel()
        with pytest.raises(asyncio.CancelledError):
            await guest
        assert slots.waiting == 0
        assert slots.busy == (0 if handed_over else 1)

    run(body)


@given(
    size=st.integers(1, 4),
    limit=st.integers(0, 4),
    guests=st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=20),
)
def test_slots_are_never_lost_nor_made(
    size: int, limit: int, guests: list[tuple[int, bool]]
) -> None:
    async def body() -> None:
        slots = Slots(size, limit)

        async def guest(turns: int, leaves: bool) -> None:
            try:
                await slots.take(0.0 if leaves else 600.0)
            except (Shed, GaveUp):
                return
            for _ in range(turns):
                await asyncio.sleep(0)
                assert 1 <= slots.busy <= size
                assert slots.waiting <= limit
            slots.give_back()

        await asyncio.gather(*(guest(*g) for g in guests))
        assert (slots.busy, slots.waiting) == (0, 0)

    run(body)


def test_busy_time_is_the_integral_of_busy_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        now_s = [100.0]
        monkeypatch.setattr(loop, "time", lambda: now_s[0])
        slots = Slots(2, 0)
        await slots.take(600.0)
        now_s[0] += 3.0
        await slots.take(600.0)
        now_s[0] += 2.0
        slots.give_back()
        now_s[0] += 1.0
        assert slots.busy_s == pytest.approx(3.0 + 2.0 * 2.0 + 1.0)
        monkeypatch.undo()

    run(body)


@pytest.mark.parametrize(("mean_s", "scv"), [(0.16, 1.0), (0.08, 0.5), (0.4, 2.5)])
def test_service_times_have_the_mean_and_variability_of_the_platform_file(
    mean_s: float, scv: float
) -> None:
    times = ServiceTimes(mean_s, scv, np.random.default_rng(1))
    drawn = np.array([times.draw_s() for _ in range(100_000)])
    assert drawn.mean() == pytest.approx(mean_s, rel=0.02)
    assert drawn.var() / drawn.mean() ** 2 == pytest.approx(scv, rel=0.05)


def test_the_same_seed_draws_the_same_times() -> None:
    def draw() -> list[float]:
        times = ServiceTimes(0.1, 1.0, np.random.default_rng(7))
        return [times.draw_s() for _ in range(1000)]

    assert draw() == draw()
