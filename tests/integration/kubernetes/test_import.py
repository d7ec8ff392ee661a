"""How a stranger starts: the tutorial's commands as printed, and what cannot be imported."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import past_weeks, warm
from tests.control_plane import ControlPlane
from tests.integration.kubernetes.test_guide import BLOCK, BRIEF, typed
from tests.integration.metrics.conftest import VictoriaMetrics

DAYS, KEPT = 4, 2
COARSE = "telemetry.interval_s=30 engine.sample_s=30 engine.cycle_s=30"
"""Steps of the twin as long as those in which the true platform was played."""
END = dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
SHOP = "corner-shop"
"""The tutorial's namespace has what the guide's commands left in it."""


class Remembering(VictoriaMetrics):
    """One that keeps a year."""

    def command(self) -> list[str]:
        return [*super().command(), "-retentionPeriod=12"]


@pytest.fixture(scope="module")
def shop(cluster: ControlPlane) -> str:
    """Two Deployments under HPAs, and nodes with a type."""
    for number in range(3):
        labels = {"node.kubernetes.io/instance-type": "m5.8xlarge"}
        cluster.merge(f"/api/v1/nodes/node-{number}", {"metadata": {"labels": labels}})
    cluster.namespace(SHOP)
    hpas = f"/apis/autoscaling/v2/namespaces/{SHOP}/horizontalpodautoscalers"
    for name, spec in past_weeks.SERVICES.items():
        cores = past_weeks.REQUESTS[name]
        cluster.workload(SHOP, name, 3, cpu=f"{1000 * cores:.0f}m")
        target = {"type": "Utilization", "averageUtilization": past_weeks.TARGET}
        cluster.ask("POST", hpas, {
            "metadata": {"name": f"{name}-scaler"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "minReplicas": spec["min_instances"], "maxReplicas": spec["max_instances"],
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 120}},
            },
        })  # fmt: skip
    return SHOP


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VictoriaMetrics]:
    """A real server that remembers some days of the two services."""
    if shutil.which("victoria-metrics") is None:
        pytest.skip("victoria-metrics is not installed: sudo apt-get install victoria-metrics")
    folder = tmp_path_factory.mktemp("remembering")
    (folder / "prometheus.yml").write_text("scrape_configs: []\n")
    made = Remembering(folder)
    try:
        made.start()
        start_s = (END - dt.timedelta(days=DAYS)).timestamp()
        # A day may end before the last command asks: there is one more.
        lines = past_weeks.weeks(start_s, DAYS + 1, folder, SHOP).lines
        body = "\n".join(lines).encode()
        request = urllib.request.Request(f"{made.url}/api/v1/import/prometheus", body)
        with urllib.request.urlopen(request, timeout=300.0) as answer:
            assert answer.status in (200, 204)
        made.wait_until(lambda: _has(made.url, END.timestamp()), "what was sent is not there")
        yield made
    finally:
        made.kill()


def _has(url: str, time_s: float) -> bool:
    query = f"query=kube_deployment_status_replicas&time={time_s:.0f}"
    with urllib.request.urlopen(f"{url}/api/v1/query?{query}", timeout=300.0) as answer:
        return len(json.load(answer)["data"]["result"]) == len(past_weeks.SERVICES)


@pytest.mark.slow
def test_each_command_of_the_tutorial_does_what_it_says(
    cluster: ControlPlane, shop: str, server: VictoriaMetrics, tmp_path: Path, *, repository: Path
) -> None:
    config = cluster.kubeconfig(tmp_path / "kubeconfig")
    programs = tmp_path / "bin"
    programs.mkdir()
    environment = {
        **os.environ, "KUBECONFIG": str(config), **warm.write_python(programs),
        "PATH": f"{programs}:{os.environ['PATH']}",
    }  # fmt: skip
    text = (repository / "docs" / "tutorials" / "your-own-cluster.md").read_text(encoding="utf-8")
    fewer = text.replace("days=28 check_days=7", f"days={DAYS} check_days={KEPT}")
    fewer = fewer.replace("http://127.0.0.1:8428", server.url).replace("shop", shop)
    assert fewer.count(server.url) == 2
    for command in ("twin hindcast", "twin compare"):
        fewer = fewer.replace(command, f"{command} {COARSE}")
    assert fewer.count(COARSE) == 2
    fewer = fewer.replace("live.duration_s=20", BRIEF)
    assert fewer.count(BRIEF) == 1
    said = [typed(block, tmp_path, environment) for block in BLOCK.findall(fewer)]
    assert len(said) >= 6

    events = cluster.ask("GET", f"/api/v1/namespaces/{shop}/events")["items"]
    assert {"WouldScale"} <= {one["reason"] for one in events}
    platform = yaml.safe_load((tmp_path / "mine" / "platform" / f"{shop}.yaml").read_text())
    for name, true in past_weeks.SERVICES.items():
        measured = platform["services"][name]
        assert measured["service_s"] == pytest.approx(true["service_s"], rel=0.05), name
        assert measured["slots"] == pytest.approx(true["slots"], abs=1), name
        assert measured["boot"]["median_s"] == pytest.approx(true["boot"]["median_s"], rel=0.15)
        assert measured["price_per_hour"] == pytest.approx(true["price_per_hour"], rel=1e-3)
        for key in ("min_instances", "max_instances"):
            assert measured[key] == true[key]
    calls = platform["services"]["api"]["calls"]["search"]["per_request"]
    assert calls == pytest.approx(0.6, rel=0.02)
    assert platform["services"]["search"]["user_facing"] is False

    (checked,) = (tmp_path / "outputs").glob("*/*-hindcast")
    content = json.loads((checked / "hindcast.json").read_text())
    for controller in (f"{shop}_hpas", f"{shop}_as_measured"):
        verdicts = content["controllers"][controller]["verdicts"]
        for service, own in verdicts.items():
            for figure, verdict in own.items():
                off = abs(verdict["difference"])
                assert off <= verdict["limit"], (controller, service, figure, verdict)
        assert {"throughput", "utilisation", "p95_s", "instances", "cost_usd"} == set(
            verdicts["api"]
        )
    assert "equivalent" in (checked / "report.md").read_text()
    assert "<svg" in (checked / "report.html").read_text()
    (comparison,) = (tmp_path / "outputs").glob("*/*-compare-*")
    figures = json.loads((comparison / "comparison.json").read_text())["controllers"]
    assert list(figures) == ["engine", f"{shop}_hpas", f"{shop}_as_measured", "clairvoyant"]


def refused(cluster: ControlPlane, folder: Path, *words: str, token: str = "") -> str:
    """What an import says that ends with 2; nothing is written."""
    more = {"token": token} if token else {}
    config = cluster.kubeconfig(folder / "kubeconfig", **more)
    ended = warm.run("engine", "import", *words, f"cluster.kubeconfig={config}", cwd=folder)
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (folder / "mine").exists()
    return str(ended.stderr)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["cluster.namespace=corner-shpo"],
            r'cluster\.namespace: there is no namespace "corner-shpo" .*did you',
        ),
        (["cluster.namespace=default"], r"default has no Deployment and no StatefulSet"),
        (
            [f"cluster.namespace={SHOP}", "+workloads.web=deployment/ap"],
            r'workloads\.web: there is no "deployment/ap" \(there are: deployment/api',
        ),
        (["cluster.context=other"], r'has no context "other" \(there are: test\)'),
        (["prices=prices.yaml"], r"prices: prices\.yaml cannot be read"),
        (
            [f"cluster.namespace={SHOP}", "+services.api.slots=many"],
            r"platform\.services\.api\.slots",
        ),
    ],
)
def test_what_is_not_there_is_named(
    cluster: ControlPlane, shop: str, tmp_path: Path, words: list[str], *, said: str
) -> None:
    assert re.search(said, refused(cluster, tmp_path, "kubernetes", *words))


def test_a_token_that_is_none_and_one_without_rights_are_told_apart(
    cluster: ControlPlane, shop: str, tmp_path: Path
) -> None:
    where = ("kubernetes", f"cluster.namespace={SHOP}")
    assert "is not accepted (401)" in refused(cluster, tmp_path, *where, token="wrong-token")
    account = f"/api/v1/namespaces/{SHOP}/serviceaccounts"
    cluster.ask("POST", account, {"metadata": {"name": "nobody"}})
    asked: dict[str, Any] = {"spec": {"expirationSeconds": 600}}
    token = cluster.ask("POST", f"{account}/nobody/token", asked)["status"]["token"]
    said = refused(cluster, tmp_path, *where, token=token)
    assert "cannot list resource" in said
    assert "needs list on workloads" in said
