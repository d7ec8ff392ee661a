"""The people around the engine ask for what the configuration says, when it says."""

from __future__ import annotations

from engine.config.recurrence import Recurrence
from engine.model import Direction, ManualFloor, ManualScale, Pause
from twin.config import FloorConfig, OperatorConfig, PauseConfig, ScaleConfig
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


def test_a_count_is_asked_for_from_its_time_until_it_expires() -> None:
    scales = [
        ScaleConfig(service="api", instances=9, at_s=60.0, expires_s=120.0),
        ScaleConfig(service="photos", instances=0, expires_s=90.0),
    ]
    operator = Operator(OperatorConfig(scales=scales), START_S)
    api = ManualScale("scale-1", "api", 9, START_S + 120.0, "operator")
    photos = ManualScale("scale-2", "photos", 0, START_S + 90.0, "operator")
    held = {at_s: operator.requests(START_S + at_s).scales for at_s in (59.0, 60.0, 90.0, 120.0)}
    assert held == {59.0: (photos,), 60.0: (api, photos), 90.0: (api,), 120.0: ()}
