"""What bookings find wrong with their source is a trouble beside their outlook; and its age."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from typing import Any

import pytest

from engine.ports.bookings import FeedState, feed_of
from tests.unit.engine.runtime.conftest import START_S, Calendar


@dataclass
class FedCalendar(Calendar):
    """Bookings that say how fresh they are."""

    state: FeedState = field(default_factory=FeedState)

    def feed(self) -> FeedState:
        return self.state


def test_a_feed_that_is_wrong_is_told_of_while_the_engine_steps(world: Any, scripted: Any) -> None:
    world.calendar = calendar = FedCalendar(state=FeedState(START_S, START_S - 60.0, 12))
    controller = scripted()

    def change(*troubles: str) -> None:
        calendar.state = FeedState(START_S, START_S - 60.0, 12, troubles)

    world.clock.at = {
        START_S + 10.0: lambda: change("line 2: guests: is no number"),
        START_S + 25.0: lambda: change(),
    }
    asyncio.run(world.shell(controller, duration_s=40.0).run())
    assert len(controller.seen) == 8
    assert world.notes.kinds("schedule") == ["trouble_started", "trouble_ended"]
    troubled = [bool(status["troubles"]) for status in world.notes.statuses]
    assert troubled == [False, *3 * [True], *4 * [False]]
    assert world.status()["bookings"] == {
        "events": 12, "read_s": START_S, "changed_s": START_S - 60.0,
    }  # fmt: skip


@pytest.mark.parametrize("answer", [None, "fresh", {"read_s": 1.0}])
def test_bookings_that_say_nonsense_of_themselves_hold_nothing_up(
    world: Any, scripted: Any, answer: Any
) -> None:
    world.calendar = FedCalendar(state=answer)
    controller = scripted()
    asyncio.run(world.shell(controller, duration_s=20.0).run())
    assert len(controller.seen) == 4
    assert "bookings" not in world.status()


def test_what_was_never_read_has_no_time() -> None:
    assert feed_of(FedCalendar()) == FeedState(-math.inf, -math.inf, 0, ())
    assert feed_of(Calendar()) is None
