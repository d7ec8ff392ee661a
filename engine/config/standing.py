"""Floors and pauses that the configuration lets stand: always, or whenever their schedule says so.

What somebody asks for with `python -m engine floor` is a file in the state folder; what belongs to
the platform, such as the floor of each working day, belongs in its configuration.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from engine.config.complaints import close
from engine.config.recurrence import Recurrence
from engine.config.run import Count
from engine.config.strict import Strict
from engine.model import Direction, ManualFloor, Pause

CONFIGURATION = "the configuration"
"""Who asks for what stands there."""


class StandingFloor(Strict):
    """At least `instances` of `service`; without a schedule always."""

    service: str
    """Whose floor it is."""
    instances: Count
    """Never fewer than these."""
    schedule: Recurrence | None = None


class StandingPause(Strict):
    """No scaling in `direction`; `service` empty: all.  Without a schedule always."""

    service: str = ""
    """Which one pauses; empty: all."""
    direction: Direction = Direction.ALL
    """Steps that are not taken: `in`, `out` or `all`."""
    pinned: Count | None = None
    """The count that it is held at meanwhile; null: what is there."""
    schedule: Recurrence | None = None


class StandingRequests(Strict):
    """All that stands."""

    floors: tuple[StandingFloor, ...] = ()
    pauses: tuple[StandingPause, ...] = ()

    def check(self, services: Sequence[str], under: str) -> None:
        """Raises ValueError for the name of a service that is not one of `services`."""
        named = {f"floors.{i}": floor.service for i, floor in enumerate(self.floors)}
        named |= {f"pauses.{i}": one.service for i, one in enumerate(self.pauses) if one.service}
        for place, name in named.items():
            if name not in services:
                raise ValueError(
                    f'{under}.{place}.service: "{name}" is not allowed '
                    f"({', '.join(services)}){close(name, services)}"
                )

    def of(self, services: Sequence[str]) -> StandingRequests:
        """What of it is about these services, or about all."""
        return StandingRequests(
            floors=tuple([one for one in self.floors if one.service in services]),
            pauses=tuple(
                [one for one in self.pauses if not one.service or one.service in services]
            ),
        )

    def floors_at(self, now_s: float) -> tuple[ManualFloor, ...]:
        """The floors in force at `now_s` (epoch seconds)."""
        return tuple(
            [
                ManualFloor(floor.service, floor.instances, end_s, CONFIGURATION)
                for floor in self.floors
                if (end_s := ends_s(floor.schedule, now_s)) > now_s
            ]
        )

    def pauses_at(self, now_s: float) -> tuple[Pause, ...]:
        """The pauses in force at `now_s` (epoch seconds)."""
        return tuple(
            [
                Pause(pause.service, pause.direction, end_s, pause.pinned)
                for pause in self.pauses
                if (end_s := ends_s(pause.schedule, now_s)) > now_s
            ]
        )


def ends_s(schedule: Recurrence | None, now_s: float) -> float:
    """When what holds at `now_s` ends (epoch seconds): inf without a schedule, -inf if nothing."""
    if schedule is None:
        return math.inf
    occurrence = schedule.at(now_s)
    return occurrence.end_s if occurrence is not None else -math.inf


NOTHING_STANDS = StandingRequests()
