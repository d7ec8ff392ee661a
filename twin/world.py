"""The simulated world: weddings, services, fleets, faults and the controller, wired together.

SimPy carries what interacts: controller cycles, instance lives, faults.  Between two of its events
the services run in compiled kernels, and each process that is about to change something first lets
them catch up (`_catch_up`).  The realised demand is in here and nowhere that a controller can
reach: it gets observations made of telemetry and of the booked schedule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass

import numpy as np
import simpy

from engine.capacity import critical_services, sizing
from engine.forecast.schedule import booked_rate
from engine.model import Budget, Controller, FloatArray, ServiceSpec
from scenarios import demand as demands
from scenarios.demand import Demand
from scenarios.faults import (
    Fault,
    FlashCrowd,
    MetricsBlackout,
    SlowBoot,
    SlowService,
    ZoneLoss,
    apply_to_demand,
    resolve_at,
)
from scenarios.population import Population, generate
from twin import controllers
from twin.config import RunConfig
from twin.fleet import Fleet
from twin.infrastructure import Infrastructure
from twin.queues.fluid import FluidPlatform
from twin.queues.port import ClientBehaviour, Platform
from twin.queues.requests import RequestPlatform
from twin.recorder import Recorder
from twin.schedule_feed import ScheduleFeed
from twin.shell import Operator, Shell
from twin.streams import Streams
from twin.telemetry import Telemetry

PIECES = 200
"""How often the progress bar moves."""


CONSERVED = 1e-9
"""Largest relative error in the balance of requests that rounding can explain."""


class ConservationError(AssertionError):
    """Requests came from nowhere or went nowhere: a defect of the twin, never of its input."""


@dataclass(frozen=True, slots=True, eq=False)
class Load:
    """The realised load of a run: `arrivals` (services, seconds) first requests in each second."""

    demand: Demand
    arrivals: FloatArray


def realise(config: RunConfig, population: Population, streams: Streams) -> tuple[Demand, Load]:
    """The demand without faults (that faults are timed by) and the load with them."""
    plain = demands.realise(population, config.demand, streams)
    demand = apply_to_demand(plain, config.faults.values())
    entering = demands.arrivals(demand, streams)
    names = list(config.platform.services)
    arrivals = np.zeros((len(names), entering.shape[1]))
    for row, service in enumerate(demand.services):
        arrivals[names.index(service)] = entering[row]
    return plain, Load(demand, arrivals)


class World:
    """One run.  `controller` and `load` may be given instead of what `config` says (tests)."""

    def __init__(
        self,
        config: RunConfig,
        *,
        controller: Controller | None = None,
        change_load: Callable[[Load], Load] | None = None,
    ) -> None:
        self.config = config
        self.streams = Streams(config.seed)
        self.specs: tuple[ServiceSpec, ...] = config.platform.specs()
        names = tuple(spec.name for spec in self.specs)
        self.population = generate(config.population, self.streams)
        plain, load = realise(config, self.population, self.streams)
        self.load = change_load(load) if change_load is not None else load
        self.start_s = self.population.start_s
        self.duration_s = config.population.duration_s
        self.env = simpy.Environment()

        response = demands.response(config.demand, config.population, names)
        self.feed = ScheduleFeed(self.population, response, self.specs)
        behaviour = {
            name: service.client.behaviour() for name, service in config.platform.services.items()
        }
        self.platform = self._platform(behaviour)
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
                self.streams(f"fleet.{spec.name}"),
                self._ready_changed(i),
            )
            for i, spec in enumerate(self.specs)
        }
        self.recorder = Recorder(
            self.specs, self.start_s, self.duration_s // config.telemetry.interval_s,
            config.telemetry.interval_s,
        )  # fmt: skip
        self.infrastructure = Infrastructure(
            self.env, config.infrastructure, self.fleets, self.start_s, self.recorder.result
        )
        self.controller = controller or controllers.make(config.controller, config.engine)
        self.shell = Shell(
            self.env,
            self.controller,
            self.specs,
            self.fleets,
            self.telemetry,
            self.feed,
            self.infrastructure,
            Operator(self.env, config.operator, config.approval, self.start_s),
            _budget(config),
            self.recorder,
            self.start_s,
            config.telemetry.interval_s,
            catch_up=self._catch_up,
        )
        for fault in config.faults.values():
            self._arrange(fault, plain)
        for telemetry in self.telemetry:
            telemetry.start()
        self._start_fleets()

    def _platform(self, clients: Mapping[str, ClientBehaviour]) -> Platform:
        """The services at the resolution asked for."""
        sample_s = self.config.telemetry.interval_s
        if self.config.resolution == "request":
            return RequestPlatform(
                self.specs, self.load.arrivals, clients, self.streams("requests"),
                sample_s=sample_s, start_s=self.start_s,
            )  # fmt: skip
        return FluidPlatform(
            self.specs, self.load.arrivals, clients, sample_s=sample_s, start_s=self.start_s
        )

    def run(self, progress: Callable[[float], None] | None = None) -> None:
        """Run to the end; `progress` is told the simulated seconds now and then."""
        self.env.process(self.shell.run())
        for piece in range(1, PIECES + 1):
            until_s = self.duration_s * piece / PIECES
            # A little longer, as what happens at the very end belongs to the last sample.
            self.env.run(until=until_s + 1e-6)
            if progress is not None:
                progress(until_s)
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

        return changed

    def _start_fleets(self) -> None:
        """Begin as if it had been running: enough for the booked load of the first hour."""
        outlook = self.feed.outlook(self.start_s)
        critical = critical_services(self.specs)
        for row, spec in enumerate(self.specs):
            size = sizing(spec, self.config.engine.capacity, critical=spec.name in critical)
            rate = max(
                booked_rate(outlook, row, self.start_s + ahead_s)
                for ahead_s in np.arange(0.0, 3601.0, 600.0)
            )
            count = size.instances(rate * math.exp(outlook.sigma), size.utilisation)
            count = size.with_zone_to_spare(count)
            count = min(max(count, spec.min_instances), spec.max_instances)
            self.fleets[spec.name].start_with(count)

    def _arrange(self, fault: Fault, plain: Demand) -> None:
        """Start what carries out `fault`; its times refer to the demand without faults."""
        at_s = 0 if fault.at is None else resolve_at(fault.at, plain)
        end_s = min(at_s + fault.duration_s, self.duration_s)
        match fault:
            case FlashCrowd():
                process = self._noted(fault, at_s, end_s, fault.service)
            case MetricsBlackout():
                chosen = fault.services or tuple(self.fleets)
                held = 0
                for spec, telemetry in zip(self.specs, self.telemetry, strict=True):
                    if spec.name in chosen:
                        held += telemetry.black_out(at_s, end_s, fault.late_s)
                process = self._noted(fault, at_s, end_s, f"{held} samples held back")
            case SlowBoot():
                process = self._slow_boot(fault, at_s, end_s)
            case SlowService():
                process = self._slow_service(fault, at_s, end_s)
            case ZoneLoss():
                process = self._zone_loss(fault, at_s, end_s)
        self.env.process(process)

    def _noted(
        self, fault: Fault, at_s: float, end_s: float, detail: str
    ) -> Generator[simpy.Event, None, None]:
        """Say in the record when a fault began and ended."""
        yield self.env.timeout(at_s - self.env.now)
        self.recorder.event(self.env.now, "fault_started", fault.name, fault.kind, detail)
        yield self.env.timeout(end_s - self.env.now)
        self.recorder.event(self.env.now, "fault_ended", fault.name, fault.kind, "")

    def _slow_boot(
        self, fault: SlowBoot, at_s: float, end_s: float
    ) -> Generator[simpy.Event, None, None]:
        fleets = [self.fleets[name] for name in fault.services or self.fleets]
        if at_s > 0:
            yield self.env.timeout(at_s)
        for fleet in fleets:
            fleet.boot_factor *= fault.factor
        detail = f"boots take {fault.factor:g} times as long"
        yield from self._noted(fault, self.env.now, end_s, detail)
        for fleet in fleets:
            fleet.boot_factor /= fault.factor

    def _slow_service(
        self, fault: SlowService, at_s: float, end_s: float
    ) -> Generator[simpy.Event, None, None]:
        index = list(self.fleets).index(fault.service)
        yield self.env.timeout(at_s)
        self._catch_up()
        self.platform.set_slowdown(index, fault.factor)
        detail = f"{fault.service} takes {fault.factor:g} times as long"
        yield from self._noted(fault, self.env.now, end_s, detail)
        self._catch_up()
        self.platform.set_slowdown(index, 1.0)

    def _zone_loss(
        self, fault: ZoneLoss, at_s: float, end_s: float
    ) -> Generator[simpy.Event, None, None]:
        yield self.env.timeout(at_s)
        self._catch_up()
        before = {name: fleet.ready for name, fleet in self.fleets.items()}
        for fleet in self.fleets.values():
            fleet.lose_zone(fault.zone)
        self.env.process(self.infrastructure.replace_lost())
        lost = ", ".join(
            f"{name} {before[name] - fleet.ready}" for name, fleet in self.fleets.items()
        )
        zone = self.config.platform.zones[fault.zone]
        yield from self._noted(fault, self.env.now, end_s, f"zone {zone}: lost {lost}")
        for fleet in self.fleets.values():
            fleet.restore_zone(fault.zone)


def load_kernels(config: RunConfig) -> None:
    """Compile the kernels, or load them from numba's cache, by half a minute of a tiny world."""
    few = config.population.model_copy(update={"simultaneous": 10})
    world = World(config.model_copy(update={"population": few, "faults": {}}))
    world.env.process(world.shell.run())
    world.env.run(until=30.0)


def _budget(config: RunConfig) -> Budget:
    budget = config.budget
    return Budget(
        math.inf if budget.usd_per_hour is None else budget.usd_per_hour,
        math.inf if budget.instances is None else budget.instances,
    )
