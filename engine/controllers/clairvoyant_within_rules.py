"""The clairvoyant again, but it has to keep the rules that the engine keeps.

The free clairvoyant shows what not knowing costs together with what being careful costs.  This one
knows the same (the load and each boot to come) and is as careful as the settings want: it has the
spare for a zone and the ceiling on the utilisation, capacity for major events two hours before
them, no scale-in below what the next two hours need, steps of limited size with their rests, the
stabilisation window and each service's minimum.  What the engine pays above it is the price of not
knowing; what it pays above the free one is the price of the rules to somebody who knows.

The rules are the engine's own functions and settings where they are about counts
(`rails.limits`, `Sizing`); what the engine estimates (booked load at an upper quantile) is here
what really comes.  It orders for the whole of the rest that follows a step, and so early that steps
of the allowed size get there in time.  That makes it the cheapest follower of the rules that this
module can think of, not one that is proved to be the cheapest.
"""

from __future__ import annotations

import json
import math
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.controllers.asking import ask
from engine.controllers.clairvoyant import FAR_S, Clairvoyant, Foresight
from engine.decide.rails.limits import limit, stabilised
from engine.decide.traits import Platform, Traits, traits
from engine.memory import NEVER, ServiceMemory
from engine.model import Action, FloatArray, Observation, Outlook, Plan, Reason, ServiceObservation
from engine.settings import EngineSettings, LimitSettings

MOST_STEPS = 32
"""So many steps ahead growth is planned: 1.5 to that power is beyond any fleet."""

Counts = NDArray[np.int64]


class Required(NamedTuple):
    """What one service has to have from step `first` of the foresight on.

    `counts` (steps,) are the instances to be ready, `protected` the least that a scale-in now may
    leave.
    """

    first: int
    counts: Counts
    protected: int


class ClairvoyantWithinRules:
    """The cheapest way to have what the rules ask for, known beforehand."""

    def __init__(self, settings: EngineSettings, foresight: Foresight) -> None:
        self.settings = settings
        self.foresight = foresight
        self.memory: dict[str, ServiceMemory] = {}
        self._free = Clairvoyant(settings, foresight)
        self._platform = Platform((), ())
        self._required: dict[str, Required] = {}

    def step(self, observation: Observation) -> Plan:
        """Order what would otherwise come too late, give back what no rule keeps."""
        specs = tuple([service.spec for service in observation.services])
        if specs != self._platform.specs:
            self._platform = traits(specs, self.settings)
        actions = []
        for one in self._platform.order:
            service = observation.services[one.place]
            action = self._adjust(one, service, observation)
            if action is not None:
                actions.append(action)
        return Plan(actions=tuple(actions))

    def snapshot(self) -> str:
        """When each service was last stepped, and what was wanted of it lately."""
        times = {
            name: {
                "out_s": own.last_out_s if math.isfinite(own.last_out_s) else None,
                "in_s": own.last_in_s if math.isfinite(own.last_in_s) else None,
                "targets": own.targets,
            }
            for name, own in self.memory.items()
        }
        return json.dumps(times, sort_keys=True)

    def restore(self, snapshot: str) -> None:
        """Take over what is remembered; raises ValueError for what is no snapshot."""
        try:
            self.memory = {
                str(name): ServiceMemory(
                    last_out_s=NEVER if own["out_s"] is None else float(own["out_s"]),
                    last_in_s=NEVER if own["in_s"] is None else float(own["in_s"]),
                    targets=tuple((float(time_s), int(count)) for time_s, count in own["targets"]),
                )
                for name, own in json.loads(snapshot).items()
            }
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError("clairvoyant controller: not a snapshot") from error

    def _adjust(
        self, one: Traits, service: ServiceObservation, observation: Observation
    ) -> Action | None:
        spec, now_s, limits = service.spec, observation.now_s, self.settings.limits
        required = self._requirements(one, observation.outlook, now_s)
        if not len(required.counts):
            return None
        foresight, own = self.foresight, self.memory.get(spec.name, ServiceMemory())
        steps = np.arange(required.first, required.first + len(required.counts), dtype=np.float64)
        starts_s = foresight.start_s + steps * foresight.step_s
        coming_s = foresight.pending[spec.name]()
        ready, counts = service.ready, required.counts
        missing = partial(self._free.missing, spec.name, counts, starts_s, ready, coming_s=coming_s)
        if missing(until_s=now_s + self.settings.sample_s):
            # The next step may come after the rest only: this one has to do until then.
            rest_s = max(limits.cooldown_out_s, self.settings.sample_s)
            wanted = ready + len(coming_s) + missing(until_s=now_s + rest_s)
        else:
            kept = self._free.kept(spec.name, counts, starts_s, ready, now_s=now_s)
            wanted = max(len(coming_s) + kept, required.protected)
            wanted = min(wanted, service.desired)
        own = own._replace(targets=stabilised(own.targets, wanted, now_s, limits.stabilisation_s))
        self.memory[spec.name] = own
        target = wanted if wanted > service.desired else min(own.targets[0][1], service.desired)
        allowed = limit(
            spec, service.desired, target, Reason.FORECAST, memory=own, now_s=now_s, settings=limits
        ).target
        if allowed == service.desired:
            return None
        out = allowed > service.desired
        self.memory[spec.name] = own._replace(
            last_out_s=now_s if out else own.last_out_s, last_in_s=own.last_in_s if out else now_s
        )
        return ask(
            service,
            allowed,
            now_s,
            reason=Reason.FORECAST,
            trigger_s=now_s,
            evidence={"needed": float(counts[0]), "protected": float(required.protected)},
            explanation=f"{spec.name}: {service.desired} → {allowed}, known beforehand.",
        )

    def _requirements(self, one: Traits, outlook: Outlook, now_s: float) -> Required:
        """What the rules ask for, worked out once for each step of the foresight."""
        name, foresight = one.spec.name, self.foresight
        first = max(int((now_s - foresight.start_s) / foresight.step_s), 0)
        before = self._required.get(name)
        if before is None or before.first != first:
            before = self._required[name] = self._worked_out(one, outlook, first)
        return before

    def _worked_out(self, one: Traits, outlook: Outlook, first: int) -> Required:
        spec, foresight, settings = one.spec, self.foresight, self.settings
        weddings, step_s = settings.weddings, foresight.step_s
        reach_s = FAR_S + max(weddings.lead_s, weddings.protection_s)
        window = slice(first, first + int(reach_s / step_s) + 1)
        need = foresight.needed[spec.name][window]
        if not len(need):
            return Required(first, need, 0)
        rates = foresight.rates[spec.name][window]
        carried = np.maximum(need, _carrying(one, rates))
        spared = one.sizing.with_zone_to_spare_along(carried.astype(np.float64)).astype(np.int64)
        floor = self._floors(one, rates, outlook, first)
        counts = np.clip(np.maximum(spared, floor), spec.min_instances, spec.max_instances)
        counts = _reachable(counts, settings.limits, step_s)
        soon = carried[: int(weddings.protection_s / step_s) + 1]
        protected = max(int(soon.max()), int(floor[0]), spec.min_instances)
        return Required(first, counts[: int(FAR_S / step_s) + 1], protected)

    def _floors(self, one: Traits, rates: FloatArray, outlook: Outlook, first: int) -> Counts:
        """The floor for major events at each step: as the engine has it, of what really comes."""
        foresight, lead_s = self.foresight, self.settings.weddings.lead_s
        row = outlook.services.get(one.spec.name)
        if row is None:
            return np.zeros(len(rates), dtype=np.int64)
        steps = np.arange(first, first + len(rates), dtype=np.float64)
        at_s = foresight.start_s + (steps + 0.5) * foresight.step_s
        bins = ((at_s - outlook.start_s) / outlook.bin_s).astype(np.intp)
        inside = (bins >= 0) & (bins < outlook.load.shape[1])
        bins = np.where(inside, bins, 0)
        booked = np.maximum(outlook.load[row, bins], 1e-9)
        major = np.where(inside, rates * outlook.major_load[row, bins] / booked, 0.0)
        highest = _ahead(major, lead_s / foresight.step_s)
        ordinary = _ahead(rates - major, one.lead_s / foresight.step_s)
        return np.where(highest > 0.0, _carrying(one, ordinary + highest), 0)


def _carrying(one: Traits, rates: FloatArray) -> Counts:
    """Counts that carry `rates` (steps,) below the ceiling on the utilisation."""
    busy = rates * one.sizing.instances_per_rate
    counts: Counts = np.ceil(busy / one.sizing.utilisation - 1e-9).astype(np.int64)
    return counts


def _ahead(values: FloatArray, steps: float) -> FloatArray:
    """The highest of each value and those of the next `steps`."""
    width = int(steps) + 1
    padded = np.pad(values, (0, width - 1), mode="edge")
    highest: FloatArray = np.lib.stride_tricks.sliding_window_view(padded, width).max(axis=1)
    return highest


def _reachable(counts: Counts, limits: LimitSettings, step_s: float) -> Counts:
    """`counts` raised to where steps of the allowed size, a rest apart, get to what comes later."""
    apart = max(math.ceil(limits.cooldown_out_s / step_s), 1)
    for _ in range(MOST_STEPS):
        later = np.concatenate((counts[apart:], np.repeat(counts[-1:], min(apart, len(counts)))))
        earlier = np.maximum(counts, _one_step_below(later, limits))
        if (earlier == counts).all():
            break
        counts = earlier
    return counts


def _one_step_below(counts: Counts, limits: LimitSettings) -> Counts:
    """The smallest counts from which one step gets to `counts`."""
    below = np.minimum(counts - 1, np.ceil(counts / (1.0 + limits.step_out)).astype(np.int64))
    return np.maximum(below, 0)
