"""How many instances to hold warm: insurance against a surge that nobody announced.

Where a platform offers it, an instance can be held warm for a share of its price and launched in a
share of its boot time.  It serves nothing, so it is worth only what it saves when a surge comes:
the requests that an instance serves in the time by which it is there sooner.  Surges of f times the
load or more come q(f) = per_day * (2 / f) ^ tail times a day.  The k-th warm instance is needed in
those of at least f_k times the load, so it pays as long as

    q(f_k) * requests a second of an instance * seconds that it is sooner * USD a missed request
        >= price_share * USD a day of an instance

(a newsvendor's critical ratio: Arrow, Harris & Marschak 1951).  Both sides but q are the same for
each k, so one factor f* answers it: what a surge of f* takes is held, less what stands ready
anyway.  A missed request costs more while events are at moments that do not come again, as many of
them as the calendar has there: f* is greater then.

All of it together costs no more than a share of the bill, and no more than the budget leaves.  What
would take a person's approval is not held.  While a service is short all stays as it is, as then
the insured event has come: the platform fills up what is launched.  Nothing is remembered: what is
asked for is observed, so a command that is lost is given again in the next cycle.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from engine.decide.allocate import ROUNDING, Granted, Purse
from engine.decide.assess_weddings import Ahead
from engine.decide.explain import insured
from engine.decide.observe import Seen
from engine.decide.recommend.wedding import confidence_of, context
from engine.decide.wishes import Wish
from engine.forecast.schedule import PLAUSIBLE
from engine.model import (
    Action,
    Category,
    Direction,
    Observation,
    Outlook,
    Pause,
    Quantity,
    Reason,
    Rollback,
    WarmOffer,
)
from engine.settings import ApprovalSettings, EngineSettings, SurgeSettings

KEEP_S = 3600.0
"""What is wanted again within so long is not let go."""
RISE, FALL = 1.1, 0.8
"""A rise to less than so many times what is held, or a fall to more, is not worth a command."""
DOUBLE = 2.0
"""The least factor that counts as a surge: what is less is what the forecast's risk is for."""
DAY_H = 24.0


class Worth(NamedTuple):
    """What holding one instance of a service warm is worth.

    `factor` is the greatest surge that pays, 0 where none does, `surges_per_day` how often a
    greater one comes; `saved_usd` is what an instance saves in a surge that needs it.
    """

    factor: float
    surges_per_day: float
    saved_usd: float
    hold_usd_per_day: float


class Insured(NamedTuple):
    """What is to be held of one service.

    `soon` is the most that is wanted by the time that it can be prepared, `later` that until
    `KEEP_S` after that.
    """

    seen: Seen
    offer: WarmOffer
    ahead: Ahead
    worth: Worth
    soon: int
    later: int

    @property
    def usd_per_hour(self) -> float:
        """What one costs while it is held."""
        return self.seen.traits.spec.warm_price_per_hour

    def cut(self, most: float, soon: float = 1.0, later: float = 1.0) -> Insured:
        """The same with a share of `soon` and `later`, and no more than `most` instances."""
        first, last = (
            math.floor(max(min(count * share, most), 0.0) + ROUNDING)
            for count, share in ((self.soon, soon), (self.later, later))
        )
        return self._replace(soon=first, later=max(first, last))

    def target(self) -> int:
        """What to ask for: what is asked for already, unless that is far from what is wanted."""
        held = self.seen.service.warm_desired
        if self.soon > held * RISE:
            return self.soon
        return self.later if self.later < held * FALL else held


def insure(
    seen: Sequence[Seen],
    ahead: Sequence[Ahead | None],
    wishes: Sequence[Wish],
    granted: Sequence[Granted],
    *,
    rest: Purse,
    observation: Observation,
    settings: EngineSettings,
) -> tuple[Action, ...]:
    """The changes of what is held warm; `rest` is what the purse had before `granted` was paid."""
    if all(one.traits.spec.warm is None for one in seen):
        return ()
    now_s = observation.now_s
    moment = share_at_moments(observation.outlook, now_s, settings.surge.moments)
    wanted = []
    for one, to_come, wish, gets in zip(seen, ahead, wishes, granted, strict=True):
        spec = one.traits.spec
        rest = rest.less(spec, max(gets.target - one.service.desired, 0))
        if spec.warm is None or to_come is None or to_come.blind or now_s < wish.calm_from_s:
            continue
        worth = worth_of(one, spec.warm, moment, settings.surge)
        wanted.append(_insured(one, spec.warm, to_come, worth))
    actions = []
    for want in _affordable(wanted, rest, observation, settings):
        held, target = want.seen.service.warm_desired, want.target()
        paused = _paused(observation.pauses, want.seen, now_s, rises=target > held)
        if target != held and not paused:
            actions.append(_action(want, target, moment, observation))
    return tuple(actions)


def share_at_moments(outlook: Outlook, now_s: float, moments: Sequence[str]) -> float:
    """Share (0-1) of the events in progress at `now_s` that the calendar has in the `moments`."""
    bins = outlook.in_phases.shape[1]
    if not outlook.covers(now_s) or bins == 0:
        return 0.0
    place = min(int((now_s - outlook.start_s) / outlook.bin_s), bins - 1)
    in_phases = dict(zip(outlook.phases, outlook.in_phases[:, place].tolist(), strict=False))
    total = sum(in_phases.values())
    at_moments = sum(in_phases.get(name, 0.0) for name in moments)
    return min(at_moments / total, 1.0) if total > 0.0 else 0.0


def worth_of(seen: Seen, offer: WarmOffer, moment: float, settings: SurgeSettings) -> Worth:
    """What an instance held warm is worth while a share `moment` of the events is at one.

    Nothing at a service that nobody waits for.
    """
    spec = seen.traits.spec
    sooner_s = (1.0 - offer.boot_share) * spec.boot.mean_s
    usd = settings.usd_per_missed_request * (1.0 + (settings.moment_factor - 1.0) * moment)
    saved_usd = spec.rate_per_instance * sooner_s * usd if seen.traits.waited_for else 0.0
    hold_usd_per_day = DAY_H * spec.warm_price_per_hour
    pays = settings.per_day * saved_usd
    factor = settings.most if pays > 0.0 else 0.0
    if hold_usd_per_day > 0.0:
        factor = DOUBLE * (pays / hold_usd_per_day) ** (1.0 / settings.tail)
    factor = min(factor, settings.most) if factor >= DOUBLE else 0.0
    greater = settings.per_day * (DOUBLE / max(factor, DOUBLE)) ** settings.tail
    return Worth(factor, greater, saved_usd, hold_usd_per_day)


def _insured(seen: Seen, offer: WarmOffer, ahead: Ahead, worth: Worth) -> Insured:
    """What a surge of the factor takes beyond what stands ready for the usual load anyway."""
    spec, curve = seen.traits.spec, ahead.curve
    near = curve.bins_within(seen.traits.lead_s)
    bins = curve.bins_within(seen.traits.lead_s + KEEP_S)
    # The level that a day can have, without a surge that is there: that fire burns already.
    level = curve.correction[:bins] if ahead.unbooked else min(ahead.response.level, PLAUSIBLE)
    rate = curve.booked[:bins] * np.exp(level) * seen.slowdown
    sizing = seen.traits.sizing.with_room_for(seen.slowdown)
    stands = np.maximum(ahead.need[:bins], spec.min_instances)
    takes = sizing.instances_along(worth.factor * rate, sizing.utilisation)
    short = np.minimum(takes, spec.max_instances) - stands
    soon, later = (float(short[:count].max(initial=0.0)) for count in (near, bins))
    return Insured(seen, offer, ahead, worth, math.ceil(soon), math.ceil(later)).cut(offer.most)


def _affordable(
    wanted: Sequence[Insured], rest: Purse, observation: Observation, settings: EngineSettings
) -> list[Insured]:
    """The same within the share of the bill, the budget, the quota and what needs no approval."""
    bill = sum(s.desired * s.spec.price_per_hour for s in observation.services)
    held = sum(s.warm_desired * s.spec.warm_price_per_hour for s in observation.services)
    free = sum(want.seen.service.warm_desired * want.usd_per_hour for want in wanted)
    limit = min(settings.surge.bill_share * bill, rest.usd_per_hour + held) - (held - free)
    soon = _share(limit, sum(want.soon * want.usd_per_hour for want in wanted))
    later = _share(limit, sum(want.later * want.usd_per_hour for want in wanted))
    return [want.cut(min(rest.instances, _unasked(want, settings.approval)), soon, later)
            for want in wanted]  # fmt: skip


def _share(limit: float, cost: float) -> float:
    """The share of `cost` that `limit` pays."""
    return max(limit, 0.0) / cost if cost > max(limit, 0.0) else 1.0


def _unasked(want: Insured, approval: ApprovalSettings) -> float:
    """So many may be held without anybody's approval."""
    most, price = float(approval.max_instances), want.usd_per_hour
    return min(most, approval.max_cost_per_hour / price) if price > 0.0 else most


def _paused(pauses: Sequence[Pause], seen: Seen, now_s: float, *, rises: bool) -> bool:
    stopped = (Direction.ALL, Direction.OUT if rises else Direction.IN)
    return any(
        pause.service in ("", seen.traits.spec.name)
        and pause.direction in stopped
        and now_s < pause.expires_s
        for pause in pauses
    )


def _action(want: Insured, target: int, moment: float, observation: Observation) -> Action:
    spec, now_s, worth = want.seen.traits.spec, observation.now_s, want.worth
    held = want.seen.service.warm_desired
    evidence = {
        "factor": worth.factor,
        "surges_per_day": worth.surges_per_day,
        "saved_usd": worth.saved_usd,
        "hold_usd_per_day": worth.hold_usd_per_day,
        "at_moments": moment,
    }
    weddings = context(observation.outlook, now_s)
    noun = observation.outlook.noun
    words = [f"{spec.name}: hold {held} → {target} warm because {insured(evidence)}"]
    if weddings.events >= 1.0 and moment > 0.0:
        words.append(f"{moment:.0%} of {weddings.events:,.0f} {noun} are at moments that do not "
                     "come again")  # fmt: skip
    text = f"{spec.name}|warm|{held}|{target}|{now_s:.3f}"
    return Action(
        decision_id=f"{spec.name}-{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}",
        service=spec.name,
        from_instances=held,
        to_instances=target,
        reason=Reason.SURGE,
        category=Category.AUTOMATIC,
        confidence=confidence_of(float(want.ahead.curve.sd[0])),
        cost_per_hour=(target - held) * spec.warm_price_per_hour,
        rollback=Rollback(held),
        weddings=weddings,
        evidence=evidence,
        trigger_s=now_s,
        decided_s=now_s,
        explanation="; ".join(words) + ".",
        quantity=Quantity.WARM,
    )
