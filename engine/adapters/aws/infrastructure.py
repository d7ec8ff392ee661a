"""Auto Scaling groups and ECS services as an infrastructure.

A count there is set whatever it was, so a command is read – compare – set, with tags around it
(`engine.adapters.aws.tags`), by the one engine that leads.  What became of it AWS says later: a
group in its scaling activities, a service in its events.  A target's own limits are never moved:
what is asked for beyond them is cut to them, and that is a trouble for as long as it may happen.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.adapters.aws.settings import AwsConfig
from engine.adapters.aws.tags import TagRecord, as_tags, begun, ended
from engine.adapters.aws.target import (
    AwsEvent,
    AwsTarget,
    AwsTargets,
    OtherHands,
    SeenTarget,
    TargetKind,
)
from engine.model import Action, ActionResult, ServiceSpec, Status
from engine.ports.infrastructure import Counts, Sighting, Unreachable, refused_warm
from engine.ports.lease import NO_FENCE, Fence

try:
    from engine.adapters.aws import ecs, groups
    from engine.adapters.aws.client import AwsClients, AwsError
except ModuleNotFoundError as _missing:
    if (_missing.name or "").partition(".")[0] not in ("aiobotocore", "botocore"):
        raise
    raise ValueError(
        "infrastructure: aiobotocore is missing; install it: pip install 'wedtwin[aws]'"
    ) from None

TRIES = 4
"""A command that came to nothing is tried again on what there is then, if it still may be."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 2.0
"""Before that, doubled each time."""
AT_ONCE = 4
"""Commands under way at the same time."""
ASKED = {TargetKind.GROUP: (groups.SERVICE,), TargetKind.ECS: (ecs.SERVICE, ecs.SCALING)}
"""Which of AWS's services are asked for a target."""
LASTS_S = 900.0
"""What failed says so long why instances are missing; AWS tries again each few minutes."""


def connect(specs: Sequence[ServiceSpec], **options: Any) -> AwsInfrastructure:
    """What the options name; raises ValueError for what cannot be right.

    An AWS that does not answer, or asks for fewer requests, may do better later: that is a trouble,
    not an error.
    """
    config = AwsConfig.of(options)

    async def checked() -> None:
        from engine.adapters.aws.preflight import check

        made = AwsInfrastructure(specs, config)
        try:
            await check(made, specs)
        finally:
            await made.close()

    asyncio.run(checked())
    return AwsInfrastructure(specs, config)


@dataclass(frozen=True, slots=True)
class _Underway:
    """A decision that was carried out, whose instances are still on their way.

    `count` is what was set, `marks` are those of the events that were there before.
    """

    decision_id: str
    count: int
    marks: frozenset[str]


class AwsInfrastructure:
    """`engine.ports.infrastructure.Infrastructure` over one account and region."""

    def __init__(self, specs: Sequence[ServiceSpec], config: AwsConfig) -> None:
        self.config = config
        self.specs = {spec.name: spec for spec in specs}
        self.targets = targets_of(list(self.specs), config)
        """What each service is."""
        self.clients = AwsClients(config)
        self.kinds: Mapping[TargetKind, AwsTargets] = {
            TargetKind.GROUP: groups.AutoScalingGroups(self.clients),
            TargetKind.ECS: ecs.EcsServices(self.clients, config),
        }
        self._services = [
            service
            for kind in sorted({aim.kind for aim in self.targets.values()})
            for service in ASKED[kind]
        ]
        self.seen: Mapping[str, SeenTarget] = {}
        """The last look, in more detail than the port has."""
        self._hands: dict[str, OtherHands] = {}
        self._hands_s = float("-inf")
        self._events: dict[str, list[AwsEvent]] = {}
        self._newest: dict[str, int] = {}
        """The newest fence by service, of those that were seen or came with a command."""
        self._underway: dict[str, _Underway] = {}
        self._results: list[ActionResult] = []
        self._seen_s: float | None = None

    # --- the port

    async def observe(self) -> Sighting:
        """The counts now; raises Unreachable when they are not known."""
        try:
            await self.clients.open(self._services)
            async with asyncio.timeout(self.config.look_s):
                seen = await self.look()
                await self._look_around(seen)
        except (AwsError, TimeoutError) as error:
            why = str(error) or f"AWS does not answer in {self.config.look_s:g} s"
            ago = (
                "never" if self._seen_s is None else f"{time.monotonic() - self._seen_s:.0f} s ago"
            )
            raise Unreachable(f"{why} (last seen {ago})") from None
        self.seen, self._seen_s = seen, time.monotonic()
        for name, one in seen.items():
            self._newest[name] = max(self._newest.get(name, 0), one.record.fence)
        self._conclude(seen)
        results, self._results = tuple(self._results), []
        return Sighting(
            {name: _counts(seen.get(name)) for name in self.targets},
            results,
            Fence(max(self._newest.values(), default=NO_FENCE)),
            self._notices(seen),
        )

    async def apply(self, actions: Sequence[Action], fence: Fence) -> tuple[ActionResult, ...]:
        """Ask for other counts; each result says at once whether that is accepted."""
        at_once = asyncio.Semaphore(AT_ONCE)

        async def carry_out(action: Action) -> ActionResult:
            async with at_once:
                return await self._carry_out(action, fence)

        return tuple(await asyncio.gather(*map(carry_out, actions)))

    async def close(self) -> None:
        """Let go of the connections; the counts stay as they are."""
        await self.clients.close()

    # --- looking

    async def look(self) -> dict[str, SeenTarget]:
        """All targets that are there, by service; raises AwsError."""
        by_kind = {
            kind: {name: aim for name, aim in self.targets.items() if aim.kind is kind}
            for kind in self.kinds
        }
        asked = [self.kinds[kind].look(aims) for kind, aims in by_kind.items() if aims]
        return {name: one for part in await asyncio.gather(*asked) for name, one in part.items()}

    async def hands(self, names: Sequence[str]) -> dict[str, OtherHands]:
        """Who else has a hand in these services' counts; raises AwsError."""
        aims = [self.targets[name] for name in names]
        asked = (self.kinds[aim.kind].hands(aim) for aim in aims)
        return dict(zip(names, await asyncio.gather(*asked), strict=True))

    async def _look_around(self, seen: Mapping[str, SeenTarget]) -> None:
        """What is asked less often, or only where there is a reason."""
        if time.monotonic() - self._hands_s > self.config.writers_s:
            self._hands |= await self.hands(list(seen))
            self._hands_s = time.monotonic()
        asked = [
            name
            for name, one in seen.items()
            if one.is_short or name in self._underway or one.record.is_changed(one.desired)
        ]
        aims = [self.targets[name] for name in asked]
        events = await asyncio.gather(*(self.kinds[aim.kind].events(aim) for aim in aims))
        self._events = dict(zip(asked, events, strict=True))

    def _conclude(self, seen: Mapping[str, SeenTarget]) -> None:
        """Note what became of decisions, and forget those that were overtaken."""
        for name, underway in list(self._underway.items()):
            one = seen.get(name)
            if one is None:
                continue
            failures = [
                event
                for event in self._events.get(name, ())
                if event.failed and event.mark not in underway.marks
            ]
            if one.desired != underway.count:
                del self._underway[name]
            elif one.is_whole:
                del self._underway[name]
                self._results.append(
                    ActionResult(underway.decision_id, Status.COMPLETED, time.time())
                )
            elif failures and one.is_short:
                del self._underway[name]
                self._results.append(
                    ActionResult(
                        underway.decision_id, Status.FAILED, time.time(), failures[0].words
                    )
                )

    def _notices(self, seen: Mapping[str, SeenTarget]) -> tuple[str, ...]:
        said: list[str] = []
        for name, aim in self.targets.items():
            one = seen.get(name)
            if one is None:
                said.append(f"{name}: there is no {aim.title}")
                continue
            hands, events = self._hands.get(name, OtherHands()), self._events.get(name, [])
            refusal = one.refusal or hands.refusal
            said += [f"{name}: {words}" for words in (refusal, *one.words, *hands.words) if words]
            if one.record.is_changed(one.desired):
                by = next((event.by for event in events if event.by), "")
                written = one.record.written_count(one.desired)
                said.append(
                    f"{name}: somebody set {one.desired} on {aim.title}, where the engine's last "
                    f"decision had set {written}" + (f" ({by})" if by else "")
                )
            if one.is_short and (failure := _newest_failure(events)):
                said.append(
                    f"{name}: {one.desired - one.ready} of {one.desired} are not there: {failure}"
                )
            if one.ill:
                said.append(f"{name}: {one.ill} run and are not healthy")
            if one.set_aside:
                said.append(f"{name}: {one.set_aside} are on stand-by")
            least, most = limits(one, hands)
            spec = self.specs[name]
            if spec.min_instances < least or spec.max_instances > most:
                said.append(
                    f"{name}: {aim.title} may have {least} … {most}, the service "
                    f"{spec.min_instances} … {spec.max_instances}: what is beyond is cut"
                )
            if one.spans > 1 and one.ready > 1 and len(one.zones) == 1:
                (zone,) = one.zones
                said.append(f"{name}: all {one.ready} ready are in zone {zone}")
        return tuple(said)

    # --- carrying out

    async def _carry_out(self, action: Action, fence: Fence) -> ActionResult:
        aim = self.targets.get(action.service)
        if aim is None:
            return _result(action, Status.FAILED, f'there is no service "{action.service}"')
        if (no := refused_warm(action, time.time())) is not None:
            return no
        newest = self._newest.get(action.service, 0)
        self._newest[action.service] = max(newest, fence)
        command = _Command(self, aim, action, fence, newest=newest)
        try:
            async with asyncio.timeout(self.config.command_s):
                return await command.carry_out()
        except TimeoutError:
            why = command.why or f"AWS does not answer in {self.config.command_s:g} s"
            return _result(action, Status.FAILED, why, sent=command.sent)

    def accepted(
        self, action: Action, count: int, events: Sequence[AwsEvent], detail: str = ""
    ) -> ActionResult:
        """Watch what becomes of a count that was set."""
        marks = frozenset(event.mark for event in events)
        self._underway[action.service] = _Underway(action.decision_id, count, marks)
        return _result(action, Status.ACCEPTED, detail)


class _Command:
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
        record, decision = one.record, action.decision_id
        if record.has_done(decision):
            return _result(action, Status.ACCEPTED)
        count = _within(action.to_instances, limits(one, hands))
        cut = "" if count == action.to_instances else f"cut from {action.to_instances} to {count}"
        events = await self._kind.events(self._aim)
        if record.intends(decision) and record.intent and record.intent.after == one.desired:
            # It was set, and only its end is not on record.
            await self._kind.tag(self._aim, as_tags(ended(record, decision, one.desired)))
            return made.accepted(action, one.desired, events, cut)
        if why := one.refusal or hands.refusal:
            return self._failed(f"{self._aim.title}: {why}" if one.refusal else why)
        if why := self._refused(one, record, count):
            return self._failed(why)
        record = begun(
            record,
            one.desired,
            decision,
            action.from_instances,
            after=count,
            fence=int(self._fence),
        )
        await self._kind.tag(self._aim, as_tags(record))
        if why := self._overtaken(await self._look(), one.desired):
            return self._failed(why)
        self.sent = True
        await self._kind.set(self._aim, count)
        try:
            await self._kind.tag(self._aim, as_tags(ended(record, decision, count)))
        except AwsError as error:
            # The next command finds the intent, and the count that it led to.
            return made.accepted(action, count, events, f"its tags are not written: {error}")
        return made.accepted(action, count, events, cut)

    async def _look(self) -> SeenTarget | None:
        name = self._action.service
        return (await self._kind.look({name: self._aim})).get(name)

    def _refused(self, one: SeenTarget, record: TagRecord, count: int) -> str:
        action, newest = self._action, max(self._newest, record.fence)
        if self._fence < newest:
            return f"fence {self._fence} is over, {newest} leads"
        if one.desired != action.from_instances:
            return f"conflict: {one.desired} are desired, not {action.from_instances}"
        spec = self._made.specs[action.service]
        if not spec.min_instances <= action.to_instances <= spec.max_instances:
            return (
                f"{action.to_instances} instances are not allowed "
                f"({spec.min_instances} … {spec.max_instances})"
            )
        if (count - one.desired) * (action.to_instances - one.desired) <= 0:
            return f"{action.to_instances} is beyond what {self._aim.title} may have"
        return ""

    def _overtaken(self, one: SeenTarget | None, before: int) -> str:
        """Whether somebody came between the intent and now; an old answer shows neither."""
        if one is None:
            return f"there is no {self._aim.title}"
        if one.record.fence > self._fence:
            return f"fence {self._fence} is over, {one.record.fence} leads"
        if one.desired != before:
            return f"conflict: {one.desired} are desired, not {before}"
        return ""

    def _failed(self, why: str) -> ActionResult:
        return _result(self._action, Status.FAILED, why, sent=self.sent)


def targets_of(services: Sequence[str], config: AwsConfig) -> dict[str, AwsTarget]:
    """What each service is: what is named, or else the Auto Scaling group of its name."""
    return {
        name: config.workloads.get(name) or AwsTarget(TargetKind.GROUP, name) for name in services
    }


def limits(one: SeenTarget, hands: OtherHands) -> tuple[int, int]:
    """The least and the most that may be set."""
    least = one.least if hands.least is None else max(one.least, hands.least)
    most = one.most if hands.most is None else min(one.most, hands.most)
    return least, most


def _newest_failure(events: Sequence[AwsEvent]) -> str:
    """What went wrong last, "" if that is long ago by AWS's own clock."""
    newest_s = max((event.time_s for event in events), default=0.0)
    return next((e.words for e in events if e.failed and newest_s - e.time_s <= LASTS_S), "")


def _within(count: int, bounds: tuple[int, int]) -> int:
    return max(bounds[0], min(count, bounds[1]))


def _counts(one: SeenTarget | None) -> Counts:
    if one is None:
        return Counts(0, 0, 0, 0)
    return Counts(one.desired, one.ready, one.booting, one.draining)


def _result(action: Action, status: Status, detail: str = "", *, sent: bool = True) -> ActionResult:
    return ActionResult(action.decision_id, status, time.time(), detail, sent)
