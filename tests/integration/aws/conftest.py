"""One account of AWS for each test, as `tests.aws_world` makes one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from aiobotocore.session import AioSession

from engine.adapters.aws.infrastructure import AwsInfrastructure
from engine.adapters.aws.settings import AwsConfig
from engine.model import ActionResult, BootTime, ServiceSpec, WarmOffer
from engine.ports.infrastructure import Counts, Sighting, Unreachable
from tests.aws_world import AwsWorld, aws_world

PATIENT = {"timeout_s": 30.0, "look_s": 60.0, "command_s": 60.0}
"""Of a machine with much other work; what waits for a limit says so itself."""

SESSION = AioSession()
"""One for all, since it reads what AWS's services are."""


def spec(name: str, least: int = 0, most: int = 40, *, warm: int = 0) -> ServiceSpec:
    """A service whose figures do not matter; `warm` of it can be held warm."""
    return replace(
        ServiceSpec(name, 1, most, 4, 0.1, 1.0, BootTime(2.0, 3.0), 0.0, 0.5, 0.1),
        min_instances=least,
        warm=WarmOffer(0.15, 0.1, warm) if warm else None,
    )


@pytest.fixture
def world() -> Iterator[AwsWorld]:
    with aws_world() as made:
        yield made


Connect = Callable[..., AwsInfrastructure]


@pytest.fixture
def connect(world: AwsWorld) -> Connect:
    """Makes adapters on the account."""

    def make(*services: str, warm: int = 0, **options: object) -> AwsInfrastructure:
        config = AwsConfig.of({"endpoint": world.url, **PATIENT, **options})
        made = AwsInfrastructure([spec(name, warm=warm) for name in services], config)
        made.clients._session = SESSION
        return made

    return make


async def seen(
    adapter: AwsInfrastructure, there: Callable[[Sighting], object], patience_s: float = 300.0,
    *, results: int = 0,
) -> Sighting:  # fmt: skip
    """Look until it is so, with the results of all looks, and so many; fails when it never is."""
    last: object = None
    seen_results: list[ActionResult] = []
    end = asyncio.get_running_loop().time() + patience_s
    while asyncio.get_running_loop().time() < end:
        try:
            sighting = await adapter.observe()
        except Unreachable as error:
            last = error
        else:
            last = sighting
            seen_results += sighting.results
            if there(sighting) and len(seen_results) >= results:
                return replace(sighting, results=tuple(seen_results))
        await asyncio.sleep(0.1)
    raise AssertionError(f"it never came about; at last {last}")


def all_ready(service: str, count: int) -> Callable[[Sighting], bool]:
    return lambda sighting: sighting.services[service] == Counts(count, count, 0, 0)
