"""Floors and pauses that the configuration lets stand."""

from __future__ import annotations

import math
import re

import pytest

from engine.config.recurrence import Recurrence
from engine.config.standing import CONFIGURATION, StandingFloor, StandingPause, StandingRequests
from engine.model import Direction, ManualFloor, Pause

APJ = StandingRequests(floors=(StandingFloor(service="apj", instances=1),))
NAMELESS = StandingRequests(floors=(StandingFloor(service="", instances=1),))
SIX_S = 6 * 3600.0
SIX = Recurrence(cron="0 6 * * *", time_zone="UTC", duration_s=60.0)


def test_what_has_no_schedule_always_stands_and_the_rest_when_it_says() -> None:
    standing = StandingRequests(
        floors=(
            StandingFloor(service="api", instances=3),
            StandingFloor(service="api", instances=20, schedule=SIX),
        ),
        pauses=(
            StandingPause(direction=Direction.IN),
            StandingPause(service="api", pinned=4, schedule=SIX),
        ),
    )
    always = ManualFloor("api", 3, math.inf, CONFIGURATION)
    assert standing.floors_at(SIX_S - 1.0) == standing.floors_at(SIX_S + 60.0) == (always,)
    assert standing.floors_at(SIX_S) == (
        always, ManualFloor("api", 20, SIX_S + 60.0, CONFIGURATION),
    )  # fmt: skip
    assert standing.pauses_at(SIX_S - 1.0) == (Pause(direction=Direction.IN),)
    assert standing.pauses_at(SIX_S + 59.0) == (
        Pause(direction=Direction.IN), Pause("api", Direction.ALL, SIX_S + 60.0, 4),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("standing", "said"),
    [
        (
            StandingRequests(floors=(StandingFloor(service="apj", instances=1),)),
            "live.floors.0.service",
        ),
        (
            StandingRequests(floors=(StandingFloor(service="", instances=1),)),
            "live.floors.0.service",
        ),
        (
            StandingRequests(pauses=(StandingPause(), StandingPause(service="apj"))),
            'live.pauses.1.service: "apj" is not allowed (api); did you mean api?',
        ),
    ],
)
def test_a_service_that_is_none_is_refused(standing: StandingRequests, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        standing.check(["api"], "live")


def test_services_that_there_are_and_all_of_them_are_taken() -> None:
    floors = (StandingFloor(service="api", instances=1),)
    StandingRequests(floors=floors, pauses=(StandingPause(), StandingPause(service="api"))).check(
        ["api"], "live"
    )
