"""What a rehearsal is made of: its plan, the load that is played, and what befalls the cluster."""

from __future__ import annotations

import contextlib
import http.server
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.model import ServiceSpec
    from tests.control_plane import ControlPlane
    from twin.queues.fluid import FluidPlatform

NAMESPACE = "rehearsal"
NODES, ROOM = 12, 110
FIGURES = (
    "cpu", "memory", "request_rate", "p50_s", "p95_s", "p99_s", "error_rate", "queue_depth",
)  # fmt: skip
TOTALS = {
    "requests": "arrived", "served": "served", "failed": "failed", "shed": "shed",
    "timed_out": "timed_out", "slow": "slow",
}  # fmt: skip
"""What the record calls them, and the twin."""


@dataclass(frozen=True, slots=True)
class RehearsalPlan:
    """What is played: `seconds` of the clock from `begins` on, at `scale` of the day's load.

    The cluster has no place for another pod from `full_s` on for `full_for_s`, and the API server
    is away from `killed_s` on for `killed_for_s` and its start; seconds from the part's beginning.
    """

    begins: str = "peak-21600"
    scale: float = 0.105
    seconds: int = 390
    full_s: int = 60
    full_for_s: int = 45
    killed_s: int = 210
    killed_for_s: int = 15
    scenario: str = "june_peak"
    seed: int = 1
    most: int = 1000
    """The most pods of one service."""
    replications: int = 5
    """Of the twin."""

    def smaller(self, **changed: Any) -> RehearsalPlan:
        """A plan with other figures."""
        return replace(self, **changed)


@dataclass
class PlayedLoad:
    """The load that the ready pods would have, as pages of metrics."""

    specs: tuple[ServiceSpec, ...]
    queues: FluidPlatform
    ready: Callable[[], Mapping[str, int]]
    peak: int = 0
    """The most pods that were ready at one time."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def play(self, starts_s: float, over: threading.Event) -> None:
        """Each second as it passes, with the pods that are ready then."""
        second = 0
        while second < self.queues.metrics.shape[1] * self.queues.sample_s:
            if over.wait(max(starts_s + second - time.time(), 0.0)):
                return
            ready = self.ready()
            self.peak = max(self.peak, sum(ready.values()))
            with self.lock:
                for row, spec in enumerate(self.specs):
                    self.queues.set_ready(row, ready.get(spec.name, 0))
                second += 1
                self.queues.advance(second)

    def page(self) -> str:
        """The newest sample of each service, and what its counters came to."""
        from engine.model import SAMPLE_FIELDS
        from twin.queues.port import TRUTH_FIELDS

        lines = []
        with self.lock:
            totals = self.queues.totals()
            for row, spec in enumerate(self.specs):
                said = f'{{service="{spec.name}"}}'
                if self.queues.samples:
                    sample = self.queues.metrics[row, self.queues.samples - 1]
                    for name in FIGURES:
                        value = sample[SAMPLE_FIELDS.index(name)]
                        if value == value:  # NaN: there is none
                            lines.append(f"rehearsed_{name}{said} {value}")
                for name, field_name in TOTALS.items():
                    total = totals[row, TRUTH_FIELDS.index(field_name)]
                    lines.append(f"rehearsed_{name}_total{said} {total}")
        return "\n".join(lines) + "\n"


@contextlib.contextmanager
def served(page: Callable[[], str]) -> Iterator[str]:
    """Serve a page on the loopback interface; gives its address."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = page().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class ReadyPods:
    """How many pods of each workload are ready, as the cluster last said."""

    cluster: ControlPlane
    names: Sequence[str]
    last: dict[str, int] = field(default_factory=dict)

    def __call__(self) -> dict[str, int]:
        """By workload."""
        try:
            listed = self.cluster.ask("GET", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments")
        except Exception:  # it is away: the pods go on
            return self.last
        self.last = {
            one["metadata"]["name"]: int(one["status"].get("readyReplicas", 0))
            for one in listed["items"]
            if one["metadata"]["name"] in self.names
        }
        return self.last


@dataclass
class Troubles:
    """Lets befall the cluster what is planned, and notes what came of it."""

    cluster: ControlPlane
    unschedulable: int = 0
    away_s: float = 0.0

    def befall(
        self,
        plan: RehearsalPlan,
        starts_s: float,
        engine: subprocess.Popen[str],
        say: Callable[[str], None],
    ) -> None:
        """Returns when all of it is over, or the engine has ended."""

        def at(second: int) -> None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                engine.wait(max(starts_s + second - time.time(), 0.001))
                raise RuntimeError("the engine ended early: see engine.log")

        at(plan.full_s)
        pods = self.cluster.ask("GET", "/api/v1/pods?resourceVersion=0")["items"]
        there: dict[str, int] = {}
        for pod in pods:
            node = pod["spec"].get("nodeName", "")
            there[node] = there.get(node, 0) + 1
        self._room({f"node-{n}": there.get(f"node-{n}", 0) for n in range(NODES)})
        say(f"no place for more than the {len(pods)} pods that there are")
        at(plan.full_s + plan.full_for_s)
        for pod in self.cluster.ask("GET", "/api/v1/pods?resourceVersion=0")["items"]:
            conditions = pod["status"].get("conditions", [])
            self.unschedulable += any(c.get("reason") == "Unschedulable" for c in conditions)
        self._room({f"node-{n}": ROOM for n in range(NODES)})
        say(f"there is place again; {self.unschedulable} pods waited for it")
        at(plan.killed_s)
        self.cluster.kill("apiserver")
        killed_s = time.time()
        say("the API server is killed")
        at(plan.killed_s + plan.killed_for_s)
        self.cluster.start("apiserver")
        self.cluster.ready()
        self.away_s = time.time() - killed_s
        say(f"it is back after {self.away_s:.1f} s")

    def _room(self, places: Mapping[str, int]) -> None:
        for node, room in places.items():
            self.cluster.merge(
                f"/api/v1/nodes/{node}/status", {"status": {"allocatable": {"pods": str(room)}}}
            )
