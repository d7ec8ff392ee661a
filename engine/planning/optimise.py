"""The cheapest plan of all services together: an instance size and a reserved base for each.

The base of a service and size is exact by itself (`purchase`).  What couples the services is the
account's quota: the limits of all services have to fit into it in each month.  With one binary
variable for each service and size this is a multiple-choice knapsack, solved to optimality by
SciPy's HiGHS.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, sparse

from engine.model import FloatArray
from engine.planning.needs import WholeNumbers
from engine.planning.purchase import Bill, Offer, Usage, best_base, bill, fixed_usd


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    """A service at one instance size: `factor` times as large as today, its use and its best bill.

    `allowed` is false where a month needs more than can be had (a stateful service's limit).
    """

    factor: float
    offer: Offer
    used: Usage
    bill: Bill
    allowed: bool


@dataclass(frozen=True, slots=True, eq=False)
class CapacityPlan:
    """An option for each service; `quota` is the least that it needs in any month."""

    chosen: Mapping[str, Option]
    total_usd: float
    quota: int


@dataclass(frozen=True, slots=True)
class Alternatives:
    """What else could be bought with today's instance sizes and the same limits, USD."""

    on_demand_usd: float
    static_on_demand_usd: float
    static_reserved_usd: float


def option(
    factor: float, used: Usage, offer: Offer, hours: float, *, most_allowed: float = math.inf
) -> Option:
    """The size with its best base."""
    reserved = best_base(used, offer, hours)
    return Option(
        factor, offer, used, bill(used, offer, hours, reserved), used.most <= most_allowed
    )


def cheapest(
    options: Mapping[str, Sequence[Option]], quota: float = math.inf
) -> CapacityPlan | None:
    """The cheapest choice of one allowed option a service within `quota`; None if there is none.

    Of options that cost the same, the first is taken.
    """
    names = list(options)
    flat = [(i, choice) for i, name in enumerate(names) for choice in options[name]]
    cost = np.array([choice.bill.total_usd for _, choice in flat])
    one_each = sparse.csr_array(
        (np.ones(len(flat)), ([i for i, _ in flat], np.arange(len(flat)))),
        shape=(len(names), len(flat)),
    )
    constraints = [optimize.LinearConstraint(one_each, 1.0, 1.0)]
    if math.isfinite(quota):
        limits = np.stack([choice.used.maximum for _, choice in flat], axis=1)
        constraints.append(optimize.LinearConstraint(limits.astype(np.float64), -np.inf, quota))
    upper = np.array([float(choice.allowed) for _, choice in flat])
    solution = optimize.milp(
        cost * (1.0 + 1e-12 * np.arange(len(flat))),
        integrality=np.ones(len(flat)),
        bounds=optimize.Bounds(0.0, upper),
        constraints=constraints,
        options={"mip_rel_gap": 0.0},
    )
    if not solution.success:
        return None
    taken = {names[i]: choice for (i, choice), x in zip(flat, solution.x, strict=True) if x > 0.5}
    return plan_of(taken)


def plan_of(chosen: Mapping[str, Option]) -> CapacityPlan:
    """The plan of these choices."""
    return CapacityPlan(
        chosen=chosen,
        total_usd=math.fsum(choice.bill.total_usd for choice in chosen.values()),
        quota=int(monthly_limits(chosen).max()),
    )


def monthly_limits(chosen: Mapping[str, Option]) -> WholeNumbers:
    """Instances of all services together that the limits of each month allow, (months,)."""
    limits: WholeNumbers = np.sum([choice.used.maximum for choice in chosen.values()], axis=0)
    return limits


def alternatives(today: Mapping[str, Option], hours: float) -> Alternatives:
    """What the plan has to beat: all on demand, and a fixed fleet for the highest month."""
    return Alternatives(
        on_demand_usd=math.fsum(
            bill(choice.used, choice.offer, hours, 0).total_usd for choice in today.values()
        ),
        static_on_demand_usd=math.fsum(
            fixed_usd(choice.used, hours, choice.offer.on_demand_per_hour)
            for choice in today.values()
        ),
        static_reserved_usd=math.fsum(
            choice.used.most * choice.offer.commitment_usd(hours) for choice in today.values()
        ),
    )


def exceeding(chosen: Mapping[str, Option], highest: Mapping[str, WholeNumbers]) -> FloatArray:
    """Share of the paths in which some service's need exceeds its limit, in each month, (months,).

    `highest[service]` (paths, months) is what each month takes at the most.
    """
    short = [highest[name] > choice.used.maximum[None, :] for name, choice in chosen.items()]
    share: FloatArray = np.any(short, axis=0).mean(axis=0)
    return share
