"""The simulated world: weddings, services, fleets, faults and the controller, wired together.

SimPy carries what interacts: controller cycles, instance lives, faults.  Between two of its events
the services run in compiled kernels, and each process that is about to change something first lets
them catch up (`_catch_up`).  The realised demand is in here and nowhere that a controller can
reach: it gets observations made of telemetry and of the booked schedule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import simpy

from engine import EngineSettings
from engine.adapters.blocking import Booked
from engine.controllers import registry as controllers
from engine.controllers.clairvoyant import Foresight
from engine.decide.callgraph import critical_services
from engine.decide.sizing import sizing
from engine.model import Controller, FloatArray, Outlook, ServiceSpec
from engine.monitoring.monitor import Monitor
from engine.runtime.cycle import Cycle
from scenarios.faults.parts import LoadPart, Parts
from scenarios.faults.registry import apply_to_demand
from scenarios.faults.times import resolve_at
from scenarios.streams import Streams
from scenarios.weddings import demand as demands
from scenarios.weddings.demand import Demand
from twin.config import RequestConfig, RunConfig
from twin.effects.arrange import Stage
from twin.effects.calls import Calls
from twin.effects.fleets import Fleets
from twin.effects.samples import SampleStreams
from twin.effects.slowness import Slowness
from twin.queues.fluid import FluidPlatform
from twin.queues.hybrid import HybridPlatform, Share
from twin.queues.port import ClientBehaviour, SimulatedPlatform, clients_of
from twin.queues.requests import RequestPlatform
from twin.world.carried import Carried, Holding
from twin.world.cloud import SimulatedCloud
from twin.world.feed import ScheduleFeed
from twin.world.fleet import Fleet
from twin.world.foresight import foresee
from twin.world.instances import InstanceTelemetry
from twin.world.recorder import Recorder
from twin.world.script import Script, script
from twin.world.shell import Operator, SimulatedShell, Surroundings
from twin.world.telemetry import Telemetry
from twin.world.watch import MonitorWatch

HOUR_S = 3600.0
PIECES = 200
"""How often the progress bar moves."""


CONSERVED = 1e-9
"""Largest relative error in the balance of requests that rounding can explain."""


class ConservationError(AssertionError):
    """Requests came from nowhere or went nowhere: a defect of the twin, never of its input."""


@dataclass(frozen=True, slots=True, eq=False)
class RealisedLoad:
    """The realised load of a run: `arrivals` (services, seconds) first requests in each second."""

    demand: Demand
    arrivals: FloatArray


def realise(config: RunConfig, plain: Demand, streams: Streams) -> RealisedLoad:
    """The load of a `plain` demand with the faults that add to it."""
    demand = apply_to_demand(plain, config.faults.values())
    entering = demands.arrivals(demand, streams)
    names = list(config.platform.services)
    arrivals = np.zeros((len(names), entering.shape[1]))
    for row, service in enumerate(demand.services):
        arrivals[names.index(service)] = entering[row]
    return RealisedLoad(demand, arrivals)


@dataclass(frozen=True, slots=True, eq=False)
class Rehearsal:
    """A run that plays something else than the configuration's day, as a live one was played.

    `outlooks` are shown to the controller in place of the schedule feed's, `counts` are the
    instances that stand ready at the beginning.
    """

    script: Script
    outlooks: Booked
    counts: Mapping[str, int]


class World:
    """One run; all but `config` may be given instead of what that says."""

    def __init__(
        self,
        config: RunConfig,
        *,
        controller: Controller | None = None,
        change_load: Callable[[RealisedLoad], RealisedLoad] | None = None,
        rehearsal: Rehearsal | None = None,
        shell: type[SimulatedShell] = SimulatedShell,
        recorder: type[Recorder] = Recorder,
    ) -> None:
        self.config = config
        self.streams = Streams(config.seed)
        self.specs: tuple[ServiceSpec, ...] = config.platform.specs()
        names = tuple(spec.name for spec in self.specs)
        self.script = (
            script(config, self.specs, self.streams) if rehearsal is None else rehearsal.script
        )
        plain = self.script.demand
        load = realise(config, plain, self.streams)
        self.load = change_load(load) if change_load is not None else load
        self.start_s = self.script.start_s
        self.duration_s = self.script.duration_s
        self.env = simpy.Environment()

        self.feed = ScheduleFeed(self.script.foreknowledge, self.specs)
        self.platform = self._platform(clients_of(config.platform), plain)
        self.telemetry = [
            Telemetry(name, config.telemetry, self.platform.metrics[i], self.streams)
            for i, name in enumerate(names)
        ]
        self.fleets = {
            spec.name: Fleet(
                self.env,
                spec,
                len(config.platform.zones),
                config.infrastructure.drain_s,
                rng=self.streams(f"fleet.{spec.name}"),
                changed=self._ready_changed(i),
                warm_rng=None if spec.warm is None else self.streams(f"warm.{spec.name}"),
                carried=self._carried(spec.name),
            )
            for i, spec in enumerate(self.specs)
        }
        self.recorder = recorder(
            self.specs, self.start_s, self.duration_s // config.telemetry.interval_s,
            config.telemetry.interval_s,
        )  # fmt: skip
        self.infrastructure = SimulatedCloud(
            self.env, config.infrastructure, self.fleets, self.start_s, noted=self.recorder.result
        )
        self.controller = controller or self._make_controller()
        self.shell = shell(
            self.env,
            self.cycle(self.controller),
            lambda: self.cycle(self._make_controller()),
            Surroundings(
                specs=self.specs,
                fleets=self.fleets,
                telemetry=self.telemetry,
                feed=self.feed if rehearsal is None else rehearsal.outlooks,
                infrastructure=self.infrastructure,
                operator=Operator(config.operator, self.start_s),
            ),
            recorder=self.recorder,
            start_s=self.start_s,
            interval_s=config.telemetry.interval_s,
            catch_up=self._catch_up,
        )
        self.watch: MonitorWatch | None = None
        if config.monitor.enabled:
            monitored = config.platform.monitored(config.monitor)
            self.watch = MonitorWatch(
                Monitor(self.specs, monitored),
                self.shell.hasten,
                lambda: self.instances.now(self.env.now),
            )
            self.shell.watchers.append(self.watch)
        self.slowness = Slowness(self.platform, self.fleets, config.platform.zones)
        self.instances = InstanceTelemetry(
            self.specs, list(self.fleets.values()), self.platform,
            self.slowness.of_instances, streams=self.streams,
            most=config.telemetry.instances, interval_s=config.telemetry.interval_s,
            lag_s=config.telemetry.lag_s,
        )  # fmt: skip
        refused = getattr(self.controller, "refused", "")
        if refused:
            self.recorder.event(0.0, "model_refused", "forecaster", "schedule_only", detail=refused)
        self._arrange_faults(plain)
        for telemetry in self.telemetry:
            telemetry.start()
        if rehearsal is None:
            self._start_fleets()
        else:
            for name, count in rehearsal.counts.items():
                self.fleets[name].start_with(count)

    def cycle(self, controller: Controller) -> Cycle:
        """What drives `controller` in this world."""
        return Cycle(
            controller,
            self.specs,
            name=self.config.controller.name,
            approver=self.config.approval,
            question_s=self.config.engine.approval.expires_s,
            budget=self.config.budget.budget(),
        )

    def _make_controller(self) -> Controller:
        def look_ahead() -> Foresight:
            drain_s = self.config.infrastructure.drain_s
            return foresee(self.load.arrivals, self.fleets, self.start_s, drain_s)

        return controllers.make(
            self.config.controller, self.config.engine, look_ahead, self.script.history
        )

    def _carried(self, service: str) -> Carried | None:
        """The ceremonies on the instances of `service`, where its platform can tell of any."""
        carries = self.config.platform.services[service].carries
        times = None if carries is None else self.script.ceremonies.get(carries.phase)
        if carries is None or times is None:
            return None
        holding = Holding(
            self.config.infrastructure.drain_s,
            self.config.engine.vow_lock.limit_s,
            carries.drains == "wait",
        )
        return Carried(times, carries.share, holding, self.streams(f"carried.{service}"))

    def _platform(self, clients: Mapping[str, ClientBehaviour], plain: Demand) -> SimulatedPlatform:
        """The services at the resolution asked for."""
        sample_s = self.config.telemetry.interval_s
        arrivals, start_s = self.load.arrivals, self.start_s
        match self.config.resolution:
            case "fluid":
                return FluidPlatform(self.specs, arrivals, clients, sample_s, start_s=start_s)
            case "request":
                rng = self.streams.quick("requests")
                return RequestPlatform(
                    self.specs, arrivals, clients, rng, sample_s=sample_s, start_s=start_s
                )
            case "hybrid":
                share = self._share(self.config.request, plain)
                return HybridPlatform(
                    self.specs,
                    arrivals,
                    clients,
                    share,
                    streams=self.streams,
                    sample_s=sample_s,
                    start_s=start_s,
                )

    def _share(self, request: RequestConfig, plain: Demand) -> Share:
        """What is followed request by request, in whole samples."""
        sample_s = self.config.telemetry.interval_s
        begin_s, end_s = 0, self.duration_s
        if request.at is not None:
            begin_s = resolve_at(request.at, plain) // sample_s * sample_s
            length_s = math.ceil(request.duration_s / sample_s) * sample_s
            end_s = min(begin_s + max(length_s, sample_s), self.duration_s)
        return Share(begin_s, end_s, request.cells, request.simulated, round(request.warmup_s))

    def run(self, progress: Callable[[float], None] | None = None) -> None:
        """Run to the end; `progress` is told the simulated seconds now and then."""
        self.env.process(self.shell.run())
        for piece in range(1, PIECES + 1):
            until_s = self.duration_s * piece / PIECES
            # A little longer, as what happens at the very end belongs to the last sample.
            self.env.run(until=until_s + 1e-6)
            if progress is not None:
                progress(until_s)
        self.finish()

    def finish(self) -> None:
        """Let the services run up to now; raises ConservationError if requests are amiss."""
        self._catch_up()
        error = self.platform.conservation_error()
        if error > CONSERVED:
            raise ConservationError(f"requests are not conserved: relative error {error:.1e}")

    @property
    def now_s(self) -> float:
        """Simulated seconds so far."""
        return min(self.env.now, float(self.duration_s))

    def _catch_up(self) -> None:
        """Let the services run up to now."""
        now_s = int(self.env.now)
        if now_s > self.platform.now_s:
            self.platform.advance(now_s)

    def _ready_changed(self, service: int) -> Callable[[int, int], None]:
        def changed(ready: int, crashed: int) -> None:
            self._catch_up()
            self.platform.set_ready(service, ready, crashed)
            if self.slowness.hits_some(service):
                self.slowness.refresh(service)

        return changed

    def _start_fleets(self) -> None:
        """Begin as if it had been running: enough for the booked load of the first hour."""
        outlook = self.feed.outlook(self.start_s)
        counts = standing_counts(
            self.specs, outlook, self.config.engine, self.start_s, within_s=HOUR_S
        )
        for name, count in counts.items():
            self.fleets[name].start_with(count)

    def _arrange_faults(self, plain: Demand) -> None:
        """Start what carries out the faults; their times refer to the demand without faults."""
        parts = Parts(
            load=LoadPart(plain, self.load.demand),
            fleets=Fleets(self.env, self.infrastructure, self.config.platform.zones),
            slowness=self.slowness,
            calls=Calls(self.platform, self.specs),
            commands=self.infrastructure,
            samples=SampleStreams(dict(zip(self.fleets, self.telemetry, strict=True))),
            engine=self.shell,
            feed=self.feed,
        )
        stage = Stage(
            self.env, self.duration_s, parts, self.streams,
            recorder=self.recorder, catch_up=self._catch_up,
        )  # fmt: skip
        for fault in self.config.faults.values():
            stage.arrange(fault, 0 if fault.at is None else resolve_at(fault.at, plain))


def standing_counts(
    specs: Sequence[ServiceSpec],
    outlook: Outlook,
    settings: EngineSettings,
    now_s: float,
    *,
    within_s: float,
) -> dict[str, int]:
    """Instances by service for the booked load of the next `within_s` seconds, rather too many."""
    critical = critical_services(specs)
    counts = {}
    for row, spec in enumerate(specs):
        size = sizing(spec, settings.capacity, critical=spec.name in critical)
        rate = max(outlook.rate(row, now_s + ahead_s) for ahead_s in np.linspace(0.0, within_s, 7))
        likely = rate * math.exp(outlook.sigma)
        count = size.needed(likely, likely)
        counts[spec.name] = min(max(count, spec.min_instances), spec.max_instances)
    return counts


def load_kernels(config: RunConfig) -> None:
    """Compile the kernels, or load them from numba's cache, by half a minute of a tiny world."""
    world = World(config.small())
    world.env.process(world.shell.run())
    world.env.run(until=30.0)
