"""One decision on its way to AWS: read, compare, set, with tags around it.

A count there is set whatever it was, so what a command may do is looked up before each write, by
the one engine that leads, and tags say how far it has come (`engine.adapters.aws.tags`).  How many
are held warm is a count like that of the instances, with tags of its own.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from engine.adapters.aws.client import AwsError
from engine.adapters.aws.tags import TagRecord, as_tags, begun, ended
from engine.adapters.aws.target import KEYS, AwsTarget, OtherHands, SeenTarget, limits
from engine.model import Action, ActionResult, Quantity, Status
from engine.ports.lease import Fence

if TYPE_CHECKING:
    from engine.adapters.aws.infrastructure import AwsInfrastructure

TRIES = 4
"""A command that came to nothing is tried again on what there is then, if it still may be."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 2.0
"""Before that, doubled each time."""


class AwsCommand:
    """One decision on its way: `sent` is whether its count may have been set."""

    def __init__(
        self, made: AwsInfrastructure, aim: AwsTarget, action: Action, fence: Fence, *, newest: int
    ) -> None:
        self.sent = False
        self.why = ""
        self._made = made
        self._aim = aim
        self._kind = made.kinds[aim.kind]
        self._action = action
        self._fence = fence
        self._newest = newest
        self._warm = action.quantity is Quantity.WARM

    async def carry_out(self) -> ActionResult:
        """Read, compare, set; again where it is not known what came of it."""
        pause_s = FIRST_PAUSE_S
        for _ in range(TRIES):
            try:
                return await self._once()
            except AwsError as error:
                self.why = self.why or str(error)
                if not error.may_pass:
                    return self._failed(str(error))
            await asyncio.sleep(pause_s)
            pause_s = min(2.0 * pause_s, LONGEST_PAUSE_S)
        return self._failed(self.why)

    async def _once(self) -> ActionResult:
        action, made = self._action, self._made
        hands = await self._kind.hands(self._aim)
        one = await self._look()
        if one is None:
            return self._failed(f"there is no {self._aim.title}")
        (desired, record), decision = one.asked(action.quantity), action.decision_id
        if record.has_done(decision):
            return result_of(action, Status.ACCEPTED)
        count = _within(action.to_instances, self._bounds(one, hands))
        cut = "" if count == action.to_instances else f"cut from {action.to_instances} to {count}"
        events = await self._kind.events(self._aim)
        if record.intends(decision) and record.intent and record.intent.after == desired:
            # It was set, and only its end is not on record.
            await self._tag(ended(record, decision, desired))
            return made.accepted(action, desired, events, cut)
        if why := self._forbidden(one, hands):
            return self._failed(why)
        if why := self._refused(desired, record, count):
            return self._failed(why)
        record = begun(
            record, desired, decision, action.from_instances, after=count, fence=int(self._fence)
        )
        await self._tag(record)
        if why := self._overtaken(await self._look(), desired):
            return self._failed(why)
        self.sent = True
        await (self._kind.hold if self._warm else self._kind.set)(self._aim, count)
        try:
            await self._tag(ended(record, decision, count))
        except AwsError as error:
            # The next command finds the intent, and the count that it led to.
            return made.accepted(action, count, events, f"its tags are not written: {error}")
        return made.accepted(action, count, events, cut)

    async def _look(self) -> SeenTarget | None:
        name = self._action.service
        return (await self._kind.look({name: self._aim})).get(name)

    async def _tag(self, record: TagRecord) -> None:
        await self._kind.tag(self._aim, as_tags(record, KEYS[self._action.quantity]))

    def _bounds(self, one: SeenTarget, hands: OtherHands) -> tuple[int, int]:
        """What may be asked for, as far as AWS is concerned; of a warm pool that is anything."""
        return (0, self._action.to_instances) if self._warm else limits(one, hands)

    def _forbidden(self, one: SeenTarget, hands: OtherHands) -> str:
        """Why this count of the target is not the engine's to set."""
        why = one.refusal
        if self._warm and one.pool:
            # What is said of a pool is that it ends: until then AWS takes no size for it.
            why = why or one.pool.refusal or "; ".join(one.pool.words)
        return f"{self._aim.title}: {why}" if why else hands.refusal

    def _refused(self, desired: int, record: TagRecord, count: int) -> str:
        action, newest = self._action, max(self._newest, record.fence)
        if self._fence < newest:
            return f"fence {self._fence} is over, {newest} leads"
        if desired != action.from_instances:
            return self._conflict(desired, action.from_instances)
        spec = self._made.specs[action.service]
        least, most, what = spec.min_instances, spec.max_instances, "instances"
        if self._warm:
            least, most, what = 0, spec.warm.most if spec.warm else 0, "held warm"
        if not least <= action.to_instances <= most:
            return f"{action.to_instances} {what} are not allowed ({least} … {most})"
        if (count - desired) * (action.to_instances - desired) <= 0:
            return f"{action.to_instances} is beyond what {self._aim.title} may have"
        return ""

    def _overtaken(self, one: SeenTarget | None, before: int) -> str:
        """Whether somebody came between the intent and now; an old answer shows neither."""
        if one is None:
            return f"there is no {self._aim.title}"
        desired, record = one.asked(self._action.quantity)
        if record.fence > self._fence:
            return f"fence {self._fence} is over, {record.fence} leads"
        return "" if desired == before else self._conflict(desired, before)

    def _conflict(self, there: int, wanted: int) -> str:
        what = "to be held warm" if self._warm else "desired"
        return f"conflict: {there} are {what}, not {wanted}"

    def _failed(self, why: str) -> ActionResult:
        return result_of(self._action, Status.FAILED, why, sent=self.sent)


def result_of(
    action: Action, status: Status, detail: str = "", *, sent: bool = True
) -> ActionResult:
    """What became of an action, now."""
    return ActionResult(action.decision_id, status, time.time(), detail, sent)


def _within(count: int, bounds: tuple[int, int]) -> int:
    return max(bounds[0], min(count, bounds[1]))
