"""The calls that services make to others, as far as faults change them."""

from __future__ import annotations

from collections.abc import Sequence

from engine.model import ServiceSpec
from twin.effects.served import served
from twin.queues.port import SimulatedPlatform


class Calls:
    """The calls of all services."""

    def __init__(self, platform: SimulatedPlatform, specs: Sequence[ServiceSpec]) -> None:
        self._platform = platform
        self._specs = {spec.name: (row, spec) for row, spec in enumerate(specs)}

    def multiply(self, service: str, factor: float) -> None:
        """From now on each request makes `factor` times as many synchronous calls as specified."""
        self._platform.set_calls(self._specs[service][0], factor)

    def served(self, service: str) -> float:
        """Requests to the service that have been answered so far."""
        return served(self._platform, self._specs[service][0])

    def per_request(self, service: str) -> float:
        """Synchronous calls that each of its requests makes as specified."""
        calls = self._specs[service][1].calls
        return sum(call.per_request for call in calls if not call.asynchronous)
