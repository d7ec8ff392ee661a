"""What the twin is asked about a plan, and its verdict.

Two kinds of question.  Does the first service on the ladder give way where the plan says: the SLO
kept just below, lost through that service just above?  And do the plan's own limits and instance
sizes carry the busiest hour of the worst season that they are meant for?
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.decide.callgraph import critical_services
from engine.planning.bottleneck import Rung
from engine.planning.needs import DAY_HOURS, Paths, in_progress
from engine.planning.season_plan import floors, sized
from twin.plan.planning import Planned, responding
from twin.plan.probe import SLO_TAIL, Probe, ProbeResult, ask

MOST_WEDDINGS = 10_000_000
"""What `population.simultaneous` takes."""
BOUNDLESS = 10_000_000
LARGE = 1_000_000
"""Worlds beyond this take gigabytes: one at a time."""


@dataclass(frozen=True, slots=True)
class LimitCheck:
    """A rung of the ladder and the twin's answers below and above it.

    `confirmed` when below it the rung's service (all of them, where they share the limit) kept its
    SLO in every minute, and above it that service was the first to miss it.  Without answers,
    `why_not` says why.
    """

    rung: Rung
    below: ProbeResult | None
    above: ProbeResult | None
    confirmed: bool
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class PlanCheck:
    """The plan's limits in the twin, on the busiest day of the worst season that they cover.

    `kept`: no more user-facing requests than `sweep.slo` missed their SLO, and each service's 95th
    percentile over these hours is within its own.
    """

    month: int
    date: str
    response: Mapping[str, float]
    answer: ProbeResult
    kept: bool


@dataclass(frozen=True, slots=True)
class Checks:
    """All verdicts of the twin."""

    limits: tuple[LimitCheck, ...]
    plan: PlanCheck


def check(planned: Planned, settings: Mapping[str, Any], advance: Callable[[int], None]) -> Checks:
    """Ask the twin; `settings` is the run's configuration.  `advance` is told how many are done."""
    rungs = rungs_to_check(planned)
    plan_probe, month, date, response = _plan_probe(planned)
    probes = probes_of(planned)
    heavy = max(probe.weddings for probe in probes) > LARGE
    answers = {a.name: a for a in ask(settings, probes, advance, 1 if heavy else None)}
    answer = answers[plan_probe.name]
    return Checks(
        limits=tuple(_judged(planned, rung, answers) for rung in rungs),
        plan=PlanCheck(
            month,
            date,
            response,
            answer,
            kept=answer.violation_ratio <= planned.config.sweep.slo
            and all(seen.slow_share <= SLO_TAIL for seen in answer.services.values()),
        ),
    )


def probes_of(planned: Planned) -> list[Probe]:
    """All questions; the one about the plan itself is the last."""
    reachable = [rung for rung in rungs_to_check(planned) if _reachable(planned, rung)]
    return [
        *(probe for rung in reachable for probe in limit_probes(planned, rung)),
        _plan_probe(planned)[0],
    ]


def rungs_to_check(planned: Planned) -> tuple[Rung, ...]:
    """The first rung, and the first on the users' path where that is another one."""
    critical = critical_services(planned.specs)
    first = planned.ladder[:1]
    on_path = [rung for rung in planned.ladder if rung.service in critical][:1]
    return tuple(dict.fromkeys([*first, *on_path]))


def limit_probes(planned: Planned, rung: Rung) -> list[Probe]:
    """Just below and just above a rung, on the busiest date as it is expected to respond.

    For a rung that is not the first, the others are taken away.
    """
    response = np.exp(planned.expected.log_response[planned.busiest])
    changes: dict[str, Any] = {"demand": _demand(planned, response, planned.busiest)}
    if rung != planned.ladder[0] and rung.service:
        services = planned.config.model_dump(mode="json")["platform"]["services"]
        for name, service in services.items():
            if name != rung.service:
                service["max_instances"] = BOUNDLESS
        changes |= {"platform.services": services, "budget.instances": None}
        changes["budget.usd_per_hour"] = None
    margin = planned.config.plan.margin
    return [
        Probe(_name(rung, side), round(rung.lost * factor), rung.at_s, changes)
        for side, factor in (("below", 1.0 - margin), ("above", 1.0 + margin))
    ]


def _reachable(planned: Planned, rung: Rung) -> bool:
    return 1.0 <= rung.lost * (1.0 + planned.config.plan.margin) <= MOST_WEDDINGS


def _judged(planned: Planned, rung: Rung, answers: Mapping[str, ProbeResult]) -> LimitCheck:
    if not _reachable(planned, rung):
        why = f"the twin takes at most {MOST_WEDDINGS:,} weddings at once"
        if rung.lost < 1.0:
            why = "the limit is reached without any wedding"
        return LimitCheck(rung, None, None, confirmed=False, why_not=why)
    below, above = answers[_name(rung, "below")], answers[_name(rung, "above")]
    through = above.first_lost == rung.service if rung.service else above.first_lost != ""
    names = [rung.service] if rung.service else list(below.services)
    kept = all(below.services[name].bad_minutes == 0 for name in names)
    return LimitCheck(rung, below, above, confirmed=through and kept)


def _plan_probe(planned: Planned) -> tuple[Probe, int, str, dict[str, float]]:
    """The worst path that the plan's limits still cover, in the month with the highest limits."""
    chosen = planned.season.plan.chosen
    limits = np.stack([choice.used.maximum for choice in chosen.values()])
    month = int(np.argmax(limits.sum(axis=0)))
    highest = np.stack([choice.used.highest[:, month] for choice in chosen.values()])
    use = (highest / limits[:, month][:, None]).max(axis=0)
    path = int(np.argmax(np.where(use <= 1.0, use, -1.0)))
    one = Paths(planned.paths.weddings[path : path + 1], planned.paths.response[path : path + 1])
    at_once = in_progress(planned.horizon, one)[0]
    hours = np.flatnonzero(np.repeat(planned.horizon.month, DAY_HOURS) == month)
    hour = int(hours[np.argmax(at_once[hours])])
    # Late at night, UTC, most of those in progress still belong to the date before.
    day = hour // DAY_HOURS
    if hour % DAY_HOURS < 12 and day > 0 and one.weddings[0, day - 1] > one.weddings[0, day]:
        day -= 1
    response = one.response[0, day]
    changes: dict[str, Any] = {"demand": _demand(planned, response, day)}
    services = planned.config.model_dump(mode="json")["platform"]["services"]
    for spec in planned.specs:
        choice = chosen[spec.name]
        own = sized(spec, choice.factor, planned.terms, planned.config.engine.capacity.zones)
        services[spec.name] |= {
            "slots": own.slots,
            "price_per_hour": own.price_per_hour,
            "min_instances": int(floors(choice, own.min_instances)[month]),
            "max_instances": int(choice.used.maximum[month]),
        }
    changes["platform.services"] = services
    midnight_s = planned.peak.start_s + 86_400.0 * (
        (planned.dates[0] - planned.dates[planned.busiest]).days
    )
    probe = Probe(
        "plan",
        min(math.ceil(at_once[hour]), MOST_WEDDINGS),
        midnight_s + 3600.0 * hour + 1800.0,
        changes,
    )
    factors = {
        spec.name: float(value)
        for spec, value in zip(planned.specs, response, strict=True)
        if spec.name in planned.config.demand.services
    }
    return probe, month, planned.dates[day].isoformat(), factors


def _demand(planned: Planned, response: np.ndarray[Any, Any], day: int) -> dict[str, Any]:
    demand = responding(planned.config, planned.specs, response, float(planned.users[day]))
    return {**demand.model_dump(mode="json"), "day_sigma": 0.0}


def _name(rung: Rung, side: str) -> str:
    return f"{rung.service or 'all'} {rung.limit} {side}"
