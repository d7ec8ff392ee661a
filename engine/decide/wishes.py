"""What each service should have: every rule has its say, and the emergency path on top of them.

The highest count wins, unless a step is undone: what did harm is taken back even though a rule
still wants it.  What a person wants for a service wins over the rules, too; only a wedding floor, a
floor of people and a rollback may ask for more than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from engine.decide.assess_weddings import Ahead
from engine.decide.figures import listed
from engine.decide.observe import Seen
from engine.decide.recommend import manual, wedding
from engine.decide.recommend.emergency import UNCONFIRMED
from engine.decide.recommend.forecast import forecast
from engine.decide.recommend.own import OwnRule, own, rule_of
from engine.decide.recommend.reactive import reactive
from engine.decide.verify import Verdict
from engine.decide.view import MOST_SPACING_S
from engine.memory import ServiceMemory
from engine.model import Declined, Observation, Reason, Recommendation
from engine.settings import EngineSettings

_BY_TARGET = attrgetter("target")


class Wish(NamedTuple):
    """What is wanted for a service, `chosen` of it if anything is, and what was passed over.

    No scale-in before `calm_from_s`; `notes` go into the explanation.
    """

    chosen: Recommendation | None
    declined: tuple[Declined, ...]
    notes: str
    calm_from_s: float


def recommend(
    seen: Sequence[Seen],
    ahead: Sequence[Ahead | None],
    verdicts: Sequence[Verdict],
    *,
    observation: Observation,
    settings: EngineSettings,
    rules: tuple[OwnRule, ...] = (),
) -> tuple[Wish, ...]:
    """The wish for each service; an empty one where only the emergency path looks."""
    return tuple(
        [
            _wish(one, to_come, verdict, observation=observation, settings=settings, rules=rules)
            if to_come is not None
            else Wish(None, (), "", one.memory.calm_from_s)
            for one, to_come, verdict in zip(seen, ahead, verdicts, strict=True)
        ]
    )


def emergencies(
    seen: Sequence[Seen], wishes: Sequence[Wish], now_s: float, settings: EngineSettings
) -> tuple[Wish, ...]:
    """The wishes once what drowns is seen to; each emergency also forbids scale-ins for a while."""
    return tuple(
        [
            wish if one.alarm is None else _urgent(one, one.alarm, wish, now_s, settings=settings)
            for one, wish in zip(seen, wishes, strict=True)
        ]
    )


def _wish(
    seen: Seen,
    ahead: Ahead,
    verdict: Verdict,
    *,
    observation: Observation,
    settings: EngineSettings,
    rules: tuple[OwnRule, ...],
) -> Wish:
    now_s, spec, desired = observation.now_s, seen.traits.spec, seen.service.desired
    wanted: list[Recommendation] = []
    if verdict.rollback is not None:
        wanted.append(verdict.rollback)
    notes = ahead.unbooked
    confidence = wedding.confidence_of(float(ahead.curve.sd[0]))
    fallback = settings.fallback_of(spec.name)
    stale = seen.view.stale
    if stale:
        stale_note = f"metrics are stale ({seen.view.age}), fallback {fallback.mode}"
        if seen.view.spacing_s > MOST_SPACING_S:
            stale_note += f", samples are {seen.view.spacing_s:.0f} s apart"
        notes = f"{notes}; {stale_note}" if notes else stale_note
        confidence *= 0.5
        wanted.extend(manual.static_fallback(spec, fallback, seen.view.age_s, now_s))
    else:
        if seen.figures.absent:
            without = f"nobody measures its {listed(seen.figures.absent)}"
            notes = f"{notes}; {without}" if notes else without
        wanted.extend(reactive(seen.service, seen.view, seen.assessment))
    if not ahead.blind and (not stale or fallback.mode == "outlook"):
        wanted.append(
            forecast(
                spec, ahead.curve, ahead.need, ahead.discount, confidence=confidence, now_s=now_s
            )
        )
        if ahead.weddings.floor > 0:
            wanted.append(wedding.wedding_floor(spec, ahead.weddings, confidence, now_s))
    if rules:
        asked, failures = own(rules, seen.service, seen.view, now_s)
        wanted.extend(asked)
        notes = "; ".join([note for note in (notes, *failures) if note])
    if observation.floors:
        wanted.extend(manual.manual(spec, observation.floors, now_s))
    scaled = manual.scaled(spec, observation.scales, now_s) if observation.scales else None
    rivals = wanted
    if scaled is not None:
        rivals = [scaled, *[one for one in wanted if _is_firm(one)]]
        wanted.append(scaled)
    chosen = verdict.rollback
    if chosen is None or chosen.target >= desired:
        chosen = max(rivals, key=_BY_TARGET, default=None)
    declined = tuple(
        [
            Declined(other, _passed_over(other, chosen))
            for other in wanted
            if other is not chosen and other.target > desired
        ]
    )
    return Wish(chosen, declined, notes, seen.memory.calm_from_s)


def _urgent(
    seen: Seen, alarm: Recommendation, wish: Wish, now_s: float, *, settings: EngineSettings
) -> Wish:
    again = seen.memory.calm_from_s > now_s
    # At least as much, and at once as well.
    overridden = manual.overrides(wish.chosen, max(seen.service.desired, alarm.target - 1))
    if UNCONFIRMED in alarm.evidence:
        rested = now_s >= seen.memory.last_out_s + settings.limits.cooldown_out_s
        heard = rested and not overridden and alarm.target > seen.service.desired
        return wish._replace(chosen=alarm) if heard else wish
    if seen.service.desired > 0:  # who is woken is kept awake for as long as it is asked for
        wish = wish._replace(calm_from_s=now_s + settings.emergency.calm_s)
    enough = _asked_for(seen.service.desired, seen.memory, now_s, settings.cycle_s)
    if not overridden and alarm.target > enough * (settings.emergency.again if again else 1.0):
        return wish._replace(chosen=alarm)
    return wish


def _asked_for(desired: int, memory: ServiceMemory, now_s: float, cycle_s: float) -> int:
    """What is desired, or on its way to be."""
    sent = memory.sent
    if sent is not None and not sent.accepted and now_s < sent.sent_s + cycle_s:
        return max(desired, sent.to_instances)
    return desired


def _is_firm(wanted: Recommendation) -> bool:
    """Whether it holds against what a person wants for the service."""
    if wanted.reason is Reason.MANUAL:
        return manual.FALLBACK not in wanted.evidence
    return wanted.reason in (Reason.ROLLBACK, Reason.WEDDING_FLOOR)


def _passed_over(other: Recommendation, chosen: Recommendation | None) -> str:
    if chosen is not None and chosen.scale_id and chosen.target < other.target:
        return f"somebody asked for {chosen.target} instances"
    return f"{_name(chosen)} asks for as much or more"


def _name(recommendation: Recommendation | None) -> str:
    if recommendation is not None and recommendation.reason is Reason.RULE:
        return f"the rule {rule_of(recommendation.evidence)}"
    return recommendation.reason.value.replace("_", " ") if recommendation else "nothing"
