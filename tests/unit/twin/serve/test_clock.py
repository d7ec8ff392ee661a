"""A clock for a day that is played faster than it passes."""

from __future__ import annotations

import asyncio
import time

from twin.serve.clock import FastClock


def test_its_seconds_pass_as_many_times_as_fast() -> None:
    passed = [100.0]
    clock = FastClock(5_000.0, 60.0, lambda: passed[0])
    assert clock.now_s() == 5_000.0
    passed[0] = 102.5
    assert clock.now_s() == 5_150.0
    clock.start(7_000.0)
    passed[0] = 103.0
    assert clock.now_s() == 7_030.0


def test_who_waits_waits_by_it_and_not_at_all_once_it_is_stopped() -> None:
    async def waited() -> tuple[float, float]:
        stop, began = asyncio.Event(), time.monotonic()
        await FastClock(0.0, 3600.0).wait(36.0, stop)
        first_s = time.monotonic() - began
        stop.set()
        await FastClock(0.0, 0.001).wait(3600.0, stop)  # for weeks
        return first_s, time.monotonic() - began

    first_s, both_s = asyncio.run(waited())
    assert first_s >= 0.01
    assert both_s < 300.0
