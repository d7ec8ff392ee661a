"""Auto Scaling groups and ECS services as an infrastructure.

A count there is set whatever it was (`engine.adapters.aws.command`).  What became of it AWS says
later: a group in its scaling activities, a service in its events.  A target's own limits are never
moved: what is asked for beyond them is cut to them, and that is a trouble for as long as it may
happen.  How many a group holds warm is asked for where the platform offers that, and is left alone
elsewhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.adapters.aws.settings import AwsConfig
from engine.adapters.aws.target import (
    AwsEvent,
    AwsTarget,
    AwsTargets,
    OtherHands,
    SeenTarget,
    TargetKind,
    limits,
)
from engine.model import Action, ActionResult, Quantity, ServiceSpec, Status
from engine.ports.infrastructure import Counts, Sighting, Unreachable, refused_warm
from engine.ports.lease import NO_FENCE, Fence

try:
    from engine.adapters.aws import ecs, groups
    from engine.adapters.aws.client import AwsClients, AwsError
    from engine.adapters.aws.command import AwsCommand, result_of
except ModuleNotFoundError as _missing:
    if (_missing.name or "").partition(".")[0] not in ("aiobotocore", "botocore"):
        raise
    raise ValueError(
        "infrastructure: aiobotocore is missing; install it: pip install 'wedtwin[aws]'"
    ) from None

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

    holds_warm = True

    def __init__(self, specs: Sequence[ServiceSpec], config: AwsConfig) -> None:
        self.config = config
        self.specs = {spec.name: spec for spec in specs}
        self.targets = targets_of(list(self.specs), config)
        """What each service is."""
        self.clients = AwsClients(config)
        self.kinds: Mapping[TargetKind, AwsTargets] = {
            TargetKind.GROUP: groups.AutoScalingGroups(
                self.clients, holding_of(specs, self.targets)
            ),
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
        self._underway: dict[tuple[str, Quantity], _Underway] = {}
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
        underway = {name for name, _ in self._underway}
        asked = [
            name
            for name, one in seen.items()
            if one.is_short
            or one.lacks(Quantity.WARM)
            or name in underway
            or one.record.is_changed(one.desired)
        ]
        aims = [self.targets[name] for name in asked]
        events = await asyncio.gather(*(self.kinds[aim.kind].events(aim) for aim in aims))
        self._events = dict(zip(asked, events, strict=True))

    def _conclude(self, seen: Mapping[str, SeenTarget]) -> None:
        """Note what became of decisions, and forget those that were overtaken."""
        for (name, quantity), underway in list(self._underway.items()):
            one = seen.get(name)
            if one is None:
                continue
            failures = [
                event
                for event in self._events.get(name, ())
                if event.failed and event.of is quantity and event.mark not in underway.marks
            ]
            if one.asked(quantity)[0] != underway.count:
                del self._underway[name, quantity]
                continue
            if one.is_done(quantity):
                status, detail = Status.COMPLETED, ""
            elif failures and one.lacks(quantity):
                status, detail = Status.FAILED, failures[0].words
            else:
                continue
            del self._underway[name, quantity]
            self._results.append(ActionResult(underway.decision_id, status, time.time(), detail))

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
            if one.is_short and (failure := _newest_failure(events, Quantity.INSTANCES)):
                said.append(
                    f"{name}: {one.desired - one.ready} of {one.desired} are not there: {failure}"
                )
            said += _of_the_pool(name, aim, one, events)
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
            return result_of(action, Status.FAILED, f'there is no service "{action.service}"')
        if not self.holds(action.service) and (no := refused_warm(action, time.time())) is not None:
            return no
        newest = self._newest.get(action.service, 0)
        self._newest[action.service] = max(newest, fence)
        command = AwsCommand(self, aim, action, fence, newest=newest)
        try:
            async with asyncio.timeout(self.config.command_s):
                return await command.carry_out()
        except TimeoutError:
            why = command.why or f"AWS does not answer in {self.config.command_s:g} s"
            return result_of(action, Status.FAILED, why, sent=command.sent)

    def accepted(
        self, action: Action, count: int, events: Sequence[AwsEvent], detail: str = ""
    ) -> ActionResult:
        """Watch what becomes of a count that was set."""
        marks = frozenset(event.mark for event in events)
        self._underway[action.service, action.quantity] = _Underway(
            action.decision_id, count, marks
        )
        return result_of(action, Status.ACCEPTED, detail)

    def holds(self, service: str) -> bool:
        """Whether instances of it are held warm as the engine decides."""
        kind = self.targets[service].kind
        return kind is TargetKind.GROUP and self.specs[service].warm is not None


def targets_of(services: Sequence[str], config: AwsConfig) -> dict[str, AwsTarget]:
    """What each service is: what is named, or else the Auto Scaling group of its name."""
    return {
        name: config.workloads.get(name) or AwsTarget(TargetKind.GROUP, name) for name in services
    }


def holding_of(specs: Sequence[ServiceSpec], targets: Mapping[str, AwsTarget]) -> list[str]:
    """The names of the groups of which the platform offers instances that are held warm."""
    aims = [targets[spec.name] for spec in specs if spec.warm is not None]
    return [aim.name for aim in aims if aim.kind is TargetKind.GROUP]


def _of_the_pool(
    name: str, aim: AwsTarget, one: SeenTarget, events: Sequence[AwsEvent]
) -> list[str]:
    """What somebody has to know of what is held warm."""
    pool = one.pool
    if pool is None:
        return []
    said = [f"{name}: {words}" for words in (pool.refusal, *pool.words) if words]
    if pool.record.is_changed(pool.desired):
        written = pool.record.written_count(pool.desired)
        said.append(
            f"{name}: somebody set {pool.desired} to be held warm on {aim.title}, where the "
            f"engine's last decision had set {written}"
        )
    if one.lacks(Quantity.WARM) and (failure := _newest_failure(events, Quantity.WARM)):
        said.append(
            f"{name}: {pool.desired - one.warm} of {pool.desired} are not held warm: {failure}"
        )
    return said


def _newest_failure(events: Sequence[AwsEvent], of: Quantity) -> str:
    """What went wrong last with that count, "" if that is long ago by AWS's own clock."""
    newest_s = max((event.time_s for event in events), default=0.0)
    failures = (
        e.words for e in events if e.failed and e.of is of and newest_s - e.time_s <= LASTS_S
    )
    return next(failures, "")


def _counts(one: SeenTarget | None) -> Counts:
    if one is None:
        return Counts(0, 0, 0, 0)
    warm = (0, 0) if one.pool is None else (one.warm, one.pool.desired)
    return Counts(one.desired, one.ready, one.booting, one.draining, *warm)
