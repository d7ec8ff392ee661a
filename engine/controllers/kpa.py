"""Knative's pod autoscaler as a controller, one for each service, on concurrency.

The algorithm is in `knative`.  Concurrency is what is in service plus what waits: busy slots and
queue depth, as the metrics show them.  The busy slots of a sample are a share of the pods that were
ready when it was taken.  Knative looks every 2 s; here it looks at every sample.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from pydantic import Field

from engine.config.strict import Strict, validated
from engine.controllers.asking import ask
from engine.controllers.upstream import kpa as knative
from engine.decide.ready_then import Counts, noted, ready_then
from engine.model import Action, Observation, Plan, Reason, ServiceObservation
from engine.settings import EngineSettings


class KpaOptions(Strict):
    """Spelled like the keys of Knative's `config-autoscaler`, in seconds and fractions."""

    target_utilization: float = Field(default=0.7, gt=0.0, le=1.0)
    stable_window_s: float = Field(default=60.0, ge=6.0, le=3600.0)
    panic_window_share: float = Field(default=0.1, ge=0.01, le=1.0)
    panic_threshold: float = Field(default=2.0, ge=1.1, le=10.0)
    max_scale_up_rate: float = Field(default=1000.0, gt=1.0, le=1e6)
    max_scale_down_rate: float = Field(default=2.0, gt=1.0, le=1e6)
    scale_down_delay_s: float = Field(default=0.0, ge=0.0, le=3600.0)


class Kpa:
    """One Knative autoscaler for each service."""

    def __init__(self, settings: EngineSettings, **options: Any) -> None:
        self.settings = settings
        self.options = validated(KpaOptions, options, "controller.options")
        self._memories: dict[str, knative.KpaMemory] = {}
        self._counts: dict[str, Counts] = {}

    def step(self, observation: Observation) -> Plan:
        """Look at the newest samples of all services."""
        now_s = observation.now_s
        actions = [
            action
            for service in observation.services
            if (action := self._look(service, now_s)) is not None
        ]
        return Plan(actions=tuple(actions))

    def snapshot(self) -> str:
        """All memories as JSON."""
        return json.dumps(
            {
                name: [memory.panic_s, memory.panic_pods, memory.recent, self._counts[name]]
                for name, memory in self._memories.items()
            },
            sort_keys=True,
        )

    def restore(self, snapshot: str) -> None:
        """Take over the memories; raises ValueError for any other text."""
        try:
            memories = {
                name: (knative.KpaMemory(panic_s, int(pods), _pairs(recent)), tuple(_pairs(counts)))
                for name, (panic_s, pods, recent, counts) in json.loads(snapshot).items()
            }
        except (TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"not a snapshot of this controller: {error}") from None
        self._memories = {name: memory for name, (memory, _) in memories.items()}
        self._counts = {name: counts for name, (_, counts) in memories.items()}

    def _look(self, service: ServiceObservation, now_s: float) -> Action | None:
        spec, options = service.spec, self.options
        memory = self._memories.get(spec.name)
        if memory is None:
            memory = knative.KpaMemory.at_start(service.ready, now_s)
            self._memories[spec.name] = memory
        counts = noted(
            self._counts.get(spec.name, ()), service.ready, now_s, options.stable_window_s
        )
        self._counts[spec.name] = counts
        window = service.window
        at_s = window["time_s"]
        # Without pods the activator counts: who is in none waits there.
        no_pods = np.isnan(window["cpu"]) & np.isnan(window["memory"])
        cpu = np.where(no_pods, 0.0, window["cpu"])
        ready = np.array([ready_then(counts, time_s, service.ready) for time_s in at_s.tolist()])
        concurrency = cpu * (spec.slots * ready) + window["queue_depth"]
        measured = np.isfinite(concurrency) & (at_s > now_s - options.stable_window_s)
        if not measured.any():
            return None  # Knative decides nothing without data
        newest_s = float(at_s[measured].max())
        panic_s = options.stable_window_s * options.panic_window_share
        stable = float(concurrency[measured].mean())
        panic = float(concurrency[measured & (at_s > newest_s - panic_s)].mean())
        chosen = knative.KpaSettings(
            target=spec.slots * options.target_utilization,
            max_up=options.max_scale_up_rate,
            max_down=options.max_scale_down_rate,
            panic_threshold=options.panic_threshold,
            stable_window_s=options.stable_window_s,
            scale_down_delay_s=options.scale_down_delay_s,
        )
        desired = knative.scale(service.ready, stable, panic, memory, settings=chosen, now_s=now_s)
        desired = min(max(desired, spec.min_instances), spec.max_instances)
        if desired == service.desired:
            return None
        mood = "in panic" if memory.panic_s is not None else "stable"
        return ask(
            service,
            desired,
            now_s,
            reason=Reason.QUEUE_DEPTH,
            trigger_s=newest_s,
            evidence={"stable": stable, "panic": panic, "target": chosen.target},
            explanation=f"{spec.name}: {service.desired} → {desired}; {mood}, concurrency "
            f"{math.ceil(stable)} over the stable window, {math.ceil(panic)} over the panic one, "
            f"target {chosen.target:g} a pod.",
        )


def _pairs(pairs: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """As JSON has them, with their types again."""
    return [(float(at_s), int(count)) for at_s, count in pairs]
