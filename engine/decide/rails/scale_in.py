"""How far down a service may go now, if at all.

Growing costs money, shrinking costs weddings: a scale-in has to pass every reason against it.  Not
while samples are missing or a figure is lost, after an emergency, in a breach, while instances
still boot, or below what the booked outlook needs; and then only as far as the cost optimiser finds
worth it.  An instance that has not booted in the time that nearly all take is waited for no longer:
it hangs, costs money, and is the first that the infrastructure takes away.

After a step in a service rests, so the step is not spent on little while much more will leave the
stabilisation window within a minute.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.decide.assess_weddings import Ahead
from engine.decide.figures import OF_LOAD, listed
from engine.decide.observe import Seen
from engine.decide.rails.again import needed_again
from engine.decide.rails.cost import cheapest
from engine.decide.rails.limits import SOON, spent_on_little
from engine.decide.sleep import ASLEEP
from engine.model import Reason, Recommendation
from engine.settings import EngineSettings

AGAIN = "it may be needed again soon"
PROTECTED = "wedding protection for the next 2 h"


class ScaleIn(NamedTuple):
    """The count to go down to (the present one: stay) and the recommendation behind it.

    `why` says what stands against going down; empty where nothing does.
    """

    target: int
    recommendation: Recommendation
    why: str = ""


def scale_in(
    seen: Seen,
    ahead: Ahead,
    chosen: Recommendation,
    *,
    targets: tuple[tuple[float, int], ...],
    now_s: float,
    settings: EngineSettings,
) -> ScaleIn:
    """How far down `chosen`, which wants less than is desired, may take the service.

    `targets` are those of the stabilisation window, the highest first.  A service that may sleep
    keeps one instance until nobody has asked for it for `limits.idle_s`.
    """
    spec, current, limits = seen.traits.spec, seen.service.desired, settings.limits
    stay = ScaleIn(current, chosen)
    why = _against(seen, now_s)
    if why:
        return stay._replace(why=why)
    protected = max(ahead.weddings.protected, ahead.weddings.floor)
    lowest = max(chosen.target, protected, spec.min_instances)
    floor = max(lowest, targets[0][1])
    unasked_s = now_s - seen.asked_s
    if floor == 0 and unasked_s < limits.idle_s:
        floor = 1
        if current == 1:
            return stay._replace(
                why=f"no sleep until nobody asked for it for {limits.idle_s:.0f} s"
            )
    if floor >= current:
        if chosen.target < current and protected >= current:
            return stay._replace(why=PROTECTED)
        return stay
    if limits.again_s > 0.0:
        again = needed_again(seen, ahead.curve, limits.again_s, settings.forecast.surge_decay_s)
        if again >= current:
            return stay._replace(why=AGAIN)
        lowest, floor = max(lowest, again), max(floor, again)
    if spent_on_little(current, floor, lowest, targets, now_s=now_s, settings=limits):
        return stay._replace(why=SOON)
    target = cheapest(
        spec,
        current,
        floor,
        ahead.curve.ahead_s,
        need=ahead.need,
        lead_s=seen.traits.lead_s,
        settings=settings.cost,
    )
    if target >= current:
        return stay._replace(why="holding is cheaper than trimming and booting")
    evidence = dict(chosen.evidence)
    evidence["saving_usd_per_hour"] = (current - target) * spec.price_per_hour
    if target == 0:
        evidence |= {ASLEEP: 1.0, "unasked_s": unasked_s}
    return ScaleIn(
        target,
        Recommendation(spec.name, target, Reason.COST, evidence, chosen.confidence, now_s),
    )


def asked_in(seen: Seen, ahead: Ahead, chosen: Recommendation, now_s: float) -> ScaleIn:
    """How far down a person's `chosen` count, which is less than is desired, may take the service.

    People may know better than the figures, so neither cost nor figures that are late, lost or
    above their lower thresholds stand against it: only an emergency, a breach, and what is booked.
    """
    current = seen.service.desired
    if why := _urgent(seen, now_s) or _breach(seen):
        return ScaleIn(current, chosen, why)
    booked = max(ahead.weddings.protected, ahead.weddings.floor)
    target = min(max(chosen.target, booked, seen.traits.spec.min_instances), current)
    return ScaleIn(target, chosen, PROTECTED if chosen.target < target <= booked else "")


def waits_for_boots(seen: Seen, now_s: float) -> bool:
    """Whether instances boot that may still come to serve."""
    service = seen.service
    return (
        service.booting > 0
        and service.ready < service.desired
        and now_s < seen.memory.short_from_s + seen.traits.lead_s
    )


def _against(seen: Seen, now_s: float) -> str:
    """The first reason against any scale-in of the service now; empty if there is none."""
    if seen.view.stale:
        return f"no scale-in on stale metrics ({seen.view.age})"
    if why := _urgent(seen, now_s) or _breach(seen):
        return why
    if not seen.assessment.cold:
        return "no scale-in while a figure is above its lower threshold"
    if seen.figures.lost:
        return f"no scale-in after the loss of {listed(seen.figures.lost)}"
    if seen.figures.unmeasured:
        return f"no scale-in without any of {listed(OF_LOAD)}"
    if waits_for_boots(seen, now_s):
        return "no scale-in while instances are booting"
    return ""


def _urgent(seen: Seen, now_s: float) -> str:
    if now_s < seen.memory.calm_from_s or seen.alarm is not None:
        return "no scale-in until calm after an emergency"
    return ""


def _breach(seen: Seen) -> str:
    return "no scale-in while the SLO is being missed" if seen.assessment.breach else ""
