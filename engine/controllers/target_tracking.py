"""Target tracking as in AWS Auto Scaling, with the floor of predictive scaling.

Target tracking looks at minute means of the CPU utilisation: three above the target in a row scale
out, fifteen below 90 % of it scale in, each to current × metric / target; instances count towards
the metric once they are warmed up (AWS, "Target tracking scaling policies for Amazon EC2 Auto
Scaling").  Predictive scaling adds a floor for each hour, from the load of the same weekday in the
weeks before, in place some minutes before the hour; it never scales in (AWS, "How predictive
scaling works").
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import Field

from engine.config.strict import Strict, validated
from engine.controllers import times
from engine.controllers.asking import ask
from engine.model import (
    Action,
    FloatArray,
    Observation,
    Plan,
    Reason,
    ServiceObservation,
)
from engine.settings import EngineSettings

MINUTE_S = 60.0
HOUR_S = 3600.0


class TrackingOptions(Strict):
    """`target_cpu` in per cent, the alarms in minutes, times in seconds, `margin` a fraction."""

    target_cpu: float = Field(default=60.0, ge=1.0, le=100.0)
    out_minutes: int = Field(default=3, ge=1, le=60)
    in_minutes: int = Field(default=15, ge=1, le=120)
    in_share: float = Field(default=0.9, gt=0.0, lt=1.0)
    warmup_s: float = Field(default=300.0, ge=0.0, le=HOUR_S)
    buffer_s: float = Field(default=300.0, ge=0.0, le=HOUR_S)
    margin: float = Field(default=0.1, ge=0.0, le=10.0)


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Loads of the same weekday in the weeks before.

    `load[service]` has shape (weeks, hours): mean arrivals (1/s) in each hour after `start_s` less
    whole weeks.
    """

    start_s: float
    load: Mapping[str, FloatArray]


@dataclass(slots=True)
class _Minutes:
    """Newest minute means of one service, oldest first, and when it last changed."""

    begun_s: float = -math.inf
    values: list[float] = field(default_factory=list)
    changed_s: float = -math.inf


class TargetTracking:
    """One target-tracking policy and one predictive policy for each service."""

    def __init__(self, settings: EngineSettings, history: History, **options: Any) -> None:
        self.settings = settings
        self.options = validated(TrackingOptions, options, "controller.options")
        self.history = history
        self._minutes: dict[str, _Minutes] = {}

    def step(self, observation: Observation) -> Plan:
        """Look at each whole minute once, and at the floor of the hour."""
        actions = [
            action
            for service in observation.services
            if (action := self._look(service, observation.now_s)) is not None
        ]
        return Plan(actions=tuple(actions))

    def snapshot(self) -> str:
        """The minutes as JSON."""
        return json.dumps(
            {
                name: [times.to_json(m.begun_s), m.values, times.to_json(m.changed_s)]
                for name, m in self._minutes.items()
            },
            sort_keys=True,
        )

    def restore(self, snapshot: str) -> None:
        """Take over the minutes; raises ValueError for any other text."""
        try:
            self._minutes = {
                name: _Minutes(
                    times.from_json(begun_s), [float(v) for v in values], times.from_json(changed_s)
                )
                for name, (begun_s, values, changed_s) in json.loads(snapshot).items()
            }
        except (TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"not a snapshot of this controller: {error}") from None

    def _look(self, service: ServiceObservation, now_s: float) -> Action | None:
        spec = service.spec
        minutes = self._minutes.setdefault(spec.name, _Minutes())
        tracked = self._track(service, minutes, now_s)
        floor = self._floor(service, now_s)
        # At least one: no alarm on CPU can wake what has none.
        desired = min(max(tracked, floor, spec.min_instances, 1), spec.max_instances)
        if desired == service.desired:
            return None
        minutes.changed_s = now_s
        minutes.values.clear()
        by_floor = floor >= tracked
        why = "the load of the same weekday" if by_floor else "the alarm on CPU"
        return ask(
            service,
            desired,
            now_s,
            reason=Reason.FORECAST if by_floor else Reason.CPU,
            trigger_s=now_s,
            evidence={"floor": float(floor), "tracked": float(tracked)},
            explanation=f"{spec.name}: {service.desired} → {desired}, for {why}.",
        )

    def _track(self, service: ServiceObservation, minutes: _Minutes, now_s: float) -> int:
        """What the alarms make of the newest whole minute; the count as it is without one."""
        options, desired = self.options, service.desired
        begin_s = math.floor(now_s / MINUTE_S) * MINUTE_S - MINUTE_S
        if begin_s <= minutes.begun_s:
            return desired
        minutes.begun_s = begin_s
        at_s, cpu = service.window["time_s"], service.window["cpu"]
        inside = (at_s > begin_s) & (at_s <= begin_s + MINUTE_S) & np.isfinite(cpu)
        if not inside.any():
            minutes.values.clear()  # too little data: the alarm does not go off
            return desired
        minutes.values.append(100.0 * float(cpu[inside].mean()))
        del minutes.values[: -max(options.out_minutes, options.in_minutes)]
        last = minutes.values[-1]
        newest = minutes.values[-options.out_minutes :]
        if len(newest) == options.out_minutes and min(newest) > options.target_cpu:
            wanted = math.ceil(service.ready * last / options.target_cpu)
            return max(desired, wanted)
        newest = minutes.values[-options.in_minutes :]
        low = options.in_share * options.target_cpu
        warming = now_s < minutes.changed_s + options.warmup_s
        if len(newest) == options.in_minutes and max(newest) < low and not warming:
            return min(desired, math.ceil(service.ready * max(newest) / options.target_cpu))
        return desired

    def _floor(self, service: ServiceObservation, now_s: float) -> int:
        """What the mean of the earlier weeks needs in this hour, and soon in the next one."""
        load = self.history.load[service.spec.name].mean(axis=0)
        since_s = now_s - self.history.start_s
        first = max(int(since_s // HOUR_S), 0)
        last = max(int((since_s + self.options.buffer_s) // HOUR_S), first)
        rate = float(load[first : last + 1].max(initial=0.0)) * (1.0 + self.options.margin)
        per_instance = service.spec.rate_per_instance * self.options.target_cpu / 100.0
        return math.ceil(rate / per_instance)
