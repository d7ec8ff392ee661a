"""What of each wish may be done now: pins, pauses, protection, cost, limits, one service at a time.

A pin, the minimum and the maximum hold whatever the metrics say, also where no rule wants anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine.decide.approvals import category
from engine.decide.assess_weddings import Ahead
from engine.decide.observe import Seen
from engine.decide.rails.limits import limit, stabilised
from engine.decide.rails.rise import bounded, enough
from engine.decide.rails.scale_in import ScaleIn, asked_in, scale_in
from engine.decide.rails.take_back import take_back
from engine.decide.rails.vow_lock import unlocked
from engine.decide.recommend import manual
from engine.decide.wishes import Wish
from engine.model import Category, Declined, Pause, Reason, Recommendation
from engine.settings import EngineSettings, LimitSettings

PAUSED = "scaling in this direction is paused"
UNBORNE = "nothing else bears it out: twice as many at most"
URGENT = (Reason.EMERGENCY, Reason.ROLLBACK, Reason.MANUAL)


class Allowed(NamedTuple):
    """The count that a service may go to now, the recommendation behind it, and what cut it.

    `target` is the present count where nothing is to be done.  `targets` are what was wanted lately
    (`rails.limits.stabilised`); `why` is empty where nothing cut the target; `notes` go into the
    explanation.  `most` is where the service is pinned, or its maximum.
    """

    chosen: Recommendation | None
    target: int
    declined: tuple[Declined, ...]
    why: str
    targets: tuple[tuple[float, int], ...]
    notes: str
    most: int


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
    in_force = manual.pauses_in_force(spec, pauses, now_s) if pauses else ()
    pin = manual.pinned(in_force)
    most = spec.max_instances if pin is None else min(pin, spec.max_instances)
    stay = Allowed(chosen, current, declined, "", targets, wish.notes, most)
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
        target, chosen, declined, targets = _borne_out(
            seen, ahead, chosen, declined=declined, now_s=now_s, settings=settings
        )
    if pin is None and _is_paused(in_force, current, target):
        declined = (*declined, Declined(chosen, PAUSED))
        return Allowed(chosen, current, declined, "", targets, wish.notes, most)
    if inside and (target == current or _not_worth_it(current, target, chosen.reason, limits)):
        return Allowed(chosen, current, declined, "", targets, wish.notes, most)
    override = pin is None and manual.overrides(chosen, current)
    limited = limit(
        spec,
        current,
        target,
        chosen.reason,
        memory=seen.memory,
        now_s=now_s,
        settings=limits,
        override=override,
    )
    target = limited.target
    if not inside:
        if _waits(seen, chosen, target, settings):
            # The bounds hold without asking; what is wanted beyond is asked for once inside.
            chosen = _back_inside(seen, now_s)
            target = chosen.target
        # They may lie the other way than the wish.
        if pin is None and _is_paused(in_force, current, target):
            declined = (*declined, Declined(chosen, PAUSED))
            return Allowed(chosen, current, declined, "", targets, wish.notes, most)
    return Allowed(chosen, target, declined, limited.why, targets, wish.notes, most)


class _BorneOut(NamedTuple):
    target: int
    chosen: Recommendation
    declined: tuple[Declined, ...]
    targets: tuple[tuple[float, int], ...]


def _borne_out(
    seen: Seen,
    ahead: Ahead | None,
    chosen: Recommendation,
    *,
    declined: tuple[Declined, ...],
    now_s: float,
    settings: EngineSettings,
) -> _BorneOut:
    """What is left of a wish by what bears it out and, where it is a step in, by the rules there.

    Where nothing is known of what is to come (`ahead` is None) there are none.
    """
    current, targets = seen.service.desired, seen.memory.targets
    target = bounded(seen, chosen, now_s)
    if target < chosen.target:
        declined = (*declined, Declined(chosen, UNBORNE))
    if ahead is None:
        return _BorneOut(target, chosen, declined, targets)
    asked = max(target, enough(seen, now_s))
    targets = stabilised(targets, asked, now_s, settings.limits.stabilisation_s)
    if target >= current:
        return _BorneOut(target, chosen, declined, targets)
    if chosen.reason is Reason.ROLLBACK:
        # A step that did harm is undone at once, but not below what is booked.
        booked = max(ahead.weddings.protected, ahead.weddings.floor)
        return _BorneOut(min(max(target, booked), current), chosen, declined, targets)
    if chosen.scale_id:
        checked = asked_in(seen, ahead, chosen, now_s)
    else:
        checked = scale_in(seen, ahead, chosen, targets=targets, now_s=now_s, settings=settings)
        back = take_back(seen, ahead, chosen, targets=targets, now_s=now_s, settings=settings)
        if back is not None:
            # What may go beyond is a step in like any other, with its rest.
            checked = ScaleIn(back.target, back)
        checked = unlocked(seen, checked, now_s, settings.vow_lock)
        chosen = checked.recommendation
    if checked.why:
        declined = (*declined, Declined(chosen, checked.why))
    return _BorneOut(checked.target, chosen, declined, targets)


def _is_paused(pauses: Sequence[Pause], current: int, target: int) -> bool:
    return target != current and manual.is_paused(pauses, out=target > current)


def _waits(seen: Seen, chosen: Recommendation, target: int, settings: EngineSettings) -> bool:
    """Whether a person would have to let this pass."""
    added = target - seen.service.desired
    cost_per_hour = added * seen.traits.spec.price_per_hour
    asked = category(
        chosen.reason, added, cost_per_hour, chosen.confidence, settings=settings.approval
    )
    return asked is Category.NEEDS_APPROVAL


def _not_worth_it(current: int, target: int, reason: Reason, limits: LimitSettings) -> bool:
    tolerance = limits.tolerance_out if target > current else limits.tolerance_in
    return reason not in URGENT and abs(target - current) < tolerance * current


def _back_inside(seen: Seen, now_s: float) -> Recommendation:
    """A count outside its minimum and maximum is put right even without a wish."""
    spec, current = seen.traits.spec, seen.service.desired
    target = min(max(current, spec.min_instances), spec.max_instances)
    evidence = {"min": float(spec.min_instances), "max": float(spec.max_instances)}
    return Recommendation(spec.name, target, Reason.BOUNDS, evidence, 1.0, now_s)
