"""A part of a day, played faster and smaller: what a test stack of some workers can carry.

Time is compressed, rates are scaled: a minute of the day may pass in a second, but a moment's rate
stays `scale` times the real one, since it is the rate that loads an instance.  The live engine is
shown the schedule in the same way (`engine.forecast.compressed`), so both worlds rehearse the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from engine.adapters.bookings_compressed import Compressed
from engine.model import ServiceSpec
from scenarios.faults.times import resolve_at
from scenarios.weddings.demand import Demand
from twin.world.feed import ScheduleFeed
from twin.world.script import Script
from twin.world.world import Rehearsal


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What of the day is played, and how: from when on, how fast, how much, for how long (s)."""

    begins: str
    speed: int
    scale: float
    seconds: int


def demand(day: Script, part: Excerpt) -> Demand:
    """The load of `part` by second of the clock; raises ValueError if the day is over before."""
    try:
        first = resolve_at(part.begins, day.demand)
    except ValueError as error:
        raise ValueError(f"from: {error}") from None
    last = first + part.seconds * part.speed
    if not 0 <= first < last <= day.duration_s:
        raise ValueError(
            f"from: {part.begins} and {part.seconds * part.speed} s from then on are not within "
            f"the day's {day.duration_s} s"
        )

    def each(values: np.ndarray) -> np.ndarray:
        pieces = values[..., first:last].reshape(*values.shape[:-1], part.seconds, part.speed)
        return pieces.mean(axis=-1)

    in_progress = np.rint(part.scale * each(day.demand.in_progress)).astype(np.int32)
    by_phase = np.rint(part.scale * each(day.demand.by_phase)).astype(np.int32)
    rates = part.scale * each(day.demand.rates)
    return Demand(day.demand.services, rates, in_progress, by_phase)


def rehearse(
    day: Script, specs: tuple[ServiceSpec, ...], part: Excerpt, counts: Mapping[str, int]
) -> Rehearsal:
    """`part` of `day` for the twin, beginning with `counts` instances; raises as `demand`."""
    played = demand(day, part)
    script = replace(
        day,
        duration_s=part.seconds,
        demand=played,
        events=round(part.scale * day.events),
        awaited_s=np.zeros(0),
    )
    outlooks = Compressed(
        ScheduleFeed(day.foreknowledge, specs),
        anchor_s=day.start_s,
        origin_s=day.start_s + resolve_at(part.begins, day.demand),
        speed=float(part.speed),
        scale=part.scale,
    )
    return Rehearsal(script, outlooks, counts)
