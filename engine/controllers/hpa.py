"""Kubernetes' HorizontalPodAutoscaler as a controller, one for each service, on CPU utilisation.

The algorithm is in `kubernetes`; here the observation is turned into what the controller manager
would see.  Ready instances are pods with a sample, those that boot are pending, those that drain
are being deleted.  A sample is the mean of the newest `window_s` of CPU samples, as the metrics
server has it.  When instances became ready is remembered, because the algorithm leaves out the
first samples of young pods.
"""

from __future__ import annotations

import json
import math
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from engine.config.strict import Strict, validated
from engine.controllers import times
from engine.controllers.asking import ask
from engine.controllers.upstream import hpa as k8s
from engine.model import Action, Observation, Plan, Reason, ServiceObservation
from engine.settings import EngineSettings

STALE_S = 300.0
"""How far a metrics API looks back for the newest sample (Prometheus' default); the autoscaler
itself takes what it is given."""


class PolicyOptions(Strict):
    """One entry of `policies`, spelled as in Kubernetes."""

    type: Literal["Pods", "Percent"]
    value: int = Field(gt=0)
    periodSeconds: int = Field(gt=0, le=1800)


class RulesOptions(Strict):
    """`scaleUp` or `scaleDown`, spelled as in Kubernetes."""

    stabilizationWindowSeconds: int | None = Field(default=None, ge=0, le=3600)
    selectPolicy: Literal["Max", "Min", "Disabled"] = "Max"
    policies: list[PolicyOptions] | None = Field(default=None, min_length=1)
    tolerance: float | None = Field(default=None, ge=0.0, lt=1.0)

    def rules(self, default: k8s.Rules) -> k8s.Rules:
        """With the defaults of Kubernetes where nothing is given."""
        window_s = self.stabilizationWindowSeconds
        policies = default.policies
        if self.policies is not None:
            policies = tuple(
                k8s.Rate(policy.type == "Percent", policy.value, policy.periodSeconds)
                for policy in self.policies
            )
        return k8s.Rules(
            default.stabilization_s if window_s is None else window_s,
            policies,
            k8s.Policy(self.selectPolicy),
        )


class BehaviorOptions(Strict):
    """`spec.behavior`."""

    scaleUp: RulesOptions = RulesOptions()
    scaleDown: RulesOptions = RulesOptions()


class HpaOptions(Strict):
    """What `controller.options` may hold.

    `target_cpu` in per cent; `sync_s` and `window_s` in seconds, `tolerance` as a fraction.
    """

    target_cpu: int = Field(default=60, ge=1, le=100)
    behavior: BehaviorOptions | None = None
    sync_s: float = Field(default=15.0, gt=0.0, le=600.0)
    window_s: float = Field(default=15.0, gt=0.0, le=600.0)
    tolerance: float = Field(default=0.1, ge=0.0, lt=1.0)


class _Service:
    """What is remembered of one service: the autoscaler's memory, and when pods became ready."""

    def __init__(self) -> None:
        self.memory = k8s.HpaMemory()
        self.cohorts: list[tuple[float, int]] = []

    def see(self, ready: int, now_s: float, keep_s: float) -> None:
        """Note pods that became ready; those that are gone were the youngest, as in Kubernetes."""
        counted = sum(count for _, count in self.cohorts)
        if ready > counted:
            # whoever was ready at the first look has been so for long
            since_s = now_s if self.cohorts or counted else -math.inf
            self.cohorts.append((since_s, ready - counted))
        while counted > ready:
            since_s, count = self.cohorts.pop()
            counted -= count
            if counted < ready:
                self.cohorts.append((since_s, ready - counted))
                counted = ready
        young = [cohort for cohort in self.cohorts if cohort[0] > now_s - keep_s]
        old = ready - sum(count for _, count in young)
        self.cohorts = ([(-math.inf, old)] if old else []) + young


class Hpa:
    """One HorizontalPodAutoscaler for each service."""

    options_kind: ClassVar[type[HpaOptions]] = HpaOptions

    def __init__(self, settings: EngineSettings, **options: Any) -> None:
        self.settings = settings
        self.options = validated(self.options_kind, options, "controller.options")
        given = self.options.behavior
        self.behavior = None
        if given is not None:
            self.behavior = k8s.Behavior(
                given.scaleUp.rules(k8s.DEFAULT_UP), given.scaleDown.rules(k8s.DEFAULT_DOWN)
            )
        own = BehaviorOptions() if given is None else given
        down, up = (
            self.options.tolerance if rules.tolerance is None else rules.tolerance
            for rules in (own.scaleDown, own.scaleUp)
        )
        tolerance = k8s.Tolerance(down, up)
        self.flags = k8s.ManagerFlags(tolerance=tolerance)
        self._services: dict[str, _Service] = {}
        self._next_sync_s = -math.inf

    def step(self, observation: Observation) -> Plan:
        """Sync all autoscalers when it is time; nothing happens between two syncs."""
        now_s = observation.now_s
        if now_s < self._next_sync_s:
            return Plan(cycle=False)
        self._next_sync_s = now_s + self.options.sync_s
        actions = [
            action
            for service in observation.services
            if (action := self._sync(service, observation)) is not None
        ]
        return Plan(actions=tuple(actions))

    def snapshot(self) -> str:
        """All memories as JSON; Kubernetes itself forgets them with its controller manager."""
        services = {
            name: {
                "log": state.memory.log,
                "ups": [[e.change, e.at_s, e.outdated] for e in state.memory.ups],
                "downs": [[e.change, e.at_s, e.outdated] for e in state.memory.downs],
                "cohorts": [[times.to_json(at_s), count] for at_s, count in state.cohorts],
            }
            for name, state in self._services.items()
        }
        memory = {"next_sync_s": times.to_json(self._next_sync_s), "services": services}
        return json.dumps(memory | self._more_memory(), sort_keys=True)

    def restore(self, snapshot: str) -> None:
        """Take over the memories; raises ValueError for any other text."""
        try:
            memory = json.loads(snapshot)
            services = {}
            for name, kept in memory["services"].items():
                state = services[name] = _Service()
                log = kept["log"]
                state.memory.log = None if log is None else [(int(n), float(at)) for n, at in log]
                state.memory.ups = [k8s.ScaleEvent(*event) for event in kept["ups"]]
                state.memory.downs = [k8s.ScaleEvent(*event) for event in kept["downs"]]
                state.cohorts = [
                    (times.from_json(at_s), int(count)) for at_s, count in kept["cohorts"]
                ]
            self._next_sync_s = times.from_json(memory["next_sync_s"])
            self._services = services
            self._restore_more(memory)
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise ValueError(f"not a snapshot of this controller: {error}") from None

    # What other autoscalers put on top.

    def _lowest(
        self,
        service: ServiceObservation,
        observation: Observation,  # noqa: ARG002
    ) -> int:
        """`minReplicas` now: at least 1, as no CPU can wake what has none."""
        return max(service.spec.min_instances, 1)

    def _more_proposals(
        self,
        service: ServiceObservation,  # noqa: ARG002
        cpu: k8s.Proposal | k8s.MetricError,  # noqa: ARG002
        now_s: float,  # noqa: ARG002
    ) -> list[k8s.Proposal]:
        """Counts wanted by something else than CPU."""
        return []

    def _more_memory(self) -> dict[str, Any]:
        """What is to be in the snapshot besides."""
        return {}

    def _restore_more(self, memory: dict[str, Any]) -> None:
        """The other way round."""

    def _sync(self, service: ServiceObservation, observation: Observation) -> Action | None:
        now_s, spec = observation.now_s, service.spec
        state = self._services.setdefault(spec.name, _Service())
        state.see(service.ready, now_s, self.flags.cpu_initialization_s)
        sample = self._sample(service, now_s)
        cpu = self._propose(service, state, sample, now_s)
        proposals = [cpu, *self._more_proposals(service, cpu, now_s)]
        target = k8s.ScaleTarget(
            service.desired,
            self._lowest(service, observation),
            spec.max_instances,
            self.behavior,
        )
        verdict = k8s.reconcile(target, proposals, state.memory, self.flags, now_s=now_s)
        if verdict.replicas == service.desired:
            return None
        evidence = {"target_cpu": float(self.options.target_cpu)}
        seen = "no CPU sample"
        if isinstance(cpu, k8s.Proposal) and cpu.utilization is not None:
            evidence["cpu"] = float(cpu.utilization)
            seen = f"CPU at {cpu.utilization} % of the requests"
        limited = verdict.reasons.get("ScalingLimited", "DesiredWithinRange")
        return ask(
            service,
            verdict.replicas,
            now_s,
            reason=Reason.CPU,
            trigger_s=now_s if sample is None else sample.at_s,
            evidence=evidence,
            explanation=f"{spec.name}: {service.desired} → {verdict.replicas}; {seen}, target "
            f"{self.options.target_cpu} %; {limited}.",
        )

    def _propose(
        self, service: ServiceObservation, state: _Service, sample: k8s.Sample | None, now_s: float
    ) -> k8s.Proposal | k8s.MetricError:
        pods = [
            k8s.Pod(f"ready-{i}", start_s=since_s, transition_s=since_s, count=count)
            for i, (since_s, count) in enumerate(state.cohorts)
        ]
        samples = {} if sample is None else {pod.name: sample for pod in pods}
        if service.booting:
            pods.append(k8s.Pod("booting", phase=k8s.PodPhase.PENDING, count=service.booting))
        if service.draining:
            pods.append(k8s.Pod("draining", deleted=True, count=service.draining))
        try:
            return k8s.from_pods(
                pods, samples, service.desired, self.options.target_cpu,
                settings=self.flags, now_s=now_s, utilization=True,
            )  # fmt: skip
        except k8s.MetricError as error:
            return error

    def _sample(self, service: ServiceObservation, now_s: float) -> k8s.Sample | None:
        """The newest CPU usage of a pod, in milli-units of its request."""
        window = service.window
        fresh = window[window["time_s"] > now_s - STALE_S - self.options.window_s]
        fresh = fresh[np.isfinite(fresh["cpu"]) & np.isfinite(fresh["time_s"])]
        if not len(fresh):
            return None
        newest_s = float(fresh["time_s"].max())
        if newest_s < now_s - STALE_S:
            return None
        used = fresh["cpu"][fresh["time_s"] > newest_s - self.options.window_s]
        usage_m = max(int(float(used.mean()) * 1000.0 + 0.5), 0)
        return k8s.Sample((usage_m,), newest_s, self.options.window_s)
