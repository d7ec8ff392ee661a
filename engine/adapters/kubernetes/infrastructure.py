"""Workloads of a Kubernetes cluster as an infrastructure.

With `mode: scale` the count of each workload is the engine's, and a workload that an autoscaler
targets is refused.  With `mode: floor` an autoscaler scales, and what the engine is asked for
becomes the least that it may go to: what is desired is then that floor, and if the engine is gone
the last one stays.  Nothing else of the autoscaler's is touched, and its floor never goes below
what it was before the engine came.  With `mode: keda` the count stands on a ScaledObject as what is
wanted, KEDA asks the engine's scaler for it (`engine.adapters.kubernetes.keda`), and its autoscaler
sets it: accepted means that it will be asked for, and the pods say whether it was done.

A command is one JSON Patch (`engine.adapters.kubernetes.workloads`), so it is done or not done.  A
patch that nobody answered may be either: the object, which holds the ids of the last decisions, is
read again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.adapters.kubernetes.access import Access, AccessError, access_of
from engine.adapters.kubernetes.api import Api, ApiError
from engine.adapters.kubernetes.events import ADVISED, DONE, PUBLISHED, Teller
from engine.adapters.kubernetes.keda.pulse import Pulse
from engine.adapters.kubernetes.looking import Looker, SeenWorkload
from engine.adapters.kubernetes.owners import Owner, floor_target, published_target, refusal
from engine.adapters.kubernetes.pods import PodState
from engine.adapters.kubernetes.settings import KubernetesConfig, Mode, WorkloadConfig
from engine.adapters.kubernetes.workloads import (
    KubeObject,
    WrittenCount,
    change,
    read,
    target,
)
from engine.model import Action, ActionResult, ServiceSpec, Status
from engine.ports.infrastructure import Counts, Sighting, Unreachable, refused_warm
from engine.ports.lease import NO_FENCE, Fence

TRIES = 4
"""A patch that came too late is tried again on what there is then, if it still may be."""
AT_ONCE = 8
"""Commands under way at the same time."""
FOLLOWS_S = 60.0
"""So long KEDA may take for what is wanted; its autoscaler looks each 15 s."""


def connect(specs: Sequence[ServiceSpec], **options: Any) -> KubernetesInfrastructure:
    """The workloads that the options name; raises ValueError for what cannot be right.

    An API server that does not answer may do so later: that is a trouble, not an error.
    """
    config = KubernetesConfig.of(options)
    try:
        access = access_of(config)
    except AccessError as error:
        raise ValueError(f"infrastructure.options.kubeconfig: {error}") from None

    async def checked() -> None:
        from engine.adapters.kubernetes.preflight import check

        made = KubernetesInfrastructure(specs, config, access)
        try:
            await check(made, specs)
        finally:
            await made.close()

    asyncio.run(checked())
    return KubernetesInfrastructure(specs, config, access)


@dataclass(frozen=True, slots=True)
class _Pending:
    """A decision that was carried out, whose pods are still on their way."""

    decision_id: str
    count: int


class KubernetesInfrastructure:
    """`engine.ports.infrastructure.Infrastructure` over one API server."""

    fences_each_service = True
    """A workload carries the newest epoch that it was written under; so engines may share them."""

    def __init__(
        self,
        specs: Sequence[ServiceSpec],
        config: KubernetesConfig,
        access: Access,
    ) -> None:
        self.config = config
        self.access = access
        self.specs = {spec.name: spec for spec in specs}
        self.targets = targets_of(list(self.specs), config, access.namespace)
        """The workload of each service."""
        self.api = Api(access, config.timeout_s)
        self.looker = Looker(self.api, config, self.targets)
        self.seen: Mapping[str, SeenWorkload] = {}
        """The last look, in more detail than the port has."""
        self.scales_to_zero = config.scales_to_zero
        self._teller = Teller(self.api)
        self._pulse = Pulse(self.api, config.namespace or access.namespace, config.keda)
        self._unsaid: tuple[str, ...] = ()
        """Services of which nothing has been said to KEDA yet."""
        self._behind_s: dict[str, float] = {}
        """Since when KEDA has set something else than what is wanted, by service."""
        self._owners: list[Owner] = []
        self._owners_s = float("-inf")
        self._newest: dict[str, int] = {}
        """The newest fence by service, of those that were seen or came with a command."""
        self._pending: dict[str, _Pending] = {}
        self._results: list[ActionResult] = []
        self._seen_s: float | None = None

    # --- the port

    async def observe(self) -> Sighting:
        """The counts now; raises Unreachable when they are not known."""
        try:
            seen, records = await self._look()
        except ApiError as error:
            ago = (
                "never" if self._seen_s is None else f"{time.monotonic() - self._seen_s:.0f} s ago"
            )
            raise Unreachable(f"{error} (last seen {ago})") from None
        self.seen, self._seen_s = seen, time.monotonic()
        for name, record in records.items():
            self._newest[name] = max(self._newest.get(name, 0), record.fence)
        self._unsaid = tuple(name for name, record in records.items() if record.set is None)
        self._complete(seen, records)
        results, self._results = tuple(self._results), []
        return Sighting(
            {name: _counts(seen[name], records.get(name)) for name in self.targets},
            results,
            Fence(max(self._newest.values(), default=NO_FENCE)),
            self._notices(seen, records),
            {name: Fence(newest) for name, newest in self._newest.items()},
            {name: workload.age_s for name, workload in seen.items()},
        )

    async def apply(self, actions: Sequence[Action], fence: Fence) -> tuple[ActionResult, ...]:
        """Ask for other counts; each result says at once whether that is accepted."""
        if not actions:
            return ()
        try:
            self._owners, self._owners_s = await self.looker.autoscalers(), time.monotonic()
        except ApiError as error:
            # Who else may be writing is not known: nothing is written.
            why = str(error)
            return tuple(_result(a, Status.FAILED, why, sent=False) for a in actions)
        at_once = asyncio.Semaphore(AT_ONCE)

        async def carry_out(action: Action) -> ActionResult:
            async with at_once:
                return await self._carry_out(action, fence)

        return tuple(await asyncio.gather(*map(carry_out, actions)))

    async def advise(self, actions: Sequence[Action]) -> None:
        """Tell by events what the engine would do, if it were to act."""
        if not self.config.events:
            return
        for action in actions:
            if action.service in self.targets and self._teller.is_news(action, time.monotonic()):
                seen = self.seen.get(action.service)
                uid = _uid(seen.body) if seen is not None else ""
                self._teller.tell(self.targets[action.service], uid, ADVISED, action)

    async def close(self) -> None:
        """Stop watching; the workloads stay as they are."""
        await self._teller.close()
        await self.looker.close()
        await self.api.close()

    # --- looking

    async def _look(self) -> tuple[dict[str, SeenWorkload], dict[str, WrittenCount]]:
        if time.monotonic() - self._owners_s > self.config.owners_s:
            self._owners, self._owners_s = await self.looker.autoscalers(), time.monotonic()
        seen = await self.looker.look()
        return seen, await self._records(seen)

    async def _records(self, seen: Mapping[str, SeenWorkload]) -> dict[str, WrittenCount]:
        """What stands on the object that the engine writes to, by service."""
        records: dict[str, WrittenCount] = {}
        for name, workload in seen.items():
            if workload.body is None:
                continue
            written, body = self.targets[name], workload.body
            if self.config.mode is not Mode.SCALE:
                try:
                    written = self._written(name, workload.body)
                except ValueError:
                    continue  # there is a notice
                body = await self.api.get(written.path)
            try:
                records[name] = read(body, written)
            except ValueError as error:
                raise ApiError(str(error)) from None
        return records

    def _complete(
        self, seen: Mapping[str, SeenWorkload], records: Mapping[str, WrittenCount]
    ) -> None:
        """Note which decisions have become what was asked for, and forget those overtaken."""
        for name, pending in list(self._pending.items()):
            record = records.get(name)
            if record is None:
                continue
            overtaken = record.count != pending.count or record.set != pending.count
            ready = seen[name].pods[PodState.READY]
            alive = sum(
                n for s, n in seen[name].pods.states.items() if s is not PodState.TERMINATING
            )
            enough = ready >= pending.count and (
                self.config.mode is Mode.FLOOR or alive == pending.count
            )
            if overtaken or enough:
                del self._pending[name]
            if enough and not overtaken:
                self._results.append(
                    ActionResult(pending.decision_id, Status.COMPLETED, time.time())
                )

    def _notices(
        self, seen: Mapping[str, SeenWorkload], records: Mapping[str, WrittenCount]
    ) -> tuple[str, ...]:
        said = [*self.looker.troubles()]
        if self._teller.trouble:
            said.append(self._teller.trouble)
        zones = set(self.looker.zones().values()) - {""}
        for name, workload in seen.items():
            aim = self.targets[name]
            if workload.body is None:
                said.append(f"{name}: there is no {aim.title}")
                continue
            if why := self._amiss(name):
                said.append(f"{name}: {why}")
            record = records.get(name)
            if record is not None and (why := self._behind(name, record, workload.body)):
                said.append(why)
            if record is not None and record.is_changed:
                said.append(
                    f"{name}: {record.writer or 'somebody'} set {record.count} on {aim.title}, "
                    f"where the engine's last decision had set {record.set}"
                )
            pods = workload.pods
            said += [
                f"{name}: {pods[state]} {state}: {pods.words.get(state, '')[:160]}"
                for state in (PodState.UNSCHEDULABLE, PodState.CRASHING)
                if pods[state]
            ]
            if len(zones) > 1 and pods[PodState.READY] > 1 and len(pods.zones) == 1:
                (zone,) = pods.zones
                if zone:
                    said.append(f"{name}: all {pods[PodState.READY]} ready are in zone {zone}")
        return tuple(said)

    def _amiss(self, service: str) -> str:
        """Why the engine must not write, "" if it may."""
        if self.config.mode is Mode.SCALE:
            return refusal(self.targets[service], self._owners)
        try:
            self._written(service, {})
        except ValueError as error:
            return str(error)
        return ""

    def _written(self, service: str, body: Mapping[str, Any]) -> KubeObject:
        """What the engine writes to, of a workload that is `body`; raises ValueError."""
        aim = self.targets[service]
        if self.config.mode is Mode.FLOOR:
            return floor_target(aim, self._owners)
        if self.config.mode is Mode.KEDA:
            # What there is is wanted, until the engine says something else.
            return replace(
                published_target(service, aim, self._owners), absent=read(body, aim).count
            )
        return aim

    def _behind(self, service: str, record: WrittenCount, body: Mapping[str, Any]) -> str:
        """That KEDA does not do what is wanted, "" while it does or has not had the time."""
        if self.config.mode is not Mode.KEDA or record.set is None:
            return ""
        count = read(body, self.targets[service]).count
        if count == record.set:
            self._behind_s.pop(service, None)
            return ""
        since_s = time.monotonic() - self._behind_s.setdefault(service, time.monotonic())
        if since_s < FOLLOWS_S:
            return ""
        return (
            f"{service}: KEDA has {self.targets[service].title} at {count} for {since_s:.0f} s, "
            f"where {record.set} are wanted: does it run, and does it reach the scaler?"
        )

    async def affirm(self, fence: Fence) -> None:
        """The engine has decided, and what it wanted last holds: KEDA may go by it."""
        if self.config.mode is not Mode.KEDA:
            return
        try:
            for service in self._unsaid:
                await self._adopt(service, fence)
            await self._pulse.beat(fence)
        except (ApiError, ValueError) as error:
            raise Unreachable(str(error)) from None

    async def _adopt(self, service: str, fence: Fence) -> None:
        """Before the first decision what there is is what is wanted: that is said as well."""
        written = self._written(service, await self.api.get(self.targets[service].path))
        record = read(await self.api.get(written.path), written)
        if record.set is None and record.fence <= fence:
            await self.api.patch(
                written.path, change(record, written, "", record.count, fence=fence)
            )

    # --- carrying out

    async def _carry_out(self, action: Action, fence: Fence) -> ActionResult:
        aim = self.targets.get(action.service)
        if aim is None:
            return _result(action, Status.FAILED, f'there is no service "{action.service}"')
        if (no := refused_warm(action, time.time())) is not None:
            return no
        if why := self._amiss(action.service):
            return _result(action, Status.FAILED, why, sent=False)
        newest = self._newest.get(action.service, 0)
        self._newest[action.service] = max(newest, fence)
        sent, why = False, ""
        for _ in range(TRIES):
            try:
                is_floor = self.config.mode is Mode.FLOOR
                body = {} if is_floor else await self.api.get(aim.path)
                written = self._written(action.service, body)
                if written.path != aim.path:
                    body = await self.api.get(written.path)
                record = read(body, written)
            except (ApiError, ValueError) as error:
                why = why or str(error)
                if sent and isinstance(error, ApiError) and error.status == 0:
                    continue  # what became of it is worth asking again
                return _result(action, Status.FAILED, why, sent=sent)
            if action.decision_id in record.decisions:
                return self._accepted(action, aim, body, tell=sent)
            if refused := self._refused(action, fence, record, max(newest, record.fence)):
                return _result(action, Status.FAILED, refused, sent=sent)
            operations = change(
                record, written, action.decision_id, action.to_instances, fence=fence
            )  # fmt: skip
            sent = True
            try:
                await self.api.patch(written.path, operations)
            except ApiError as error:
                why = str(error)
                if error.status in (400, 401, 403, 404):
                    return _result(action, Status.FAILED, f"{written.title}: {why}", sent=False)
                continue  # too late, or nobody knows: what there is now decides
            return self._accepted(action, aim, body, tell=True)
        return _result(action, Status.FAILED, f"{written.title} changes all the time: {why}")

    def _refused(self, action: Action, fence: Fence, record: WrittenCount, newest: int) -> str:
        if fence < newest:
            return f"fence {fence} is over, {newest} leads"
        if record.count != action.from_instances:
            by = f" ({record.writer} set that)" if record.writer and record.is_changed else ""
            return f"conflict: {record.count} are desired, not {action.from_instances}{by}"
        spec, count = self.specs[action.service], action.to_instances
        if not spec.min_instances <= count <= spec.max_instances:
            return (
                f"{count} instances are not allowed ({spec.min_instances} … {spec.max_instances})"
            )
        if record.most is not None and count > record.most:
            return f"{count} is above {record.most}, the most that its autoscaler may set"
        if self.config.mode is Mode.FLOOR:
            before = record.count if record.own_floor is None else record.own_floor
            if count < before:
                return f"{count} is below {before}, the floor before the engine came"
        return ""

    def _accepted(
        self, action: Action, aim: KubeObject, body: Mapping[str, Any], *, tell: bool
    ) -> ActionResult:
        if tell:
            self._pending[action.service] = _Pending(action.decision_id, action.to_instances)
            if self.config.events:
                seen = self.seen.get(action.service)
                reason = PUBLISHED if self.config.mode is Mode.KEDA else DONE
                self._teller.tell(aim, _uid(seen.body if seen else body), reason, action)
        return _result(action, Status.ACCEPTED)


def targets_of(
    services: Sequence[str], config: KubernetesConfig, namespace: str
) -> dict[str, KubeObject]:
    """The workload of each service: the one that is named, or else the deployment of its name."""
    return {
        name: target(config.workloads.get(name) or WorkloadConfig(name=name), namespace)
        for name in services
    }


def _counts(seen: SeenWorkload, record: WrittenCount | None) -> Counts:
    pods = seen.pods
    return Counts(
        desired=0 if record is None else record.count,
        ready=pods[PodState.READY],
        booting=pods[PodState.BOOTING],
        draining=pods[PodState.TERMINATING],
    )


def _uid(body: Mapping[str, Any] | None) -> str:
    return str(((body or {}).get("metadata") or {}).get("uid", ""))


def _result(action: Action, status: Status, detail: str = "", *, sent: bool = True) -> ActionResult:
    return ActionResult(action.decision_id, status, time.time(), detail, sent)
