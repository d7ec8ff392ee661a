"""The `hpa` baseline beside the live HPA controller, over an hour of a scenario in three minutes.

The controller manager runs with all its times divided by `SPEED`; the baseline is as it ships, in
the scenario's time.  Each time the real controller asks for metrics, the same figures are given to
the baseline, in two ways: a *shadow* sees the real controller's own pods, so each single decision
can be compared; and a *double* scales a workload of its own, so that whole courses can.

The load waits for controllers that come late: at most `LONGEST_S` of it pass from one look to the
next, so that a busy machine sees the whole crowd too, only more slowly.

The API server cuts times to whole seconds, which is a whole sync here: a sample's time is told by
the pod's own readiness as the API server has it, or each new pod would count a sync early or late.

WEDTWIN_HPA_MINUTES says how much of the scenario is played; the crowd is shorter in less.
"""

from __future__ import annotations

import datetime as dt
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from engine.controllers.hpa import Hpa
from engine.model import SAMPLE_DTYPE, Observation, Outlook, ServiceObservation
from engine.settings import EngineSettings
from scenarios.faults.registry import apply_to_demand
from scenarios.faults.times import resolve_at
from scenarios.streams import Streams
from scenarios.weddings import demand as demands
from scenarios.weddings.population import generate
from tests.composition import configuration
from tests.control_plane import ControlPlane, until
from tests.integration.kubernetes.conftest import spec
from tests.metrics_api import metrics_api

pytestmark = pytest.mark.slow

MINUTES = float(os.environ.get("WEDTWIN_HPA_MINUTES", "15"))
SPEED = 20.0
TARGET, LEAST, MOST = 60, 3, 60
POD_MILLI = 200
"""The request of a pod; its CPU is told in whole milli-units, so all figures are equal here."""
PER_POD = 400.0
"""Requests a second that fill a pod: those of the api's 16 slots of 40 ms."""
BEFORE_S = 180.0
LONGEST_S = 30.0
"""Two syncs: what one that is late may pass over of the load."""
LATE_S = 22.5
"""A sync and a half: who decides in a longer one sees another time than who looks at its beginning,
so that a period may be over for one of the two.  What that does to the counts is judged all the
same."""
BOOT = "1100ms"
"""Between two syncs, so that it is no matter of chance which of them sees a pod first."""
FLAGS = (
    f"--horizontal-pod-autoscaler-sync-period={15 / SPEED:g}s",
    f"--horizontal-pod-autoscaler-downscale-stabilization={300 / SPEED:g}s",
    f"--horizontal-pod-autoscaler-cpu-initialization-period={300 / SPEED:g}s",
    f"--horizontal-pod-autoscaler-initial-readiness-delay={30 / SPEED:g}s",
)
BEHAVIOR = {
    "scaleUp": {
        "stabilizationWindowSeconds": 40,
        "policies": [
            {"type": "Pods", "value": 5, "periodSeconds": 40},
            {"type": "Percent", "value": 40, "periodSeconds": 40},
        ],
    },
    "scaleDown": {
        "stabilizationWindowSeconds": 140,
        "selectPolicy": "Min",
        "policies": [
            {"type": "Pods", "value": 6, "periodSeconds": 40},
            {"type": "Percent", "value": 50, "periodSeconds": 40},
        ],
    },
}
"""Whole seconds for the real controller, and periods that end between two of its syncs, also where
those come late: else it would be a matter of chance which changes are within one."""
NOTHING = np.zeros(0)
OUTLOOK = Outlook(0.0, 0.0, 60.0, {}, np.zeros((0, 0)), np.zeros((0, 0)), NOTHING, NOTHING, 0.1)


def in_wall_time(behavior: dict[str, Any]) -> dict[str, Any]:
    """`behavior` for the real controller: the same with shorter times."""
    shorter: dict[str, Any] = {}
    for way, rules in behavior.items():
        policies = [
            p | {"periodSeconds": round(p["periodSeconds"] / SPEED)} for p in rules["policies"]
        ]
        window_s = round(rules["stabilizationWindowSeconds"] / SPEED)
        shorter[way] = rules | {"policies": policies, "stabilizationWindowSeconds": window_s}
    return shorter


def load() -> np.ndarray[Any, Any]:
    """Requests a second that the api gets, for each second from shortly before the crowd comes."""
    brief = ("faults.flash_crowd.hold_s=180", "faults.flash_crowd.decay_s=120")
    config = configuration(
        "scenario=flash_crowd", "population.simultaneous=1000", *(brief if MINUTES < 60.0 else ())
    )
    streams = Streams(7)
    plain = demands.realise(generate(config.population, streams), config.demand, streams)
    begin = int(resolve_at("peak", plain) - BEFORE_S)
    crowded = apply_to_demand(plain, config.faults.values())
    return crowded.rates[crowded.services.index("api")][begin:]


@dataclass(frozen=True, slots=True)
class Pods:
    """Pods of a workload by state; the ready ones with the API server's time of that (s)."""

    ready: dict[str, float]
    booting: int
    leaving: int


@dataclass
class Pair:
    """A workload that the real HPA scales, and its double, which the baseline scales."""

    cluster: ControlPlane
    namespace: str
    name: str
    rates: np.ndarray[Any, Any]
    behavior: dict[str, Any] | None = None
    counts: list[tuple[float, int, int]] = field(default_factory=list)
    """Time of the scenario (s), count of the real controller's workload, and of the double."""
    agreed: int = 0
    differed: list[tuple[float, int, int, int]] = field(default_factory=list)
    """Time, count, what the real controller made of it, and what the baseline would have."""
    late: list[tuple[float, int, int, int]] = field(default_factory=list)
    """The same of syncs that were late."""

    def __post_init__(self) -> None:
        self.spec = spec(self.name, MOST, LEAST)
        options: dict[str, Any] = {"target_cpu": TARGET, "sync_s": 1.0, "behavior": self.behavior}
        self.shadow, self.double = (Hpa(EngineSettings(), **options) for _ in range(2))
        self.begun_s = 0.0
        self.load_s = 0.0
        self.first_seen_s: dict[str, float] = {}
        self.pending: tuple[float, int, int] | None = None
        self.lock = threading.Lock()

    def set_up(self) -> None:
        for name in (self.name, f"{self.name}-double"):
            self.cluster.workload(self.namespace, name, 5, boot=BOOT, cpu=f"{POD_MILLI}m")
            until(lambda name=name: len(self._look(name)[1].ready) == 5, f"the pods of {name}")
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": self.name}
        autoscalers = f"/apis/autoscaling/v2/namespaces/{self.namespace}/horizontalpodautoscalers"
        resource = {
            "name": "cpu", "target": {"type": "Utilization", "averageUtilization": TARGET},
        }  # fmt: skip
        self.cluster.ask("POST", autoscalers, {
            "metadata": {"name": self.name},
            "spec": {
                "scaleTargetRef": target,
                "minReplicas": LEAST, "maxReplicas": MOST,
                "metrics": [{"type": "Resource", "resource": resource}],
                **({"behavior": in_wall_time(self.behavior)} if self.behavior else {}),
            },
        })  # fmt: skip

    def asked(self) -> list[dict[str, object]]:
        """The real controller wants the metrics: the baseline looks at the same moment."""
        with self.lock:
            wall_s = time.monotonic()
            self.begun_s = self.begun_s or wall_s
            now_s = (wall_s - self.begun_s) * SPEED
            before_s = self.counts[-1][0] if self.counts else 0.0
            self.load_s += min(now_s - before_s, LONGEST_S)
            desired, pods = self._look(self.name)
            if self.pending is not None:
                asked_s, was, wanted = self.pending
                earlier_s = self.counts[-2][0] if len(self.counts) > 1 else asked_s
                is_late = max(now_s - asked_s, asked_s - earlier_s) > LATE_S
                if desired == wanted:
                    self.agreed += 1
                else:
                    differing = self.late if is_late else self.differed
                    differing.append((asked_s, was, desired, wanted))
            first = self.pending is None
            self.pending = (now_s, desired, self._decide(self.shadow, now_s, desired, pods))
            there, own_pods = self._look(f"{self.name}-double")
            wanted = self._decide(self.double, now_s, there, own_pods)
            if wanted != there:
                path = f"{self._path(self.name)}-double/scale"
                self.cluster.merge(path, {"spec": {"replicas": wanted}})
            self.counts.append((now_s, desired, there))
            # The baseline takes pods that are ready at its first look for old ones.
            new_s = wall_s - 300.0 if first else wall_s
            self.first_seen_s = {name: self.first_seen_s.get(name, new_s) for name in pods.ready}
            usage = {"cpu": f"{self._usage_m(len(pods.ready))}m", "memory": "1Mi"}
            return [
                {
                    "metadata": {"name": name, "namespace": self.namespace},
                    "timestamp": _stamp(since_s + wall_s - self.first_seen_s[name]),
                    "window": f"{15 / SPEED:g}s",
                    "containers": [{"name": "app", "usage": usage}],
                }
                for name, since_s in pods.ready.items()
            ]  # fmt: skip

    def _decide(self, hpa: Hpa, now_s: float, desired: int, pods: Pods) -> int:
        window = np.zeros(1, SAMPLE_DTYPE)
        window["time_s"] = now_s
        window["cpu"] = self._usage_m(len(pods.ready)) / POD_MILLI
        seen = ServiceObservation(
            self.spec, desired, len(pods.ready), pods.booting, pods.leaving, window
        )
        plan = hpa.step(Observation(now_s, (seen,), OUTLOOK))
        return plan.actions[0].to_instances if plan.actions else desired

    def _usage_m(self, ready: int) -> int:
        rate = float(self.rates[int(self.load_s)])
        return round(min(rate / (PER_POD * max(ready, 1)), 1.0) * POD_MILLI)

    def _path(self, name: str) -> str:
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{name}"

    def _look(self, name: str) -> tuple[int, Pods]:
        desired = self.cluster.ask("GET", self._path(name))["spec"]["replicas"]
        listed = self.cluster.ask(
            "GET", f"/api/v1/namespaces/{self.namespace}/pods?labelSelector=app%3D{name}"
        )["items"]
        stay = [pod for pod in listed if "deletionTimestamp" not in pod["metadata"]]
        ready = {
            pod["metadata"]["name"]: dt.datetime.fromisoformat(c["lastTransitionTime"]).timestamp()
            for pod in stay
            for c in pod["status"].get("conditions", [])
            if c["type"] == "Ready" and c["status"] == "True"
        }
        return int(desired), Pods(ready, len(stay) - len(ready), len(listed) - len(stay))


def _stamp(at_s: float) -> str:
    return dt.datetime.fromtimestamp(at_s, dt.UTC).isoformat().replace("+00:00", "Z")


@pytest.fixture
def compressed(cluster: ControlPlane) -> Iterator[ControlPlane]:
    """The cluster with a controller manager that lives faster."""
    cluster.kill("controller-manager")
    cluster.start("controller-manager", *FLAGS)
    yield cluster
    cluster.kill("controller-manager")
    cluster.start("controller-manager")


def test_the_baseline_takes_the_course_of_the_live_controller(
    compressed: ControlPlane, namespace: str
) -> None:
    rates = load()
    pairs = {
        "app=plain": Pair(compressed, namespace, "plain", rates),
        "app=ruled": Pair(compressed, namespace, "ruled", rates, BEHAVIOR),
    }
    with metrics_api(compressed, lambda _, selector: pairs[selector].asked()):
        for pair in pairs.values():
            pair.set_up()

        def over() -> bool:
            return all(pair.load_s >= MINUTES * 60.0 for pair in pairs.values())

        until(over, "the end of the scenario", MINUTES * 60.0 / SPEED + 240.0)
    for pair in pairs.values():
        _compare(pair)


def _compare(pair: Pair) -> None:
    times_s, live, ours = (np.array(column) for column in zip(*pair.counts, strict=True))
    apart, held_s = np.abs(live - ours)[:-1], np.diff(times_s)
    syncs = pair.agreed + len(pair.differed) + len(pair.late)
    mean, off = (float(np.average(of, weights=held_s)) for of in (live[:-1], apart))
    equal = float(np.average(apart == 0, weights=held_s))
    figures = (
        f"{pair.name}: {times_s[-1] / 60.0:.0f} minutes of the scenario in {syncs} syncs, "
        f"{np.count_nonzero(np.diff(live))} of which changed the count ({live.min()} to "
        f"{live.max()}, {mean:.1f} in the mean); {len(pair.differed)} decided otherwise "
        f"{pair.differed}, and in late syncs {pair.late}; the double is equal {equal:.1%} of the "
        f"time, {off:.3f} apart in the mean and {apart.max()} at most"
    )
    print(figures)
    assert live.min() <= 6, figures
    # A crowd that came; of syncs that are late there are fewer while it lasts, so it climbs less.
    assert live.max() >= 12, figures
    assert len(pair.differed) <= max(0.05 * syncs, 2.0), figures
    # Within the tolerance both keep what they have: a sync's difference in a climb may last, and so
    # may that of a late one, which the courses cannot be blamed for.
    assert off <= 0.1 * mean or pair.late, figures
