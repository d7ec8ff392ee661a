"""What of each wish may be done now: pins, pauses, protection, cost, limits, one service at a time.

A pin, the minimum and the maximum hold whatever the metrics say, also where no rule wants anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine.decide.assess_weddings import Ahead
from engine.decide.observe import Seen
from engine.decide.rails.limits import limit, stabilised
from engine.decide.rails.scale_in import scale_in
from engine.decide.recommend import manual
from engine.decide.wishes import Wish
from engine.model import Declined, Pause, Reason, Recommendation
from engine.settings import EngineSettings, LimitSettings

URGENT = (Reason.EMERGENCY, Reason.ROLLBACK, Reason.MANUAL)


class Allowed(NamedTuple):
    """The count that a service may go to now, the recommendation behind it, and what cut it.

    `target` is the present count where nothing is to be done.  `targets` are what was wanted lately
    (`rails.limits.stabilised`); `why` is empty where nothing cut the target; `notes` go into the
    explanation.
    """

    chosen: Recommendation | None
    target: int
    declined: tuple[Declined, ...]
    why: str
    targets: tuple[tuple[float, int], ...]
    notes: str = ""


def restrain(
    seen: Sequence[Seen],
    ahead: Sequence[Ahead | None],
    wishes: Sequence[Wish],
    *,
    pauses: Sequence[Pause],
    now_s: float,
    settings: EngineSettings,
) -> tuple[Allowed, ...]:
    """What may be done for each service."""
    return tuple(
        [
            _allowed(one, to_come, wish, pauses=pauses, now_s=now_s, settings=settings)
            for one, to_come, wish in zip(seen, ahead, wishes, strict=True)
        ]
    )


def _allowed(
    seen: Seen,
    ahead: Ahead | None,
    wish: Wish,
    *,
    pauses: Sequence[Pause],
    now_s: float,
    settings: EngineSettings,
) -> Allowed:
    spec, current, limits = seen.traits.spec, seen.service.desired, settings.limits
    chosen, declined, targets = wish.chosen, wish.declined, seen.memory.targets
    stay = Allowed(chosen, current, declined, "", targets, wish.notes)
    in_force = manual.pauses_in_force(spec, pauses, now_s) if pauses else ()
    pin = manual.pinned(in_force)
    inside = spec.min_instances <= current <= spec.max_instances
    if chosen is None and (ahead is None or (pin is None and inside)):
        return stay
    if pin is not None:
        if chosen is not None and chosen.reason is Reason.EMERGENCY:
            declined = (*declined, Declined(chosen, f"the service is pinned at {pin}"))
        target, chosen = pin, manual.pin(spec, pin, now_s)
    elif chosen is None:
        chosen = _back_inside(seen, now_s)
        target = chosen.target
    else:
        target = chosen.target
        if ahead is not None:
            targets = stabilised(targets, target, now_s, limits.stabilisation_s)
            if target < current and chosen.reason is Reason.ROLLBACK:
                # A step that did harm is undone at once, but not below what is booked.
                booked = max(ahead.weddings.protected, ahead.weddings.floor)
                target = min(max(target, booked), current)
            elif target < current:
                checked = scale_in(
                    seen,
                    ahead,
                    chosen,
                    highest=targets[0][1],
                    now_s=now_s,
                    settings=settings.cost,
                )
                target, chosen = checked.target, checked.recommendation
                if checked.why:
                    declined = (*declined, Declined(chosen, checked.why))
    if pin is None and target != current and manual.is_paused(in_force, out=target > current):
        paused = Declined(chosen, "scaling in this direction is paused")
        return Allowed(chosen, current, (*declined, paused), "", targets, wish.notes)
    if inside and (target == current or _not_worth_it(current, target, chosen.reason, limits)):
        return Allowed(chosen, current, declined, "", targets, wish.notes)
    limited = limit(spec, current, target, chosen.reason, seen.memory, now_s, limits)
    return Allowed(chosen, limited.target, declined, limited.why, targets, wish.notes)


def _not_worth_it(current: int, target: int, reason: Reason, limits: LimitSettings) -> bool:
    tolerance = limits.tolerance_out if target > current else limits.tolerance_in
    return reason not in URGENT and abs(target - current) < tolerance * current


def _back_inside(seen: Seen, now_s: float) -> Recommendation:
    """A count outside its minimum and maximum is put right even without a wish."""
    spec, current = seen.traits.spec, seen.service.desired
    target = min(max(current, spec.min_instances), spec.max_instances)
    evidence = {"min": float(spec.min_instances), "max": float(spec.max_instances)}
    return Recommendation(spec.name, target, Reason.BOUNDS, evidence, 1.0, now_s)
