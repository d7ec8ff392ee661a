"""Which instances of a fleet carry which ceremonies, and which of these are cut short.

A wedding stays on one instance for the phase of it that must not be cut: from the second in which
that begins, on one of those that are ready then.  Each wedding has one draw of its own, its place
among the ready instances, so another controller, which has other instances, changes no draw.

All weddings of a day are columns here, in the order of their beginnings.  Between two changes of
the fleet only those that began or ended meanwhile are looked at, so a hundred thousand weddings
cost a few hundred small array operations an hour and not one for each second.

Told is what a platform can know: since when an instance carries ceremonies, and until when those
that began should last, as they were booked.  When they really end only the drains find out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.model import FloatArray, VowLocks
from scenarios.weddings.population import Population

Rows = NDArray[np.intp]
NOWHERE = -1
"""The instance of a wedding that is on none."""
SHOWN_EVERY_S = 15.0
"""How often a platform looks which of its instances carry ceremonies."""


@dataclass(frozen=True, slots=True, eq=False)
class CeremonyTimes:
    """One phase of each wedding that takes place, in the order of `begins_s`; all (n,).

    Times are seconds from the window's start; `should_end_s` is the end by the booked length.
    """

    begins_s: FloatArray
    should_end_s: FloatArray
    ends_s: FloatArray


def ceremony_times(population: Population, phase: str) -> CeremonyTimes:
    """The `phase` of the weddings of `population`, as far as it touches the window.

    Raises ValueError where there is no such phase.
    """
    if phase not in population.phases:
        raise ValueError(
            f'carries.phase: "{phase}" is not allowed ({", ".join(population.phases)})'
        )
    k = population.phases.index(phase)
    begins_s, ends_s = population.actual_s[:, k], population.actual_s[:, k + 1]
    rows = np.flatnonzero(
        population.happens & (ends_s > begins_s) & (ends_s > 0) & (begins_s < population.duration_s)
    )
    rows = rows[np.argsort(begins_s[rows], kind="stable")]
    booked_s = population.booked_s[rows, k + 1] - population.booked_s[rows, k]
    begins = begins_s[rows].astype(np.float64)
    return CeremonyTimes(begins, begins + booked_s, ends_s[rows].astype(np.float64))


@dataclass(frozen=True, slots=True)
class Holding:
    """How a fleet lets go: `drains_s` without any ceremony, `limit_s` at most for the end of one.

    `waits`: whether draining waits at all.
    """

    drains_s: float
    limit_s: float
    waits: bool


class Carried:
    """The ceremonies on the instances of one fleet; instances are rows of the fleet's history.

    `rng` is asked for two draws a wedding: whether the service carries it, and where.
    """

    def __init__(
        self, times: CeremonyTimes, share: float, holding: Holding, rng: np.random.Generator
    ) -> None:
        drawn = rng.random((2, len(times.begins_s)))
        rows = np.flatnonzero(drawn[0] < share)
        self.holding = holding
        self._place = drawn[1][rows]
        self._begins_s = times.begins_s[rows]
        self._should_end_s = times.should_end_s[rows]
        self._ends_s = times.ends_s[rows]
        self._by_end = np.argsort(self._ends_s, kind="stable")
        self._end_times_s = self._ends_s[self._by_end]
        self._at = np.full(len(rows), NOWHERE, np.intp)
        self._begun = 0
        self._ended = 0
        self._nowhere = False
        """Whether any that is under way is on no instance."""
        self._cut = np.zeros(len(rows), np.bool_)
        self._lost = np.zeros(len(rows), np.bool_)
        self._ready: Rows = np.zeros(0, np.intp)
        self._count = np.zeros(64, np.int64)
        self._since_s = np.zeros(64)
        self._until_s = np.full(64, -math.inf)
        self._shown: VowLocks | None = None
        self._shown_s = 0.0
        self._held: list[tuple[Rows, float]] = []
        """Instances that drain for longer than usual, and from when on."""

    @property
    def begun(self) -> int:
        """Ceremonies that have begun on an instance so far."""
        return self._begun

    @property
    def cut(self) -> int:
        """Ceremonies that a step in ended on their instance, each once."""
        return int(np.count_nonzero(self._cut))

    @property
    def lost(self) -> int:
        """Ceremonies whose instance crashed, or was taken away by the provider, each once."""
        return int(np.count_nonzero(self._lost))

    def follow(self, now_s: float, ready: Rows) -> None:
        """The ready instances are now these; what began before did so on those from before."""
        self.advance(now_s)
        self._are_ready(ready)
        if self._nowhere:
            self._settle(now_s)

    def advance(self, now_s: float) -> None:
        """Let begin and end what does so by `now_s`."""
        begun = int(np.searchsorted(self._begins_s, now_s, side="right"))
        # What begins while none is ready waits for an instance.
        if begun > self._begun and len(self._ready):
            new = np.arange(self._begun, begun)
            self._begun = begun
            self._carry(new[self._ends_s[new] > now_s], now_s)
        ended = int(np.searchsorted(self._end_times_s, now_s, side="right"))
        if ended > self._ended:
            over = self._by_end[self._ended : ended]
            self._ended = ended
            self._let_go(over)

    def carries(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether each of the instances `rows` carries any ceremony."""
        self._room(rows)
        carries: NDArray[np.bool_] = self._count[rows] > 0
        return carries

    def locks(self, now_s: float, start_s: float) -> VowLocks:
        """What a platform tells at `now_s` of the ready instances, in epoch seconds.

        It looks anew when these change, and each `SHOWN_EVERY_S`.
        """
        if self._shown is None or now_s >= self._shown_s + SHOWN_EVERY_S:
            self.advance(now_s)
            rows = self._ready[self._count[self._ready] > 0]
            self._shown_s = now_s
            self._shown = VowLocks(
                start_s + self._since_s[rows], start_s + self._until_s[rows], self.holding.waits
            )
        return self._shown

    def taken_late(self, ready: Rows, now_s: float) -> FloatArray:
        """How late each of the instances `ready` is to be taken: free ones (0) first of all.

        Then follow those whose ceremonies should be over first; where what leaves does not wait for
        that, those that carry fewest and, of as many, that have carried some for the limit.
        """
        late = np.zeros(len(ready))
        if self.holding.limit_s > 0.0:
            carries = self.carries(ready)
            rows = ready[carries]
            if self.holding.waits:
                late[carries] = np.maximum(self._until_s[rows], now_s)
            else:
                stays = self._since_s[rows] + self.holding.limit_s > now_s
                late[carries] = self._count[rows] + 0.5 * stays
        return late

    def drains(self, leaving: Rows, now_s: float) -> Iterator[tuple[float, Rows]]:
        """After how long which of the instances `leaving` are gone.

        No ceremony begins on them any more, so when the last one ends is settled.
        """
        waits_s = np.full(len(leaving), self.holding.drains_s)
        if self.holding.waits:
            going_on = np.flatnonzero(
                (self._ends_s[: self._begun] > now_s) & np.isin(self._at[: self._begun], leaving)
            )
            last_s = np.full(len(self._count), -math.inf)
            np.maximum.at(last_s, self._at[going_on], self._ends_s[going_on])
            until_s = np.minimum(np.ceil(last_s[leaving]) - now_s, self.holding.limit_s)
            self._held.append((leaving[until_s > waits_s], now_s + self.holding.drains_s))
            waits_s = np.maximum(waits_s, until_s)
        for wait_s in np.unique(waits_s).tolist():
            yield wait_s, leaving[waits_s == wait_s]

    def held_s(self, ended_s: FloatArray, until_s: float) -> float:
        """Instance-seconds up to `until_s` of draining for the sake of ceremonies.

        `ended_s` is the end of every instance there ever was, infinite while it is there.
        """
        return sum(
            float(np.maximum(np.minimum(ended_s[rows], until_s) - from_s, 0.0).sum())
            for rows, from_s in self._held
        )

    def leave(self, rows: Rows, now_s: float, ready: Rows, *, stepped: bool) -> None:
        """The instances `rows` are gone; their ceremonies go on on others of the `ready` ones.

        `stepped`: they had been taken away by a step in.
        """
        self.advance(now_s)
        under_way = np.flatnonzero(
            (self._ends_s[: self._begun] > now_s) & np.isin(self._at[: self._begun], rows)
        )
        self._are_ready(ready)
        if not len(under_way):
            return
        (self._cut if stepped else self._lost)[under_way] = True
        self._let_go(under_way)
        self._at[under_way] = NOWHERE
        self._nowhere = True
        self._settle(now_s)

    def _settle(self, now_s: float) -> None:
        """What is on no instance goes to one, if there is any."""
        if not len(self._ready):
            return
        at, ends_s = self._at[: self._begun], self._ends_s[: self._begun]
        self._nowhere = False
        self._carry(np.flatnonzero((at == NOWHERE) & (ends_s > now_s)), now_s)

    def _carry(self, which: Rows, now_s: float) -> None:
        """Put ceremonies on the ready instances."""
        at = self._ready[(self._place[which] * len(self._ready)).astype(np.intp)]
        self._at[which] = at
        free = at[self._count[at] == 0]
        self._since_s[free], self._until_s[free] = now_s, -math.inf
        np.add.at(self._count, at, 1)
        np.maximum.at(self._until_s, at, self._should_end_s[which])

    def _let_go(self, which: Rows) -> None:
        at = self._at[which]
        np.subtract.at(self._count, at[at != NOWHERE], 1)

    def _are_ready(self, ready: Rows) -> None:
        self._room(ready)
        self._ready = ready
        self._shown = None

    def _room(self, rows: Rows) -> None:
        """Let there be an entry for each of the instances `rows`."""
        need = int(rows.max(initial=-1)) + 1
        if need > len(self._count):
            more = max(need, 2 * len(self._count)) - len(self._count)
            self._count = np.concatenate((self._count, np.zeros(more, np.int64)))
            self._since_s = np.concatenate((self._since_s, np.zeros(more)))
            self._until_s = np.concatenate((self._until_s, np.full(more, -math.inf)))
