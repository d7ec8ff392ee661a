"""What is counted of real pods, and what is told of them."""

from __future__ import annotations

import asyncio
import signal

import pytest

from engine.adapters.kubernetes.pods import PodState
from engine.model import Status
from engine.ports.contract import action
from engine.ports.infrastructure import Counts
from engine.ports.lease import Fence
from tests.control_plane import ControlPlane
from tests.integration.kubernetes.conftest import Connect, all_ready, seen
from tests.integration.kubernetes.test_contract import hpa


def test_pods_are_counted_in_each_state_of_their_life(
    cluster: ControlPlane, namespace: str, connect: Connect
) -> None:
    async def story() -> None:
        adapter = connect("api")
        await seen(adapter, all_ready("api", 6))
        zones = adapter.seen["api"].pods.zones
        assert sum(zones.values()) == 6
        assert set(zones) <= {"a", "b", "c"}
        assert len(zones) > 1
        cluster.kill("kwok", signal.SIGSTOP)  # nobody lets them go before that was seen
        try:
            cluster.merge(f"{path}/scale", {"spec": {"replicas": 4}})
            await seen(adapter, lambda s: s.services["api"].draining == 2)
        finally:
            cluster.kill("kwok", signal.SIGCONT)
        await seen(adapter, all_ready("api", 4))
        # The next two boot for longer than this test.
        meta = {"annotations": {"boot": "3600s"}}
        slow = {"spec": {"template": {"metadata": meta}, "strategy": {"type": "OnDelete"}}}
        slow["spec"]["strategy"] = {"rollingUpdate": {"maxSurge": 2, "maxUnavailable": 0}}
        cluster.merge(path, slow)
        await seen(adapter, lambda s: s.services["api"] == Counts(4, 4, 2, 0))
        await adapter.close()

    path = cluster.workload(namespace, "api", 6)
    asyncio.run(story())


def test_no_place_and_no_start_are_no_boot_and_are_told(
    cluster: ControlPlane, namespace: str, connect: Connect
) -> None:
    async def story() -> None:
        adapter = connect("huge", "ill", "away")
        sighting = await seen(
            adapter,
            lambda _: (
                adapter.seen["huge"].pods[PodState.UNSCHEDULABLE] == 2
                and adapter.seen["ill"].pods[PodState.CRASHING] == 1
            ),
        )
        assert sighting.services["huge"] == Counts(2, 0, 0, 0)
        assert sighting.services["ill"] == Counts(1, 0, 0, 0)
        assert sighting.services["away"] == Counts(0, 0, 0, 0)
        notices = "\n".join(sighting.notices)
        assert "huge: 2 unschedulable: 0/3 nodes are available" in notices
        assert "ill: 1 crash-looping: CrashLoopBackOff: back-off" in notices
        assert f"away: there is no Deployment {namespace}/away" in notices
        await adapter.close()

    cluster.workload(namespace, "huge", 2, cpu="1000")
    cluster.workload(namespace, "ill", 1, fails="yes")
    asyncio.run(story())


def test_from_nothing_to_two_and_back(
    cluster: ControlPlane, namespace: str, connect: Connect
) -> None:
    async def story() -> None:
        adapter = connect("api")
        for n, (before, after) in enumerate([(0, 2), (2, 0), (0, 1)]):
            asked = action("api", before, after, f"d{n}")
            (result,) = await adapter.apply([asked], Fence(1))
            assert result.status is Status.ACCEPTED, result
            results = (await seen(adapter, all_ready("api", after))).results
            while not results:
                results = (await adapter.observe()).results
            assert [(r.decision_id, r.status) for r in results] == [(f"d{n}", Status.COMPLETED)]
        await adapter.close()

    cluster.workload(namespace, "api", 0)
    asyncio.run(story())


def test_another_writer_is_told_of_by_name_until_the_engine_decides_again(
    cluster: ControlPlane, namespace: str, connect: Connect
) -> None:
    async def story() -> None:
        adapter = connect("api")
        await adapter.apply([action("api", 1, 3, "d1")], Fence(1))
        assert not (await seen(adapter, all_ready("api", 3))).notices
        cluster.merge(f"{path}/scale", {"spec": {"replicas": 2}})
        (notice,) = [n for n in (await adapter.observe()).notices if "zone" not in n]
        assert notice == (
            f"api: kubectl through scale set 2 on Deployment {namespace}/api, "
            "where the engine's last decision had set 3"
        )
        (late,) = await adapter.apply([action("api", 3, 4, "d2")], Fence(1))
        assert late.status is Status.FAILED
        assert "conflict: 2 are desired, not 3 (kubectl through scale set that)" in late.detail
        await adapter.apply([action("api", 2, 4, "d3")], Fence(1))
        assert not (await seen(adapter, all_ready("api", 4))).notices
        await adapter.close()

    path = cluster.workload(namespace, "api", 1)
    asyncio.run(story())


def test_an_autoscaler_that_comes_later_is_told_of_and_its_workload_left_alone(
    cluster: ControlPlane, namespace: str, connect: Connect
) -> None:
    async def story() -> None:
        adapter = connect("api", owners_s=1.0)
        await seen(adapter, all_ready("api", 2))
        path = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
        cluster.ask("POST", path, hpa("api"))
        (result,) = await adapter.apply([action("api", 2, 5, "d1")], Fence(1))
        assert result.status is Status.FAILED
        assert not result.sent
        assert f"HorizontalPodAutoscaler {namespace}/api" in result.detail
        await seen(adapter, lambda s: any("two writers" in notice for notice in s.notices))
        assert (await adapter.observe()).services["api"].desired == 2
        await adapter.close()

    cluster.workload(namespace, "api", 2)
    asyncio.run(story())


def test_of_engines_that_decide_on_the_same_count_one_has_its_way(
    cluster: ControlPlane, namespace: str, connect: Connect
) -> None:
    async def story() -> None:
        adapters = [connect("api") for _ in range(4)]
        before = 1
        for turn in range(10):
            # None of them wants the count that there is: so one wins, and the others are late.
            asked = [action("api", before, 1 + (before + k) % 8, f"{turn}-{k}") for k in range(4)]
            answers = await asyncio.gather(
                *(a.apply([one], Fence(1)) for a, one in zip(adapters, asked, strict=True))
            )
            results = [result for (result,) in answers]
            (won,) = (r.decision_id for r in results if r.status is Status.ACCEPTED)
            assert all("conflict" in r.detail for r in results if r.decision_id != won)
            before = next(one.to_instances for one in asked if one.decision_id == won)
            assert (await adapters[0].observe()).services["api"].desired == before
        for adapter in adapters:
            await adapter.close()

    cluster.workload(namespace, "api", 1)
    asyncio.run(story())


@pytest.mark.parametrize("count", [9])
def test_many_workloads_are_read_with_one_list(
    cluster: ControlPlane, namespace: str, connect: Connect, count: int
) -> None:
    async def story() -> None:
        adapter = connect(*names)
        sighting = await seen(
            adapter, lambda s: all(s.services[name] == Counts(1, 1, 0, 0) for name in names)
        )
        assert list(sighting.services) == names
        await adapter.close()

    names = [f"s{n}" for n in range(count)]
    for name in names:
        cluster.workload(namespace, name, 1)
    asyncio.run(story())
