"""Single instances beside the others of their service: who is the odd one.

Requests are spread over the instances of a service, so their figures are alike; one that is not is
sick, whatever the whole service looks like.  All instances of all services are rows of one array,
and what the others of a row's service have is their median and their robust spread, so that a few
odd ones do not shift what is usual.  Nothing is learned: an instance may be a minute old.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.model import FloatArray, InstanceFigures

MAD = 1.4826
"""Standard deviations of a normal distribution for its median absolute deviation."""


class PeerFigures(NamedTuple):
    """Instances that have a fresh sample, those of each service together.

    `rows` (services + 1,) says where each service begins in `samples` (instances, fields).
    """

    names: tuple[str, ...]
    rows: NDArray[np.intp]
    samples: FloatArray

    @classmethod
    def of(
        cls,
        services: Sequence[str],
        instances: Mapping[str, InstanceFigures],
        oldest_s: float,
        newest_s: float,
    ) -> PeerFigures:
        """Those of `instances`, by service, with a sample of a time between (epoch seconds)."""
        names: list[str] = []
        parts: list[FloatArray] = []
        rows = [0]
        for service in services:
            own = instances.get(service)
            if own is not None and len(own.names):
                times = own.samples[:, 0]
                fresh = np.flatnonzero((times >= oldest_s) & (times <= newest_s))
                if len(fresh) == len(own.names):
                    names.extend(own.names)
                    parts.append(own.samples)
                else:
                    names.extend(own.names[k] for k in fresh.tolist())
                    parts.append(own.samples[fresh])
            rows.append(len(names))
        samples = np.concatenate(parts) if parts else np.zeros((0, 0))
        return cls(tuple(names), np.array(rows, np.intp), samples)

    def own(self, service: int) -> tuple[int, int]:
        """Where the rows of a service begin and end."""
        return int(self.rows[service]), int(self.rows[service + 1])


class PeerComparison(NamedTuple):
    """What is far from the others: `above` says in which direction that is bad news.

    `by` (instances,) is how far a value has to be from the median at least, and `times` how many
    times the median, for all or (instances,); 0 for no such limit.
    """

    values: FloatArray
    by: FloatArray
    times: FloatArray | float = 0.0
    above: bool = True


def odd(apart: PeerComparison, spreads: float) -> tuple[NDArray[np.bool_], float]:
    """Which values (instances,) of one service are odd, and their median; NaN is not odd."""
    values = apart.values
    ordered = np.sort(values[~np.isnan(values)])
    if not len(ordered):
        return np.zeros(len(values), np.bool_), math.nan
    median = _middle(ordered)
    spread = MAD * _middle(np.sort(np.abs(ordered - median)))
    away = values - median if apart.above else median - values
    with np.errstate(invalid="ignore"):
        far = away > np.maximum(apart.by, spreads * spread)
        if np.any(apart.times > 0.0):
            far &= values > apart.times * median if apart.above else values < median / apart.times
    return far, median


def _middle(ordered: FloatArray) -> float:
    """The median of values in their order; `numpy.median` takes ten times as long for so few."""
    half = len(ordered) // 2
    high = float(ordered[half])
    return high if len(ordered) % 2 else 0.5 * (high + float(ordered[half - 1]))
