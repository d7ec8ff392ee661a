"""Engines that share a platform are scaled by an engine, by how busy they say they are.

The cluster is a real control plane; its pods are played by KWOK.  So the test does what a kubelet
does: it starts an engine for each pod that runs and ends it with SIGTERM when its pod goes, and
writes down where the engines are for the one that asks them for their figures.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml

from tests import warm
from tests.control_plane import PATIENCE_S, ControlPlane, until
from tests.integration.kubernetes.test_live import CALENDAR, FAST
from tests.integration.kubernetes.test_roles import granted
from tests.integration.store.test_postgres import Server, server  # noqa: F401 (a fixture)
from tools.many_engines.faults import wrong

pytestmark = pytest.mark.slow

FEW, MANY = 3, 30
"""Services that have samples, one a second each: the load of the engines, and ten times as much."""
ENGINES = (
    "platform=engines", "platform.services.engine.service_s=0.07",
    "platform.services.engine.min_instances=1", "platform.services.engine.max_instances=4",
    "platform.services.engine.boot={median_s: 2, p95_s: 5}",
)  # fmt: skip
"""One engine carries 14 samples/s, by what is specified here: far fewer than it could, so that the
test needs less of the machine than three busy engines would."""
FIGURES = {
    "request_rate": {"metric": "wedtwin_requests_total", "take": "rate"},
    "queue_depth": {"metric": "wedtwin_queue_depth"},
}
"""Not the cpu: it says truly that these engines could do far more than is specified."""
MODULE = """
import sys
from pathlib import Path

sys.path.append({root!r})

from engine.ports.metrics import Reading
from tools.many_engines.actuator import connect
from tools.many_engines.load import WaveMetrics, bookings


class SomeMetrics(WaveMetrics):
    async def read(self, now_s):
        count = int(Path({count!r}).read_text())
        windows = (await super().read(now_s)).windows
        return Reading({{name: own for name, own in windows.items() if int(name[1:]) < count}})
"""
SERVICE = {
    "slots": 4, "service_s": 0.16, "service_scv": 1.0, "boot": {"median_s": 2, "p95_s": 3},
    "price_per_hour": 0.1, "slo_p95_s": 1.0, "warmup_s": 1, "min_instances": 2,
    "max_instances": 20, "user_facing": True,
    "client": {"timeout_s": 10, "max_retries": 2, "retry_share": 0.8, "backoff_s": 2,
               "queue_limit_per_slot": 20},
}  # fmt: skip


def free_port() -> int:
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        return int(there.getsockname()[1])


@dataclass
class Kubelet:
    """Runs an engine for each pod of the deployment that is ready."""

    cluster: ControlPlane
    namespace: str
    folder: Path
    store: str
    actuator: int
    engines: dict[str, warm.Command] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    ended: list[tuple[int | None, str]] = field(default_factory=list)
    """Exit codes and words of engines that were asked to end."""

    def sync(self) -> None:
        """Once: begin and end what the cluster says."""
        pods = self.cluster.ask("GET", f"/api/v1/namespaces/{self.namespace}/pods")["items"]
        running = {
            pod["metadata"]["name"]
            for pod in pods
            if "deletionTimestamp" not in pod["metadata"]
            and any(c["type"] == "Ready" and c["status"] == "True"
                    for c in pod["status"].get("conditions", ()))
        }  # fmt: skip
        for name in running - set(self.engines):
            self._begin(name)
        for name in set(self.engines) - running:
            self._end(name)
        path = self.folder / "targets.yaml"
        urls = [f"http://127.0.0.1:{port}/metrics" for port in self.ports.values()]
        (self.folder / "targets.new").write_text(
            yaml.safe_dump([{"urls": urls, "labels": {"service": "engine"}}] if urls else [])
        )
        (self.folder / "targets.new").rename(path)

    def _begin(self, name: str) -> None:
        port = free_port()
        client = warm.Client(warm.address())
        self.engines[name] = warm.Command(
            client, "engine",
            ("serve", "--config-dir=mine", "platform=many", "lease=shards", "engine=many",
             "infrastructure=many", "metrics=many", "bookings=many", "monitor.enabled=false",
             f"infrastructure.options.port={self.actuator}",
             f"infrastructure.options.by={name}", f'live.store="{self.store}"',
             f"live.state=state-{name}", "output=out", "reporter=null", "approval=0",
             f"api.port={port}", "api.predictions=null", "api.what_if=null"),
            self.folder, environment=dict(os.environ),
        )  # fmt: skip
        self.ports[name] = port

    def _end(self, name: str) -> None:
        process = self.engines.pop(name)
        del self.ports[name]
        process.terminate()
        _, said = process.communicate()
        self.ended.append((process.returncode, said))

    def state(self) -> str:
        """The state folder of one of the engines."""
        return f"state-{next(iter(self.engines))}"

    def taken_up(self, token: str) -> float:
        """Samples that the steps of the engines took up, as their pages say."""
        taken = 0.0
        for port in self.ports.values():
            page = httpx.get(
                f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {token}"},
                timeout=PATIENCE_S, trust_env=False,
            ).raise_for_status().text  # fmt: skip
            taken += sum(
                float(line.rpartition(" ")[2])
                for line in page.splitlines()
                if line.startswith("wedtwin_responses_total")
            )
        return taken

    def close(self) -> None:
        for name in list(self.engines):
            self._end(name)


def configure(folder: Path, count: Path) -> None:
    """What all engines of the test read."""
    files: dict[str, Any] = {
        "platform/many": {
            "name": "many", "zones": ["a"], "services": {f"s{k}": SERVICE for k in range(MANY)}
        },
        "engine/many": {"defaults": ["staging", "_self_"], "sample_s": 1.0, "cycle_s": 5.0},
        "infrastructure/many": {
            "factory": "many_of_the_test:connect",
            "options": {"address": "127.0.0.1", "port": None, "by": None},
        },
        "metrics/many": {"factory": "many_of_the_test:SomeMetrics"},
        "bookings/many": {"factory": "many_of_the_test:bookings", "options": {}, "keys": []},
        "bookings/calendar": {"factory": "calendar_of_the_test:Calendar"},
        "metrics/engines": {
            "factory": "engine.ingest.scraping:scraped", "figures": FIGURES, "totals": {},
            "keep": None, "targets_file": "targets.yaml", "targets": [], "first_served": None,
            "lookback_s": 5, "headers": {},
        },
    }  # fmt: skip
    for name, content in files.items():
        path = folder / "mine" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content))
    root = str(Path(__file__).parents[3])
    (folder / "many_of_the_test.py").write_text(MODULE.format(root=root, count=str(count)))
    (folder / "calendar_of_the_test.py").write_text(CALENDAR.replace("20.0", f"{FEW:.1f}"))
    count.write_text(str(FEW))


def test_an_engine_scales_engines_to_three_and_back_and_nothing_is_lost(
    cluster: ControlPlane,
    namespace: str,
    tmp_path: Path,
    server: Server,  # noqa: F811
) -> None:
    database, count, log = server.new(), tmp_path / "count", tmp_path / "actuator.jsonl"
    configure(tmp_path, count)
    cluster.workload(namespace, "engine", 1, boot="500ms")
    account = granted(cluster, namespace, tmp_path, *ENGINES)
    config = cluster.kubeconfig(tmp_path / "config", token=account, namespace=namespace)
    port = free_port()
    root = Path(__file__).parents[3]
    actuator = subprocess.Popen(
        [sys.executable, str(root / "tools/many_engines/actuator.py"), "127.0.0.1", str(port),
         str(MANY), str(log)], env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    kubelet = Kubelet(cluster, namespace, tmp_path, server.url(database), port)

    def owned() -> int:
        with suppress(psycopg.errors.UndefinedTable):  # the first engine makes it
            return len(server.run(
                "SELECT 1 FROM shard_lease"
                " WHERE until_s > EXTRACT(EPOCH FROM clock_timestamp())", database,
            ))  # fmt: skip
        return 0

    def acts() -> list[dict[str, Any]]:
        rows = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
        return [row for row in rows if row["what"] == "act"]

    def all_run(engines: int) -> bool:
        kubelet.sync()
        assert [
            one.communicate() for one in kubelet.engines.values() if one.poll() is not None
        ] == []
        return len(kubelet.engines) == engines and owned() == MANY

    try:
        until(lambda: all_run(1), "the first engine")
        made = warm.run(
            "engine", "token", "create", "scaler", "--role=viewer", f"--state={kubelet.state()}",
            cwd=tmp_path, environment={**os.environ, "WEDTWIN_STORE": kubelet.store},
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        token = made.stdout.strip()
        with warm.started(
            "engine", "serve", "--config-dir=mine", *ENGINES, *FAST, "infrastructure=kubernetes",
            "metrics=engines", "bookings=calendar", "api.port=0", "api.predictions=null",
            "api.what_if=null", "reporter=null", "scenario=quiet_tuesday", "monitor.enabled=false",
            f"infrastructure.options.kubeconfig={config}",
            f"+metrics.headers.Authorization='Bearer {token}'",
            "live.state=state-owner", "output=out", cwd=tmp_path,
        ) as owner:  # fmt: skip

            def come(engines: int) -> bool:
                assert owner.poll() is None, owner.communicate()
                return all_run(engines)

            count.write_text(str(MANY))
            until(lambda: come(3), "three engines")
            by = {row["by"] for row in acts()}
            until(lambda: come(3) and len({r["by"] for r in acts()} - by) == 2, "their work")
            count.write_text(str(FEW))
            until(lambda: come(1), "one engine")
            before = kubelet.taken_up(token)
            until(lambda: come(1) and kubelet.taken_up(token) >= before + 5 * FEW, "its work")
            owner.terminate()
            _, said = owner.communicate()
            assert owner.returncode == 0, said
            assert "Traceback" not in said, said
    finally:
        kubelet.close()
        actuator.kill()
        actuator.wait()
    assert [code for code, _ in kubelet.ended] == [0] * len(kubelet.ended)
    assert wrong([json.loads(line) for line in log.read_text().splitlines()]) == []
