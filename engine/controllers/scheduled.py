"""HPA with floors from the calendar: what a careful team does today with KEDA's cron scaler.

For each hour the floor is what the booked load of that hour needs at the target utilisation, plus a
margin; it begins some minutes before the hour.  It is set as `minReplicas`, so it holds at once and
is not swallowed by the tolerance.
"""

from __future__ import annotations

import math

from pydantic import Field

from engine.controllers.hpa import Hpa, HpaOptions
from engine.model import Observation, ServiceObservation

HOUR_S = 3600.0


class ScheduledOptions(HpaOptions):
    """Those of HPA, and `margin` (a fraction) and `lead_s` (seconds before the hour)."""

    margin: float = Field(default=0.1, ge=0.0, le=10.0)
    lead_s: float = Field(default=900.0, ge=0.0, le=HOUR_S)


class ScheduledHpa(Hpa):
    """A HorizontalPodAutoscaler whose minimum follows the booked load of the hour."""

    options_kind = ScheduledOptions
    options: ScheduledOptions

    def _lowest(self, service: ServiceObservation, observation: Observation) -> int:
        outlook, now_s, spec = observation.outlook, observation.now_s, service.spec
        begin_s = math.floor(now_s / HOUR_S) * HOUR_S
        end_s = math.floor((now_s + self.options.lead_s) / HOUR_S) * HOUR_S + HOUR_S
        peak = outlook.peak(spec.name, begin_s, end_s)
        if math.isnan(peak):  # the calendar does not cover the hour: HPA as it is without one
            return spec.min_instances
        booked = peak * (1.0 + self.options.margin)
        floor = math.ceil(booked / (spec.rate_per_instance * self.options.target_cpu / 100.0))
        return min(max(floor, spec.min_instances), spec.max_instances)
