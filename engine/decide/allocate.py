"""Who gets what the budget and the quota still allow: by urgency, then to what users wait for.

Emergencies come first, then rollbacks, what people asked for, wedding floors, and last what is
forecast or reacted to.  Falls cost nothing.  A rise that will wait for a person's approval takes
nothing from those that need not wait.  What somebody wants past budget and quota is had, and the
others pay for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from engine.decide.approvals import category, released
from engine.decide.observe import Seen
from engine.decide.recommend.manual import overrides
from engine.decide.restraints import Allowed
from engine.memory import ServiceMemory
from engine.model import (
    Action,
    Approval,
    Budget,
    Category,
    Reason,
    ServiceObservation,
    ServiceSpec,
)
from engine.settings import ApprovalSettings

EXHAUSTED = "the budget or the account's quota is used up"
ROUNDING = 1e-9

RANKS: Mapping[Reason, int] = {
    Reason.EMERGENCY: 0,
    Reason.ROLLBACK: 1,
    Reason.BOUNDS: 2,
    Reason.MANUAL: 2,
    Reason.WEDDING_FLOOR: 3,
}
"""Urgency of a reason, the most urgent first; all others are as urgent as a forecast."""
FORECAST_RANK, PEOPLES_RANK, WAITING_RANK = 4, 2, 5


class Purse(NamedTuple):
    """What the budget (USD/h) and the quota (instances) still allow in this step."""

    usd_per_hour: float
    instances: float

    def affords(self, spec: ServiceSpec, added: int) -> int:
        """How many of `added` instances of `spec` can be paid."""
        allowed = min(float(added), self.instances)
        if spec.price_per_hour > 0.0:
            allowed = min(allowed, self.usd_per_hour / spec.price_per_hour)
        return max(0, int(allowed + ROUNDING))

    def less(self, spec: ServiceSpec, added: int) -> Purse:
        """The purse after `added` instances of `spec` were paid."""
        return Purse(self.usd_per_hour - added * spec.price_per_hour, self.instances - float(added))


class Granted(NamedTuple):
    """The count that a service gets, and what of an approved action (`released`) is among it."""

    target: int
    why: str
    released: Action | None


def purse(
    services: Iterable[ServiceObservation],
    budget: Budget,
    memories: Mapping[str, ServiceMemory],
    now_s: float,
) -> Purse:
    """The rest of `budget` once all that is desired, or was sent and may yet be, is paid."""
    usd = count = 0.0
    for service in services:
        wanted = service.desired
        memory = memories.get(service.spec.name)
        if memory is not None:
            wanted = memory.at_most(wanted, now_s)
        usd += wanted * service.spec.price_per_hour
        usd += service.warm_desired * service.spec.warm_price_per_hour
        count += wanted
    return Purse(budget.usd_per_hour - usd, budget.instances - count)


def allocate(
    seen: Sequence[Seen],
    allowed: Sequence[Allowed],
    approvals: Mapping[str, Approval],
    *,
    rest: Purse,
    now_s: float,
    settings: ApprovalSettings,
) -> tuple[Granted, ...]:
    """What each service gets of the `rest` of the purse."""
    granted = []
    rises = []
    for place, (one, may) in enumerate(zip(seen, allowed, strict=True)):
        approved = released(one, may.target, may.most, approvals, now_s=now_s)
        target = may.target if approved is None else approved.to_instances
        granted.append(Granted(target, may.why, approved))
        if target > one.service.desired:
            rises.append((_rank(one, may, approved, settings), not one.traits.waited_for, place))
    for _, _, place in sorted(rises):
        one, wanted = seen[place], granted[place]
        spec, current = one.traits.spec, one.service.desired
        added = wanted.target - current
        if wanted.released is not None or not overrides(allowed[place].chosen, current):
            added = rest.affords(spec, added)
        rest = rest.less(spec, added)
        if current + added < wanted.target:
            why = f"{wanted.why}; {EXHAUSTED}" if wanted.why else EXHAUSTED
            granted[place] = Granted(current + added, why, wanted.released)
    return tuple(granted)


def _rank(seen: Seen, allowed: Allowed, approved: Action | None, settings: ApprovalSettings) -> int:
    if approved is not None:
        return min(RANKS.get(approved.reason, FORECAST_RANK), PEOPLES_RANK)
    chosen = allowed.chosen
    if chosen is None:
        return FORECAST_RANK
    added = allowed.target - seen.service.desired
    cost_per_hour = added * seen.traits.spec.price_per_hour
    asked = category(chosen.reason, added, cost_per_hour, chosen.confidence, settings=settings)
    if asked is Category.NEEDS_APPROVAL:
        return WAITING_RANK
    return RANKS.get(chosen.reason, FORECAST_RANK)
