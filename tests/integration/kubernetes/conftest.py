"""One real control plane for all tests here; each test has a namespace of its own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.adapters.kubernetes.access import access_of
from engine.adapters.kubernetes.infrastructure import KubernetesInfrastructure
from engine.adapters.kubernetes.settings import KubernetesConfig
from engine.model import ActionResult, BootTime, ServiceSpec
from engine.ports.infrastructure import Counts, Sighting, Unreachable
from tests.control_plane import ControlPlane, control_plane, tools

_numbers = itertools.count(1)
LATE_S = 30.0
"""So late a busy machine may answer; the longest that can be configured."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/integration/kubernetes/" in item.nodeid:
            item.add_marker(pytest.mark.kube)


def spec(name: str, most: int = 40, least: int = 0) -> ServiceSpec:
    """A service whose figures do not matter."""
    return replace(
        ServiceSpec(name, 1, most, 4, 0.1, 1.0, BootTime(2.0, 3.0), 0.0, 0.5, 0.1),
        min_instances=least,
    )


@pytest.fixture(scope="session")
def cluster() -> Iterator[ControlPlane]:
    with control_plane(tools()) as made:
        yield made


@pytest.fixture
def namespace(cluster: ControlPlane) -> str:
    cluster.runs()
    return cluster.namespace(f"test-{next(_numbers)}")


Connect = Callable[..., KubernetesInfrastructure]


@pytest.fixture
def connect(cluster: ControlPlane, namespace: str, tmp_path: Path) -> Connect:
    """Makes adapters on the cluster, in this test's namespace."""

    def make(*services: str, token: str = "", **options: object) -> KubernetesInfrastructure:
        path = tmp_path / f"kubeconfig-{next(_numbers)}"
        cluster.kubeconfig(path, **({"token": token} if token else {}), namespace=namespace)
        config = KubernetesConfig.of({"kubeconfig": str(path), "timeout_s": LATE_S, **options})
        return KubernetesInfrastructure(
            [spec(name) for name in services], config, access_of(config)
        )

    return make


async def seen(
    adapter: KubernetesInfrastructure,
    there: Callable[[Sighting], object],
    affirmed: Callable[[], Awaitable[None]] | None = None,
    patience_s: float = 300.0,
) -> Sighting:
    """Look until it is so, with the results of all looks; fails when it never is.

    Each second it is `affirmed` that the engine is there.
    """
    last: object = None
    results: list[ActionResult] = []
    again_s = 0.0
    async with asyncio.timeout(patience_s + 10.0):
        end = asyncio.get_running_loop().time() + patience_s
        while asyncio.get_running_loop().time() < end:
            try:
                if affirmed is not None and asyncio.get_running_loop().time() >= again_s:
                    await affirmed()
                    again_s = asyncio.get_running_loop().time() + 1.0
                sighting = await adapter.observe()
            except Unreachable as error:
                last = error
            else:
                last = sighting
                results += sighting.results
                if there(sighting):
                    return replace(sighting, results=tuple(results))
            await asyncio.sleep(0.05)
    raise AssertionError(f"it never came about; at last {last}")


def all_ready(service: str, count: int) -> Callable[[Sighting], bool]:
    return lambda sighting: sighting.services[service] == Counts(count, count, 0, 0)
