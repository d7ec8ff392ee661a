"""Realise a scenario's day and cut a load test's plan out of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from engine.config.strict import validated
from locustfiles.plan import MINUTE_S, Client, LoadPlan, PlanError, WantedExcerpt
from scenarios.faults.kinds.flash_crowd import FlashCrowd
from scenarios.faults.registry import AnyFault, apply_to_demand
from scenarios.faults.times import resolve_at
from scenarios.streams import Streams
from scenarios.traces import replay as replays
from scenarios.traces.config import TraceConfig
from scenarios.weddings.config import DemandConfig, PopulationConfig
from scenarios.weddings.demand import Demand, Makeup, makeup, realise
from scenarios.weddings.population import Population, generate

MOST_WEDDINGS = 2_000
"""Most weddings that the requests are spread over: enough that none is hit twice in a row."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?")
_UNITS_S = {None: 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


def realised(
    configuration: Mapping[str, Any], part: WantedExcerpt, *, scale: float, speed: float
) -> LoadPlan:
    """The plan of a composed configuration; raises PlanError naming the option or key."""
    try:
        config = _parsed(configuration)
        streams = Streams(config.seed)
        day = _weddings(config, streams) if config.trace is None else _replayed(config, streams)
        demand = apply_to_demand(day.plain, config.faults.values())
    except ValueError as error:
        raise PlanError(str(error)) from error
    first, last = _cut(part, day)
    minutes = slice(first // MINUTE_S, -(-last // MINUTE_S))
    return LoadPlan(
        scenario=config.scenario.name,
        description=" ".join(config.scenario.description.split()),
        seed=config.seed,
        scale=scale,
        speed=speed,
        start_s=day.start_s + first,
        services=demand.services,
        phases=day.phases,
        kinds=day.who.kinds,
        clients=tuple(config.client(service) for service in demand.services),
        limits=tuple(config.limits()),
        left_out=tuple(
            f"{fault.name} ({fault.kind})"
            for fault in config.faults.values()
            if not isinstance(fault, FlashCrowd)
        ),
        rates=demand.rates[:, first:last] * scale,
        shares=np.cumsum(day.who.shares[:, minutes], axis=2),
        people=day.who.people[minutes].astype(np.float64) * scale,
        crowd=day.crowd,
        stage=day.stages(first, last, scale),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Day:
    """A realised window: its load, who makes it, and which phase its weddings are in."""

    start_s: float
    phases: tuple[str, ...]
    plain: Demand
    who: Makeup
    crowd: Mapping[str, float]
    stages: Callable[[int, int, float], NDArray[np.int8]]


def _weddings(config: _Config, streams: Streams) -> _Day:
    population = generate(config.population, streams)
    means = population.participants_actual[population.happens].mean(axis=0)
    return _Day(
        start_s=population.start_s,
        phases=population.phases,
        plain=realise(population, config.demand, streams),
        who=makeup(population, config.demand, MINUTE_S),
        crowd=dict(zip(population.roles, means.tolist(), strict=True)),
        stages=lambda first, last, scale: _stages(population, first, last, scale),
    )


def _replayed(config: _Config, streams: Streams) -> _Day:
    """A recorded trace.

    It says when and how much, not who: all are guests, one for each request a second.
    """
    trace, noise = config.trace, config.demand
    assert trace is not None
    replay = replays.load(trace)
    plain = replays.realise(replay, trace, noise.noise_sigma, noise.noise_time_s, streams=streams)
    minutes = -(-replay.duration_s // MINUTE_S)
    return _Day(
        start_s=replay.start_s,
        phases=(),
        plain=plain,
        who=Makeup(
            kinds=(("guest", ""),),
            shares=np.ones((len(plain.services), minutes, 1)),
            people=np.ceil(plain.rates.sum(axis=0)[::MINUTE_S]).astype(np.int64),
        ),
        crowd={"guest": 1.0},
        stages=lambda first, last, _: np.full((100, -(-(last - first) // MINUTE_S)), -1, "i1"),
    )


def _stages(population: Population, first: int, last: int, scale: float) -> NDArray[np.int8]:
    """The phase of each of `scale` times the weddings of [first, last), minute by minute."""
    times = population.actual_s
    inside = np.flatnonzero(population.happens & (times[:, 0] < last) & (times[:, -1] > first))
    wanted = min(max(round(len(inside) * scale), 1), MOST_WEDDINGS)
    # Weddings are drawn in random order, so the first of them are as good a sample as any.
    chosen = times[inside[:wanted]]
    at_s = np.arange(first, last, MINUTE_S)
    begun = (chosen[:, :, None] <= at_s[None, None, :]).sum(axis=1)
    over = begun == population.actual_s.shape[1]
    stage: NDArray[np.int8] = np.where(over, -1, begun - 1).astype(np.int8)
    return stage


def _cut(part: WantedExcerpt, day: _Day) -> tuple[int, int]:
    """First and last + 1 second, on whole minutes, of the window that the scenario has."""
    plain = day.plain
    whole = plain.rates.shape[1]
    if part.window and (part.start or part.duration):
        raise PlanError("--window: lies around the peak; give it, or --start and --duration")
    if part.window:
        length = _seconds(part.window, "--window", whole)
        middle = resolve_at("peak", plain)
        first = min(max(middle - length // 2, 0), whole - length)
    else:
        first = _moment(part.start, day) if part.start else 0
        length = _seconds(part.duration, "--duration", whole) if part.duration else whole - first
    first = first // MINUTE_S * MINUTE_S
    return first, min(first + length, whole)


def _moment(text: str, day: _Day) -> int:
    plain = day.plain
    clock = _CLOCK.fullmatch(text)
    if clock is not None:
        at_s = 3600 * int(clock.group(1)) + 60 * int(clock.group(2))
        return int((at_s - day.start_s) % 86_400) % plain.rates.shape[1]
    try:
        at: float | str = float(text)
    except ValueError:
        at = text
    last = plain.rates.shape[1] - 1
    try:
        second = resolve_at(at, plain)
    except ValueError as error:
        raise PlanError(f'--start: {error}, or "HH:MM" (UTC)') from error
    if not isinstance(at, str) and not 0 <= at <= last:
        raise PlanError(f"--start: {text} is not allowed (0 … {last})")
    return second


def _seconds(text: str, option: str, most: int) -> int:
    match = _DURATION.fullmatch(text.strip())
    length = 0.0 if match is None else float(match.group(1)) * _UNITS_S[match.group(2)]
    if not MINUTE_S <= length <= most:
        raise PlanError(
            f'{option}: "{text}" is not allowed (60 s … {most} s, such as 18000, 300min or 5h)'
        )
    return round(length)


# --- what of the configuration concerns a load test; the rest is the twin's and the engine's


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Scenario(_Model):
    name: str
    description: str = ""


class _ClientConfig(_Model):
    timeout_s: float = Field(default=10.0, ge=1.0, le=600.0)
    max_retries: int = Field(default=2, ge=0, le=8)
    retry_share: float = Field(default=0.8, ge=0.0, le=1.0)
    backoff_s: float = Field(default=1.0, ge=0.0, le=60.0)


class _Service(_Model):
    slo_p95_s: float = Field(gt=0.0, le=3600.0)
    client: _ClientConfig = _ClientConfig()


class _Platform(_Model):
    services: dict[str, _Service]


class _Config(_Model):
    seed: int = Field(ge=0, le=2**63 - 1)
    scenario: _Scenario
    population: PopulationConfig
    demand: DemandConfig
    platform: _Platform
    trace: TraceConfig | None = None
    faults: dict[str, AnyFault] = {}
    thresholds: dict[str, Any] = {}

    def client(self, service: str) -> Client:
        """The behaviour of the users of `service`."""
        if service not in self.platform.services:
            names = ", ".join(self.platform.services)
            raise PlanError(f'demand.rates: "{service}" is no service of the platform ({names})')
        config = self.platform.services[service]
        return Client(slo_p95_s=config.slo_p95_s, **config.client.model_dump())

    def limits(self) -> list[tuple[str, str]]:
        """Names and texts of the limits that a load test can judge."""
        of_users = [
            (name, limit)
            for name, limit in self.thresholds.items()
            if isinstance(limit, str)
            and limit.split()[0] in ("slo.violation_ratio", "slo.availability")
        ]
        return of_users + [
            (f"{service}_p95", f"{service}.p95_s <= {self.client(service).slo_p95_s:g}")
            for service in (self.demand.services if self.trace is None else self.trace.services)
        ]


def _parsed(raw: Mapping[str, Any]) -> _Config:
    """A fault's key in the mapping is its name, unless it gives one itself."""
    config = dict(raw)
    faults = config.get("faults")
    if isinstance(faults, Mapping):
        config["faults"] = {
            name: {"name": name, **fault} if isinstance(fault, Mapping) else fault
            for name, fault in faults.items()
        }
    return validated(_Config, config)
