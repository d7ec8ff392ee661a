"""The instances of the platform, as far as faults take, close or replace them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import simpy

from twin.world.cloud import SimulatedCloud
from twin.world.fleet import Fleet


class Fleets:
    """All instances of the platform."""

    def __init__(self, env: simpy.Environment, cloud: SimulatedCloud, zones: Sequence[str]) -> None:
        self.zones = tuple(zones)
        self._env, self._cloud = env, cloud

    def of(self, services: Sequence[str]) -> Mapping[str, Fleet]:
        """The fleets of `services`, by name; empty: all of them."""
        fleets = self._cloud.fleets
        return {name: fleets[name] for name in services} if services else fleets

    def replace_lost(self) -> None:
        """Let what was lost be launched anew once the loss has been noticed."""
        self._env.process(self._cloud.replace_lost())
