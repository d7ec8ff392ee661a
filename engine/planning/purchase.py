"""How many instances to reserve, and what a service then costs.

An hour's n-th instance is either reserved for the whole term or paid for on demand when it is
needed.  Its reservation pays off exactly if it is needed for more hours than the reservation's
price buys on demand; the first instances are needed the most, so the best base is the number of
those for which that is so.  This is the newsvendor's quantile (Arrow, Harris & Marschak 1951), here
of the hours' needs over all paths: exact, without a search.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.model import FloatArray
from engine.planning.needs import Horizon, Staffing, WholeNumbers, monthly_highest


@dataclass(frozen=True, slots=True)
class Offer:
    """What one instance costs: USD per hour on demand, and reserved for `term_hours` at a time.

    `reserved_low` and `reserved_high` are the plausible range of the reserved price.
    """

    on_demand_per_hour: float
    reserved_per_hour: float
    term_hours: float
    reserved_low: float
    reserved_high: float

    def times(self, factor: float) -> Offer:
        """An instance `factor` times as large: prices grow with the size."""
        return Offer(
            on_demand_per_hour=factor * self.on_demand_per_hour,
            reserved_per_hour=factor * self.reserved_per_hour,
            term_hours=self.term_hours,
            reserved_low=factor * self.reserved_low,
            reserved_high=factor * self.reserved_high,
        )

    def commitment_usd(self, hours: float) -> float:
        """Price of one reserved instance over a horizon: whole terms are paid for."""
        return self.reserved_per_hour * max(self.term_hours, hours)


@dataclass(frozen=True, slots=True, eq=False)
class Usage:
    """What a service holds over the horizon, never more than the month's `maximum` (months,).

    `by_month` (months, most + 1) and `by_path` (paths, most + 1) say for how many hours exactly
    0, 1, … instances are held: expected, and in each path.  `highest` (paths, months) is what each
    month would take at the most.
    """

    maximum: WholeNumbers
    by_month: FloatArray
    by_path: FloatArray
    highest: WholeNumbers

    @property
    def most(self) -> int:
        """Highest maximum of all months."""
        return int(self.maximum.max())


@dataclass(frozen=True, slots=True, eq=False)
class Bill:
    """A service's cost over the horizon, USD, expected.

    `reserved_usd` for the base of `reserved` instances, `on_demand_usd` (months,) above it.
    """

    reserved: int
    reserved_usd: float
    on_demand_usd: FloatArray

    @property
    def total_usd(self) -> float:
        """Both together."""
        return self.reserved_usd + float(self.on_demand_usd.sum())


def usage(
    load: FloatArray,
    horizon: Horizon,
    staffing: Staffing,
    peaks: FloatArray,
) -> Usage:
    """What a load (paths, hours; 1/s) takes with limits for `peaks` (months,; 1/s)."""
    highest = staffing.instances(np.asarray(monthly_highest(load, horizon), dtype=np.float64))
    maximum = staffing.instances(peaks)
    ceiling = np.repeat(maximum[horizon.month], 24)
    held = np.minimum(staffing.instances(load), ceiling)
    most = int(maximum.max())
    rows = np.arange(len(load))[:, None] * (most + 1)
    by_path = np.bincount((rows + held).ravel(), minlength=len(load) * (most + 1))
    month = np.repeat(horizon.month, 24) * (most + 1)
    by_month = np.bincount((month + held).ravel(), minlength=horizon.months * (most + 1))
    return Usage(
        maximum=maximum,
        by_month=by_month.reshape(-1, most + 1) / len(load),
        by_path=by_path.reshape(-1, most + 1).astype(np.float64),
        highest=highest,
    )


def hours_used(held: FloatArray) -> FloatArray:
    """For how many hours the 1st, 2nd, … instance is needed, from (…, most + 1) hours by count."""
    used: FloatArray = np.cumsum(held[..., ::-1], axis=-1)[..., ::-1][..., 1:]
    return used


def best_base(used: Usage, offer: Offer, hours: float) -> int:
    """The number of instances that it pays to reserve over a horizon of `hours`."""
    needed = hours_used(used.by_month.sum(axis=0))
    pays = needed * offer.on_demand_per_hour > offer.commitment_usd(hours)
    return int(np.count_nonzero(pays))


def bill(used: Usage, offer: Offer, hours: float, reserved: int) -> Bill:
    """What it costs to reserve that many and to pay for the rest on demand."""
    above = hours_used(used.by_month)[:, reserved:]
    return Bill(
        reserved=reserved,
        reserved_usd=reserved * offer.commitment_usd(hours),
        on_demand_usd=offer.on_demand_per_hour * above.sum(axis=1),
    )


def fixed_usd(used: Usage, hours: float, price_per_hour: float) -> float:
    """What a fleet of a fixed size costs that is large enough for the highest month."""
    return used.most * hours * price_per_hour


def cost_by_path(used: Usage, offer: Offer, hours: float, reserved: int) -> FloatArray:
    """What a base of `reserved` and the rest on demand costs in each path, USD, (paths,)."""
    above = hours_used(used.by_path)[:, reserved:].sum(axis=1)
    cost: FloatArray = above * offer.on_demand_per_hour + reserved * offer.commitment_usd(hours)
    return cost


def saving_by_path(used: Usage, offer: Offer, hours: float, reserved: int) -> FloatArray:
    """What the base saves over paying on demand in each path, USD, (paths,); may be negative.

    Each path has a reserved price of its own, evenly spread over the plausible range: paths are in
    no order, so this is a stratified draw.
    """
    covered = hours_used(used.by_path)[:, :reserved].sum(axis=1)
    prices = np.linspace(offer.reserved_low, offer.reserved_high, len(used.by_path))
    saving: FloatArray = covered * offer.on_demand_per_hour - reserved * prices * max(
        offer.term_hours, hours
    )
    return saving
