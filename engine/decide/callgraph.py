"""Which services users wait for, and how load passes from one to the next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.model import FloatArray, ServiceSpec


def critical_services(specs: Sequence[ServiceSpec]) -> frozenset[str]:
    """Names of the services that users wait for: user-facing, or called in time by one that is."""
    callees = {
        spec.name: [call.service for call in spec.calls if not call.asynchronous] for spec in specs
    }
    waited_for: set[str] = set()
    to_visit = [spec.name for spec in specs if spec.user_facing]
    while to_visit:
        name = to_visit.pop()
        if name not in waited_for:
            waited_for.add(name)
            to_visit.extend(callees.get(name, ()))
    return frozenset(waited_for)


def call_order(specs: Sequence[ServiceSpec]) -> tuple[int, ...]:
    """Indices of `specs` with every caller before the services it calls.

    Raises ValueError when the calls form a cycle or name an unknown service.
    """
    index = {spec.name: i for i, spec in enumerate(specs)}
    callers = [0] * len(specs)
    for spec in specs:
        for call in spec.calls:
            if call.service not in index:
                raise ValueError(f"{spec.name} calls {call.service}, which is not a service")
            callers[index[call.service]] += 1
    order = [i for i, count in enumerate(callers) if count == 0]
    for i in order:
        for call in specs[i].calls:
            j = index[call.service]
            callers[j] -= 1
            if callers[j] == 0:
                order.append(j)
    if len(order) != len(specs):
        stuck = sorted(spec.name for i, spec in enumerate(specs) if i not in order)
        raise ValueError(f"the calls between {', '.join(stuck)} form a cycle")
    return tuple(order)


def with_calls(specs: Sequence[ServiceSpec], entering: FloatArray) -> FloatArray:
    """Load that arrives at each of `specs`, calls included, of the load that enters from outside.

    Both have shape (services, ...), in the order of `specs` and in the same unit; calls in time and
    asynchronous ones count alike.  Raises ValueError as `call_order` does.
    """
    arriving = np.array(entering, dtype=np.float64)
    row = {spec.name: i for i, spec in enumerate(specs)}
    for i in call_order(specs):
        for call in specs[i].calls:
            arriving[row[call.service]] += call.per_request * arriving[i]
    return arriving


def load_of_services(
    specs: Sequence[ServiceSpec], entries: Sequence[str], entering: FloatArray
) -> FloatArray:
    """The same where `entering` (entries, ...) has rows for the services `entries` alone."""
    row = {spec.name: i for i, spec in enumerate(specs)}
    everywhere = np.zeros((len(specs), *entering.shape[1:]))
    for name, load in zip(entries, entering, strict=True):
        everywhere[row[name]] += load
    return with_calls(specs, everywhere)
