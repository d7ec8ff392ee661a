"""From weddings to instances: what a season needs, hour by hour, in many ways that it may go.

The season's uncertainty is carried as paths: each is one way in which bookings, growth and the
days' responses may turn out.  A quantile over paths keeps what belongs together together: a good
year is good in June *and* in July, and the highest hour of a month is one hour of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.decide.callgraph import critical_services
from engine.decide.sizing import Sizing, risk_score, sizing
from engine.model import FloatArray, ServiceSpec
from engine.planning.profile import Profile
from engine.settings import EngineSettings

DAY_HOURS = 24
WholeNumbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Horizon:
    """The dates that are planned for and the loads of one wedding on each.

    `profiles` has one hourly profile a date, `month` (dates,) and `week` (dates,) say to which
    month and week (counted from 0) each belongs; `reach` is `profile.reach` of the services.
    """

    profiles: Sequence[Profile]
    month: WholeNumbers
    week: WholeNumbers
    reach: FloatArray

    @property
    def days(self) -> int:
        """Number of dates."""
        return len(self.profiles)

    @property
    def hours(self) -> int:
        """Number of hours."""
        return DAY_HOURS * self.days

    @property
    def months(self) -> int:
        """Number of months."""
        return int(self.month[-1]) + 1


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """Ways in which the season may go.

    `weddings` (paths, dates) that take place; `response` (paths, dates, services) requests at each
    entry per participant over what is usual.
    """

    weddings: FloatArray
    response: FloatArray

    def __len__(self) -> int:
        return len(self.weddings)


def load_of(service: int, horizon: Horizon, paths: Paths) -> FloatArray:
    """Highest rate (1/s) that arrives at `service` in each hour, shape (paths, hours)."""
    total = np.zeros((len(paths), horizon.days, DAY_HOURS))
    for entry in np.flatnonzero(horizon.reach[service]):
        total += horizon.reach[service, entry] * _entering(int(entry), horizon, paths)
    return total.reshape(len(paths), horizon.hours)


def in_progress(horizon: Horizon, paths: Paths) -> FloatArray:
    """Most weddings in progress at once in each hour, shape (paths, hours)."""
    by_day = np.stack([profile.in_progress for profile in horizon.profiles])
    return _spread(paths.weddings, by_day).reshape(len(paths), horizon.hours)


@dataclass(frozen=True, slots=True)
class Staffing:
    """How the engine staffs a service: its `sizing`, and never fewer than `least`.

    `headroom` (>= 1) is what it adds to the load that it expects, as it cannot know the next
    minutes exactly: the quantile of the noise that its accepted risk leaves.
    """

    sizing: Sizing
    headroom: float
    least: int

    def instances(self, load: FloatArray) -> WholeNumbers:
        """Instances that the engine asks for when it expects `load` (1/s, any shape)."""
        counts = self.sizing.needed_along(load * self.headroom, load)
        return np.maximum(counts, float(self.least)).astype(np.int64)

    def carries(self, most: int) -> float:
        """Highest load (1/s) for which the engine asks for no more than `most`, by bisection."""
        low, high = 0.0, most / self.sizing.instances_per_rate
        for _ in range(60):
            middle = (low + high) / 2.0
            within = self.sizing.needed(middle * self.headroom, middle) <= most
            low, high = (middle, high) if within else (low, middle)
        return low


def staffing(
    spec: ServiceSpec, specs: Sequence[ServiceSpec], settings: EngineSettings, noise_sigma: float
) -> Staffing:
    """How the engine staffs `spec`, one of `specs`, under noise of this log-standard deviation."""
    critical = spec.name in critical_services(specs)
    return Staffing(
        sizing=sizing(spec, settings.capacity, critical=critical),
        headroom=math.exp(risk_score(settings.forecast, critical=critical) * noise_sigma),
        least=spec.min_instances,
    )


def monthly_highest(values: NDArray[np.generic], horizon: Horizon) -> NDArray[np.generic]:
    """Highest of (paths, hours) in each month, shape (paths, months)."""
    return _highest_by(values, horizon.month)


def weekly_highest(values: NDArray[np.generic], horizon: Horizon) -> NDArray[np.generic]:
    """Highest of (paths, hours) in each week, shape (paths, weeks)."""
    return _highest_by(values, horizon.week)


def quantile(values: NDArray[np.generic], level: float) -> NDArray[np.generic]:
    """Smallest of the values (paths, n) that at most 1 - `level` of the paths exceed, (n,)."""
    ordered = np.sort(values, axis=0)
    allowed = int((1.0 - level) * len(ordered) + 1e-9)
    value: NDArray[np.generic] = ordered[len(ordered) - 1 - allowed]
    return value


def joint_peaks(tops: FloatArray, risk: float) -> FloatArray:
    """Rates (services, months) that no service exceeds in at least 1 - `risk` of the paths.

    `tops` (services, paths, months) are the highest rates of each month.  In each month all
    services get the same quantile of their own, the lowest for which the paths in which *any* of
    them is exceeded are no more than accepted.
    """
    _, count, months = tops.shape
    ordered = np.sort(tops, axis=1)
    accepted = int(risk * count + 1e-9)
    peaks = ordered[:, -1].copy()
    for month in range(months):
        for above in range(accepted, 0, -1):
            level = ordered[:, count - 1 - above, month]
            exceeded = np.any(tops[:, :, month] > level[:, None], axis=0)
            if np.count_nonzero(exceeded) <= accepted:
                peaks[:, month] = level
                break
    return peaks


def _highest_by(values: NDArray[np.generic], group: WholeNumbers) -> NDArray[np.generic]:
    starts = DAY_HOURS * np.flatnonzero(np.diff(group, prepend=-1))
    return np.maximum.reduceat(values, starts, axis=1)


def _entering(entry: int, horizon: Horizon, paths: Paths) -> FloatArray:
    weddings = np.stack([profile.entering[entry] for profile in horizon.profiles])
    background = np.stack([profile.background[entry] for profile in horizon.profiles])
    response = paths.response[:, :, entry]
    load = _spread(paths.weddings * response, weddings)
    load += response[:, :, None] * background[None]
    return load


def _spread(amounts: FloatArray, by_day: FloatArray) -> FloatArray:
    """(paths, dates) times (dates, 48) as (paths, dates, 24): a date runs into the next one."""
    total = amounts[:, :, None] * by_day[None, :, :DAY_HOURS]
    total[:, 1:] += amounts[:, :-1, None] * by_day[None, :-1, DAY_HOURS:]
    return total
