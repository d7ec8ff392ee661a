"""Not a controller that can exist: it knows the load to come and how long each boot will take.

At every time it has the smallest count ready that carries the load of that minute within the SLO
(`Foresight.needed`), and each instance is asked for just so early that it gets ready when it is
needed.  An instance that is not needed is given back, unless it is needed again sooner than
draining it and booting another one would take.

Why that is a bound for every controller that keeps the same SLO, in this model: with fewer ready
instances in any minute the 95 % quantile of the response times of that minute's load is above the
SLO; so whoever keeps it pays at least for the instances needed, minute by minute.  Of two ways to
have them (keeping an idle instance, or paying the boot of another) each gap gets the cheaper one.
It foresees load and boots, not faults: in a scenario that takes instances away it is no bound.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.controllers.asking import ask
from engine.model import Action, FloatArray, Observation, Plan, Reason, ServiceObservation
from engine.settings import EngineSettings

FAR_S = 7200.0
"""Nothing boots for longer, and no idle instance is worth keeping for so long."""


@dataclass(frozen=True, slots=True, eq=False)
class Foresight:
    """What no controller can know; the times are epoch seconds.

    `needed[service][k]` is the smallest count that carries the load of
    [start_s + k * step_s, start_s + (k + 1) * step_s) within the SLO.  `boots[service](n)` says how
    long (s) each of the next n launches would take, shape (n,); `pending[service]()` when the
    instances that boot now will be ready, rising.  `drain_s` is paid for after an instance was
    given back.  `rates[service][k]` is the load itself (1/s), for who has to keep rules about it.
    """

    start_s: float
    step_s: float
    needed: Mapping[str, NDArray[np.int64]]
    boots: Mapping[str, Callable[[int], FloatArray]]
    pending: Mapping[str, Callable[[], FloatArray]]
    drain_s: float
    rates: Mapping[str, FloatArray] = field(default_factory=dict)


class Clairvoyant:
    """The cheapest way to have what is needed."""

    def __init__(self, settings: EngineSettings, foresight: Foresight) -> None:
        self.settings = settings
        self.foresight = foresight

    def step(self, observation: Observation) -> Plan:
        """Order what would otherwise come too late, give back what is not worth keeping."""
        actions = [
            action
            for service in observation.services
            if (action := self._adjust(service, observation.now_s)) is not None
        ]
        return Plan(actions=tuple(actions))

    def snapshot(self) -> str:
        """It remembers nothing."""
        return json.dumps({})

    def restore(self, snapshot: str) -> None:
        """Raises ValueError for what is no snapshot."""
        if json.loads(snapshot) != {}:
            raise ValueError("clairvoyant controller: not a snapshot")

    def _adjust(self, service: ServiceObservation, now_s: float) -> Action | None:
        spec, foresight = service.spec, self.foresight
        step_s = foresight.step_s
        first = max(int((now_s - foresight.start_s) / step_s), 0)
        # the load of the step in progress counts until its end
        need = foresight.needed[spec.name][first : first + int(FAR_S / step_s) + 1]
        if not len(need):
            return None
        need = np.clip(need, spec.min_instances, spec.max_instances)
        steps = np.arange(first, first + len(need), dtype=np.float64)
        starts_s = foresight.start_s + steps * step_s
        coming_s = foresight.pending[spec.name]()
        missing = self.missing(
            spec.name,
            need,
            starts_s,
            service.ready,
            coming_s=coming_s,
            until_s=now_s + self.settings.sample_s,
        )
        if missing:
            target = service.ready + len(coming_s) + missing
        else:
            target = len(coming_s) + self.kept(
                spec.name, need, starts_s, service.ready, now_s=now_s
            )
        target = min(max(target, spec.min_instances), spec.max_instances)
        if target == service.desired:
            return None
        return ask(
            service,
            target,
            now_s,
            reason=Reason.FORECAST,
            trigger_s=now_s,
            evidence={"needed": float(need[0])},
            explanation=f"{spec.name}: {service.desired} → {target}, known beforehand.",
        )

    def missing(
        self,
        name: str,
        need: NDArray[np.int64],
        starts_s: FloatArray,
        ready: int,
        *,
        coming_s: FloatArray,
        until_s: float,
    ) -> int:
        """How many launches would come too late if they waited until `until_s`."""
        highest = int(need.max()) - ready - len(coming_s)
        if highest <= 0:
            return 0
        have = ready + np.searchsorted(coming_s, starts_s, side="right")
        short = np.maximum.accumulate(need - have)
        wait_s = self.foresight.boots[name](highest)
        # by the time that launch k, if it waited, would be ready: how many are missing then?
        latest_s = until_s + wait_s
        by_then = np.searchsorted(starts_s, latest_s, side="left") - 1
        late = short[np.clip(by_then, 0, len(short) - 1)] > np.arange(highest)
        return int(np.nonzero(late)[0][-1]) + 1 if late.any() else 0

    def kept(
        self,
        name: str,
        need: NDArray[np.int64],
        starts_s: FloatArray,
        ready: int,
        *,
        now_s: float,
    ) -> int:
        """Those of the `ready` that are needed, or again before others could be had cheaper."""
        if ready <= need[0]:
            return ready
        again_s = float(np.mean(self.foresight.boots[name](8))) + self.foresight.drain_s
        soon = need[starts_s < now_s + again_s]
        return min(ready, int(soon.max()))


def rolling_mean(rates: FloatArray, steps: int) -> FloatArray:
    """Mean over blocks of `steps` along the last axis, shape (..., ceil(n / steps))."""
    blocks = math.ceil(rates.shape[-1] / steps)
    padded = np.pad(rates, [(0, 0)] * (rates.ndim - 1) + [(0, blocks * steps - rates.shape[-1])],
                    mode="edge")  # fmt: skip
    mean: FloatArray = padded.reshape(*rates.shape[:-1], blocks, steps).mean(axis=-1)
    return mean
