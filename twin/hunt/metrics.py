"""Faults of the metrics alone: as plain data, drawn for a world, and put before the engine's eyes.

They change what the engine is shown and nothing else, neither the platform nor what is drawn for
it.  `twin.hunt.apart` compares a world that has them with the same world without.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.config.strict import Strict
from engine.model import SAMPLE_FIELDS, FloatArray
from scenarios.streams import Streams
from twin.config import TelemetryConfig
from twin.world.telemetry import Lens, Telemetry

Way = Literal["times", "targets_lost", "renamed", "dark", "seldom", "clock"]
WAYS: tuple[Way, ...] = ("times", "targets_lost", "renamed", "dark", "seldom", "clock")

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "request_rate": ("request_rate",),
    "response_time": ("p50_s", "p95_s", "p99_s"),
    "error_rate": ("error_rate",),
    "cpu": ("cpu",),
    "memory": ("memory",),
    "queue_depth": ("queue_depth",),
}
"""The figures that can be wrong each by itself, and where a sample has them."""
FIGURES = tuple(COLUMNS)
SUMS = ("request_rate", "queue_depth")
"""Figures that are summed over the instances: targets that are lost take their part away."""
FACTORS = (0.0, 1e-9, 1e-6, 1e-3, 0.1, 0.5, 0.8, 1.25, 2.0, 10.0, 1e3, 1e6, 1e9, 1e12)
SIZES = (
    (0.0, 0.0, "× 0"),
    (1e-9, 1e-3, "× 1e-9 to 1e-3"),
    (0.1, 0.8, "× 0.1 to 0.8"),
    (1.25, 2.0, "× 1.25 to 2"),
    (10.0, 1e3, "× 10 to 1000"),
    (1e6, 1e12, "× 1e6 to 1e12"),
)
"""Classes of factors, from and to."""
LEFT = (0.9, 0.5, 0.1, 0.0)
"""Parts of the targets that may be left."""
NO_FACTORS = (math.nan, math.inf, -math.inf, -1.0)
INTERVALS_S = (10, 15, 20, 30, 45, 60)
MOST_CLOCK_S = 120
NOISE = 0.01
"""Standard deviation of the logarithm of a figure, by which two scrapes of one moment differ."""


class MetricsFault(Strict):
    """From `at` on for `duration_s` (s), a `share` of the samples of `services` (all) is wrong.

    - `times`: each of `figures` is `factor` times what it was (0, NaN, infinite, negative too).
    - `targets_lost`: only the part `factor` of the instances is scraped; sums are so much lower.
    - `renamed`: `figures` are missing.
    - `dark`: no sample comes.
    - `seldom`: of the samples only one each `interval_s` comes.
    - `clock`: the times of the samples are off by `step_s`.
    """

    way: Way
    at: Annotated[float, Field(ge=0.0)]
    duration_s: Annotated[float, Field(gt=0.0)]
    services: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    factor: Annotated[float, Field(allow_inf_nan=True)] = 1.0
    share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    interval_s: Annotated[float, Field(ge=5.0, le=60.0)] = 60.0
    step_s: Annotated[float, Field(ge=-MOST_CLOCK_S, le=MOST_CLOCK_S)] = 0.0

    @property
    def end_s(self) -> float:
        """When it is over, in seconds from the start."""
        return self.at + self.duration_s

    @property
    def kind(self) -> str:
        """What is wrong, and by how much, in words; without when and where."""
        match self.way:
            case "times":
                return f"{self._what} {_size(self.factor)}"
            case "targets_lost":
                return f"{1.0 - self.factor:.0%} of the targets lost"
            case "renamed":
                return f"{self._what} missing"
            case "dark":
                return "no samples"
            case "seldom":
                return f"a sample each {self.interval_s:.0f} s"
            case "clock":
                far = "up to 30 s" if abs(self.step_s) <= 30.0 else f"30 to {MOST_CLOCK_S} s"
                return f"clock {far} {'ahead' if self.step_s > 0.0 else 'behind'}"

    @property
    def _what(self) -> str:
        return self.figures[0].replace("_", " ") if len(self.figures) == 1 else "several figures"


def _size(factor: float) -> str:
    """The class of sizes that `factor` belongs to."""
    if not 0.0 <= factor < math.inf:
        return "NaN, infinite or negative"
    for low, high, text in SIZES:
        if low <= factor <= high:
            return text
    return f"× {factor:g}"


def drawn(rng: np.random.Generator, services: Sequence[str], until_s: int) -> list[dict[str, Any]]:
    """One to three faults as plain data, all over by `until_s`."""
    return [
        _drawn(rng, services, until_s) for _ in range(int(rng.choice([1, 2, 3], p=[0.7, 0.2, 0.1])))
    ]


def _drawn(rng: np.random.Generator, services: Sequence[str], until_s: int) -> dict[str, Any]:
    way = str(rng.choice(WAYS, p=[0.6, 0.1, 0.1, 0.05, 0.05, 0.1]))
    at_s = int(rng.integers(60, until_s - 30))
    longest_s = until_s - at_s
    lasting_s = np.exp(rng.uniform(np.log(5.0), np.log(longest_s)))
    fault: dict[str, Any] = {"way": way, "at": at_s, "duration_s": max(round(float(lasting_s)), 1)}
    if rng.random() < 0.4:
        fault["services"] = [str(rng.choice(list(services)))]
    if rng.random() < 0.4:
        fault["share"] = float(rng.choice([0.02, 0.1, 0.3, 0.5, 0.8]))
    match way:
        case "times":
            fault["figures"] = _figures(rng)
            strange = rng.random() < 0.2
            fault["factor"] = float(rng.choice(NO_FACTORS if strange else FACTORS))
        case "targets_lost":
            fault["factor"] = float(rng.choice(LEFT))
        case "renamed":
            fault["figures"] = _figures(rng)
        case "seldom":
            fault["interval_s"] = int(rng.choice(INTERVALS_S))
        case "clock":
            fault["step_s"] = int(rng.integers(-MOST_CLOCK_S, MOST_CLOCK_S + 1))
    return fault


def _figures(rng: np.random.Generator) -> list[str]:
    count = int(rng.choice([1, 2, 3, len(FIGURES)], p=[0.7, 0.15, 0.1, 0.05]))
    return [FIGURES[row] for row in sorted(rng.choice(len(FIGURES), count, replace=False).tolist())]


def parse(raw: Sequence[Mapping[str, Any]]) -> tuple[MetricsFault, ...]:
    """The faults in a world's `metrics`; raises ValueError for what is none."""
    faults = tuple(MetricsFault(**item) for item in raw)
    for fault in faults:
        for figure in fault.figures:
            if figure not in COLUMNS:
                raise ValueError(f"metrics: {figure} is no figure ({', '.join(COLUMNS)})")
    return faults


def spoil(telemetry: Telemetry, faults: Sequence[MetricsFault], name: str, streams: Streams) -> int:
    """Let `telemetry`, that of the service `name`, show what `faults` leave of its samples.

    To be called before the run; returns how many samples are hit.
    """
    sampled_s = telemetry.sampled_s
    hit = 0
    for number, fault in enumerate(faults):
        if fault.services and name not in fault.services:
            continue
        rng = streams(f"metrics.{number}.{name}")
        inside = (sampled_s > fault.at) & (sampled_s <= fault.end_s)
        inside &= rng.random(len(sampled_s)) < fault.share
        if fault.way == "seldom":
            inside &= ~_scraped(sampled_s, fault.interval_s)
        telemetry.see_through(inside, _lens(fault))
        hit += int(np.count_nonzero(inside))
    return hit


def stir(telemetry: Telemetry, config: TelemetryConfig, rng: np.random.Generator) -> None:
    """Give `telemetry` another usual lateness and loss, and each figure `NOISE` more of noise.

    To be called before the run.  Nothing is wrong with such samples: they are what the same
    platform shows to a scrape that comes a moment earlier or later.
    """
    telemetry.draw(config, rng)
    samples = len(telemetry.sampled_s)
    factors = np.exp(NOISE * rng.standard_normal((samples, len(SAMPLE_FIELDS) - 1)))
    for k in range(samples):
        telemetry.see_through(np.arange(samples) == k, partial(_noised, factors=factors[k]))


def leave_out(telemetry: Telemetry, figures: Sequence[str]) -> None:
    """Let `telemetry` have no `figures` from the beginning on: nobody measures them."""
    never = MetricsFault(way="renamed", at=0.0, duration_s=1.0, figures=tuple(figures))
    telemetry.see_through(np.ones(len(telemetry.sampled_s), bool), _lens(never))


def _scraped(sampled_s: FloatArray, interval_s: float) -> NDArray[np.bool_]:
    """Which of the samples (samples,) are the first in an interval of `interval_s`."""
    interval = np.floor(sampled_s / interval_s)
    return np.diff(interval, prepend=-1.0) > 0.0


def _lens(fault: MetricsFault) -> Lens:
    """What a sample (fields,) looks like with this fault."""
    if fault.way in ("dark", "seldom"):
        return lambda _: False
    if fault.way == "clock":
        return partial(_shifted, shift_s=fault.step_s)
    figures = SUMS if fault.way == "targets_lost" else fault.figures
    columns = [SAMPLE_FIELDS.index(name) for one in figures for name in COLUMNS[one]]
    factor = math.nan if fault.way == "renamed" else fault.factor
    return partial(_multiplied, columns=columns, factor=factor)


def _shifted(sample: FloatArray, shift_s: float) -> bool:
    sample[0] += shift_s
    return True


def _noised(sample: FloatArray, factors: FloatArray) -> bool:
    sample[1:] *= factors
    return True


def _multiplied(sample: FloatArray, columns: list[int], factor: float) -> bool:
    for column in columns:
        sample[column] = float(sample[column]) * factor
    return True
