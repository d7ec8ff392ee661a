"""What follows from the specifications of the services and the settings alone.

Worked out once, as it costs more than a whole step and changes only with the platform.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine.decide.callgraph import call_order, critical_services
from engine.decide.recommend.forecast import lead_time_s
from engine.decide.sizing import Sizing, risk_score, sizing
from engine.model import ServiceSpec
from engine.settings import EngineSettings

STEPS_AHEAD = 8.0
"""So many more steps after its lead time a service looks ahead."""


class Traits(NamedTuple):
    """One service: its `place` among those observed, and how it is to be treated.

    `waited_for`: users wait for it, directly or through another service.  `risk_z` is the standard
    normal score of the accepted risk, `lead_s` the time from asking for an instance to its serving,
    `reach_s` how far ahead the load is looked at.
    """

    place: int
    spec: ServiceSpec
    waited_for: bool
    sizing: Sizing
    risk_z: float
    lead_s: float
    reach_s: float


class Platform(NamedTuple):
    """The services, callers before those that they call."""

    specs: tuple[ServiceSpec, ...]
    order: tuple[Traits, ...]


def traits(specs: Sequence[ServiceSpec], settings: EngineSettings) -> Platform:
    """The platform of `specs`; raises ValueError when the calls form a cycle."""
    critical = critical_services(specs)
    limits, weddings, forecast = settings.limits, settings.weddings, settings.forecast
    order = []
    for place in call_order(specs):
        spec = specs[place]
        waited_for = spec.name in critical
        lead_s = lead_time_s(spec, forecast)
        # Far enough for the protection, and for eight more steps after the lead time.
        reach_s = max(weddings.lead_s, weddings.protection_s, settings.cost.window_s)
        order.append(
            Traits(
                place=place,
                spec=spec,
                waited_for=waited_for,
                sizing=sizing(spec, settings.capacity, critical=waited_for),
                risk_z=risk_score(forecast, critical=waited_for),
                lead_s=lead_s,
                reach_s=max(reach_s + lead_s, lead_s + STEPS_AHEAD * limits.cooldown_out_s),
            )
        )
    return Platform(tuple(specs), tuple(order))
