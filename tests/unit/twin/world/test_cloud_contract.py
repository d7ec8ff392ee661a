"""The simulated cloud keeps the contract of every infrastructure."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest
import simpy

from engine.model import BootTime, ServiceSpec, WarmOffer
from engine.ports import contract
from engine.ports.infrastructure import Infrastructure
from twin.world import cloud as clouds
from twin.world.carried import Carried, CeremonyTimes, Holding
from twin.world.fleet import Fleet

SPEC = ServiceSpec("api", 1, 9, 4, 0.1, 1.0, BootTime(2.0, 3.0), 0.0, 0.5, 0.1)


class Bench(contract.InfrastructureBench):
    """A cloud in a SimPy environment that is run on by hand."""

    service, low, high = "api", 2, 5

    def __init__(self, spec: ServiceSpec = SPEC, carried: Carried | None = None) -> None:
        self.env = simpy.Environment()
        self.warm = 0 if spec.warm is None else spec.warm.most
        rng = np.random.Generator(np.random.Philox(1))
        fleet = Fleet(
            self.env, spec, 1, 30.0, rng=rng, changed=lambda *_: None, warm_rng=rng, carried=carried
        )  # fmt: skip
        fleet.start_with(self.low)
        self.cloud = clouds.SimulatedCloud(
            self.env, clouds.InfrastructureConfig(), {"api": fleet}, 0.0, noted=lambda _: None
        )

    async def connect(self) -> Infrastructure:
        return clouds.CloudPort(self.cloud, lambda: None)

    async def settle(self) -> None:
        self.env.run(until=self.env.now + 20.0)


@pytest.mark.parametrize("offer", [None, WarmOffer(0.15, 0.1, 4)])
def test_the_simulated_cloud_keeps_the_contract(offer: WarmOffer | None) -> None:
    asyncio.run(contract.infrastructure(Bench(replace(SPEC, warm=offer))))


class CarryingBench(Bench):
    """The same with a ceremony on one of its instances."""

    tells_ceremonies = True

    def __init__(self) -> None:
        times = CeremonyTimes(np.zeros(1), np.full(1, 60.0), np.full(1, 60.0))
        carried = Carried(times, 1.0, Holding(30.0, 2700.0, True), np.random.default_rng(1))
        super().__init__(carried=carried)


def test_the_simulated_cloud_keeps_the_contract_where_it_can_tell_of_ceremonies() -> None:
    asyncio.run(contract.infrastructure(CarryingBench()))


def test_the_contract_asks_whether_ceremonies_can_be_told_of() -> None:
    silent, talking = Bench(), CarryingBench()
    silent.tells_ceremonies, talking.tells_ceremonies = True, False
    with pytest.raises(AssertionError, match="of ceremonies on api nothing is told"):
        asyncio.run(contract.infrastructure(silent))
    with pytest.raises(AssertionError, match="api: what cannot tell tells of ceremonies"):
        asyncio.run(contract.infrastructure(talking))
