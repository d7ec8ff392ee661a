"""The samples of all services on their way to the engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from twin.world.telemetry import Telemetry


class SampleStreams:
    """The telemetry of each service, by its name."""

    def __init__(self, telemetry: Mapping[str, Telemetry]) -> None:
        self._telemetry = telemetry

    def of(self, services: Sequence[str]) -> Iterator[tuple[str, Telemetry]]:
        """Those of `services`, by name; empty: all of them."""
        for name in services or self._telemetry:
            yield name, self._telemetry[name]
