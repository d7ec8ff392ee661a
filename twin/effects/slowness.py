"""How slow services are, by the factors that hold of each, of a zone and of single instances."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from engine.model import FloatArray
from twin.effects.served import served
from twin.queues.port import SimulatedPlatform
from twin.world.fleet import Fleet


class Slowness:
    """The factors that slow each service now, and the zones that slow their instances."""

    def __init__(
        self, platform: SimulatedPlatform, fleets: Mapping[str, Fleet], zones: Sequence[str]
    ) -> None:
        self.zones = tuple(zones)
        self._platform = platform
        self._names = list(fleets)
        self._fleets = list(fleets.values())
        self._of_services: list[list[float]] = [[] for _ in fleets]
        self._of_zones: list[tuple[int, float]] = []
        self._of_instances: list[dict[int, float]] = [{} for _ in fleets]
        """By service: the slow instances by their row, and how many times as long they take."""

    def hits_some(self, service: int) -> bool:
        """Whether some of its instances are slower than others, or may become so."""
        return bool(self._of_zones or self._of_instances[service])

    def of_instances(self, service: int) -> FloatArray:
        """How many times as long each ready instance takes because of its zone or itself."""
        fleet = self._fleets[service]
        rows = fleet.ready_rows()
        slower: FloatArray = np.ones(len(rows))
        for zone, factor in self._of_zones:
            slower[fleet.zones_of(rows) == zone] *= factor
        for row, factor in self._of_instances[service].items():
            slower[rows == row] *= factor
        return slower

    def refresh(self, service: int) -> None:
        """Tell the platform what holds now for the service."""
        fleet, own = self._fleets[service], self._of_instances[service]
        factor = float(np.prod(self._of_services[service]))
        for zone, slower in self._of_zones:
            factor *= 1.0 + (slower - 1.0) * fleet.ready_share(zone)
        if own and fleet.ready:
            rows = set(fleet.ready_rows().tolist())
            excess = [f - 1.0 for row, f in own.items() if row in rows]
            factor *= 1.0 + math.fsum(excess) / fleet.ready
        self._platform.set_slowdown(service, min(max(factor, 0.01), 1000.0))

    def slow_service(self, service: str, factor: float) -> Callable[[], None]:
        """Slow all of a service; what is returned ends it."""
        index = self._names.index(service)
        factors = self._of_services[index]

        def end() -> None:
            factors.remove(factor)
            self.refresh(index)

        factors.append(factor)
        self.refresh(index)
        return end

    def slow_zone(self, zone: int, factor: float) -> Callable[[], None]:
        """Slow all instances in a zone; what is returned ends it."""
        entry = (zone, factor)

        def end() -> None:
            self._of_zones.remove(entry)
            self._refresh_all()

        self._of_zones.append(entry)
        self._refresh_all()
        return end

    def slow_instances(
        self, service: str, count: int, factor: float, *, rng: np.random.Generator
    ) -> tuple[tuple[str, ...], Callable[[], None]]:
        """Slow `count` ready instances that are not slow yet: their names, and what ends it."""
        index = self._names.index(service)
        own = self._of_instances[index]
        rows = [row for row in self._fleets[index].ready_rows().tolist() if row not in own]
        chosen = [rows[k] for k in rng.permutation(len(rows))[:count].tolist()]

        def end() -> None:
            for row in chosen:
                del own[row]
            self.refresh(index)

        own.update(dict.fromkeys(chosen, factor))
        self.refresh(index)
        return tuple(f"{service}-{row}" for row in sorted(chosen)), end

    def ready_in(self, zone: int) -> int:
        """Instances that serve in the zone."""
        return sum(round(fleet.ready_share(zone) * fleet.ready) for fleet in self._fleets)

    def served(self, service: str) -> float:
        """Requests to the service that have been answered so far."""
        return served(self._platform, self._names.index(service))

    def _refresh_all(self) -> None:
        for service in range(len(self._fleets)):
            self.refresh(service)
