"""What counters grew by since the engine began, for the figures of a whole run."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from engine.ingest.figures import Sorted, grown, quantile_of
from engine.ingest.settings import FigureRule
from engine.ingest.watching import SeriesWatch

GRACE_S = 30.0
"""A counter that is first seen so soon after the beginning was counting before it; one that comes
later began within the run, at 0."""
MOST_MARKS = 100

Grown = dict[str, dict[tuple[int, float], float]]
"""By total: growth by service and upper bound (NaN has no place here: 0 where there is none)."""


class Growth:
    """Adds up what the counters of `totals` grow by; marks let it say so of a time between."""

    def __init__(self, totals: Mapping[str, FigureRule], watch: SeriesWatch) -> None:
        self._totals = dict(totals)
        self._watch = watch
        self._begun_s = math.nan
        self._last_ms = np.zeros(0, np.int64)
        self._last = np.zeros(0)
        self._since = np.zeros(0, np.int64)
        self._grown: Grown = {name: {} for name in totals}
        self._marks: list[tuple[float, Grown]] = []
        self._by_place = np.zeros(0)
        """What was counted since the last `settle`."""

    def add(self, samples: Sorted, now_s: float) -> None:
        """Count what is new in `samples`; it is in no total before `settle`."""
        if not self._totals or not len(samples.keys):
            return
        if math.isnan(self._begun_s):
            self._begun_s = now_s
        count = len(self._watch.series_at)
        more = np.zeros(count - len(self._last), np.int64)
        self._last_ms = np.concatenate((self._last_ms, more))
        self._last = np.concatenate((self._last, more.astype(np.float64)))
        since = np.array(self._watch.since[:count], np.int64)
        others = since != np.concatenate((self._since, more))
        self._last_ms[others], self._last[others] = 0, 0.0  # another series has got the place
        self._since = since
        new = (samples.at_ms > self._last_ms[samples.places]) & ~samples.ended
        new &= np.isfinite(samples.values)
        places, at_ms, values = samples.places[new], samples.at_ms[new], samples.values[new]
        if not len(places):
            return
        first = np.ones(len(places), np.bool_)
        first[1:] = places[1:] != places[:-1]
        before = np.empty(len(places))
        before[1:] = values[:-1]
        before[first] = self._last[places[first]]
        steps = grown(before, values)
        unseen = first & (self._last_ms[places] == 0)
        steps[unseen] = values[unseen] if now_s > self._begun_s + GRACE_S else 0.0
        by_place = np.bincount(places, weights=steps, minlength=count).astype(
            np.float64, copy=False
        )
        by_place[: len(self._by_place)] += self._by_place
        self._by_place = by_place
        last = np.ones(len(places), np.bool_)
        last[:-1] = places[1:] != places[:-1]
        self._last_ms[places[last]], self._last[places[last]] = at_ms[last], values[last]

    def settle(self) -> None:
        """Put what was counted into the totals, of which a place may be in several."""
        by_place, self._by_place = self._by_place, np.zeros(0)
        if not by_place.any():
            return
        for name, config in self._totals.items():
            members = self._watch.selection(config).members
            for place, service, bound in zip(
                members.places, members.services, members.bounds, strict=True
            ):
                if place < len(by_place) and by_place[place]:
                    key = (service, bound if config.take == "quantile" else 0.0)
                    self._grown[name][key] = self._grown[name].get(key, 0.0) + by_place[place]

    def between(self, begin_s: float, end_s: float, services: int) -> dict[str, list[float]]:
        """Each total by service, NaN where it is not known, from a mark at `begin_s` until now.

        Now is a mark, at `end_s`, from then on.
        """
        near = [mark for mark in self._marks if abs(mark[0] - begin_s) < 1.0]
        base = near[-1][1] if near else {}
        self._marks.append((end_s, {name: dict(by) for name, by in self._grown.items()}))
        del self._marks[:-MOST_MARKS]
        return {
            name: [
                self._total(config, by, base.get(name, {}), service) for service in range(services)
            ]
            for (name, config), by in zip(self._totals.items(), self._grown.values(), strict=True)
        }

    def _total(
        self, config: FigureRule, now: Mapping[tuple[int, float], float],
        base: Mapping[tuple[int, float], float], service: int,
    ) -> float:  # fmt: skip
        grew = {
            bound: value - base.get((whose, bound), 0.0)
            for (whose, bound), value in now.items() if whose == service
        }  # fmt: skip
        if not grew:
            there = service in self._watch.selection(config).members.services
            return 0.0 if there and config.take != "quantile" else math.nan
        if config.take != "quantile" or config.quantile is None:
            return sum(grew.values())
        bounds = np.array(sorted(grew))
        counts = np.array([grew[bound] for bound in bounds.tolist()])
        return quantile_of(config.quantile, bounds, np.zeros(len(bounds), np.int64), counts)
