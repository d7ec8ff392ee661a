"""How far a service may move now: step size, cooldown, min and max, budget and quota.

The emergency path passes by step size and cooldown, never by max, budget or quota.  A rollback
undoes a step, so it may move at once, but no further than any other step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.memory import ServiceMemory
from engine.model import Budget, Reason, ServiceObservation, ServiceSpec
from engine.settings import LimitSettings

EXEMPT = {Reason.EMERGENCY, Reason.ROLLBACK}


@dataclass(frozen=True, slots=True)
class Limited:
    """The target that is allowed now, and what cut it (empty: nothing did)."""

    target: int
    why: str = ""


def step_bounds(current: int, settings: LimitSettings) -> tuple[int, int]:
    """Lowest and highest count one step away from `current`.

    At least one instance either way, so that small services can move at all.
    """
    highest = max(current + 1, math.floor(current * (1.0 + settings.step_out) + 1e-9))
    lowest = min(current - 1, math.ceil(current * (1.0 - settings.step_in) - 1e-9))
    return max(lowest, 0), highest


def limit(
    spec: ServiceSpec,
    current: int,
    target: int,
    reason: Reason,
    memory: ServiceMemory,
    now_s: float,
    settings: LimitSettings,
) -> Limited:
    """Cut `target` to what may be done to this service now."""
    bounded = min(max(target, spec.min_instances), spec.max_instances)
    why = ""
    if bounded != target:
        why = f"limited to {spec.min_instances} … {spec.max_instances} instances"
    # What is outside its own min and max is brought back at once.
    outside = not spec.min_instances <= current <= spec.max_instances
    if outside and current > spec.max_instances:
        back = "first back to its maximum" if bounded < spec.max_instances else why
        return Limited(spec.max_instances, back)
    floor = max(current, spec.min_instances)
    if bounded == current:
        return Limited(bounded, why)
    if outside and bounded <= floor:
        return Limited(floor, why)
    out = bounded > current
    if reason is not Reason.EMERGENCY:
        lowest, highest = step_bounds(floor, settings)
        stepped = min(max(bounded, lowest), highest)
        if stepped != bounded:
            share = settings.step_out if out else settings.step_in
            why = f"one step is at most {'+' if out else '-'}{share:.0%}"
        bounded = stepped
    if reason not in EXEMPT:
        rest = _rest_s(memory, out, now_s, settings)
        if rest > 0.0:
            return Limited(floor, f"cooldown for another {rest:.0f} s")
    return Limited(bounded, why)


def _rest_s(memory: ServiceMemory, out: bool, now_s: float, settings: LimitSettings) -> float:
    """Seconds until a step in this direction may be made; <= 0 when it may."""
    same = memory.last_out_s if out else memory.last_in_s
    other = memory.last_in_s if out else memory.last_out_s
    held = memory.hold_out_until_s if out else memory.hold_in_until_s
    until = max(same + settings.cooldown_s, held)
    if not out:
        until = max(until, other + settings.flip_hold_s)
    return until - now_s


@dataclass(slots=True)
class Purse:
    """What the budget (USD/h) and the quota (instances) still allow in this step."""

    usd_per_hour: float
    instances: float

    @classmethod
    def after(
        cls,
        services: Sequence[ServiceObservation],
        budget: Budget,
        memories: Mapping[str, ServiceMemory],
    ) -> Purse:
        """The rest of `budget` once all that is desired, or was sent and may yet be, is paid."""
        usd = count = 0.0
        for service in services:
            wanted = service.desired
            memory = memories.get(service.spec.name)
            if memory is not None and memory.sent is not None and not memory.sent.accepted:
                wanted = max(wanted, memory.sent.highest)
            usd += wanted * service.spec.price_per_hour
            count += wanted
        return cls(budget.usd_per_hour - usd, budget.instances - count)

    def afford(self, spec: ServiceSpec, current: int, target: int) -> Limited:
        """Cut a rise to what can be paid, and take it out of the purse."""
        if target <= current:
            return Limited(target)
        added = target - current
        allowed = min(float(added), self.instances)
        if spec.price_per_hour > 0.0:
            allowed = min(allowed, self.usd_per_hour / spec.price_per_hour)
        granted = max(0, math.floor(allowed + 1e-9))
        self.usd_per_hour -= granted * spec.price_per_hour
        self.instances -= granted
        why = "" if granted == added else "the budget or the account's quota is used up"
        return Limited(current + granted, why)


def stabilised(memory: ServiceMemory, target: int, now_s: float, window_s: float) -> int:
    """The highest target of the last `window_s`: a scale-in goes no lower (as in HPA)."""
    targets = memory.targets
    oldest = now_s - window_s
    while targets and targets[0][0] < oldest:
        targets.pop(0)
    # Only the falling rest can ever be a maximum: what an equal or higher later one covers goes.
    while targets and targets[-1][1] <= target:
        targets.pop()
    targets.append((now_s, target))
    return targets[0][1]
