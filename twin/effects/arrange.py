"""Carry out the faults of a run: each is one SimPy process, or a change made before the run.

What a fault is, is data (`scenarios.faults.kinds`); here is what it does to the parts of the world.
Each draws from streams of its own, named after it and the service, so that taking one out of a
scenario leaves the demand and the draws of all others as they were.  Each says in the record when
it began and ended, and counts what it really did: requests, instances, launches, commands or
samples that would have fared otherwise without it.  One that met nothing to spoil has fired 0
times.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from engine.model import FloatArray, Schedule
from scenarios.faults.kinds import (
    ApiErrors,
    ApiTimeout,
    CacheFlush,
    CapacityShortage,
    ClockStep,
    CommandsDuplicated,
    CommandsLost,
    CrashLoop,
    EngineKill,
    Fault,
    FlashCrowd,
    HeavyBoots,
    MetricsBlackout,
    NeverReady,
    SampleDuplicates,
    SampleLoss,
    SampleNan,
    SampleReorder,
    ScheduleLate,
    ScheduleStale,
    ScheduleWrong,
    ScrapeLag,
    SlowBoot,
    SlowInstance,
    SlowService,
    SlowZone,
    SpotReclaim,
    TwoLeaders,
    UnitSpike,
    ZoneLoss,
)
from scenarios.streams import Streams
from scenarios.weddings.demand import Demand
from twin.queues.port import TRUTH_FIELDS, SimulatedPlatform
from twin.world.cloud import CommandFault, SimulatedCloud
from twin.world.feed import ScheduleFeed
from twin.world.fleet import Fleet, Launch
from twin.world.recorder import Recorder
from twin.world.shell import SimulatedShell
from twin.world.telemetry import Telemetry

Process = Generator[simpy.Event, None, None]
Samples = ScrapeLag | SampleLoss | SampleNan | SampleDuplicates | SampleReorder | UnitSpike

REFILL_STEP_S = 20.0
"""How often the calls of a service with a filling cache are set anew."""

REFILLED = 3.0
"""Time constants in `refill_s`: exp(-3) = 5 % of the excess is left."""


@dataclass(slots=True)
class Slowness:
    """The factors that slow each service now, and the zones that slow their instances."""

    platform: SimulatedPlatform
    fleets: Sequence[Fleet]
    services: list[list[float]] = field(init=False)
    zones: list[tuple[int, float]] = field(default_factory=list)
    instances: list[dict[int, float]] = field(init=False)
    """By service: the slow instances by their row, and how many times as long they take."""

    def __post_init__(self) -> None:
        self.services = [[] for _ in self.fleets]
        self.instances = [{} for _ in self.fleets]

    def hits_some(self, service: int) -> bool:
        """Whether some of its instances are slower than others, or may become so."""
        return bool(self.zones or self.instances[service])

    def of_instances(self, service: int) -> FloatArray:
        """How many times as long each ready instance takes because of its zone or itself."""
        fleet = self.fleets[service]
        rows = fleet.ready_rows()
        slower: FloatArray = np.ones(len(rows))
        for zone, factor in self.zones:
            slower[fleet.zones_of(rows) == zone] *= factor
        for row, factor in self.instances[service].items():
            slower[rows == row] *= factor
        return slower

    def refresh(self, service: int) -> None:
        """Tell the platform what holds now for the service."""
        factor = float(np.prod(self.services[service]))
        for zone, slower in self.zones:
            factor *= 1.0 + (slower - 1.0) * self.fleets[service].ready_share(zone)
        if self.instances[service] and self.fleets[service].ready:
            rows = set(self.fleets[service].ready_rows().tolist())
            own = [f - 1.0 for row, f in self.instances[service].items() if row in rows]
            factor *= 1.0 + math.fsum(own) / self.fleets[service].ready
        self.platform.set_slowdown(service, min(max(factor, 0.01), 1000.0))

    def refresh_all(self) -> None:
        """`refresh` each service."""
        for service in range(len(self.fleets)):
            self.refresh(service)


@dataclass(frozen=True, slots=True)
class Stage:
    """The parts of a world that faults touch."""

    env: simpy.Environment
    duration_s: float
    zones: Sequence[str]
    streams: Streams
    platform: SimulatedPlatform
    slowness: Slowness
    fleets: Mapping[str, Fleet]
    telemetry: Mapping[str, Telemetry]
    feed: ScheduleFeed
    infrastructure: SimulatedCloud
    shell: SimulatedShell
    recorder: Recorder
    plain: Demand
    """The demand without faults."""
    demand: Demand
    catch_up: Callable[[], None]


def arrange(fault: Fault, at_s: float, stage: Stage) -> None:
    """Start what carries out `fault`, which begins `at_s` seconds into the run."""
    end_s = min(at_s + fault.duration_s, stage.duration_s)
    _Arranged(fault, at_s, end_s, stage).start()


@dataclass(frozen=True, slots=True)
class _Arranged:
    """One fault with its times, on its stage."""

    fault: Fault
    at_s: float
    end_s: float
    stage: Stage

    def start(self) -> None:
        process = CARRIED_OUT[type(self.fault)](self, self.fault)
        if process is not None:
            self.stage.env.process(process)

    def _services(self, chosen: Sequence[str]) -> tuple[str, ...]:
        return tuple(chosen) or tuple(self.stage.fleets)

    def _rng(self, service: str) -> np.random.Generator:
        return self.stage.streams(f"fault.{self.fault.name}.{service}")

    def _fire(self, times: int = 1) -> None:
        self.stage.recorder.fire(self.fault.name, times)

    def _note(self, what: str, detail: str) -> None:
        self.stage.recorder.event(
            self.stage.env.now, what, self.fault.name, self.fault.kind, detail=detail
        )

    def _lasting(self, begin: Callable[[], str], end: Callable[[], None]) -> Process:
        """Begin, wait, end; `begin` says what happens."""
        env = self.stage.env
        yield env.timeout(max(self.at_s - env.now, 0.0))
        self.stage.catch_up()
        self._note("fault_started", begin())
        yield env.timeout(max(self.end_s - env.now, 0.0))
        self.stage.catch_up()
        end()
        fired = self.stage.recorder.fired.get(self.fault.name, 0)
        self._note("fault_ended", f"fired {fired:,} times")

    def _served(self, service: int) -> float:
        """Requests to the service that have been answered so far."""
        return float(self.stage.platform.totals()[service, TRUTH_FIELDS.index("served")])

    def _flash_crowd(self, fault: FlashCrowd) -> Process:
        """It is part of the demand already; its effect is by how much that is changed."""
        plain, demand = self.stage.plain, self.stage.demand
        row, inside = demand.services.index(fault.service), slice(int(self.at_s), int(self.end_s))
        more = float((demand.rates[row, inside] - plain.rates[row, inside]).sum())

        def begin() -> str:
            return f"{fault.service}: {abs(more):,.0f} {'more' if more >= 0 else 'fewer'} requests"

        return self._lasting(begin, lambda: self._fire(round(abs(more))))

    def _black_out(self, fault: MetricsBlackout) -> Process:
        held = sum(
            self.stage.telemetry[name].black_out(self.at_s, self.end_s, fault.late_s)
            for name in self._services(fault.services)
        )
        return self._told_before(held, f"{held} samples held back")

    def _told_before(self, hit: int, detail: str) -> Process:
        """A fault that was worked into the telemetry before the run."""
        self._fire(hit)
        return self._lasting(lambda: detail, _nothing)

    def _spoil_samples(self, fault: Samples) -> Process:
        """Work the fault into the telemetry."""
        hit = 0
        for name in self._services(fault.services):
            telemetry, rng = self.stage.telemetry[name], self._rng(name)
            sampled_s = telemetry.sampled_s
            inside = (sampled_s >= self.at_s) & (sampled_s < self.end_s)
            chosen = inside & (rng.random(len(sampled_s)) < getattr(fault, "share", 1.0))
            match fault:
                case ScrapeLag(lag_s=lag_s):
                    hit += telemetry.delay(chosen, np.full(len(sampled_s), lag_s))
                case SampleReorder(late_s=late_s):
                    hit += telemetry.delay(chosen, late_s * rng.random(len(sampled_s)))
                case SampleLoss():
                    hit += telemetry.lose(chosen)
                case SampleNan():
                    hit += telemetry.punch(chosen)
                case SampleDuplicates():
                    hit += telemetry.repeat(chosen)
                case UnitSpike(figure=figure, factor=factor):
                    hit += telemetry.misread(chosen, figure, factor)
        return self._told_before(hit, f"{hit} samples")

    def _slow_boot(self, fault: SlowBoot) -> Process:
        fleets = [self.stage.fleets[name] for name in self._services(fault.services)]

        def count(launch: Launch) -> None:
            self._fire(len(launch.wait_s))

        def begin() -> str:
            for fleet in fleets:
                fleet.boot_factor *= fault.factor
                fleet.launch_faults.append(count)
            return f"boots take {fault.factor:g} times as long"

        def end() -> None:
            for fleet in fleets:
                fleet.boot_factor /= fault.factor
                fleet.launch_faults.remove(count)

        return self._lasting(begin, end)

    def _bad_launches(self, fault: HeavyBoots | NeverReady | CrashLoop) -> Process:
        spoilers = [
            (self.stage.fleets[name].launch_faults, self._spoiler(fault, self._rng(name)))
            for name in self._services(fault.services)
        ]
        what = {
            "heavy_boots": "boots draw from a heavy tail",
            "never_ready": "boots hang",
            "crash_loop": "instances crash after they got ready",
        }[fault.kind]

        def begin() -> str:
            for launch_faults, spoil in spoilers:
                launch_faults.append(spoil)
            return f"{fault.share:.0%} of the {what}"

        def end() -> None:
            for launch_faults, spoil in spoilers:
                launch_faults.remove(spoil)

        return self._lasting(begin, end)

    def _spoiler(
        self, fault: HeavyBoots | NeverReady | CrashLoop, rng: np.random.Generator
    ) -> Callable[[Launch], None]:
        def spoil(launch: Launch) -> None:
            hit = rng.random(len(launch.wait_s)) < fault.share
            match fault:
                case HeavyBoots(tail=tail):
                    launch.wait_s[hit] *= (1.0 + rng.pareto(tail, len(hit)))[hit]
                case NeverReady(given_up_s=given_up_s):
                    launch.wait_s[hit] = np.inf
                    launch.given_up_s[hit] = np.minimum(launch.given_up_s[hit], given_up_s)
                case CrashLoop(crashes=crashes, up_s=up_s):
                    launch.crashes[hit] = crashes
                    launch.up_s[hit] = up_s
            self._fire(int(np.count_nonzero(hit)))

        return spoil

    def _shortage(self, fault: CapacityShortage) -> Process:
        fleets = [(self.stage.fleets[n], self._rng(n)) for n in self._services(fault.services)]
        rationed = [(fleet.shortages, self._ration(fault, rng)) for fleet, rng in fleets]

        def without_zone(count: int) -> int:
            self._fire()
            return count

        def begin() -> str:
            if fault.zones:
                for fleet, _ in fleets:
                    fleet.shortages.append(without_zone)
                    for zone in fault.zones:
                        fleet.close_zone(zone)
                return f"zones {', '.join(self.stage.zones[z] for z in fault.zones)} give nothing"
            for shortages, ration in rationed:
                shortages.append(ration)
            return f"{fault.granted:.0%} of what is asked for is granted"

        def end() -> None:
            if fault.zones:
                for fleet, _ in fleets:
                    fleet.shortages.remove(without_zone)
                    for zone in fault.zones:
                        fleet.restore_zone(zone)
                return
            for shortages, ration in rationed:
                shortages.remove(ration)

        return self._lasting(begin, end)

    def _ration(self, fault: CapacityShortage, rng: np.random.Generator) -> Callable[[int], int]:
        def granted(count: int) -> int:
            given = int(rng.binomial(count, fault.granted))
            self._fire(int(given < count))
            return given

        return granted

    def _slow_service(self, fault: SlowService) -> Process:
        slowness = self.stage.slowness
        service = list(self.stage.fleets).index(fault.service)
        factors = slowness.services[service]
        served = 0.0

        def begin() -> str:
            nonlocal served
            served = self._served(service)
            factors.append(fault.factor)
            slowness.refresh(service)
            return f"{fault.service} takes {fault.factor:g} times as long"

        def end() -> None:
            factors.remove(fault.factor)
            slowness.refresh(service)
            self._fire(round(self._served(service) - served))

        return self._lasting(begin, end)

    def _slow_instance(self, fault: SlowInstance) -> Process:
        slowness, service = self.stage.slowness, list(self.stage.fleets).index(fault.service)
        fleet, own = self.stage.fleets[fault.service], slowness.instances[service]
        chosen: list[int] = []

        def begin() -> str:
            rows = [row for row in fleet.ready_rows().tolist() if row not in own]
            picked = self._rng(fault.service).permutation(len(rows))[: fault.instances]
            chosen.extend(rows[k] for k in picked.tolist())
            own.update(dict.fromkeys(chosen, fault.factor))
            slowness.refresh(service)
            self._fire(len(chosen))
            names = ", ".join(f"{fault.service}-{row}" for row in sorted(chosen))
            return f"{names or 'no instance'}: {fault.factor:g} times as long"

        def end() -> None:
            for row in chosen:
                del own[row]
            slowness.refresh(service)

        return self._lasting(begin, end)

    def _slow_zone(self, fault: SlowZone) -> Process:
        slowness, entry = self.stage.slowness, (fault.zone, fault.factor)
        fleets = list(self.stage.fleets.values())
        begun: list[int] = []

        def slowed() -> int:
            return sum(round(f.ready_share(fault.zone) * f.ready) for f in fleets)

        def begin() -> str:
            begun.append(slowed())
            slowness.zones.append(entry)
            slowness.refresh_all()
            return f"zone {self.stage.zones[fault.zone]} takes {fault.factor:g} times as long"

        def end() -> None:
            slowness.zones.remove(entry)
            slowness.refresh_all()
            self._fire(max(slowed(), *begun))

        return self._lasting(begin, end)

    def _cache_flush(self, fault: CacheFlush) -> Process:
        stage = self.stage
        service = list(stage.fleets).index(fault.service)
        spec = list(stage.fleets.values())[service].spec
        calls = sum(call.per_request for call in spec.calls if not call.asynchronous)
        yield stage.env.timeout(self.at_s)
        self._note("fault_started", f"{fault.service} calls others {fault.factor:g} times as often")
        more = 0.0
        while stage.env.now < self.end_s:
            left = float(np.exp(-REFILLED * (stage.env.now - self.at_s) / fault.refill_s))
            stage.catch_up()
            stage.platform.set_calls(service, 1.0 + (fault.factor - 1.0) * left)
            served = self._served(service)
            yield stage.env.timeout(min(REFILL_STEP_S, self.end_s - stage.env.now))
            stage.catch_up()
            more += (self._served(service) - served) * (fault.factor - 1.0) * left * calls
        stage.platform.set_calls(service, 1.0)
        self._fire(round(more))
        self._note("fault_ended", f"{more:,.0f} more calls")

    def _zone_loss(self, fault: ZoneLoss) -> Process:
        stage = self.stage

        def begin() -> str:
            before = {name: fleet.ready for name, fleet in stage.fleets.items()}
            for fleet in stage.fleets.values():
                self._fire(fleet.lose_zone(fault.zone))
            stage.env.process(stage.infrastructure.replace_lost())
            lost = ", ".join(
                f"{name} {before[name] - fleet.ready}" for name, fleet in stage.fleets.items()
            )
            return f"zone {stage.zones[fault.zone]}: lost {lost}"

        def end() -> None:
            for fleet in stage.fleets.values():
                fleet.restore_zone(fault.zone)

        return self._lasting(begin, end)

    def _spot_reclaim(self, fault: SpotReclaim) -> Process:
        stage = self.stage

        def begin() -> str:
            taken = {
                name: stage.fleets[name].reclaim(
                    fault.share, fault.zones, fault.notice_s, self._rng(name)
                )
                for name in self._services(fault.services)
            }
            stage.env.process(stage.infrastructure.replace_lost())
            self._fire(sum(taken.values()))
            return "taken back: " + ", ".join(f"{name} {count}" for name, count in taken.items())

        return self._lasting(begin, _nothing)

    def _spoil_commands(
        self, fault: ApiErrors | ApiTimeout | CommandsLost | CommandsDuplicated
    ) -> Process:
        faults = self.stage.infrastructure.faults
        rngs = {name: self._rng(name) for name in self._services(fault.services)}
        active = CommandFault(fault, rngs, self._fire)

        def begin() -> str:
            faults.append(active)
            return f"{fault.share:.0%} of the commands"

        return self._lasting(begin, lambda: faults.remove(active))

    def _kill(self, fault: EngineKill) -> None:
        """The shell kills itself, after a step that acts; it says when."""

        def restarts() -> Process:
            yield self.stage.env.timeout(fault.down_s)
            self._note("fault_ended", "")

        def killed(detail: str) -> None:
            self._fire()
            self._note("fault_started", detail)
            self.stage.env.process(restarts())

        self.stage.shell.kill(fault, self.at_s, self.end_s, killed)

    def _two_leaders(self, fault: TwoLeaders) -> Process:
        shell, before = self.stage.shell, 0
        notice: list[Callable[[], None]] = []

        def begin() -> str:
            nonlocal before
            before = shell.deposed_steps
            notice.append(shell.depose(fault.behind_s))
            return f"a second engine leads, the first goes on {fault.behind_s:g} s behind"

        def end() -> None:
            notice[0]()
            self._fire(shell.deposed_steps - before)

        return self._lasting(begin, end)

    def _clock_step(self, fault: ClockStep) -> Process:
        shell, before = self.stage.shell, 0

        def begin() -> str:
            nonlocal before
            before = shell.steps
            shell.clock_error_s += fault.step_s
            return f"the engine's clock is {abs(fault.step_s):g} s " + (
                "ahead" if fault.step_s > 0.0 else "behind"
            )

        def end() -> None:
            shell.clock_error_s -= fault.step_s
            self._fire(shell.steps - before)

        return self._lasting(begin, end)

    def _held_feed(self, fault: ScheduleStale | ScheduleLate) -> Process:
        feed = self.stage.feed
        delay_s = fault.delay_s if isinstance(fault, ScheduleLate) else 0.0
        missed = 0

        def begin() -> str:
            nonlocal missed
            missed = feed.missed
            if isinstance(fault, ScheduleStale):
                feed.stale += 1
                return "the schedule is not refreshed"
            feed.delay_s += delay_s
            return f"the schedule is {delay_s:g} s behind"

        def end() -> None:
            if isinstance(fault, ScheduleStale):
                feed.stale -= 1
            feed.delay_s -= delay_s
            feed.catch_up()
            self._fire(feed.missed - missed)

        return self._lasting(begin, end)

    def _wrong_feed(self, fault: ScheduleWrong) -> Process:
        feed = self.stage.feed
        salt = int(self._rng("schedule").integers(2**62))

        most = 0

        def change(booked: Schedule) -> Schedule:
            nonlocal most
            kept = _kept(booked, fault.missing, salt)
            changed = fault.shift_s != 0.0 or fault.scale != 1.0
            most = max(most, len(kept) if changed else int(np.count_nonzero(~kept)))
            return replace(
                booked,
                phase_start_s=booked.phase_start_s[kept] + fault.shift_s,
                participants=booked.participants[kept] * fault.scale,
                major=booked.major[kept],
            )

        def begin() -> str:
            feed.distort(change)
            return (
                f"events {fault.shift_s:+g} s, {fault.missing:.0%} missing, "
                f"people x {fault.scale:g}"
            )

        def end() -> None:
            feed.put_right(change)
            self._fire(most)

        return self._lasting(begin, end)


CARRIED_OUT: Mapping[type, Callable[[_Arranged, Any], Process | None]] = {
    FlashCrowd: _Arranged._flash_crowd,
    MetricsBlackout: _Arranged._black_out,
    ScrapeLag: _Arranged._spoil_samples,
    SampleLoss: _Arranged._spoil_samples,
    SampleNan: _Arranged._spoil_samples,
    SampleDuplicates: _Arranged._spoil_samples,
    SampleReorder: _Arranged._spoil_samples,
    UnitSpike: _Arranged._spoil_samples,
    SlowBoot: _Arranged._slow_boot,
    HeavyBoots: _Arranged._bad_launches,
    NeverReady: _Arranged._bad_launches,
    CrashLoop: _Arranged._bad_launches,
    CapacityShortage: _Arranged._shortage,
    SlowService: _Arranged._slow_service,
    CacheFlush: _Arranged._cache_flush,
    ZoneLoss: _Arranged._zone_loss,
    SlowInstance: _Arranged._slow_instance,
    SlowZone: _Arranged._slow_zone,
    SpotReclaim: _Arranged._spot_reclaim,
    ApiErrors: _Arranged._spoil_commands,
    ApiTimeout: _Arranged._spoil_commands,
    CommandsLost: _Arranged._spoil_commands,
    CommandsDuplicated: _Arranged._spoil_commands,
    EngineKill: _Arranged._kill,
    TwoLeaders: _Arranged._two_leaders,
    ClockStep: _Arranged._clock_step,
    ScheduleStale: _Arranged._held_feed,
    ScheduleLate: _Arranged._held_feed,
    ScheduleWrong: _Arranged._wrong_feed,
}
"""What carries out each kind of fault; None is returned by what needs no process of its own."""


def _nothing() -> None:
    """The end of what needs no putting right."""


def _kept(booked: Schedule, missing: float, salt: int) -> NDArray[np.bool_]:
    """Which events (events,) a feed still shows that loses the share `missing`.

    Decided for each event by a hash of its own figures, so that it stays the same whatever else
    is booked or cancelled (the multiplier is that of splitmix64, Steele et al. 2014).
    """
    figures: FloatArray = booked.phase_start_s[:, 0] * 1e3 + booked.participants.sum(axis=1)
    bits = np.round(figures).astype(np.int64).view(np.uint64) ^ np.uint64(salt)
    bits ^= bits >> np.uint64(30)
    bits *= np.uint64(0xBF58476D1CE4E5B9)
    bits ^= bits >> np.uint64(27)
    kept: NDArray[np.bool_] = (bits >> np.uint64(11)) / 2.0**53 >= missing
    return kept
