"""The simulated cloud: takes actions, accepts them after a while, and lets the fleets follow.

A command counts once, whatever how often it arrives (its decision id is the idempotency key), only
under a fence that is not older than the newest seen, and only if the count that it wants to change
is still the one that it was decided on, as a Kubernetes resource version would have it.  So neither
a command that comes late nor an engine that does not know that it was replaced can undo what was
done since.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace

import simpy

from engine.model import Action, ActionResult, Quantity, Status, VowLocks
from engine.ports.infrastructure import Counts, Sighting
from engine.ports.lease import NO_FENCE, Fence
from scenarios.faults.parts import (
    CommandFault,
    LostCommand,
    RefusedCommand,
    RepeatedCommand,
    UnansweredCommand,
)
from twin.config import InfrastructureConfig
from twin.world.fleet import Fleet
from twin.world.warm_pool import WarmPool


@dataclass(frozen=True, slots=True)
class Write:
    """A command that is carried out, and the count it replaces."""

    fence: Fence
    action: Action
    before: int


class SimulatedCloud:
    """Carries actions out on the fleets and reports what became of them."""

    def __init__(
        self,
        env: simpy.Environment,
        config: InfrastructureConfig,
        fleets: Mapping[str, Fleet],
        start_s: float,
        *,
        noted: Callable[[ActionResult], None],
    ) -> None:
        self.env = env
        self.config = config
        self.fleets = fleets
        self.faults: list[CommandFault] = []
        self.fence = Fence(1)
        """Of the engine that leads; commands under an older one are refused."""
        self.replayed = 0
        """Commands that arrived a second time and changed nothing."""
        self.watchers: list[Callable[[Write], None]] = []
        """Are told of each command that is carried out, before the fleet follows it."""
        self._start_s = start_s
        self._noted = noted
        self._seen: set[str] = set()
        self._results: dict[Fence, list[ActionResult]] = {}

    @property
    def services(self) -> tuple[str, ...]:
        """The services that it scales."""
        return tuple(self.fleets)

    def new_fence(self) -> Fence:
        """Hand the lead over: from now on only commands under the returned fence count."""
        self.fence = Fence(self.fence + 1)
        return self.fence

    def apply(self, action: Action, fence: Fence) -> None:
        """Take a command on its way to the fleets, through whatever is wrong with that way."""
        self.fence = max(self.fence, fence)
        if action.service not in self.fleets:
            self._report(action, fence, Status.FAILED, f'there is no service "{action.service}"')
            return
        for fault in self.faults:
            match fault(action.service):
                case LostCommand():
                    return
                case RefusedCommand(why):
                    self.env.process(self._refuse(action, fence, why))
                    return
                case UnansweredCommand() as fate:
                    self.env.process(self._time_out(action, fence, fate))
                    return
                case RepeatedCommand(delay_s):
                    self.env.process(self._carry_out(action, fence, delay_s))
        self.env.process(self._carry_out(action, fence))

    def results(self, fence: Fence) -> tuple[ActionResult, ...]:
        """What has happened to the commands under `fence` since this was last asked for."""
        results = self._results.get(fence)
        if not results:
            return ()
        del self._results[fence]
        return tuple(results)

    def locks(self) -> dict[str, VowLocks]:
        """The ceremonies on the ready instances, of the services that carry any."""
        return {
            name: fleet.carried.locks(self.env.now, self._start_s)
            for name, fleet in self.fleets.items()
            if fleet.carried is not None
        }

    def replace_lost(self) -> Generator[simpy.Event, None, None]:
        """Once the loss has been noticed, launch anew what is missing."""
        yield self.env.timeout(self.config.replace_after_s)
        for fleet in self.fleets.values():
            fleet.reconcile()

    def _refuse(self, action: Action, fence: Fence, why: str) -> Generator[simpy.Event, None, None]:
        yield self.env.timeout(self.config.accept_s)
        self._report(action, fence, Status.FAILED, why)

    def _time_out(
        self, action: Action, fence: Fence, fate: UnansweredCommand
    ) -> Generator[simpy.Event, None, None]:
        yield self.env.timeout(fate.timeout_s)
        self._report(action, fence, Status.FAILED, f"no answer in {fate.timeout_s:g} s")
        yield from self._carry_out(action, fence, fate.late_s)

    def _carry_out(
        self, action: Action, fence: Fence, delay_s: float = 0.0
    ) -> Generator[simpy.Event, None, None]:
        yield self.env.timeout(self.config.accept_s + delay_s)
        fleet = self.fleets[action.service]
        if action.decision_id in self._seen:
            self.replayed += 1
            return
        # Checked on arrival, as a fence or a resource version is: what is late may be out of date.
        if fence < self.fence:
            self._report(action, fence, Status.FAILED, f"fence {fence} is over, {self.fence} leads")
            return
        if action.quantity is Quantity.WARM:
            yield from self._hold_warm(action, fence, fleet.warm)
            return
        if fleet.desired != action.from_instances:
            why = f"conflict: {fleet.desired} are desired, not {action.from_instances}"
            self._report(action, fence, Status.FAILED, why)
            return
        self._seen.add(action.decision_id)
        write = Write(fence, action, fleet.desired)
        for watcher in self.watchers:
            watcher(write)
        fleet.want(action.to_instances)
        self._report(action, fence, Status.ACCEPTED)
        while fleet.desired == action.to_instances and fleet.ready != fleet.desired:
            yield self.env.timeout(5.0)
        if fleet.desired == action.to_instances:
            self._report(action, fence, Status.COMPLETED)

    def _hold_warm(
        self, action: Action, fence: Fence, pool: WarmPool | None
    ) -> Generator[simpy.Event, None, None]:
        if pool is None:
            self._report(action, fence, Status.FAILED, "it holds no instances warm")
            return
        if pool.desired != action.from_instances:
            why = f"conflict: {pool.desired} are to be held, not {action.from_instances}"
            self._report(action, fence, Status.FAILED, why)
            return
        if action.to_instances > pool.offer.most:
            why = f"{action.to_instances} held warm are not allowed (0 … {pool.offer.most})"
            self._report(action, fence, Status.FAILED, why)
            return
        self._seen.add(action.decision_id)
        pool.want(action.to_instances)
        self._report(action, fence, Status.ACCEPTED)
        while pool.desired == action.to_instances and pool.held != pool.desired:
            yield self.env.timeout(5.0)
        if pool.desired == action.to_instances:
            self._report(action, fence, Status.COMPLETED)

    def _report(self, action: Action, fence: Fence, status: Status, why: str = "") -> None:
        result = ActionResult(action.decision_id, status, self._start_s + self.env.now, why)
        self._results.setdefault(fence, []).append(result)
        self._noted(result)


def _counts(fleet: Fleet) -> Counts:
    warm = fleet.warm
    if warm is None:
        return Counts(fleet.desired, fleet.ready, fleet.booting, fleet.draining)
    return Counts(
        fleet.desired, fleet.ready, fleet.booting, fleet.draining, warm.held, warm.desired
    )


class Seat:
    """What the engine under one fence has of the cloud, in simulated time.

    `engine.ports.infrastructure.SimulatedCloud`, but that nothing has to be awaited.
    """

    def __init__(self, cloud: SimulatedCloud, fence: Fence) -> None:
        self.fence = fence
        self._cloud = cloud

    def observe(self) -> Sighting:
        """The counts of all fleets now, and what has come of this engine's commands."""
        return Sighting(
            {name: _counts(fleet) for name, fleet in self._cloud.fleets.items()},
            self._cloud.results(self.fence),
            self._cloud.fence,
            locks=self._cloud.locks(),
        )

    def apply(self, actions: Sequence[Action]) -> None:
        """Send each command on its way; all answers come with `observe`."""
        for action in actions:
            self._cloud.apply(action, self.fence)


class CloudPort:
    """`engine.ports.infrastructure.Infrastructure` over the simulated cloud.

    `catch_up` brings the world to the time at which it is called.
    """

    holds_warm = True

    def __init__(self, cloud: SimulatedCloud, catch_up: Callable[[], None]) -> None:
        self._cloud = cloud
        self._catch_up = catch_up
        self._fences: dict[Fence, None] = {}

    async def observe(self) -> Sighting:
        """The counts of all fleets now, and what has come of this adapter's commands."""
        self._catch_up()
        results = [result for fence in self._fences for result in self._cloud.results(fence)]
        return replace(Seat(self._cloud, NO_FENCE).observe(), results=tuple(results))

    async def apply(self, actions: Sequence[Action], fence: Fence) -> tuple[ActionResult, ...]:
        """Send each command on its way; all answers come with `observe`."""
        self._catch_up()
        self._fences[fence] = None
        for action in actions:
            self._cloud.apply(action, fence)
        return ()

    async def close(self) -> None:
        """Nothing to let go of."""
