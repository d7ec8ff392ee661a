"""Groups and services keep the contract of every infrastructure."""

from __future__ import annotations

import asyncio

import pytest

from engine.ports import contract
from engine.ports.infrastructure import Infrastructure
from tests.aws_world import AwsWorld
from tests.integration.aws.conftest import Connect


class Bench(contract.InfrastructureBench):
    """The server is really stopped, and started again."""

    service, low, high = "api", 2, 5

    def __init__(self, world: AwsWorld, connect: Connect, warm: int = 0, **options: object) -> None:
        self._world, self._connect, self._options = world, connect, options
        self.warm = warm

    async def connect(self) -> Infrastructure:
        return self._connect("api", warm=self.warm, **self._options)

    async def break_off(self) -> bool:
        await asyncio.to_thread(self._world.stop)
        return True

    async def mend(self) -> None:
        await asyncio.to_thread(self._world.start)


@pytest.mark.parametrize(
    ("workload", "held"), [("asg/web", 4), ("asg/web", 0), ("ecs/shop/api", 0)]
)
def test_a_count_in_aws_keeps_the_contract(
    world: AwsWorld, connect: Connect, workload: str, held: int
) -> None:
    if workload.startswith("asg"):
        world.group("web", 2)
    else:
        world.service("shop", "api", 2)
    asyncio.run(contract.infrastructure(Bench(world, connect, held, workloads={"api": workload})))
