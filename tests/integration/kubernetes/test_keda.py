"""From a decision to the pods through a real KEDA and the real controller of its autoscaler.

The controller looks once a second here, so that a test is short; anywhere else it is every 15 s.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from engine.adapters.kubernetes.infrastructure import KubernetesInfrastructure
from engine.model import Status
from engine.ports.contract import action
from engine.ports.infrastructure import Counts, Sighting
from engine.ports.lease import Fence
from tests.control_plane import ControlPlane, control_plane, tools, until
from tests.integration.kubernetes.conftest import Connect, all_ready, seen, spec
from tests.integration.kubernetes.scalers import Front, a_scaler, at_least, let_keda_scale, path_of
from tests.integration.kubernetes.test_guide import BLOCK, BRIEF, at_a_desk, typed
from tests.keda import keda
from twin.staging.ports import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.keda]

__all__ = ["at_a_desk"]  # a fixture

API = at_least(spec("api"), 1)
LEAD = Fence(1)
_decisions = itertools.count(1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[ControlPlane]:
    """One with KEDA, in place of that of the other tests."""
    programs = tools("keda", "KEDA")
    with control_plane(tools()) as made, keda(programs, made):
        yield made


async def asked_for(adapter: KubernetesInfrastructure, count: int) -> None:
    """Let the engine want so many, and look until there are so many."""
    desired = (await adapter.observe()).services["api"].desired
    decision = action("api", desired, count, f"d{next(_decisions)}")
    (result,) = await adapter.apply([decision], LEAD)
    assert result.status is Status.ACCEPTED, result
    done = await heard(adapter, count)
    assert done.services["api"].desired == count


async def heard(adapter: KubernetesInfrastructure, count: int) -> Sighting:
    """Look until so many are ready; the engine is heard all the time, however long that takes."""
    return await seen(adapter, all_ready("api", count), lambda: adapter.affirm(LEAD))


def desired(cluster: ControlPlane, workload: str) -> int:
    return int(cluster.ask("GET", workload)["spec"]["replicas"])


def test_each_count_that_is_wanted_is_set_exactly_also_one_that_differs_by_one(
    cluster: ControlPlane, namespace: str, connect: Connect, tmp_path: Path
) -> None:
    async def story() -> None:
        async with a_scaler(config, [API], listen):
            adapter = connect("api", mode="keda")
            await seen(adapter, all_ready("api", 2))
            await adapter.affirm(LEAD)  # what there is is wanted: KEDA leaves it
            for count in (20, 21, 20, 3):
                await asked_for(adapter, count)
            (late,) = await adapter.apply([action("api", 20, 30, "late")], LEAD)
            assert "conflict: 3 are desired, not 20" in late.detail
            (old,) = await adapter.apply([action("api", 3, 30, "old")], Fence(0))
            assert "fence 0 is over, 1 leads" in old.detail
            notices = (await adapter.observe()).notices
            assert [notice for notice in notices if "in zone" not in notice] == []
            await adapter.close()

    listen = f"127.0.0.1:{free_ports(1)[0]}"
    config = cluster.kubeconfig(tmp_path / "config", namespace=namespace)
    cluster.workload(namespace, "api", 2)
    let_keda_scale(cluster, namespace, API, {"listen": listen})
    asyncio.run(story())
    events = cluster.ask("GET", f"/api/v1/namespaces/{namespace}/events")["items"]
    mine = [e["message"] for e in events if e["reason"] == "Wanted"]
    assert any(message.startswith("20 → 21") for message in mine)


def test_a_count_that_is_wanted_outlives_the_engine_and_the_scaler(
    cluster: ControlPlane, namespace: str, connect: Connect, tmp_path: Path
) -> None:
    async def story() -> None:
        async with a_scaler(config, [API], listen):
            adapter = connect("api", mode="keda")
            await seen(adapter, all_ready("api", 2))
            await asked_for(adapter, 6)
            await adapter.close()
        async with a_scaler(config, [API], listen):
            another = connect("api", mode="keda")
            again = await seen(another, all_ready("api", 6))
            assert (again.services["api"].desired, again.fence) == (6, LEAD)
            await asked_for(another, 7)
            await another.close()

    listen = f"127.0.0.1:{free_ports(1)[0]}"
    config = cluster.kubeconfig(tmp_path / "config", namespace=namespace)
    cluster.workload(namespace, "api", 2)
    let_keda_scale(cluster, namespace, API, {"listen": listen})
    asyncio.run(story())


@pytest.mark.parametrize(
    ("polling_s", "counts"),
    [
        (3600, (8,)),  # it would take KEDA an hour to ask by itself: it is pushed
        (2, (8, 0, 1)),  # to none it goes when KEDA asks the next time
    ],
)
def test_from_none_to_some_it_is_pushed_and_back_to_none(
    cluster: ControlPlane,
    namespace: str,
    connect: Connect,
    tmp_path: Path,
    *,
    polling_s: int,
    counts: tuple[int, ...],
) -> None:
    async def story() -> None:
        async with a_scaler(config, [spec("api")], listen):
            adapter = connect("api", mode="keda", scales_to_zero=True)
            await seen(adapter, lambda s: s.services["api"] == Counts(0, 0, 0, 0))
            await adapter.affirm(LEAD)
            for count in counts:
                await asked_for(adapter, count)
            await adapter.close()

    listen = f"127.0.0.1:{free_ports(1)[0]}"
    config = cluster.kubeconfig(tmp_path / "config", namespace=namespace)
    cluster.workload(namespace, "api", 0)
    let_keda_scale(cluster, namespace, spec("api"), {"listen": listen}, pollingInterval=polling_s)
    asyncio.run(story())


def test_keda_falls_back_while_the_engine_is_silent_and_follows_it_when_it_is_heard_again(
    cluster: ControlPlane, namespace: str, connect: Connect, tmp_path: Path
) -> None:
    async def story() -> None:
        async with a_scaler(config, [API], listen, silent_s=5):
            adapter = connect("api", mode="keda")
            await seen(adapter, all_ready("api", 2))
            await asked_for(adapter, 5)
            # Nobody affirms any more: the engine is gone, or cannot decide.
            await seen(adapter, lambda s: s.services["api"].ready == 9)
            conditions = cluster.ask("GET", scaled)["status"]["conditions"]
            assert ("Fallback", "True") in [(c["type"], c["status"]) for c in conditions]
            assert (await adapter.observe()).services["api"].desired == 5
            await heard(adapter, 5)
            await adapter.close()

    listen = f"127.0.0.1:{free_ports(1)[0]}"
    config = cluster.kubeconfig(tmp_path / "config", namespace=namespace)
    cluster.workload(namespace, "api", 2)
    scaled = let_keda_scale(cluster, namespace, API, {"listen": listen, "fallback": {"api": 9}})
    asyncio.run(story())


def test_without_any_scaler_the_count_is_held_and_two_of_them_stand_in_for_each_other(
    cluster: ControlPlane, namespace: str, connect: Connect, tmp_path: Path
) -> None:
    async def story() -> None:
        async with Front(first, second) as front, AsyncExitStack() as scalers:
            let_keda_scale(
                cluster, namespace, API,
                {"address": f"127.0.0.1:{front.port}", "fallback": {"api": 9}},
            )  # fmt: skip
            one = await scalers.enter_async_context(AsyncExitStack())
            two = await scalers.enter_async_context(AsyncExitStack())
            await one.enter_async_context(a_scaler(config, [API], f"127.0.0.1:{first}"))
            await two.enter_async_context(a_scaler(config, [API], f"127.0.0.1:{second}"))
            adapter = connect("api", mode="keda")
            await seen(adapter, all_ready("api", 2))
            await asked_for(adapter, 5)
            await one.aclose()
            await asked_for(adapter, 7)
            await one.enter_async_context(a_scaler(config, [API], f"127.0.0.1:{first}"))
            await two.aclose()
            await asked_for(adapter, 8)
            await one.aclose()
            # Nobody is left.  KEDA does not fall back where it cannot ask for the metric's name.
            await adapter.apply([action("api", 8, 12, "unheard")], LEAD)
            looked = looks()
            await asyncio.to_thread(until, lambda: looks() > looked + 5, "looks of the autoscaler")
            assert desired(cluster, workload) == 8
            await one.enter_async_context(a_scaler(config, [API], f"127.0.0.1:{first}"))
            await heard(adapter, 12)
            await adapter.close()

    def looks() -> int:
        events = cluster.ask("GET", f"/api/v1/namespaces/{namespace}/events")["items"]
        return sum(e.get("count") or 1 for e in events if e["reason"] == "FailedGetExternalMetric")

    first, second = free_ports(2)
    config = cluster.kubeconfig(tmp_path / "config", namespace=namespace)
    workload = cluster.workload(namespace, "api", 2)
    asyncio.run(story())


def test_keda_and_the_scaler_show_each_other_certificates(
    cluster: ControlPlane, namespace: str, connect: Connect, tmp_path: Path
) -> None:
    async def story() -> None:
        async with a_scaler(config, [API], listen, tls=tls):
            adapter = connect("api", mode="keda")
            await seen(adapter, all_ready("api", 2))
            await asked_for(adapter, 4)
            await adapter.close()

    own, kedas = cluster.authority.issue_cert("127.0.0.1"), cluster.authority.issue_cert("keda")
    (tmp_path / "key").write_bytes(own.private_key_pem.bytes())
    (tmp_path / "certificate").write_bytes(own.cert_chain_pems[0].bytes())
    (tmp_path / "clients").write_bytes(cluster.authority.cert_pem.bytes())
    tls = {name: str(tmp_path / name) for name in ("certificate", "key", "clients")}
    secret = {
        "caCert": cluster.authority.cert_pem.bytes(),
        "tlsClientCert": kedas.cert_chain_pems[0].bytes(),
        "tlsClientKey": kedas.private_key_pem.bytes(),
    }
    cluster.ask("POST", f"/api/v1/namespaces/{namespace}/secrets", {
        "metadata": {"name": "scaler"},
        "data": {name: base64.b64encode(text).decode() for name, text in secret.items()},
    })  # fmt: skip
    cluster.ask("POST", f"/apis/keda.sh/v1alpha1/namespaces/{namespace}/triggerauthentications", {
        "apiVersion": "keda.sh/v1alpha1", "kind": "TriggerAuthentication",
        "metadata": {"name": "scaler"},
        "spec": {"secretTargetRef": [
            {"parameter": name, "name": "scaler", "key": name} for name in secret
        ]},
    })  # fmt: skip
    listen = f"127.0.0.1:{free_ports(1)[0]}"
    config = cluster.kubeconfig(tmp_path / "config", namespace=namespace)
    cluster.workload(namespace, "api", 2)
    let_keda_scale(
        cluster, namespace, API, {"listen": listen, "tls": tls, "authentication": "scaler"}
    )
    asyncio.run(story())


def test_each_command_of_the_guide_does_what_it_says(
    cluster: ControlPlane, tmp_path: Path, repository: Path, at_a_desk: dict[str, str]
) -> None:
    """As printed, but for the scaler's address: the played pods do nothing, so it runs beside."""
    cluster.namespace("market")
    for name in ("api", "file-storage", "real-time", "ai-services"):
        cluster.workload("market", name, 2)
    cluster.workload("market", "postgres", 2, kind="StatefulSet")
    for name in ("scaler", "keda"):
        own = cluster.authority.issue_cert(f"{name}.example")
        (tmp_path / f"{name}.pem").write_bytes(own.cert_chain_pems[0].bytes())
        (tmp_path / f"{name}.key").write_bytes(own.private_key_pem.bytes())
    (tmp_path / "authority.pem").write_bytes(cluster.authority.cert_pem.bytes())
    blocks = BLOCK.findall((repository / "docs" / "guides" / "keda.md").read_text(encoding="utf-8"))
    here = f"127.0.0.1:{free_ports(1)[0]}"
    said: list[str] = []
    scaler: subprocess.Popen[bytes] | None = None
    try:
        for block in blocks:
            printed = re.sub(r"(scaler\.wedtwin\.svc|0\.0\.0\.0):8701", here, block)
            printed = printed.replace("live.duration_s=20", BRIEF)
            said.append(typed(printed, tmp_path, at_a_desk))
            if "apply -k deploy/kubernetes/scaler" in block:
                scaler = subprocess.Popen(
                    [sys.executable, "-m", "engine", "kubernetes", "scaler",
                     "--config-dir", "mine", "infrastructure=market"],
                    cwd=tmp_path, env=at_a_desk,
                )  # fmt: skip
        assert scaler is not None
        assert scaler.poll() is None
        scaler.terminate()
        assert scaler.wait(timeout=600.0) == 0
    finally:
        if scaler is not None:
            scaler.kill()
            scaler.wait()
    assert len(said) == 8

    def of(words: str) -> str:
        (output,) = (out for out, block in zip(said, blocks, strict=True) if words in block)
        return output

    assert "scaledobject.keda.sh/postgres condition met" in of("kubernetes check")
    assert "database: StatefulSet market/postgres" in of("kubernetes check")
    decided = of("reason=Wanted")
    # KEDA took the fallback before the engine spoke, and the engine what it saw for what is wanted.
    assert re.search(r"^4NAME", decided, re.M)
    assert "keda-hpa-api" in decided
    assert "scaledobject.keda.sh/api configured" in of("infrastructure=secured")
    assert not cluster.is_there(path_of("market", "api"))
    assert re.search(r"^api +", of("get deployment/api\n"), re.M)
