"""HPA with a Holt-Winters forecast of its own counts: the larger of the two.

As in the Predictive Horizontal Pod Autoscaler (jthomperoo/predictive-horizontal-pod-autoscaler):
the series is what HPA computed, one point every `every_syncs` syncs, forecast by one point with
fixed smoothing parameters.  That project's caution holds here too: the horizon is one point, and no
lead time is known to it.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from pydantic import Field

from engine.controllers.hpa import Hpa, HpaOptions
from engine.controllers.upstream import hpa as k8s
from engine.model import ServiceObservation
from engine.settings import EngineSettings


class PredictiveOptions(HpaOptions):
    """Those of HPA, and those of the model; one point is `every_syncs` times `sync_s` long."""

    every_syncs: int = Field(default=20, ge=1, le=10_000)
    alpha: float = Field(default=0.9, gt=0.0, le=1.0)
    beta: float = Field(default=0.1, gt=0.0, le=1.0)
    gamma: float = Field(default=0.1, gt=0.0, le=1.0)
    seasonal_periods: int = Field(default=6, ge=2, le=1000)
    stored_seasons: int = Field(default=4, ge=2, le=1000)


class PredictiveHpa(Hpa):
    """A HorizontalPodAutoscaler that also proposes what it will want in one point's time."""

    options_kind = PredictiveOptions
    options: PredictiveOptions

    def __init__(self, settings: EngineSettings, **options: Any) -> None:
        super().__init__(settings, **options)
        self._series: dict[str, list[int]] = {}
        self._forecast: dict[str, int] = {}
        self._syncs: dict[str, int] = {}

    @property
    def fewest_points(self) -> int:
        """So many points does the model need to start from."""
        seasonal = self.options.seasonal_periods
        return max(2 * seasonal, 10 + 2 * (seasonal // 2))

    def _more_proposals(
        self,
        service: ServiceObservation,
        cpu: k8s.Proposal | k8s.MetricError,
        now_s: float,  # noqa: ARG002
    ) -> list[k8s.Proposal]:
        name = service.spec.name
        syncs = self._syncs.get(name, 0)
        self._syncs[name] = syncs + 1
        if isinstance(cpu, k8s.Proposal) and syncs % self.options.every_syncs == 0:
            series = self._series.setdefault(name, [])
            series.append(cpu.replicas)
            most = self.options.stored_seasons * self.options.seasonal_periods
            del series[: -max(most, self.fewest_points)]
            if len(series) >= self.fewest_points:
                self._forecast[name] = self._ahead(series)
        wanted = self._forecast.get(name)
        return [] if wanted is None else [k8s.Proposal(wanted, 0)]

    def _ahead(self, series: list[int]) -> int:
        """One point ahead, rounded up, never below 0."""
        from statsmodels.tsa.holtwinters import ExponentialSmoothing

        options = self.options
        # a perfect fit has a likelihood beyond all bounds, which is of no interest here
        with warnings.catch_warnings(), np.errstate(divide="ignore"):
            warnings.simplefilter("ignore")  # it warns of what was not optimised: nothing was
            model = ExponentialSmoothing(
                np.asarray(series, dtype=np.float64), trend="add", seasonal="add",
                seasonal_periods=options.seasonal_periods, initialization_method="heuristic",
            )  # fmt: skip
            fitted = model.fit(
                smoothing_level=options.alpha, smoothing_trend=options.beta,
                smoothing_seasonal=options.gamma, optimized=False,
            )  # fmt: skip
            ahead = float(fitted.forecast(1)[0])
        return max(math.ceil(ahead), 0) if math.isfinite(ahead) else 0

    def _more_memory(self) -> dict[str, Any]:
        return {"series": self._series, "forecast": self._forecast, "syncs": self._syncs}

    def _restore_more(self, memory: dict[str, Any]) -> None:
        self._series = {name: [int(n) for n in kept] for name, kept in memory["series"].items()}
        self._forecast = {name: int(n) for name, n in memory["forecast"].items()}
        self._syncs = {name: int(n) for name, n in memory["syncs"].items()}
