"""What the clairvoyant baseline is given and nobody else: the load and the boots to come."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.controllers.clairvoyant import Foresight, rolling_mean
from engine.decide.callgraph import with_calls
from engine.model import FloatArray
from twin.queues.response import needed_curve
from twin.world.fleet import Fleet

STEP_S = 60
"""The SLO is kept minute by minute; within one a queue may form and go."""


def foresee(
    arrivals: FloatArray, fleets: dict[str, Fleet], start_s: float, drain_s: float
) -> Foresight:
    """Look ahead.

    `arrivals` (services, seconds) are the first requests that enter from outside.  Requests that
    are tried again are not in it: there are none where the SLO is kept.
    """
    specs = [fleet.spec for fleet in fleets.values()]
    rates = with_calls(specs, rolling_mean(arrivals, STEP_S))

    def pending(fleet: Fleet) -> Callable[[], FloatArray]:
        return lambda: start_s + fleet.ready_times()

    return Foresight(
        start_s,
        float(STEP_S),
        {
            spec.name: needed_curve(spec, rates[i], specs).astype(np.int64)
            for i, spec in enumerate(specs)
        },
        {name: fleet.boots_to_come for name, fleet in fleets.items()},
        {name: pending(fleet) for name, fleet in fleets.items()},
        drain_s,
        {spec.name: rates[i] for i, spec in enumerate(specs)},
    )
