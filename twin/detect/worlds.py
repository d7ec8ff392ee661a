"""Worlds to detect faults in: an hour and a half of a Saturday in June, and one fault each.

`SHARED` faults in a row are of one world, so that it is run without a fault once.  World number i
of a seed is always the same, and taking a fault out of one leaves the demand and all other draws as
they were (common random numbers).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from engine.config.composition import composed
from twin.config import RunConfig, parse

SHARED = 5
WINDOW_S = 5400
FAULT_FROM_S, FAULT_UNTIL_S = 2400, 3000
"""When a fault begins: the monitor has learned what is usual by then."""
Fault = dict[str, Any]
Draw = np.random.Generator


def _one_of(rng: Draw, *values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


def _between(rng: Draw, low: float, high: float) -> float:
    return float(f"{rng.uniform(low, high):.3g}")


def _facing(rng: Draw) -> str:
    return str(_one_of(rng, "api", "file-storage", "real-time"))


def _lasting(rng: Draw) -> float:
    return float(rng.integers(300, 900))


KINDS: Mapping[str, Callable[[Draw], Fault]] = {
    "flash_crowd": lambda rng: {
        "service": _facing(rng), "factor": _between(rng, 1.6, 4.0),
        "ramp_s": _between(rng, 10, 120), "hold_s": _lasting(rng), "decay_s": 120.0,
    },
    "slow_service": lambda rng: {
        "service": _one_of(rng, "api", "database", "file-storage", "real-time"),
        "factor": _between(rng, 1.5, 4.0), "duration_s": _lasting(rng),
    },
    "cache_flush": lambda rng: {
        "service": "api", "factor": _between(rng, 1.5, 5.0), "refill_s": _lasting(rng),
    },
    "zone_loss": lambda rng: {"zone": int(rng.integers(3)), "duration_s": _lasting(rng)},
    "slow_instance": lambda rng: {
        "service": _one_of(rng, "api", "database", "file-storage", "real-time"),
        "factor": _between(rng, 2.0, 6.0), "duration_s": _lasting(rng),
    },
    "slow_zone": lambda rng: {
        "zone": int(rng.integers(3)), "factor": _between(rng, 2.0, 6.0),
        "duration_s": _lasting(rng),
    },
    "spot_reclaim": lambda rng: {"share": _between(rng, 0.15, 0.6), "notice_s": 30.0},
    "crash_loop": lambda rng: {"share": _between(rng, 0.2, 0.8), "duration_s": 900.0},
    "capacity_shortage": lambda rng: {"granted": 0.0, "duration_s": 1200.0 + _lasting(rng)},
    "never_ready": lambda rng: {"share": _between(rng, 0.5, 1.0), "duration_s": 1200.0},
    "metrics_blackout": lambda rng: {"duration_s": _lasting(rng)},
    "scrape_lag": lambda rng: {"lag_s": _between(rng, 50.0, 200.0), "duration_s": _lasting(rng)},
    "unit_spike": lambda rng: {
        "share": _between(rng, 0.05, 0.3), "factor": 1000.0, "duration_s": _lasting(rng),
        "figure": _one_of(rng, "cpu", "request_rate", "p95_s"),
    },
    "schedule_wrong": lambda rng: {
        "scale": _one_of(rng, 0.3, 0.5, 2.0, 3.0), "duration_s": _lasting(rng),
    },
}  # fmt: skip
"""The figures of a fault of each kind, drawn."""


def kind_of(index: int) -> str:
    """The kind of fault in world number `index`: each in its turn."""
    return list(KINDS)[index % len(KINDS)]


def base(seed: int, group: int, overrides: tuple[str, ...] = ()) -> RunConfig:
    """The world that a group of faults shares, without any; raises ConfigError."""
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, group, 41])))
    hour = int(rng.integers(11, 23))
    words = [
        "scenario=june_peak",
        f"seed={int(rng.integers(2**31))}",
        f"population.simultaneous={round(float(np.exp(rng.uniform(np.log(1e3), np.log(3e4)))))}",
        f'population.start_utc="{hour:02d}:{_one_of(rng, "00", "30")}"',
        f"population.duration_s={WINDOW_S}",
        "monitor.enabled=true",
        "telemetry.instances=200",
    ]
    raw = composed([*words, *overrides])
    del raw["sweep"]  # its name is the time of day
    return parse({**raw, "thresholds": {}})


def faulted(config: RunConfig, seed: int, index: int) -> RunConfig:
    """The same with the fault of world number `index`."""
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, index, 42])))
    kind = kind_of(index)
    fault = {
        "kind": kind,
        "name": kind,
        "at": float(rng.integers(FAULT_FROM_S, FAULT_UNTIL_S)),
        **KINDS[kind](rng),
    }
    return RunConfig.model_validate({**config.model_dump(), "faults": {kind: fault}})
