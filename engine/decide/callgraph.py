"""Which services users wait for, and in which order load passes from one to the next."""

from __future__ import annotations

from collections.abc import Sequence

from engine.model import ServiceSpec


def critical_services(specs: Sequence[ServiceSpec]) -> frozenset[str]:
    """Names of the services that users wait for: user-facing, or called in time by one that is."""
    callees = {
        spec.name: [call.service for call in spec.calls if not call.asynchronous] for spec in specs
    }
    found: set[str] = set()
    waiting = [spec.name for spec in specs if spec.user_facing]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(callees.get(name, ()))
    return frozenset(found)


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
