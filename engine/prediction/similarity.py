"""Similar weddings of the past: a k-nearest-neighbour search over what is known when one is booked.

Two weddings are alike when size, vendors, type, weekday and month are.  Distances are in units of
what makes a difference: sizes by their ratio, months round the year, days by whether they are
Saturday, Friday, Sunday or another.  What similar weddings did is scaled by the number of people.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from engine.model import FloatArray

NEIGHBOURS = 50
CURVE_BINS = 36
CURVE_BIN_S = 1800.0
CURVE_BEFORE_S = 3600.0
"""A wedding's curve is its load in half hours, from an hour before its first phase on."""
SIZE_UNIT = 0.15
"""Sizes that differ by 15 % are one unit apart: within it load per person is much the same."""
VENDOR_UNIT = 5.0
TYPE_UNIT, DAY_UNIT, MONTH_UNIT = 1.0, 0.5, 0.5
CLOSE = 1.0
"""Neighbours within this distance are close."""
WEEKDAY_KIND = np.array([0, 0, 0, 0, 1, 2, 3])
TYPES = 4

Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class WeddingTraits:
    """What is known of n weddings when they are booked.

    `type_id` (n,) in the order of `WeddingType`, `guests`, `vendors`, `weekday` (Monday 0) and
    `month` (1-12) (n,).
    """

    type_id: Codes
    guests: FloatArray
    vendors: FloatArray
    weekday: Codes
    month: Codes

    def __len__(self) -> int:
        return len(self.type_id)

    @property
    def people(self) -> FloatArray:
        """Booked people (n,): the couple, guests and vendors."""
        total: FloatArray = 2.0 + self.guests + self.vendors
        return total

    def taken(self, rows: NDArray[np.intp]) -> WeddingTraits:
        """The weddings of `rows`."""
        return WeddingTraits(
            self.type_id[rows],
            self.guests[rows],
            self.vendors[rows],
            self.weekday[rows],
            self.month[rows],
        )

    def position(self) -> FloatArray:
        """Where they lie (n, d): distances between these are the search's."""
        kinds = WEEKDAY_KIND[self.weekday]
        angle = 2.0 * np.pi * (self.month - 1) / 12.0
        return np.column_stack(
            (
                np.log1p(self.guests) / SIZE_UNIT,
                self.vendors / VENDOR_UNIT,
                (self.type_id[:, None] == np.arange(TYPES)) * (TYPE_UNIT / np.sqrt(2.0)),
                (kinds[:, None] == np.arange(4)) * (DAY_UNIT / np.sqrt(2.0)),
                np.cos(angle) * MONTH_UNIT,
                np.sin(angle) * MONTH_UNIT,
            )
        )


@dataclass(frozen=True, slots=True, eq=False)
class PastWeddings:
    """Weddings that were booked and are over, cancelled at the last moment or not.

    `day` (n,) numbers the dates; `curves` (n, services, CURVE_BINS) requests/s that each made at
    the services where users enter, in the half hours around its booked times.
    """

    services: tuple[str, ...]
    traits: WeddingTraits
    day: Codes
    curves: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The neighbours of n weddings: `rows` (n, k), `weight` (n, k) adding up to 1.

    `close` (n,) is how many of them are within `CLOSE`, `confidence` (n,) 0-1.
    """

    rows: NDArray[np.intp]
    weight: FloatArray
    close: Codes
    confidence: FloatArray


class Similar:
    """The search over `past`; with an empty past it finds nothing."""

    def __init__(self, past: PastWeddings) -> None:
        self.past = past
        self._count = min(NEIGHBOURS, len(past.traits))
        self._search = None
        if self._count:
            self._search = NearestNeighbors(n_neighbors=self._count, algorithm="kd_tree")
            self._search.fit(past.traits.position())

    def find(self, traits: WeddingTraits) -> Neighbours:
        """The most similar weddings of each of `traits`, and how sure that makes one.

        Confidence is the mean closeness exp(-d²/2) of the neighbours times c / (c + 5) with c of
        them close: it is high only where there are many and they are near.
        """
        count = len(traits)
        if self._search is None or not count:
            nothing = np.zeros((count, 0))
            return Neighbours(
                nothing.astype(np.intp), nothing, np.zeros(count, dtype=np.int64), np.zeros(count)
            )
        distance, rows = self._search.kneighbors(traits.position())
        closeness = np.exp(-0.5 * distance**2)
        # Where none is near the nearest ones still say most, so weights are relative to them.
        weight = np.exp(-0.5 * (distance**2 - distance[:, :1] ** 2))
        weight /= weight.sum(axis=1, keepdims=True)
        close = (distance <= CLOSE).sum(axis=1)
        confidence = closeness.mean(axis=1) * close / (close + 5.0)
        return Neighbours(rows, weight, close.astype(np.int64), confidence)

    def mean_curves(self, traits: WeddingTraits, neighbours: Neighbours) -> FloatArray:
        """Expected load (n, services, CURVE_BINS), the neighbours' scaled to the people booked."""
        ratio = traits.people[:, None] / self.past.traits.people[neighbours.rows]
        weight = (neighbours.weight * ratio).astype(np.float32)
        mean = np.einsum("nk,nksb->nsb", weight, self.past.curves[neighbours.rows])
        return np.asarray(mean, dtype=np.float64)

    def curve_quantiles(
        self, traits: WeddingTraits, neighbours: Neighbours, levels: FloatArray
    ) -> FloatArray:
        """Quantiles (services, CURVE_BINS, levels) of one wedding's load: its neighbours'."""
        rows, weight = neighbours.rows[0], neighbours.weight[0]
        ratio = traits.people[0] / self.past.traits.people[rows]
        curves = self.past.curves[rows] * ratio[:, None, None]
        order = np.argsort(curves, axis=0)
        ordered = np.take_along_axis(curves, order, axis=0)
        reached = np.cumsum(weight[order], axis=0) - 0.5 * weight[order]
        shape = (*curves.shape[1:], len(levels))
        result = np.empty(shape)
        for s in range(shape[0]):
            for b in range(shape[1]):
                result[s, b] = np.interp(levels, reached[:, s, b], ordered[:, s, b])
        return result
