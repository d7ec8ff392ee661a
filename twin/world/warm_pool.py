"""Instances of one service that are held warm: preparing -> held -> launched, or let go.

As a warm pool of an autoscaling group or stopped replicas are: an instance boots once, at the full
price, and is then held for a share of it until a launch takes it.  What is taken, or lost with its
zone, is prepared anew.  A launch takes those of the zones that have fewest instances first.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import simpy

from engine.model import ServiceSpec

RETRY_S = 30.0
"""After so long what could not be prepared is asked for again."""


@dataclass(slots=True, eq=False)
class _Warm:
    """One of them: when it was asked for, when it is prepared, and when it ended."""

    zone: int
    asked_s: float
    held_s: float
    ended_s: float = math.inf


class WarmPool:
    """What is held warm of one service, which has to offer it.

    `place` says in which zones so many new ones go, as far as the provider has any.
    """

    def __init__(
        self,
        env: simpy.Environment,
        spec: ServiceSpec,
        rng: np.random.Generator,
        place: Callable[[int, Counter[int]], Sequence[int]],
    ) -> None:
        if spec.warm is None:
            raise ValueError(f"{spec.name} offers nothing warm")
        self.offer = spec.warm
        self.desired = 0
        self.boot_factor = 1.0
        self._env = env
        self._spec = spec
        self._rng = rng
        self._place = place
        self._now: list[_Warm] = []
        """Those that there are, the oldest first."""
        self._over: list[_Warm] = []
        self._retrying = False

    @property
    def held(self) -> int:
        """How many could be launched now."""
        return sum(one.held_s <= self._env.now for one in self._now)

    @property
    def preparing(self) -> int:
        """How many are on their way to that."""
        return len(self._now) - self.held

    def want(self, count: int) -> None:
        """Set the desired count, and prepare what is missing or let go what is too much."""
        self.desired = count
        self.reconcile()

    def reconcile(self) -> None:
        """Prepare what is missing; let go what is too much, the last prepared first."""
        missing = self.desired - len(self._now)
        if missing < 0:
            self._end(sorted(self._now, key=lambda one: one.held_s)[missing:])
        elif missing > 0:
            zones = self._place(missing, Counter(one.zone for one in self._now))
            boots = self._boots(len(zones))
            now_s = self._env.now
            self._now += [
                _Warm(zone, now_s, now_s + math.ceil(boot_s))
                for zone, boot_s in zip(zones, boots.tolist(), strict=True)
            ]
            if len(zones) < missing and not self._retrying:
                self._retrying = True
                self._env.process(self._ask_again())

    def take(self, most: int, serving: Mapping[int, int]) -> list[int]:
        """Take up to `most` that are held for a launch; returns the zone of each.

        `serving` are the instances by zone that can be launched in.
        """
        there = Counter(serving)
        taken: list[_Warm] = []
        free = [one for one in self._now if one.held_s <= self._env.now and one.zone in serving]
        for _ in range(min(most, len(free))):
            one = min(free, key=lambda each: there[each.zone])
            free.remove(one)
            there[one.zone] += 1
            taken.append(one)
        self._end(taken)
        return [one.zone for one in taken]

    def lose_zone(self, zone: int) -> int:
        """Take away what is in a zone; returns how many these are."""
        lost = [one for one in self._now if one.zone == zone]
        self._end(lost)
        return len(lost)

    def usd(self, until_s: float) -> float:
        """What all of them cost up to `until_s`: at full price until prepared, then the share."""
        seconds = 0.0
        for one in (*self._over, *self._now):
            end_s = min(one.ended_s, until_s)
            boot_s = max(min(end_s, one.held_s) - one.asked_s, 0.0)
            seconds += boot_s + self.offer.price_share * max(end_s - one.held_s, 0.0)
        return seconds / 3600.0 * self._spec.price_per_hour

    def usd_per_hour(self) -> float:
        """What they cost an hour as they are now."""
        share = self.preparing + self.offer.price_share * self.held
        return share * self._spec.price_per_hour

    def _boots(self, count: int) -> np.ndarray:
        boot = self._spec.boot
        draw = boot.median_s * np.exp(boot.sigma * self._rng.standard_normal(count))
        return np.asarray(draw * self.boot_factor)

    def _ask_again(self) -> Generator[simpy.Event, None, None]:
        yield self._env.timeout(RETRY_S)
        self._retrying = False
        self.reconcile()

    def _end(self, those: Sequence[_Warm]) -> None:
        for one in those:
            one.ended_s = self._env.now
            self._now.remove(one)
        self._over += those
