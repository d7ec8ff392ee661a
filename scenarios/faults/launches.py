"""Faults that spoil launches: a share of the instances launched while they last."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from scenarios.faults.base import During, Effect, Happening, Services, Share
from scenarios.faults.parts import FleetsPart, LaunchFault, LaunchPart


class BadLaunches(During):
    """A share of the launches of some services goes wrong in the way of its kind."""

    share: Share
    services: Services = ()

    spoils: ClassVar[str] = "fleets"
    needs_scaling: ClassVar[bool] = True
    what: ClassVar[str] = ""
    """What goes wrong, after "5% of the "."""

    @abstractmethod
    def spoil(self, launch: LaunchPart, hit: NDArray[np.bool_], rng: np.random.Generator) -> None:
        """Change the launches of the instances `hit` (instances,) in place."""

    def effect(self, part: FleetsPart, happening: Happening) -> Effect:
        """Each launch, while it lasts."""
        return _Spoiling(self, part, happening)


class _Spoiling(Effect):
    def __init__(self, fault: BadLaunches, fleets: FleetsPart, happening: Happening) -> None:
        self._fault = fault
        self._spoilers = [
            (fleet.launch_faults, self._spoiler(happening.rng(name), happening))
            for name, fleet in fleets.of(fault.services).items()
        ]

    def _spoiler(self, rng: np.random.Generator, happening: Happening) -> LaunchFault:
        def spoil(launch: LaunchPart) -> None:
            hit = rng.random(len(launch.wait_s)) < self._fault.share
            self._fault.spoil(launch, hit, rng)
            happening.fire(int(np.count_nonzero(hit)))

        return spoil

    def begin(self) -> str:
        for launch_faults, spoil in self._spoilers:
            launch_faults.append(spoil)
        return f"{self._fault.share:.0%} of the {self._fault.what}"

    def end(self) -> str:
        for launch_faults, spoil in self._spoilers:
            launch_faults.remove(spoil)
        return ""
