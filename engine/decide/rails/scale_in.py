"""How far down a service may go now, if at all.

Growing costs money, shrinking costs weddings: a scale-in has to pass every reason against it.  Not
while data are missing, after an emergency, in a breach, while instances still boot, or below what
the booked outlook needs; and then only as far as the cost optimiser finds worth it.
"""

from __future__ import annotations

from engine.decide.case import Case, Draft
from engine.decide.rails.cost import cheapest
from engine.model import Declined, Reason, Recommendation
from engine.settings import CostSettings


def scale_in(
    case: Case,
    chosen: Recommendation,
    highest: int,
    now_s: float,
    draft: Draft,
    settings: CostSettings,
) -> tuple[int, Recommendation]:
    """The count to go down to and the recommendation behind it; the present count to stay.

    `chosen` wants less than is desired, `highest` is the highest target of the stabilisation
    window.  What stands against it is noted in `draft`.
    """
    current = case.service.desired
    why = ""
    if case.view.stale:
        why = f"no scale-in on stale metrics ({case.view.age})"
    elif now_s < case.memory.calm_from_s:
        why = "no scale-in until calm after an emergency"
    elif case.assessment.breach:
        why = "no scale-in while the SLO is being missed"
    elif not case.assessment.cold:
        why = "no scale-in while a figure is above its lower threshold"
    elif case.service.booting > 0 and case.service.ready < case.service.desired:
        why = "no scale-in while instances are booting"
    if why:
        draft.declined.append(Declined(chosen, why))
        return current, chosen
    protected = max(case.weddings.protected, case.weddings.floor)
    floor = max(chosen.target, highest, protected, case.spec.min_instances)
    if floor >= current:
        if chosen.target < current and protected >= current:
            draft.declined.append(Declined(chosen, "wedding protection for the next 2 h"))
        return current, chosen
    assert case.curve is not None and case.need is not None
    choice = cheapest(
        case.spec, current, floor, case.curve.ahead_s, case.need.count, case.constants.lead_s,
        settings,
    )  # fmt: skip
    if choice.target >= current:
        draft.declined.append(Declined(chosen, "holding is cheaper than trimming and booting"))
        return current, chosen
    evidence = dict(chosen.evidence)
    evidence["saving_usd_per_hour"] = (current - choice.target) * case.spec.price_per_hour
    trimmed = Recommendation(
        case.spec.name, choice.target, Reason.COST, evidence, chosen.confidence, now_s
    )
    return choice.target, trimmed
