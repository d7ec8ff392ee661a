"""What the engine says to KEDA and a scaler reads, on a real API server without KEDA."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from engine.adapters.kubernetes.keda import contract, pulse
from engine.model import Status
from engine.ports.contract import action
from engine.ports.infrastructure import Unreachable
from engine.ports.lease import Fence
from tests.control_plane import PATIENCE_S, ControlPlane
from tests.integration.kubernetes.conftest import Connect, seen, spec
from tests.integration.kubernetes.scalers import a_scaler, let_keda_scale
from tests.integration.kubernetes.test_contract import define, hpa
from tests.integration.kubernetes.test_roles import granted, kubernetes, refused
from twin.staging.ports import free_ports

KEDA = "infrastructure.options.mode=keda"


class AskingLikeKeda:
    """Asks a scaler as KEDA does."""

    def __init__(self, address: str, namespace: str) -> None:
        self.channel = grpc.aio.insecure_channel(address)
        self.reference = contract.CLASSES["ScaledObjectRef"](
            name="api", namespace=namespace, scalerMetadata={"service": "api"}
        )

    async def wanted(self) -> int | str:
        """The count, or why there is none."""
        call = self.channel.unary_unary(
            "/externalscaler.ExternalScaler/GetMetrics",
            request_serializer=contract.CLASSES["GetMetricsRequest"].SerializeToString,
            response_deserializer=contract.CLASSES["GetMetricsResponse"].FromString,
        )
        request = contract.CLASSES["GetMetricsRequest"](
            scaledObjectRef=self.reference, metricName="wedtwin-api"
        )
        try:
            (value,) = (await call(request)).metricValues
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"
        return int(value.metricValue)

    async def until(
        self, expected: int | str, affirmed: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Wait until that is the answer, or a refusal with these words, affirming meanwhile."""
        answer: int | str = ""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answer = await self.wanted()
                if answer == expected or (
                    isinstance(answer, str) and isinstance(expected, str) and expected in answer
                ):
                    return
                if affirmed is not None:
                    await affirmed()
                await asyncio.sleep(0.02)


def test_what_is_generated_is_enough_for_the_engine_and_its_scaler_and_no_more(
    cluster: ControlPlane, namespace: str, connect: Connect, tmp_path: Path
) -> None:
    async def story() -> None:
        adapter = connect("api", token=engine, mode="keda", zones=False)
        async with a_scaler(config, [spec("api")], address, silent_s=5):
            caller = AskingLikeKeda(address, namespace)
            await caller.until("UNAVAILABLE: the engine was last heard never")
            await seen(adapter, lambda s: s.services["api"].ready == 2)
            await adapter.affirm(Fence(3))
            await caller.until(2, lambda: adapter.affirm(Fence(3)))  # what there is
            (result,) = await adapter.apply([action("api", 2, 5, "d1")], Fence(3))
            assert result.status is Status.ACCEPTED, result
            (again,) = await adapter.apply([action("api", 2, 5, "d1")], Fence(3))
            assert again.status is Status.ACCEPTED, again
            await caller.until(5, lambda: adapter.affirm(Fence(3)))
            assert cluster.ask("GET", workload)["spec"]["replicas"] == 2  # that is KEDA's
            (over,) = await adapter.apply([action("api", 5, 41, "d2")], Fence(3))
            assert "41 instances are not allowed (0 … 40)" in over.detail
            await caller.until("UNAVAILABLE: the engine was last heard ")  # nobody affirms
            await adapter.affirm(Fence(4))
            await caller.until(5, lambda: adapter.affirm(Fence(4)))
            another = connect("api", token=engine, mode="keda", zones=False)
            with pytest.raises(Unreachable, match="fence 3 is over, 4 leads"):
                await another.affirm(Fence(3))
            await another.close()
            await caller.channel.close()
        await adapter.close()

    define(cluster, "keda.sh", "ScaledObject", "scaledobjects")
    address = f"127.0.0.1:{free_ports(1)[0]}"
    workload = cluster.workload(namespace, "api", 2)
    let_keda_scale(cluster, namespace, spec("api"), {"listen": address})
    engine = granted(cluster, namespace, tmp_path, KEDA)
    scaler = granted(cluster, namespace, tmp_path, KEDA, "--scaler")
    config = cluster.kubeconfig(tmp_path / "scaler", token=scaler, namespace=namespace)
    asyncio.run(story())
    one = f"/apis/keda.sh/v1alpha1/namespaces/{namespace}/scaledobjects/api"
    lease = pulse.path_of(namespace, "wedtwin")
    for token, method, path in (
        (engine, "PATCH", workload),
        (engine, "PATCH", one.replace("/api", "/other", 1)),
        (engine, "DELETE", one),
        (engine, "PATCH", pulse.path_of(namespace, "another")),
        (scaler, "PATCH", one),
        (scaler, "PATCH", lease),
        (scaler, "GET", workload),
        (scaler, "GET", f"/api/v1/namespaces/{namespace}/pods"),
    ):
        assert refused(cluster, token, method, path), (method, path)


def changed(**spec_of_it: Any) -> dict[str, Any]:
    return spec_of_it


@pytest.mark.parametrize(
    ("scaled", "said"),
    [
        (None, "needs one ScaledObject that asks the engine's scaler, and has none"),
        ("hpa", "and has HorizontalPodAutoscaler "),
        (changed(maxReplicaCount=8), "/api has maxReplicaCount 8, and "
                                     "platform.services.api.max_instances is 9"),
        (changed(minReplicaCount=2), "/api has minReplicaCount 2, and "
                                     "platform.services.api.min_instances is 1"),
        (changed(triggers=[{"type": "cron", "metadata": {}}]), 'with service: "api", and has none'),
        (changed(), ""),
    ],
    ids=["none", "hpa", "most", "least", "trigger", "right"],
)  # fmt: skip
def test_a_workload_that_keda_will_not_scale_as_wanted_is_named_before_a_run_begins(
    cluster: ControlPlane, namespace: str, tmp_path: Path, scaled: Any, *, said: str
) -> None:
    define(cluster, "keda.sh", "ScaledObject", "scaledobjects")
    cluster.workload(namespace, "api", 1)
    if scaled == "hpa":
        path = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
        cluster.ask("POST", path, hpa("api"))
    elif scaled is not None:
        given = {"minReplicaCount": 1, "maxReplicaCount": 9} | scaled
        let_keda_scale(cluster, namespace, spec("api"), {}, **given)
    config = cluster.kubeconfig(tmp_path / "config", namespace=namespace)
    ended = kubernetes("check", config, KEDA, folder=tmp_path)
    assert "Traceback" not in ended.stderr
    if said:
        assert (ended.returncode, ended.stdout) == (2, "")
        assert said in ended.stderr
    else:
        assert (ended.returncode, ended.stdout) == (0, f"api: Deployment {namespace}/api\n")
