"""The whole engine over a real control plane: a load comes and goes, the API server is killed."""

from __future__ import annotations

import http.server
import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from engine.adapters.store.sqlite import local_desk
from tests import warm
from tests.control_plane import ControlPlane, until
from tests.integration.kubernetes.test_roles import ONE_SERVICE, granted

pytestmark = pytest.mark.slow

CALENDAR = """
import numpy as np

from engine.model import Outlook


class Calendar:
    def __init__(self, specs, begins_s):
        rates = np.full((1, 240), 20.0)
        none = np.zeros(240)
        self.shown = Outlook(
            begins_s, begins_s, 60.0, {specs[0].name: 0}, rates, np.zeros_like(rates), none, none,
            0.1,
        )

    async def outlook(self, now_s):
        return self.shown

    async def close(self):
        pass
"""
FILES = {
    "bookings/calendar.yaml": "factory: calendar_of_the_test:Calendar\n",
    "metrics/page.yaml": """
factory: engine.ingest.scraping:scraped
figures:
  cpu: {metric: busy_ratio, take: average}
  request_rate: {metric: requests_per_s}
  p95_s: {metric: p95_seconds, take: average}
scraped: null
totals: {}
keep: null
targets: []
""",
}
PER_INSTANCE = 40.0
FAST = (
    "engine=staging", "engine.sample_s=1", "engine.cycle_s=2",
    "engine.limits.cooldown_out_s=3", "engine.limits.cooldown_in_s=3",
    "engine.limits.stabilisation_s=4", "engine.limits.flip_hold_s=3",
    "engine.emergency.calm_s=4", "engine.forecast.surge_decay_s=4",
    "engine.verify.settle_s=3", "engine.verify.watch_s=4", "engine.verify.hold_s=6",
)  # fmt: skip
"""All rests are those of a test stack whose instances boot in half a second."""


@dataclass
class Load:
    """Requests a second on the pods that are really ready, as a page of metrics."""

    ready: Callable[[], int]
    per_s: float = 20.0
    url: str = ""
    pages: int = 0

    def page(self) -> str:
        self.pages += 1
        busy = min(1.0, self.per_s / (PER_INSTANCE * max(self.ready(), 1)))
        return (
            f'busy_ratio{{service="api"}} {busy}\nrequests_per_s{{service="api"}} {self.per_s}\n'
            f'p95_seconds{{service="api"}} {0.2 if busy < 0.9 else 2.0}\n'
        )


@contextmanager
def served(load: Load) -> Iterator[Load]:
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = load.page().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    load.url = f"http://127.0.0.1:{server.server_port}/metrics"
    try:
        yield load
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Engine:
    """One `python -m engine serve` in folders of the test."""

    folder: Path
    process: warm.Command
    out: list[str] = field(default_factory=list)

    def status(self) -> dict[str, Any]:
        try:
            with closing(local_desk(self.folder / "state")) as desk:
                status: dict[str, Any] = json.loads(desk.status() or '{"steps": 0}')
        except FileNotFoundError:
            status = {"steps": 0}
        return {"troubles": {}, **status}

    def until(self, there: Callable[[], object], what: str) -> None:
        def so() -> object:
            if self.process.poll() is not None:
                raise AssertionError(self.process.communicate())
            return there()

        until(so, f"{what} ({self.status()})")

    def end(self) -> tuple[Path, str]:
        """Ask it to stop; its record and what it said."""
        self.process.terminate()
        out, said = self.process.communicate(timeout=600)
        assert self.process.returncode == 0, said
        assert "Traceback" not in said, said
        return Path(out.splitlines()[-1]), said


@contextmanager
def engine(
    cluster: ControlPlane, namespace: str, folder: Path, load: Load, *more: str,
    rights: tuple[str, ...] = (), token: str = "",
) -> Iterator[Engine]:  # fmt: skip
    """The engine with no more rights than it needs, or those of a token."""
    token = token or granted(cluster, namespace, folder, *rights)
    config = cluster.kubeconfig(folder / "config", token=token, namespace=namespace)
    for name, text in FILES.items():
        (folder / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "mine" / name).write_text(text)
    (folder / "calendar_of_the_test.py").write_text(CALENDAR)
    with warm.started(
        "engine", "serve", "--config-dir=mine", *ONE_SERVICE, *FAST,
        "infrastructure=kubernetes", "metrics=page", "bookings=calendar", "api.port=0",
        "api.predictions=null", "api.what_if=null", "reporter=null", "scenario=quiet_tuesday",
        f"infrastructure.options.kubeconfig={config}",
        f"metrics.targets=[{{urls: ['{load.url}'], labels: {{service: api}}}}]",
        "live.state=state", "output=out", *more, cwd=folder,
    ) as process:  # fmt: skip
        yield Engine(folder, process)


def ready(cluster: ControlPlane, path: str) -> Callable[[], int]:
    """How many pods are ready, as the cluster last said."""
    last = 1

    def count() -> int:
        nonlocal last
        try:
            last = int(cluster.ask("GET", path)["status"].get("readyReplicas", 0))
        except Exception:  # it is away: the load goes on
            return last
        return last

    return count


def test_a_load_comes_and_goes_while_the_api_server_is_killed(
    cluster: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    path = cluster.workload(namespace, "api", 1, boot="500ms")
    there = ready(cluster, path)
    until(lambda: there() == 1, "the first pod")
    with (
        served(Load(there)) as load,
        engine(cluster, namespace, tmp_path, load) as live,
    ):
        live.until(lambda: live.status()["steps"] >= 3, "the first steps")
        load.per_s = 200.0
        live.until(lambda: there() >= 6, "enough pods for the load")
        cluster.kill("apiserver")
        live.until(
            lambda: cluster.url in str(live.status()["troubles"].get("infrastructure")),
            "the trouble",
        )
        cluster.start("apiserver")
        cluster.ready()
        live.until(lambda: "infrastructure" not in live.status()["troubles"], "its end")
        load.per_s = 20.0
        live.until(lambda: there() <= 2, "the way back")
        record, _ = live.end()
    body = cluster.ask("GET", path)
    kept = body["metadata"]["annotations"]["wedtwin/decisions"].split()
    decided = pd.read_parquet(tmp_path / record / "decisions.parquet")
    ids = [str(one) for one in decided["decision_id"].dropna().unique()]
    assert kept
    assert set(kept) <= set(ids)
    events = cluster.ask("GET", f"/api/v1/namespaces/{namespace}/events")["items"]
    advice = [e["message"] for e in events if e["reason"] == "Scaled"]
    assert len(advice) >= 2


def test_an_engine_that_only_recommends_says_on_the_workload_what_it_would_do_and_why(
    cluster: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    path = cluster.workload(namespace, "api", 1, boot="500ms")
    there = ready(cluster, path)
    until(lambda: there() == 1, "the first pod")

    def advice() -> list[dict[str, Any]]:
        events = cluster.ask("GET", f"/api/v1/namespaces/{namespace}/events")["items"]
        return [event for event in events if event["reason"] == "WouldScale"]

    with (
        served(Load(there, per_s=200.0)) as load,
        engine(
            cluster,
            namespace,
            tmp_path,
            load,
            "engine.mode=recommend_only",
            rights=("--recommend",),
        ) as live,
    ):
        live.until(advice, "an event")
        live.end()
    (first, *_) = advice()
    assert first["involvedObject"]["name"] == "api"
    assert first["message"].startswith("1 → ")
    assert cluster.ask("GET", path)["spec"]["replicas"] == 1


def test_when_the_engine_that_leads_is_killed_another_goes_on_under_a_new_fence(
    cluster: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    path = cluster.workload(namespace, "api", 1, boot="500ms")
    there = ready(cluster, path)
    until(lambda: there() == 1, "the first pod")
    admin = cluster.kubeconfig(tmp_path / "admin", namespace=namespace)
    lead = ("lease=kubernetes", f"live.cluster_lease.kubeconfig={admin}")
    token = granted(cluster, namespace, tmp_path, *lead)
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/wedtwin-lead"
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()

    def fence() -> str:
        return str(cluster.ask("GET", path)["metadata"]["annotations"].get("wedtwin/fence"))

    with (
        served(Load(there)) as load,
        engine(cluster, namespace, folders[0], load, *lead, token=token) as first,
    ):
        first.until(lambda: first.status()["steps"] >= 2, "the first steps")
        with engine(cluster, namespace, folders[1], load, *lead, token=token) as second:
            load.per_s = 120.0
            first.until(lambda: there() >= 3, "enough pods for the load")
            # A machine that stood still for longer than a lead lasts may have changed who leads.
            holder = cluster.ask("GET", lease)["spec"].get("holderIdentity", "")
            leads, other = first, second
            if f"-{second.process.pid}-" in holder:
                leads, other = second, first
            before = int(fence())
            if before == 1:
                assert (leads, other.status()["steps"]) == (first, 0)
            leads.process.send_signal(signal.SIGKILL)
            leads.process.wait()
            load.per_s = 240.0
            other.until(lambda: there() >= 7, "enough pods, by the other engine")
            assert int(fence()) > before
            other.until(
                lambda: cluster.ask("GET", lease)["spec"]["leaseTransitions"] == int(fence()),
                "the fence under which it acts",
            )
            other.end()
    assert "holderIdentity" not in cluster.ask("GET", lease)["spec"]
