"""`python -m twin calibrate`: measure a live stack and write its platform file."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import platform as machine
import subprocess
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from engine.record import folders
from engine.record.machine import versions
from scenarios.streams import Streams
from twin.calibrate import calibration, fit, knee
from twin.calibrate.calibration import Calibration, ServiceFit
from twin.calibrate.fit import Estimate, Moments
from twin.commands import terminal
from twin.measure.bench import Bench, BenchError, Measured, bench
from twin.measure.driver import poisson
from twin.measure.settings import MeasureConfig
from twin.staging import parts

STRETCH_S = 10
"""Length of the stretches that the jackknife leaves out."""

KNEE_TRIES = 3
"""So often a load is tried before it is too much: what else a machine does comes and goes."""

AT_ONCE = 2
"""Instances of a service that are booted together: an autoscaler's step, not a cold start."""


def run(config: MeasureConfig) -> Path:
    """Calibrate and write the results; returns their folder.

    Raises BenchError, StackError or OutputError.
    """
    folders.check_writable(Path(config.output))
    started = dt.datetime.now(dt.UTC)
    with bench(config.wish(), lambda _: None) as standing:
        fitted = measure(config, standing)

    def fill(folder: Path) -> None:
        calibration.write(folder, config.platform, fitted)

    return folders.write_whole(Path(config.output), f"{started:%Y%m%dT%H%M%SZ}", fill)


def measure(config: MeasureConfig, standing: Bench) -> Calibration:
    """Boots, knee, levels, hops and telemetry of a stack that is up."""
    streams = Streams(config.seed)
    seconds = config.warmup_s + config.seconds
    rounds = -(-config.boots // AT_ONCE)
    total = rounds * 25 + len(config.knee.shares) * config.knee.seconds
    total += len(config.levels) * seconds + 15
    done = 0.0
    with terminal.progress("calibrating", total) as advance:

        def passed(by_s: float) -> None:
            nonlocal done
            done += by_s
            advance(done)

        boots = _boots(config, standing, rounds, passed)
        standing.settle(config.counts)
        specs = config.platform.specs()
        promised = knee.saturation(specs, config.counts, config.mix)
        steps = []
        for number, share in enumerate(config.knee.shares):
            load = _constant(config, promised * share, config.knee.seconds)
            arrivals = poisson(standing.names, load, streams(f"knee.{number}"))
            for _ in range(KNEE_TRIES):
                step = knee.judge(share, standing.measure(arrivals), specs, 2)
                if step.carried:
                    break
            steps.append(step)
            passed(config.knee.seconds)
            if not step.carried:
                break
        carried = [step.share for step in steps if step.carried]
        if not carried:
            raise BenchError(
                f"knee.shares: not even {steps[0].share:g} of what the platform file promises is "
                f"carried ({steps[0].why}); begin lower, or give the machine some rest"
            )
        bends = promised * carried[-1]
        measured = []
        for number, level in enumerate(config.levels):
            load = _constant(config, bends * level, seconds)
            arrivals = poisson(standing.names, load, streams(f"level.{number}"))
            measured.append(standing.measure(arrivals))
            passed(seconds)
        ages = standing.telemetry_ages_s()
        passed(15)
    return Calibration(
        services=_services(config, measured, boots),
        hop_s=hop(measured),
        telemetry_lag_s=_lag(ages),
        saturation=promised,
        knee=bends,
        steps=tuple(steps),
        levels=tuple(config.levels),
        driver_late_p99_s=max(m.answers.lateness_p99_s for m in measured),
        fingerprint=fingerprint(config),
    )


def fingerprint(config: MeasureConfig) -> dict[str, str]:
    """What the figures hold for: the stack's software, platform and machine."""
    programs = parts.find_programs()
    asked = subprocess.run([programs.haproxy, "-v"], capture_output=True, text=True, check=False)
    source = config.platform.model_dump_json().encode()
    return {
        "haproxy": asked.stdout.splitlines()[0] if asked.stdout else "unknown",
        **versions(),
        "platform": hashlib.sha256(source).hexdigest()[:16],
        "counts": ", ".join(f"{name} {count}" for name, count in config.counts.items()),
        "machine": f"{machine.machine()}, {os.cpu_count()} cores, {machine.release()}",
    }


def _constant(config: MeasureConfig, scale: float, seconds: int) -> dict[str, np.ndarray]:
    return {name: np.full(seconds, scale * share) for name, share in config.mix.items()}


def _boots(
    config: MeasureConfig, standing: Bench, rounds: int, passed: Callable[[float], None]
) -> dict[str, list[tuple[float, float]]]:
    """Boot and warm-up time (s) of some instances of each service."""
    few = {name: service.min_instances for name, service in config.platform.services.items()}
    more = {
        name: min(count + AT_ONCE, config.platform.services[name].max_instances)
        for name, count in few.items()
    }
    boots: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for _ in range(rounds):
        standing.settle(few)
        before = {instance.id for instance in standing.book.read().instances}
        standing.settle(more)
        for boot in standing.boots(without=before):
            boots[boot.service].append((boot.listening_s, boot.ready_s - boot.listening_s))
        passed(25)
    return boots


def _services(
    config: MeasureConfig,
    measured: Sequence[Measured],
    boots: Mapping[str, Sequence[tuple[float, float]]],
) -> dict[str, ServiceFit]:
    fits = {}
    for name in config.platform.services:
        blocks = [b for m in measured for b in _moments(m, name, config.warmup_s)]
        try:
            service_s, scv = fit.service_time(blocks)
            median, p95 = fit.log_normal([boot for boot, _ in boots[name]])
            warmup = fit.mean([warm for _, warm in boots[name]])
        except ValueError as error:
            raise BenchError(f"{name}: {error}") from None
        requests = round(sum(block.count for block in blocks))
        fits[name] = ServiceFit(service_s, scv, median, p95, warmup, requests, len(boots[name]))
    return fits


def _moments(measured: Measured, service: str, since: int) -> list[Moments]:
    reading = measured.reading

    def grown(figure: str, begin: int) -> float:
        return reading.total(service, f"wedtwin_service_{figure}", begin, begin + STRETCH_S)

    return [
        Moments(
            grown("seconds_count", begin),
            grown("seconds_sum", begin),
            grown("squared_seconds_total", begin),
        )
        for begin in range(since, len(reading.slots[service]) - STRETCH_S + 1, STRETCH_S)
    ]


def hop(measured: Sequence[Measured]) -> Estimate:
    """What was seen from outside of a service, less what it saw itself, for each request (s).

    Both over all requests of a stretch of load, also those that were under way at its end: on a
    busy machine these are many.  Raises BenchError when no two services can be compared.
    """
    overheads = []
    for m in measured:
        arrivals = m.answers.arrivals
        for index, name in enumerate(arrivals.services):
            mine = (arrivals.service == index) & m.answers.served
            answered = m.reading.whole(name, "wedtwin_response_seconds_count")
            # Jobs are answered when they are accepted, so their two times are not comparable; and
            # a called service has answered others too.
            if not mine.any() or abs(answered - mine.sum()) > 0.02 * answered:
                continue
            outside = float((m.answers.done_s - m.answers.sent_s)[mine].mean())
            inside = m.reading.whole(name, "wedtwin_response_seconds_sum") / answered
            overheads.append(outside - inside)
    try:
        return fit.mean(overheads)
    except ValueError:
        raise BenchError("hop: too few services answered to tell what a hop costs") from None


def _lag(ages: Sequence[float]) -> Estimate:
    """From a scrape to its sample: the youngest sample seen, to the look's own resolution."""
    if not ages:
        raise BenchError("telemetry: Prometheus answered no query")
    return Estimate(min(ages), 0.25)
