"""The rights that are generated are enough, and no more: tried with a real account's token."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import httpx
import pytest
import yaml

from engine.model import Status
from engine.ports.contract import action
from engine.ports.lease import Fence
from tests import warm
from tests.control_plane import PATIENCE_S, ControlPlane
from tests.integration.kubernetes.conftest import LATE_S, Connect, all_ready, seen
from tests.integration.kubernetes.test_contract import define, hpa

ONE_SERVICE = (
    "platform=blank",
    "platform.zones=[a]",
    "+platform.services.api={slots: 4, service_s: 0.1, service_scv: 1.0, "
    "boot: {median_s: 2, p95_s: 3}, price_per_hour: 0.1, slo_p95_s: 1, warmup_s: 0, "
    "min_instances: 1, max_instances: 9, user_facing: true, "
    "thresholds: {cpu_up: 0.75, cpu_down: 0.6}, "
    "client: {timeout_s: 10, max_retries: 0, retry_share: 0, backoff_s: 1, "
    "queue_limit_per_slot: 20}}",
)


def kubernetes(
    command: str, config: Path, *more: str, folder: Path
) -> subprocess.CompletedProcess[str]:
    """`python -m engine kubernetes` on a platform of one service."""
    return warm.run(
        "engine", "kubernetes", command, *ONE_SERVICE,
        f"infrastructure.options.kubeconfig={config}",
        f"infrastructure.options.timeout_s={LATE_S:g}", *more, cwd=folder,
    )  # fmt: skip


def granted(cluster: ControlPlane, namespace: str, folder: Path, *more: str) -> str:
    """An account with exactly what is generated for it; returns its token."""
    config = cluster.kubeconfig(folder / "admin", namespace=namespace)
    account = f"engine-{namespace}"
    printed = kubernetes("rbac", config, f"--account={namespace}/{account}", *more, folder=folder)
    assert printed.returncode == 0, printed.stderr
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    account += "-scaler" if "--scaler" in more else ""
    if not cluster.is_there(f"{accounts}/{account}"):
        cluster.ask("POST", accounts, {"metadata": {"name": account}})
    root = "/apis/rbac.authorization.k8s.io/v1"
    for one in yaml.safe_load_all(printed.stdout):
        # Two tests may not share what is the cluster's.
        if one["kind"].startswith("Cluster"):
            one["metadata"]["name"] = account
            if "roleRef" in one:
                one["roleRef"]["name"] = account
        within = one["metadata"].get("namespace")
        path = f"{root}/namespaces/{within}/" if within else f"{root}/"
        cluster.ask("POST", f"{path}{one['kind'].lower()}s?fieldValidation=Strict", one)
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
             "spec": {"expirationSeconds": 3600}}  # fmt: skip
    body = cluster.ask("POST", f"{accounts}/{account}/token", asked)
    return str(body["status"]["token"])


def refused(cluster: ControlPlane, token: str, method: str, path: str) -> bool:
    answer = httpx.request(
        method, cluster.url + path, verify=cluster._context(), timeout=PATIENCE_S,
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json-patch+json"},
        content=b"[]" if method == "PATCH" else None,
    )  # fmt: skip
    return answer.status_code == 403


def test_what_is_generated_is_enough_to_scale_and_to_see_and_no_more(
    cluster: ControlPlane, namespace: str, connect: Connect, tmp_path: Path
) -> None:
    async def story() -> None:
        adapter = connect("api", token=token)
        await seen(adapter, all_ready("api", 2))
        assert sum(adapter.seen["api"].pods.zones.values()) == 2
        assert "" not in adapter.seen["api"].pods.zones
        (result,) = await adapter.apply([action("api", 2, 3, "d1")], Fence(1))
        assert result.status is Status.ACCEPTED, result
        assert (await seen(adapter, all_ready("api", 3))).notices == ()
        await adapter.close()

    cluster.workload(namespace, "api", 2)
    cluster.workload(namespace, "other", 1)
    token = granted(cluster, namespace, tmp_path)
    asyncio.run(story())
    events = cluster.ask("GET", f"/api/v1/namespaces/{namespace}/events")["items"]
    (mine,) = [e for e in events if e["source"].get("component") == "wedtwin"]
    assert (mine["reason"], mine["involvedObject"]["name"]) == ("Scaled", "api")
    assert mine["message"].startswith("2 → 3")
    apps, core = f"/apis/apps/v1/namespaces/{namespace}", f"/api/v1/namespaces/{namespace}"
    for method, path in (
        ("PATCH", f"{apps}/deployments/other"),
        ("GET", f"{apps}/deployments/other"),
        ("GET", f"{apps}/deployments"),
        ("DELETE", f"{apps}/deployments/api"),
        ("GET", f"{core}/secrets"),
        ("GET", f"{core}/configmaps"),
        ("GET", f"{core}/events"),
        ("GET", "/api/v1/pods"),
        ("GET", "/api/v1/namespaces"),
        ("GET", "/apis/apps/v1/namespaces/default/deployments/api"),
    ):
        assert refused(cluster, token, method, path), (method, path)


def test_an_engine_that_only_recommends_may_change_nothing_and_tells_by_events_why(
    cluster: ControlPlane, namespace: str, connect: Connect, tmp_path: Path
) -> None:
    async def story() -> None:
        adapter = connect("api", token=token)
        await seen(adapter, all_ready("api", 2))
        for _ in range(3):  # each cycle says it again
            await adapter.advise([action("api", 2, 4, "a1")])
        (result,) = await adapter.apply([action("api", 2, 3, "d1")], Fence(1))
        assert result.status is Status.FAILED
        assert not result.sent
        assert "cannot patch resource" in result.detail
        assert (await adapter.observe()).services["api"].desired == 2
        await adapter.close()

    path = cluster.workload(namespace, "api", 2)
    token = granted(cluster, namespace, tmp_path, "--recommend")
    asyncio.run(story())
    events = cluster.ask("GET", f"/api/v1/namespaces/{namespace}/events")["items"]
    (mine,) = [e for e in events if e["source"].get("component") == "wedtwin"]
    assert mine["reason"] == "WouldScale"
    assert mine["message"] == "2 → 4 (cpu): api: 2 → 4"
    assert mine["involvedObject"]["uid"] == cluster.ask("GET", path)["metadata"]["uid"]


def test_with_floors_the_workloads_are_only_read(
    cluster: ControlPlane, namespace: str, connect: Connect, tmp_path: Path
) -> None:
    async def story() -> None:
        adapter = connect("api", token=token, mode="floor")
        await seen(adapter, lambda s: s.services["api"].ready == 2)
        (result,) = await adapter.apply([action("api", 2, 3, "d1")], Fence(1))
        assert result.status is Status.ACCEPTED, result
        await adapter.close()

    cluster.workload(namespace, "api", 2)
    hpas = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
    cluster.ask("POST", hpas, hpa("api"))
    define(cluster, "keda.sh", "ScaledObject", "scaledobjects")
    token = granted(cluster, namespace, tmp_path, "infrastructure.options.mode=floor")
    asyncio.run(story())
    assert refused(cluster, token, "PATCH", f"/apis/apps/v1/namespaces/{namespace}/deployments/api")


def test_what_is_there_is_shown(cluster: ControlPlane, namespace: str, tmp_path: Path) -> None:
    cluster.workload(namespace, "api", 2)
    config = cluster.kubeconfig(tmp_path / "config", namespace=namespace)
    checked = kubernetes("check", config, folder=tmp_path)
    assert (checked.returncode, checked.stdout) == (0, f"api: Deployment {namespace}/api\n")
    shown = kubernetes("show", config, folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert f"api (Deployment {namespace}/api): 2 desired; " in shown.stdout


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (("+infrastructure.options.workloads.api=deployment/apj",),
         "infrastructure.options.workloads.api: there is no Deployment {namespace}/apj "
         "(there are: api); did you mean api?"),
        (("+infrastructure.options.workloads.apj=deployment/api",), "did you mean api"),
        (("infrastructure.options.namespace=nowhere",),
         "there is no Deployment nowhere/api"),
        (("infrastructure.options.mode=floor",),
         "needs one HorizontalPodAutoscaler or ScaledObject whose floor the engine sets, and has"),
        (("infrastructure.options.context=other",), 'has no context "other" (there are: test)'),
        (("infrastructure.options.kubeconfig=/nowhere",), "/nowhere cannot be read: No such file"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_named_before_a_run_begins(
    cluster: ControlPlane, namespace: str, tmp_path: Path, changed: tuple[str, ...], *, said: str
) -> None:
    cluster.workload(namespace, "api", 1)
    config = cluster.kubeconfig(tmp_path / "config", namespace=namespace)
    ended = kubernetes("check", config, *changed, folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said.format(namespace=namespace) in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("what", ["no rights", "unknown token", "authority", "two owners"])
def test_who_may_not_or_is_not_alone_is_told_so_before_a_run_begins(
    cluster: ControlPlane, namespace: str, tmp_path: Path, what: str
) -> None:
    cluster.workload(namespace, "api", 1)
    config = cluster.kubeconfig(tmp_path / "config", namespace=namespace)
    said = ""
    if what == "no rights":
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        cluster.ask("POST", accounts, {"metadata": {"name": "nobody"}})
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = cluster.ask("POST", f"{accounts}/nobody/token", asked)["status"]["token"]
        cluster.kubeconfig(config, token=token, namespace=namespace)
        said = "python -m engine kubernetes rbac prints the role"
    elif what == "unknown token":
        cluster.kubeconfig(config, token="one-that-is-over", namespace=namespace)
        said = "the token or certificate is not accepted (401)"
    elif what == "authority":
        import trustme

        other = ControlPlane.__new__(ControlPlane)
        other.url, other.authority = cluster.url, trustme.CA()
        other.kubeconfig(config, namespace=namespace)
        said = "its certificate-authority is not that of"
    else:
        path = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
        cluster.ask("POST", path, hpa("api"))
        said = f"is scaled by HorizontalPodAutoscaler {namespace}/api"
    ended = kubernetes("check", config, folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
