"""What load the platform file promises to carry, and where the live stack really bends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.decide.callgraph import with_calls
from engine.model import ServiceSpec
from twin.measure.bench import Measured

SERVED = 0.97
"""Share of the offered requests that has to be answered in the same stretch of time."""


def saturation(
    specs: Sequence[ServiceSpec], counts: Mapping[str, int], mix: Mapping[str, float]
) -> float:
    """Multiple of `mix` (1/s) at which the first service would be busy all the time."""
    rates = with_calls(specs, np.array([mix.get(spec.name, 0.0) for spec in specs]))
    busy = [
        rate * spec.service_s / (spec.slots * counts[spec.name])
        for spec, rate in zip(specs, rates.tolist(), strict=True)
    ]
    return 1.0 / max(busy)


@dataclass(frozen=True, slots=True)
class KneeStep:
    """One offered load and whether the stack carried it: `share` of what is promised."""

    share: float
    carried: bool
    why: str
    p95_s: Mapping[str, float]


def judge(share: float, measured: Measured, specs: Sequence[ServiceSpec], since_s: int) -> KneeStep:
    """Whether a load was carried: (nearly) all answered in time, p95 within each SLO."""
    answers = measured.answers
    arrivals = answers.arrivals
    latency = answers.done_s - answers.sent_s
    p95_s, complaints = {}, []
    for index, spec in enumerate(specs):
        mine = (arrivals.service == index) & (arrivals.time_s >= since_s)
        if not mine.any():
            continue
        p95_s[spec.name] = float(np.quantile(latency[mine], 0.95))
        in_time = answers.served[mine] & (answers.done_s[mine] <= arrivals.duration_s + 1.0)
        if in_time.mean() < SERVED:
            complaints.append(f"{spec.name} answers {in_time.mean():.0%} in time")
        if p95_s[spec.name] > spec.slo_p95_s:
            complaints.append(
                f"{spec.name} p95 {p95_s[spec.name]:.2f} s is above its SLO {spec.slo_p95_s:g} s"
            )
    return KneeStep(share, not complaints, "; ".join(complaints), p95_s)
