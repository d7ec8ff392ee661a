"""How far a service may move now: step size, cooldown, min and max.

The emergency path passes by step size and cooldown, never by max, and so does a person whose word
overrides them.  A rollback undoes a step, so it may move at once, but no further than any other
step.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from engine.memory import ServiceMemory
from engine.model import Reason, ServiceSpec
from engine.settings import LimitSettings

SOON = "soon more of it can go at once"
SOON_S = 60.0
"""A step in waits for so long ..."""
WORTH_IT = 0.5
"""... where it would be less than this share of what it can be then."""
EXEMPT = {Reason.EMERGENCY, Reason.ROLLBACK}


class Limited(NamedTuple):
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
    *,
    memory: ServiceMemory,
    now_s: float,
    settings: LimitSettings,
    override: bool = False,
) -> Limited:
    """Cut `target` to what may be done to this service now; `override`: to its bounds alone."""
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
    if reason is not Reason.EMERGENCY and not override:
        lowest, highest = step_bounds(floor, settings)
        stepped = min(max(bounded, lowest), highest)
        if stepped != bounded:
            share = settings.step_out if out else settings.step_in
            why = f"one step is at most {'+' if out else '-'}{share:.0%}"
        bounded = stepped
    if reason not in EXEMPT and not override:
        rest = _rest_s(memory, out, now_s, settings)
        held = 0 if out else held_at(memory, now_s)
        if held >= current:
            rest = max(rest, memory.hold_in_until_s - now_s)
        if rest > 0.0:
            return Limited(floor, f"cooldown for another {rest:.0f} s")
        if bounded < held:
            return Limited(held, "a step in below that did harm")
    return Limited(bounded, why)


def held_at(memory: ServiceMemory, now_s: float) -> int:
    """The count below which no step in goes, as one that did was undone lately; 0 without any."""
    if now_s >= memory.hold_in_until_s:
        return 0
    return memory.held_at if memory.held_at >= 0 else memory.desired


def _rest_s(memory: ServiceMemory, out: bool, now_s: float, settings: LimitSettings) -> float:
    """Seconds until a step in this direction may be made; <= 0 when it may."""
    same = memory.last_out_s if out else memory.last_in_s
    other = memory.last_in_s if out else memory.last_out_s
    if out:
        return max(same + settings.cooldown_out_s, memory.hold_out_until_s) - now_s
    return max(same + settings.cooldown_in_s, other + settings.flip_hold_s) - now_s


def stabilised(
    targets: tuple[tuple[float, int], ...], target: int, now_s: float, window_s: float
) -> tuple[tuple[float, int], ...]:
    """`targets` of the last `window_s` as (time_s, count), with `target` of now as the newest.

    The first of them is the highest: a scale-in goes no lower (as in HPA).  Only the falling rest
    of what was wanted can ever be a maximum: what an equal or higher later one covers goes.
    """
    oldest_s = now_s - window_s
    kept = [pair for pair in targets if pair[0] >= oldest_s and pair[1] > target]
    return (*kept, (now_s, target))


def spent_on_little(
    current: int,
    target: int,
    lowest: int,
    targets: tuple[tuple[float, int], ...],
    *,
    now_s: float,
    settings: LimitSettings,
) -> bool:
    """Whether a step in to `target` should wait for what is about to leave the window `targets`.

    A service rests after each step.  `lowest` is how far down it may go but for the window.
    """
    first_s = now_s + SOON_S - settings.stabilisation_s
    kept = [count for time_s, count in targets if time_s >= first_s]
    soon = max(lowest, max(kept, default=targets[-1][1]), step_bounds(current, settings)[0])
    return current - target < WORTH_IT * (current - soon)
