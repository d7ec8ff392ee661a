"""How it stands with everything: what one page over the engine shows, from one frozen step.

What is needed for major events is worked out only when the calendar or the forecasts are renewed,
not in each step: for thousands of services it takes longer than the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.api.booked import weddings_of
from engine.api.figures import figure, sample
from engine.api.snapshot import ServiceLook, StepLook
from engine.decide.sizing import Sizing
from engine.model import SAMPLE_FIELDS, Budget, FloatArray, Forecast, Outlook
from engine.settings import EngineSettings, WeddingSettings

GROUP_S = 1800.0
"""Major events that begin within so long of each other are one group."""
NEED_S = 300.0
"""The need of a group is the highest within so long after its first event."""
MAJORS_WITHIN_S = 14_400.0
NAMED = 5
"""So many services that fall short of a group's need are named."""
Z90 = 1.2815515655446004
TIME, RATE = SAMPLE_FIELDS.index("time_s"), SAMPLE_FIELDS.index("request_rate")


@dataclass(frozen=True, slots=True, eq=False)
class MajorNeed:
    """Instances, by service, that a group of `events` needs that begins at `at_s` (epoch s)."""

    at_s: float
    events: float
    needed: Mapping[str, int]


class MajorNeeds:
    """The groups to come, kept while calendar and forecasts are the same."""

    def __init__(self) -> None:
        self._of: tuple[Outlook, float] | None = None
        self._needs: tuple[MajorNeed, ...] = ()

    def of(self, look: StepLook, sizes: Mapping[str, Sizing]) -> tuple[MajorNeed, ...]:
        """Those of `look` that have not begun."""
        if (
            self._of is None
            or self._of[0] is not look.outlook
            or not (self._of[1] == look.forecast_s or math.isnan(look.forecast_s))
        ):
            self._needs = _needs(look, sizes)
            self._of = (look.outlook, look.forecast_s)
        return tuple(need for need in self._needs if need.at_s > look.time_s)


def overview(
    look: StepLook,
    names: Sequence[str],
    sizes: Mapping[str, Sizing],
    settings: EngineSettings,
    *,
    waited_for: frozenset[str],
    needs: Sequence[MajorNeed],
    weddings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The answer: of the services `names`, of which users wait for those `waited_for`.

    `weddings` are those of a step that is over; without them they are read off the outlook.
    """
    shown = [look.services[name] for name in names if name in look.services]
    return {
        "last_updated_s": round(look.time_s, 3),
        "step": look.number,
        "weddings": weddings_of(look) if weddings is None else weddings,
        "cost": cost_of(shown, look.budget),
        "services": {
            service.spec.name: _service(
                look, service, sizes[service.spec.name], service.spec.name in waited_for
            )
            for service in shown
        },
        "majors": [
            _major(look, need, names, settings.weddings, waited_for=waited_for) for need in needs
        ],
    }


def cost_of(shown: Sequence[ServiceLook], budget: Budget) -> dict[str, Any]:
    """What these services cost, beside what is allowed."""
    return {
        "usd_per_hour": round(math.fsum(s.desired * s.spec.price_per_hour for s in shown), 4),
        "budget_usd_per_hour": figure(budget.usd_per_hour),
        "instances": sum(service.desired for service in shown),
        "quota": figure(budget.instances),
    }


# --- services


def _service(
    look: StepLook, service: ServiceLook, size: Sizing, waited_for: bool
) -> dict[str, Any]:
    name = service.spec.name
    return standing_of(service, size, look.time_s, waited_for=waited_for) | {
        "floor": max((f.instances for f in look.floors if f.service == name), default=0),
        "paused": any(pause.service in ("", name) for pause in look.pauses),
        "state": service.state.value,
    }


def standing_of(
    service: ServiceLook, size: Sizing, time_s: float, *, waited_for: bool
) -> dict[str, Any]:
    """What is asked of a service at `time_s` (epoch seconds), what it has, needs and costs."""
    spec, newest = service.spec, service.samples.newest
    rate = math.nan if newest is None else float(newest[RATE])
    carrying = needed = None
    if math.isfinite(rate):
        least, most = spec.min_instances, spec.max_instances
        carrying = min(max(size.instances(rate, size.utilisation), least), most)
        needed = min(max(size.needed(rate, rate), least), most)
    return {
        "desired": service.desired,
        "ready": service.ready,
        "booting": service.booting,
        "draining": service.draining,
        "min_instances": spec.min_instances,
        "max_instances": spec.max_instances,
        "carrying": carrying,
        "needed": needed,
        "rate_per_instance": spec.rate_per_instance,
        "slo_p95_s": spec.slo_p95_s,
        "price_per_hour": spec.price_per_hour,
        "cost_per_hour": round(service.desired * spec.price_per_hour, 6),
        "user_facing": spec.user_facing,
        "waited_for": waited_for,
        "stateful": spec.stateful,
        "wedding_floor": service.wedding_floor,
        "sample_age_s": None if newest is None else round(time_s - float(newest[TIME]), 3),
        "sample": sample(newest),
    }


# --- major events


def _needs(look: StepLook, sizes: Mapping[str, Sizing]) -> tuple[MajorNeed, ...]:
    outlook = look.outlook
    groups = _groups(outlook, look.time_s)
    if not groups:
        return ()
    at_s = np.array([group[0] for group in groups])
    begin = np.floor((at_s - outlook.start_s) / outlook.bin_s).astype(np.int64)
    bins = max(math.ceil(NEED_S / outlook.bin_s), 1)
    counts: list[dict[str, int]] = [{} for _ in groups]
    for name, service in look.services.items():
        row = outlook.services.get(name)
        if row is None:
            continue
        booked = np.array([outlook.load[row, b : b + bins].max() for b in begin.tolist()])
        median, likely = _expected(outlook, row, service.forecasts, look.forecast_s, at_s=at_s)
        spec = service.spec
        needed = sizes[name].needed_along(booked * likely, booked * median)
        needed = np.clip(needed, spec.min_instances, spec.max_instances)
        for count, value in zip(counts, needed.tolist(), strict=True):
            count[name] = int(value)
    return tuple(
        MajorNeed(at, events, count) for (at, events), count in zip(groups, counts, strict=True)
    )


def _groups(outlook: Outlook, now_s: float) -> list[tuple[float, float]]:
    """(first start, how many) of each half hour to come in which major events are to begin."""
    groups: dict[int, tuple[float, float]] = {}
    for at in np.flatnonzero(outlook.major_starts > 0.0).tolist():
        start_s = outlook.start_s + at * outlook.bin_s
        if now_s < start_s <= now_s + MAJORS_WITHIN_S:
            first_s, events = groups.get(int(start_s // GROUP_S), (start_s, 0.0))
            events += float(outlook.major_starts[at])
            groups[int(start_s // GROUP_S)] = (first_s, events)
    return list(groups.values())


def _expected(
    outlook: Outlook,
    row: int,
    forecasts: Sequence[Forecast],
    forecast_s: float,
    *,
    at_s: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """What the booked load is to be multiplied by at `at_s`, for the median and the upper rate.

    The engine's forecasts say how the day departs from what is booked; between their horizons it
    is linear, behind the last one it stays.  Without them the calendar's own uncertainty counts.
    """
    points = [
        (forecast_s + one.horizon_s, one.q50 / booked, one.q90 / booked)
        for one in forecasts
        for booked in (outlook.rate(row, forecast_s + one.horizon_s),)
        if booked > 0.0
    ]
    if not points:
        return np.ones(len(at_s)), np.full(len(at_s), math.exp(Z90 * outlook.sigma))
    times_s, medians, uppers = (np.array(column) for column in zip(*points, strict=True))
    return np.interp(at_s, times_s, medians), np.interp(at_s, times_s, uppers)


def _major(
    look: StepLook,
    need: MajorNeed,
    names: Sequence[str],
    settings: WeddingSettings,
    *,
    waited_for: frozenset[str],
) -> dict[str, Any]:
    due_s = need.at_s - settings.lead_s
    short: list[tuple[float, dict[str, Any]]] = []
    state = "ready"
    needed_in_all = ready_in_all = 0
    for name in names:
        if name not in waited_for or name not in need.needed:
            continue
        service, needed = look.services[name], need.needed[name]
        needed_in_all += needed
        ready_in_all += min(service.ready, needed)
        if service.ready >= needed:
            continue
        lacking = {"service": name, "needed": needed, "desired": service.desired,
                   "ready": service.ready}  # fmt: skip
        short.append((service.ready / needed, lacking))
        # Until it is due nothing has to stand; then at least the floor that the engine promises.
        promised = min(needed, service.wedding_floor)
        if look.time_s >= due_s and service.desired < promised:
            state = "late"
        elif state == "ready":
            state = "on_its_way"
    short.sort(key=lambda one: one[0])
    return {
        "at_s": round(need.at_s, 3),
        "due_s": round(due_s, 3),
        "events": need.events,
        "needed": needed_in_all,
        "ready": ready_in_all,
        "state": state,
        "short": [lacking for _, lacking in short[:NAMED]],
    }
