"""Parts of the control plane are killed and wires go dead; counts are right or are not said."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import httpx
import pytest

from engine.adapters.kubernetes.access import access_of
from engine.adapters.kubernetes.infrastructure import KubernetesInfrastructure
from engine.adapters.kubernetes.pods import PodState, SeenPod
from engine.adapters.kubernetes.pods import seen as pod_seen
from engine.adapters.kubernetes.reflector import Reflector
from engine.adapters.kubernetes.settings import KubernetesConfig
from engine.model import Status
from engine.ports.contract import action
from engine.ports.infrastructure import Unreachable
from engine.ports.lease import Fence
from tests.control_plane import ADMIN, PATIENCE_S, ControlPlane
from tests.integration.kubernetes.conftest import LATE_S, Connect, all_ready, seen, spec
from tests.integration.kubernetes.wire import Wire


async def unreachable(adapter: KubernetesInfrastructure) -> str:
    """What is said while nothing can be seen."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + PATIENCE_S
    while loop.time() < end_s:
        try:
            await adapter.observe()
        except Unreachable as error:
            return str(error)
        await asyncio.sleep(0.05)
    raise AssertionError("it was seen all the time")


@pytest.mark.slow
def test_without_the_database_nothing_is_seen_though_lists_are_answered_from_a_cache(
    cluster: ControlPlane, namespace: str, connect: Connect
) -> None:
    async def story() -> None:
        adapter = connect("api", timeout_s=2.0)
        await seen(adapter, all_ready("api", 3))
        cluster.kill("etcd")
        try:
            cached = await asyncio.to_thread(
                httpx.get,
                f"{cluster.url}/api/v1/namespaces/{namespace}/pods?resourceVersion=0",
                verify=adapter.access.context,
                headers={"Authorization": f"Bearer {ADMIN}"},
                timeout=PATIENCE_S,
            )
            assert cached.status_code == 200
            assert len(cached.json()["items"]) == 3
            assert "last seen" in await unreachable(adapter)
            (refused,) = await adapter.apply([action("api", 3, 5, "d1")], Fence(1))
            assert refused.status is Status.FAILED
            assert refused.detail
        finally:
            cluster.start("etcd")
        await asyncio.to_thread(cluster.ready)
        await seen(adapter, all_ready("api", 3))
        while True:  # leases and caches of the server come back one after the other
            (again,) = await adapter.apply([action("api", 3, 5, "d1")], Fence(1))
            if again.status is Status.ACCEPTED:
                break
            await asyncio.sleep(0.1)
        await seen(adapter, all_ready("api", 5))
        await adapter.close()

    cluster.workload(namespace, "api", 3)
    asyncio.run(story())


@pytest.mark.slow
def test_what_changed_while_the_api_server_was_away_is_seen_when_it_is_back(
    cluster: ControlPlane, namespace: str, connect: Connect
) -> None:
    async def story() -> None:
        adapter, other = connect("api"), connect("api")
        await seen(adapter, all_ready("api", 3))
        lists = adapter.looker.pods[namespace].lists
        cluster.kill("apiserver")
        assert cluster.url in await unreachable(adapter)
        cluster.start("apiserver")
        await asyncio.to_thread(cluster.ready)
        (result,) = await other.apply([action("api", 3, 6, "d1")], Fence(1))
        assert result.status is Status.ACCEPTED, result
        await seen(adapter, all_ready("api", 6))
        assert adapter.looker.pods[namespace].lists > lists
        await adapter.close()
        await other.close()

    cluster.workload(namespace, "api", 3)
    asyncio.run(story())


@pytest.mark.slow
def test_an_api_server_that_takes_connections_and_does_not_answer_is_given_up(
    cluster: ControlPlane, namespace: str, connect: Connect
) -> None:
    async def story() -> None:
        adapter = connect("api", timeout_s=0.5)
        await seen(adapter, all_ready("api", 2))
        cluster.kill("apiserver", signal.SIGSTOP)
        try:
            said = await unreachable(adapter)
            (refused,) = await adapter.apply([action("api", 2, 3, "d1")], Fence(1))
        finally:
            cluster.kill("apiserver", signal.SIGCONT)
        assert "does not answer" in said or "takes no connection" in said
        assert refused.status is Status.FAILED
        await seen(adapter, all_ready("api", 2))
        await adapter.close()

    cluster.workload(namespace, "api", 2)
    asyncio.run(story())


def test_a_watch_from_a_version_that_is_gone_begins_with_a_new_list(
    cluster: ControlPlane, namespace: str, connect: Connect
) -> None:
    async def story() -> None:
        adapter = connect("api")
        await seen(adapter, all_ready("api", 2))
        watch = Reflector[SeenPod](adapter.api, adapter.looker.pods[namespace].path, pod_seen, 60.0)
        watch._version = "1"
        watch.objects["one that vanished meanwhile"] = SeenPod(PodState.READY, {})
        await watch.listed(60.0)
        assert watch.lists == 1
        assert watch.objects == adapter.looker.pods[namespace].objects
        await watch.close()
        await adapter.close()

    cluster.workload(namespace, "api", 2)
    asyncio.run(story())


def through(
    wire: Wire, cluster: ControlPlane, namespace: str, folder: Path, **options: object
) -> KubernetesInfrastructure:
    """An adapter whose every byte goes over the wire."""
    path = cluster.kubeconfig(folder / "through", namespace=namespace)
    tree = json.loads(path.read_text())
    tree["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{wire.port}"
    path.write_text(json.dumps(tree))
    config = KubernetesConfig.of({"kubeconfig": str(path), "timeout_s": 1.0, **options})
    return KubernetesInfrastructure([spec("api")], config, access_of(config))


def test_a_watch_that_went_deaf_is_found_out_and_the_pods_are_counted_anew(
    cluster: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    async def story() -> None:
        async with Wire(cluster.port) as wire:
            adapter = through(wire, cluster, namespace, tmp_path, stale_s=1.0, zones=False)
            await seen(adapter, all_ready("api", 2))
            wire.freeze()
            cluster.merge(f"{path}/scale", {"spec": {"replicas": 4}})
            await seen(adapter, all_ready("api", 4))
            assert adapter.seen["api"].age_s <= 1.0 + 1.0
            await adapter.close()

    path = cluster.workload(namespace, "api", 2)
    asyncio.run(story())


def test_a_command_that_nobody_answered_is_found_to_be_done_and_counts_once(
    cluster: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    async def story() -> None:
        async with Wire(cluster.port) as wire:
            adapter = through(wire, cluster, namespace, tmp_path, stale_s=1.0, zones=False)
            await seen(adapter, all_ready("api", 2))
            patch, muted = adapter.api.patch, 0

            async def unanswered(path: str, operations: list[dict[str, object]]) -> object:
                nonlocal muted
                wire.mute()  # it still arrives
                muted += 1
                return await patch(path, operations)

            adapter.api.patch = unanswered  # type: ignore[method-assign,assignment]
            (result,) = await adapter.apply([action("api", 2, 3, "d1")], Fence(1))
            while result.status is Status.FAILED:  # a busy machine answers late as well
                (result,) = await adapter.apply([action("api", 2, 3, "d1")], Fence(1))
            assert muted == 1
            await seen(adapter, all_ready("api", 3))
            await adapter.close()

    cluster.workload(namespace, "api", 2)
    asyncio.run(story())


def test_a_token_that_was_renewed_is_used_and_one_that_is_over_is_told_of(
    cluster: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    async def story() -> None:
        path = cluster.kubeconfig(tmp_path / "config", namespace=namespace)
        tree = json.loads(path.read_text())
        tree["users"][0]["user"] = {"tokenFile": "token"}
        path.write_text(json.dumps(tree))
        (tmp_path / "token").write_text(ADMIN + "\n")
        config = KubernetesConfig.of({"kubeconfig": str(path), "timeout_s": LATE_S})
        adapter = KubernetesInfrastructure([spec("api")], config, access_of(config))
        await seen(adapter, all_ready("api", 1))
        (tmp_path / "token").write_text("one-that-is-over")
        assert "not accepted (401)" in await unreachable(adapter)
        (tmp_path / "new").write_text(ADMIN)
        os.replace(tmp_path / "new", tmp_path / "token")  # noqa: PTH105
        await seen(adapter, all_ready("api", 1))
        (tmp_path / "token").unlink()
        assert "cannot be read" in await unreachable(adapter)
        await adapter.close()

    cluster.workload(namespace, "api", 1)
    asyncio.run(story())
