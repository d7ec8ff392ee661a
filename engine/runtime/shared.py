"""What the shards of one engine share: one look at the platform for all, and one record of them.

Each shard is stepped by a shell of its own, which believes that it is alone.  The ports that it is
given ask for all shards together once a step, and hand to each what is its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from engine.model import (
    Action,
    ActionResult,
    Observation,
    Occasion,
    Outlook,
    Plan,
    ServiceObservation,
    ServiceSpec,
    Status,
)
from engine.ports.bookings import Bookings, FeedState, feed_of
from engine.ports.infrastructure import Infrastructure, Sighting
from engine.ports.lease import NO_FENCE, Fence
from engine.ports.metrics import NO_SAMPLES, MetricsSource, Reading
from engine.ports.notifier import Alert, Notifier
from engine.ports.store import Requests, Store
from engine.runtime.keeper import ShardKeeper
from engine.runtime.shell import Notes
from engine.sharding.shards import Shard

_Answer = TypeVar("_Answer")


@runtime_checkable
class TakesEpochs(Protocol):
    """One that can be told of a new epoch before the first command under it."""

    async def claim(self, services: Sequence[str], fence: Fence) -> Fence:
        """From now on commands for the services under an older fence are refused.

        Returns the newest that it had heard of for them before.
        """
        ...


class OneLook(Generic[_Answer]):
    """Asks once in each step, whoever wants to know."""

    def __init__(self, ask: Callable[[float], Awaitable[_Answer]]) -> None:
        self._ask = ask
        self._step_s: float | None = None
        self._asking: asyncio.Task[_Answer] | None = None
        self.last: _Answer | None = None
        """What was answered last."""

    async def at(self, step_s: float) -> _Answer:
        """The answer in the step of `step_s`; raises what the port raises, to each that asks."""
        if self._asking is None or self._step_s != step_s:
            self._step_s = step_s
            self._asking = asyncio.ensure_future(self._asked(step_s))
            self._asking.add_done_callback(_heard)
        return await asyncio.shield(self._asking)

    async def _asked(self, step_s: float) -> _Answer:
        self.last = await self._ask(step_s)
        return self.last


def _heard(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()


class SharedPorts:
    """The ports of an engine, for the shells of its shards."""

    def __init__(
        self,
        specs: Sequence[ServiceSpec],
        *,
        keeper: ShardKeeper,
        metrics: MetricsSource,
        infrastructure: Infrastructure,
        bookings: Bookings,
        requests: Store,
        notifier: Notifier,
        notes: Notes,
    ) -> None:
        self.specs = tuple(specs)
        self.keeper = keeper
        self.metrics = metrics
        self.infrastructure = infrastructure
        self.bookings = bookings
        self.requests = requests
        self.notifier = notifier
        self.notes = notes
        self.step_s = 0.0
        """The step that is made now."""
        self.sighting = OneLook[Sighting](self._observe)
        self.reading = OneLook[Reading](metrics.read)
        self.outlook = OneLook[Outlook](bookings.outlook)
        self.asked = OneLook[Requests](requests.requests)
        self.together = TogetherNotes(self)
        self.alerted: deque[tuple[float, str, str, str]] = deque(maxlen=1000)
        self._results: dict[str, list[ActionResult]] = {}
        """What became of actions, by service, until its shard has seen it."""

    async def _observe(self, step_s: float) -> Sighting:
        del step_s
        sighting = await self.infrastructure.observe()
        for result in sighting.results:
            service = result.decision_id.rpartition("-")[0]
            self._results.setdefault(service, []).append(result)
        return sighting

    def results_of(self, services: Sequence[str]) -> tuple[ActionResult, ...]:
        """What became of their actions since this was last asked for."""
        return tuple([one for name in services for one in self._results.pop(name, ())])

    def begin(self, step_s: float) -> None:
        """A step begins: what was seen before is old."""
        self.step_s = step_s


class ShardInfrastructure:
    """`engine.ports.infrastructure.Infrastructure` of one shard."""

    def __init__(self, shared: SharedPorts, shard: Shard) -> None:
        self._shared = shared
        self._shard = shard
        self._claimed = NO_FENCE

    async def observe(self) -> Sighting:
        """What there is of the shard; the newest fence is that of its services."""
        shared, services = self._shared, self._shard.services
        epoch, before = shared.keeper.epoch(self._shard.name), NO_FENCE
        takes, infrastructure = False, shared.infrastructure
        if isinstance(infrastructure, TakesEpochs):
            takes = True
            if epoch != self._claimed:
                before = await infrastructure.claim(services, epoch)
                self._claimed = epoch
        sighting = await shared.sighting.at(shared.step_s)
        if not takes:
            before = max(sighting.fences.get(name, NO_FENCE) for name in services)
        return Sighting(
            {name: sighting.services[name] for name in services if name in sighting.services},
            shared.results_of(services),
            before,
            sighting.notices,
            ages_s={n: age_s for n, age_s in sighting.ages_s.items() if n in services},
            locks={name: locks for name, locks in sighting.locks.items() if name in services},
        )

    async def apply(self, actions: Sequence[Action], fence: Fence) -> tuple[ActionResult, ...]:
        """Ask for each action, if the shard is still this engine's at this moment."""
        now = self._shared.keeper.epoch(self._shard.name)
        if now != fence:
            why = "not sent: the lease of the shard is over"
            at_s = self._shared.step_s
            return tuple(
                [ActionResult(a.decision_id, Status.FAILED, at_s, why, False) for a in actions]
            )
        return await self._shared.infrastructure.apply(actions, fence)

    async def close(self) -> None:
        """Nothing: it is all shards'."""


class ShardMetrics:
    """`engine.ports.metrics.MetricsSource` of one shard."""

    def __init__(self, shared: SharedPorts, shard: Shard) -> None:
        self._shared = shared
        self._services = frozenset(shard.services)

    async def read(self, now_s: float) -> Reading:
        """The windows of its services."""
        reading = await self._shared.reading.at(now_s)
        own = {name: reading.windows[name] for name in self._services if name in reading.windows}
        silent = {name: text for name, text in reading.silent.items() if name in self._services}
        others = {str(text) for name, text in reading.silent.items() if name not in self._services}
        troubles = tuple([text for text in reading.troubles if str(text) not in others])
        return replace(reading, windows=own, troubles=troubles, silent=silent)

    async def totals(self, from_s: float, to_s: float) -> Mapping[str, Mapping[str, float]]:
        """As the source."""
        return await self._shared.metrics.totals(from_s, to_s)

    async def first_served(self, from_s: float, to_s: float) -> Mapping[str, Sequence[float]]:
        """As the source."""
        return await self._shared.metrics.first_served(from_s, to_s)

    async def close(self) -> None:
        """Nothing: it is all shards'."""


class ShardBookings:
    """`engine.ports.bookings.FedBookings` of one shard: the whole outlook, asked for once."""

    def __init__(self, shared: SharedPorts) -> None:
        self._shared = shared

    async def outlook(self, now_s: float) -> Outlook:
        """The outlook of all services."""
        return await self._shared.outlook.at(now_s)

    def feed(self) -> FeedState:
        """How fresh it is."""
        return feed_of(self._shared.bookings) or FeedState()

    async def close(self) -> None:
        """Nothing: it is all shards'."""


class ShardRequests:
    """`engine.ports.store.Store` of one shard, with what people ask that is about it."""

    def __init__(self, shared: SharedPorts, shard: Shard, store: Store) -> None:
        self._shared = shared
        self._services = frozenset(shard.services)
        self._store = store
        self.newest = store.newest
        self.memory = store.memory
        self.keep = store.keep
        self.put_memory_aside = store.put_memory_aside
        self.show_status = store.show_status
        self.close = store.close

    async def requests(self, now_s: float) -> Requests:
        """What is about the shard's services, or about all."""
        asked = await self._shared.asked.at(now_s)
        own = self._services
        return replace(
            asked,
            floors=tuple([one for one in asked.floors if one.service in own]),
            pauses=tuple([one for one in asked.pauses if one.service in own or not one.service]),
            scales=tuple([one for one in asked.scales if one.service in own]),
            answers=tuple(
                [one for one in asked.answers if one.decision_id.rpartition("-")[0] in own]
            ),
            alert_answers=tuple([one for one in asked.alert_answers if one.service in own]),
            sessions=tuple(
                [one for one in asked.sessions if not one.services or own & set(one.services)]
            ),
            occasions=tuple([one for one in map(self._part, asked.occasions) if one.times]),
        )

    def _part(self, occasion: Occasion) -> Occasion:
        return replace(occasion, times=tuple([t for t in occasion.times if t[0] in self._services]))


class ShardNotifier:
    """`engine.ports.notifier.Notifier`: what several shards say in one step is said once."""

    def __init__(self, shared: SharedPorts) -> None:
        self._shared = shared

    async def notify(self, alert: Alert) -> None:
        """Send it, if no other shard has."""
        said = (self._shared.step_s, alert.source, alert.state.value, alert.detail)
        if said in self._shared.alerted:
            return
        await self._shared.notifier.notify(alert)
        self._shared.alerted.append(said)

    async def close(self) -> None:
        """Nothing: it is all shards'."""


class TogetherNotes:
    """Notes of the shells, put together: one step of the engine for all that its shards made."""

    def __init__(self, shared: SharedPorts) -> None:
        self._shared = shared
        self._steps: list[tuple[float, Observation, Plan, float]] = []
        self._later: list[Callable[[], None]] = []
        self.statuses: list[Mapping[str, Any]] = []
        """Of the shards in this step."""

    def step(
        self, time_s: float, observation: Observation, plan: Plan, compute_s: float,
        *, reading: Reading,  # noqa: ARG002 (that of all services is shared)
    ) -> None:  # fmt: skip
        """Keep it for `flush`; the store has what is decided before it is carried out."""
        self._steps.append((time_s, observation, plan, compute_s))

    def flush(self) -> None:
        """Note what the shards did since this was last called, as one step of all services."""
        later, self._later = self._later, []
        try:
            self._flush_steps()
        finally:
            for note in later:
                note()

    def _flush_steps(self) -> None:
        steps, self._steps = self._steps, []
        if not steps:
            return
        shared = self._shared
        reading = shared.reading.last or Reading({})
        seen = {
            one.spec.name: one for _, observation, _, _ in steps for one in observation.services
        }
        counts = shared.sighting.last.services if shared.sighting.last is not None else {}
        for spec in shared.specs:
            if spec.name not in seen and (there := counts.get(spec.name)) is not None:
                seen[spec.name] = ServiceObservation(
                    spec, there.desired, there.ready, there.booting, there.draining,
                    reading.windows.get(spec.name, NO_SAMPLES),
                )  # fmt: skip
        observations = [observation for _, observation, _, _ in steps]
        plans = [plan for _, _, plan, _ in steps]
        together = replace(
            observations[0],
            services=tuple([seen[spec.name] for spec in shared.specs if spec.name in seen]),
            results=_all(observations, "results"),
            approvals=_all(observations, "approvals"),
            floors=tuple(dict.fromkeys(_all(observations, "floors"))),
            pauses=tuple(dict.fromkeys(_all(observations, "pauses"))),
            scales=tuple(dict.fromkeys(_all(observations, "scales"))),
        )
        plan = Plan(
            _all(plans, "actions"), _all(plans, "awaiting"), _all(plans, "dry"),
            _all(plans, "taken"), _all(plans, "declined"), _all(plans, "forecasts"),
            {name: floor for plan in plans for name, floor in plan.floors.items()},
            any(plan.cycle for plan in plans),
        )  # fmt: skip
        compute_s = sum(one for _, _, _, one in steps)
        shared.notes.step(steps[0][0], together, plan, compute_s, reading=reading)

    def without_store(self, actions: Sequence[Action], time_s: float) -> None:
        """As it is."""
        self._shared.notes.without_store(actions, time_s)

    def result(self, result: ActionResult) -> None:
        """After the step that it is of."""
        self._later.append(partial(self._shared.notes.result, result))

    def event(self, time_s: float, kind: str, name: str, what: str, *, detail: str) -> None:
        """As it is."""
        self._shared.notes.event(time_s, kind, name, what, detail=detail)

    def status(self, status: Mapping[str, Any]) -> None:
        """Keep it for the status of the whole engine."""
        self.statuses.append(status)


def _all(parts: Sequence[Any], name: str) -> tuple[Any, ...]:
    return tuple([one for part in parts for one in getattr(part, name)])
