"""Keeps what happened: every decision with its outcome, every count, every fault.

Appends to plain lists and preallocated arrays while the run goes on; the tables of the run record
are made of them once, at the end, by `twin.runs.writing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from engine.model import ActionResult, Observation, Plan, ServiceSpec
from engine.record.decisions import Decisions, Row
from engine.record.figures import Issued
from twin.world.fleet import Fleet

FORECAST_SHOWN_S = 900.0
COUNTS = ("desired", "ready", "booting", "draining")


class Recorder:
    """The notes of one run."""

    def __init__(
        self, specs: Sequence[ServiceSpec], start_s: float, samples: int, interval_s: int
    ) -> None:
        self.start_s = start_s
        self.interval_s = interval_s
        self._index = {spec.name: i for i, spec in enumerate(specs)}
        services = len(specs)
        self.counts = np.zeros((services, samples, len(COUNTS)), np.int32)
        self.floors = np.zeros((services, samples), np.int32)
        self.warm = np.zeros((services, samples), np.int32)
        """Held warm, ready to be launched."""
        self.warm_usd_per_hour = np.zeros((services, samples))
        self.forecast = np.full((services, samples, 3), np.nan)
        self.events: list[dict[str, Any]] = []
        self._decisions = Decisions()
        self.issued: list[Issued] = []
        self.fired: dict[str, int] = {}
        """How often each fault really did something."""
        self.steps = 0
        self.compute_s: list[float] = []
        """Wall seconds of each full cycle."""
        self._floors_now = np.zeros(services, np.int32)

    def count(self, at_s: float, fleets: Sequence[Fleet]) -> int:
        """Note the instances `at_s` seconds into the run; returns the sample's index."""
        k = round(at_s / self.interval_s) - 1
        self.counts[:, k] = [[f.desired, f.ready, f.booting, f.draining] for f in fleets]
        self.floors[:, k] = self._floors_now
        for i, fleet in enumerate(fleets):
            if fleet.warm is not None:
                self.warm[i, k] = fleet.warm.held
                self.warm_usd_per_hour[i, k] = fleet.warm.usd_per_hour()
        return k

    def step(
        self,
        at_s: float,
        observation: Observation,
        plan: Plan,
        compute_s: float,
        *,
        fleets: Sequence[Fleet],
    ) -> None:
        """Note one step, `at_s` seconds into the run; counts are those before its actions.

        Times in the record are the world's, also where the engine's clock (`observation.now_s`)
        is wrong.
        """
        now_s = self.start_s + at_s
        if plan.floors:
            for name, floor in plan.floors.items():
                self._floors_now[self._index[name]] = floor
        self.count(at_s, fleets)
        self.steps += 1
        if plan.cycle:
            self.compute_s.append(compute_s)
        for issued in plan.forecasts:
            self._forecast(
                now_s, issued.service, issued.horizon_s, issued.q10, q50=issued.q50, q90=issued.q90
            )
        self._decisions.note(now_s, observation, plan)

    def result(self, result: ActionResult) -> None:
        """Note what became of an action."""
        self._decisions.result(result)

    @property
    def decisions(self) -> list[Row]:
        """Every recommendation and action so far."""
        return self._decisions.rows

    def decision_table(self) -> pd.DataFrame:
        """The same as a table."""
        return self._decisions.table()

    def event(self, at_s: float, kind: str, name: str, what: str, *, detail: str) -> None:
        """Note a fault or another event, `at_s` seconds into the run."""
        self.events.append(
            {
                "time_s": self.start_s + at_s,
                "kind": kind,
                "name": name,
                "what": what,
                "detail": detail,
            }
        )

    def fire(self, name: str, times: int = 1) -> None:
        """Note that fault `name` did what it is there for."""
        self.fired[name] = self.fired.get(name, 0) + times

    def _forecast(
        self, now_s: float, name: str, horizon_s: float, q10: float, *, q50: float, q90: float
    ) -> None:
        service = self._index[name]
        self.issued.append(Issued(service, horizon_s, now_s + horizon_s, q10, q50, q90))
        if horizon_s == FORECAST_SHOWN_S:
            k = round((now_s + horizon_s - self.start_s) / self.interval_s) - 1
            self.forecast[service, k : k + round(60 / self.interval_s)] = (q10, q50, q90)
