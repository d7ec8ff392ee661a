"""What to do, one recommendation at a time, each with its price, its worth and the evidence.

`saving_usd` of all recommendations together is what the plan saves over paying on demand with
today's instances.  What keeps the SLO rather than saves money says so with a saving of 0.
`confidence` is the share of the paths in which the recommendation turns out right, prices that are
assumptions ranging over what is plausible: it saved money, or the new limit sufficed all season.  A
minimum is as right as it is needed anyway, in hours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from engine.model import FloatArray, ServiceSpec
from engine.planning.purchase import Usage, bill, cost_by_path, hours_used, saving_by_path
from engine.planning.season_plan import SeasonPlan, Terms, floors, sized


class Kind(StrEnum):
    """What can be recommended (closed)."""

    RESERVE_INSTANCES = "reserve_instances"
    RAISE_QUOTA = "raise_quota"
    RAISE_MIN = "raise_min"
    RAISE_MAX = "raise_max"
    ADD_ZONE = "add_zone"
    CHANGE_INSTANCE_SIZE = "change_instance_size"


@dataclass(frozen=True, slots=True)
class Advice:
    """One recommendation; `service` is empty where it concerns all.

    `before` and `after` are counts (a factor on today's size for a change of it), `cost_usd` what
    it commits to or adds over the horizon, `saving_usd` what it saves net of that.
    """

    kind: Kind
    service: str
    before: float
    after: float
    cost_usd: float
    saving_usd: float
    confidence: float
    evidence: Mapping[str, float]


def advise(
    specs: Sequence[ServiceSpec], season: SeasonPlan, terms: Terms, zones: int
) -> tuple[Advice, ...]:
    """All recommendations: what the SLO needs first, then by saving."""
    considered: list[Advice | None] = [_quota(season, terms), _zone(season, terms, zones)]
    for spec in specs:
        considered.append(_size(spec, season, terms))
        considered.append(_maximum(spec, season))
        considered.append(_minimum(spec, season, terms, zones))
        considered.append(_reserve(spec, season))
    urgent = (Kind.RAISE_QUOTA, Kind.RAISE_MAX)
    return tuple(
        sorted(
            (advice for advice in considered if advice is not None),
            key=lambda a: (a.kind not in urgent, -a.saving_usd, a.service, a.kind),
        )
    )


def _reserve(spec: ServiceSpec, season: SeasonPlan) -> Advice | None:
    choice = season.plan.chosen[spec.name]
    reserved = choice.bill.reserved
    if reserved == 0:
        return None
    hours, offer = season.hours, choice.offer
    judged = season.judged[spec.name]
    saved = saving_by_path(judged, offer, hours, reserved)
    used = hours_used(choice.used.by_month.sum(axis=0))
    on_demand = bill(choice.used, offer, hours, 0).total_usd
    return Advice(
        kind=Kind.RESERVE_INSTANCES,
        service=spec.name,
        before=0.0,
        after=float(reserved),
        cost_usd=choice.bill.reserved_usd,
        saving_usd=on_demand - choice.bill.total_usd,
        confidence=_share(saved > 0.0),
        evidence={
            "discount": 1.0 - offer.reserved_per_hour / offer.on_demand_per_hour,
            "break_even_share_of_hours": offer.commitment_usd(hours)
            / (offer.on_demand_per_hour * hours),
            "last_one_used_share_of_hours": float(used[reserved - 1]) / hours,
            "next_one_used_share_of_hours": (
                float(used[reserved]) / hours if reserved < len(used) else 0.0
            ),
        },
    )


def _size(spec: ServiceSpec, season: SeasonPlan, terms: Terms) -> Advice | None:
    choice, today = season.plan.chosen[spec.name], season.today[spec.name]
    if choice.factor == 1.0:
        return None
    hours = season.hours
    saving = (
        bill(today.used, today.offer, hours, 0).total_usd
        - bill(choice.used, choice.offer, hours, 0).total_usd
    )
    judged = season.judged[spec.name]
    suffices = _share(np.all(judged.highest <= choice.used.maximum, axis=1))
    return Advice(
        kind=Kind.CHANGE_INSTANCE_SIZE,
        service=spec.name,
        before=1.0,
        after=choice.factor,
        cost_usd=0.0,
        saving_usd=saving,
        confidence=season.size_pays[spec.name] if saving > 0.0 else suffices,
        evidence={
            "slots_before": float(spec.slots),
            "slots_after": float(sized(spec, choice.factor, terms, 1).slots),
            "most_instances_before": float(today.used.most),
            "most_instances_after": float(choice.used.most),
            "usd_before": today.bill.total_usd,
            "usd_after": choice.bill.total_usd,
            "today_fits_the_limit": float(today.allowed),
        },
    )


def _maximum(spec: ServiceSpec, season: SeasonPlan) -> Advice | None:
    choice, judged = season.plan.chosen[spec.name], season.judged[spec.name]
    after = choice.used.most
    if after <= spec.max_instances:
        return None
    beyond = hours_used(choice.used.by_month.sum(axis=0))[spec.max_instances :]
    exceeded = (judged.highest > spec.max_instances).mean(axis=0)
    return Advice(
        kind=Kind.RAISE_MAX,
        service=spec.name,
        before=float(spec.max_instances),
        after=float(after),
        cost_usd=float(beyond.sum()) * choice.offer.on_demand_per_hour,
        saving_usd=0.0,
        confidence=_kept(judged, after),
        evidence={
            "exceeded_in_share_of_seasons": _share(judged.highest.max(axis=1) > spec.max_instances),
            "worst_month_exceeded_share": float(exceeded.max()),
            "worst_month": float(np.argmax(exceeded)),
            "median_most_instances": float(np.median(judged.highest.max(axis=1))),
        },
    )


def _minimum(spec: ServiceSpec, season: SeasonPlan, terms: Terms, zones: int) -> Advice | None:
    choice, judged = season.plan.chosen[spec.name], season.judged[spec.name]
    own = sized(spec, choice.factor, terms, zones)
    after = int(floors(choice, own.min_instances).min())
    if after <= own.min_instances:
        return None
    idle = after - np.arange(after)
    hours_below = choice.used.by_month.sum(axis=0)[:after]
    held = judged.by_path[:, :after].sum(axis=1) / season.hours
    return Advice(
        kind=Kind.RAISE_MIN,
        service=spec.name,
        before=float(own.min_instances),
        after=float(after),
        cost_usd=0.0,
        saving_usd=0.0,
        confidence=1.0 - float(held.mean()),
        evidence={
            "reserved": float(choice.bill.reserved),
            "hours_below": float(hours_below.sum()),
            "idle_instance_hours_already_paid": float((idle * hours_below).sum()),
        },
    )


def _quota(season: SeasonPlan, terms: Terms) -> Advice | None:
    if not math.isfinite(terms.quota) or season.free.quota <= terms.quota:
        return None
    highest = [choice.used.highest for choice in season.free.chosen.values()]
    together = np.sum(highest, axis=0).max(axis=1)
    return Advice(
        kind=Kind.RAISE_QUOTA,
        service="",
        before=terms.quota,
        after=float(season.free.quota),
        cost_usd=0.0,
        saving_usd=max(season.plan.total_usd - season.free.total_usd, 0.0) if season.fits else 0.0,
        confidence=_share(together <= season.free.quota),
        evidence={
            "exceeded_in_share_of_seasons": _share(together > terms.quota),
            "fits_with_other_sizes": float(season.fits),
            "median_most_instances": float(np.median(together)),
        },
    )


def _zone(season: SeasonPlan, terms: Terms, zones: int) -> Advice | None:
    """Of more zones, less has to be kept to spare for the loss of one; if it is likely to pay."""
    cost = terms.zone_usd_per_hour * season.hours
    saving = season.plan.total_usd - season.wider.total_usd - cost
    if saving <= 0.0:
        return None
    before, after = (
        np.sum(
            [
                cost_by_path(choice.used, choice.offer, season.hours, choice.bill.reserved)
                for choice in plan.chosen.values()
            ],
            axis=0,
        )
        for plan in (season.plan, season.wider)
    )
    costs = season.hours * np.linspace(*terms.zone_range, len(before))
    confidence = _share(after + costs < before)
    if confidence < 0.5:
        return None
    return Advice(
        kind=Kind.ADD_ZONE,
        service="",
        before=float(zones),
        after=float(zones + 1),
        cost_usd=cost,
        saving_usd=saving,
        confidence=confidence,
        evidence={
            "spare_share_before": 1.0 / (zones - 1) if zones > 1 else 0.0,
            "spare_share_after": 1.0 / zones,
            "usd_before": season.plan.total_usd,
            "usd_after": season.wider.total_usd + cost,
        },
    )


def _share(holds: FloatArray | np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> float:
    return float(np.mean(holds))


def _kept(used: Usage, most: int) -> float:
    """Share of the paths that never need more than `most`."""
    return _share(used.highest.max(axis=1) <= most)
