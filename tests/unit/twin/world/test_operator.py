"""The people around the engine ask for what the configuration says, when it says."""

from __future__ import annotations

from engine.config.recurrence import Recurrence
from engine.model import Direction, ManualFloor, Pause
from twin.config import FloorConfig, OperatorConfig, PauseConfig
from twin.world.shell import Operator

START_S = 1_780_272_000.0
"""2026-06-01 00:00 UTC."""
HOUR_S = 3600.0


def test_a_floor_with_a_schedule_comes_and_goes_within_its_own_limits() -> None:
    daily = Recurrence(cron="0 8 * * *", time_zone="Europe/Rome", duration_s=2 * HOUR_S)
    floor = FloorConfig(
        service="api", instances=9, at_s=6.5 * HOUR_S, expires_s=31 * HOUR_S, schedule=daily
    )
    pause = PauseConfig(direction=Direction.IN, schedule=daily)
    operator = Operator(OperatorConfig(floors=[floor], pauses=[pause]), START_S)
    held = {
        hours: operator.requests(START_S + hours * HOUR_S)
        for hours in (5.9, 6.0, 6.5, 7.9, 8.0, 30.5, 31.0)
    }
    assert {hours: [f.expires_s - START_S for f in one.floors] for hours, one in held.items()} == {
        5.9: [], 6.0: [], 6.5: [8 * HOUR_S], 7.9: [8 * HOUR_S], 8.0: [], 30.5: [31 * HOUR_S],
        31.0: [],
    }  # fmt: skip
    assert held[7.9].floors == (ManualFloor("api", 9, START_S + 8 * HOUR_S, "operator"),)
    assert held[31.0].pauses == (Pause("", Direction.IN, START_S + 32 * HOUR_S),)
    assert [len(one.pauses) for one in held.values()] == [0, 1, 1, 1, 0, 1, 1]
