"""What the metrics say of the last weeks: load, times, processor time, counts, boots and calls."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np

from engine.adapters.prometheus_history import HistoryGrid, PastMetrics
from engine.config.strict import ConfigError
from engine.importing.figures import ImportedPlatform, ImportedService
from engine.importing.settings import FIGURES_OF_HISTORY, HistoryConfig, ImportConfig
from engine.model import FloatArray

DAY_S = 86_400.0
SPAN_S = 21_600.0
"""Boots are asked for in pieces of so long."""
LONGEST_BOOT_S = 86_400.0
WHOLE_DAY = 0.99
"""A day of which less than this share was measured is no day to check against."""


@dataclass(frozen=True, slots=True)
class HistoryDays:
    """The time that is read, in whole local days: those to fit, then those to check."""

    midnights_s: tuple[float, ...]
    fitted: int

    @property
    def start_s(self) -> float:
        """When it begins (epoch seconds)."""
        return self.midnights_s[0]

    @property
    def check_s(self) -> float:
        """When the days begin that are kept back."""
        return self.midnights_s[self.fitted]

    @property
    def end_s(self) -> float:
        """When it ends."""
        return self.midnights_s[-1]


@dataclass(frozen=True, slots=True, eq=False)
class ServiceHistory:
    """One service on the grid of the history; what was never measured is not among the figures.

    `days` holds the p95 and mean response of each day that is kept back, `boots` seconds.
    """

    figures: Mapping[str, FloatArray]
    boots: FloatArray
    days: Mapping[str, FloatArray]

    def of(self, name: str, grid: HistoryGrid) -> FloatArray:
        """A figure, NaN where it was not measured."""
        return self.figures.get(name, np.full(grid.steps, np.nan))


@dataclass(frozen=True, slots=True, eq=False)
class PlatformHistory:
    """All services, and the calls between them (1/s); `silent` are queries without any answer."""

    span: HistoryDays
    grid: HistoryGrid
    services: Mapping[str, ServiceHistory]
    calls: Mapping[tuple[str, str], FloatArray]
    silent: tuple[str, ...]


def span_of(config: ImportConfig, now: dt.datetime) -> HistoryDays:
    """The days that are meant."""
    zone = ZoneInfo(config.time_zone)
    end = (config.until or now).astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [end.replace(tzinfo=None) - dt.timedelta(days=k) for k in range(config.days, -1, -1)]
    midnights = tuple(day.replace(tzinfo=zone).timestamp() for day in days)
    return HistoryDays(midnights, config.days - config.check_days)


def read(
    metrics: PastMetrics,
    config: ImportConfig,
    platform: ImportedPlatform,
    span: HistoryDays,
    *,
    advance: Callable[[str], None],
) -> PlatformHistory:
    """Ask for everything; `advance` hears of each service.  Raises HistoryError, ConfigError."""
    grid = HistoryGrid(
        span.start_s, config.step_s, round((span.end_s - span.start_s) / config.step_s)
    )
    silent: list[str] = []
    services = {}
    for name, one in platform.services.items():
        advance(name)
        services[name] = _service(metrics, config.history, one, grid, span=span, silent=silent)
    if all("load" not in one.figures for one in services.values()):
        example = next(iter(platform.services.values()))
        raise ConfigError(
            "history.queries.load: has no value for any service in "
            f"{dt.datetime.fromtimestamp(span.start_s, dt.UTC):%Y-%m-%d} … "
            f"{dt.datetime.fromtimestamp(span.end_s, dt.UTC):%Y-%m-%d}; what was asked: "
            f"{_filled(config.history.queries['load'], example, config.step_s)}; give the names "
            "that your metrics have: history=NAME, or history.queries.load='…'"
        )
    calls = _calls(metrics, config.history, platform, grid, silent=silent)
    return PlatformHistory(span, grid, services, calls, tuple(dict.fromkeys(silent)))


def pods(one: ImportedService) -> str:
    """A regular expression of the names of a workload's pods."""
    name = re.escape(one.object_name).replace("\\-", "-").replace("\\", "\\\\")
    return f"{name}-[0-9]+" if one.kind == "statefulset" else f"{name}-[a-z0-9]+-[a-z0-9]{{5}}"


def _service(
    metrics: PastMetrics,
    history: HistoryConfig,
    one: ImportedService,
    grid: HistoryGrid,
    *,
    span: HistoryDays,
    silent: list[str],
) -> ServiceHistory:
    figures = {}
    for figure in FIGURES_OF_HISTORY:
        query = history.queries.get(figure)
        if query is None:
            continue
        key = f"history.queries.{figure}"
        values = _one(metrics, key, _filled(query, one, grid.step_s), grid)
        if np.isfinite(values).any():
            figures[figure] = values
        else:
            silent.append(f"{one.workload} {figure}")
    days = {}
    for figure in ("p95_s", "response_s"):
        query = history.queries.get(figure)
        if query is not None and figure in figures:
            days[figure] = np.concatenate([
                _one(metrics, f"history.queries.{figure}", _filled(query, one, until - since),
                     HistoryGrid(since, until - since, 1))
                for since, until in zip(
                    span.midnights_s[span.fitted:], span.midnights_s[span.fitted + 1:], strict=False
                )
            ])  # fmt: skip
    return ServiceHistory(figures, _boots(metrics, history, one, span), days)


def _one(metrics: PastMetrics, key: str, query: str, grid: HistoryGrid) -> FloatArray:
    """The one series of a query; raises ConfigError where there are several."""
    series = metrics.over(key, query, grid)
    if len(series) > 1:
        labels = ", ".join(sorted({label for one in series for label in one.labels}))
        raise ConfigError(
            f"{key}: gives {len(series)} series of one service, told apart by {labels}; one is "
            "needed: put sum(…) or max(…) around it"
        )
    return series[0].values if series else np.full(grid.steps, np.nan)


def _boots(
    metrics: PastMetrics, history: HistoryConfig, one: ImportedService, span: HistoryDays
) -> FloatArray:
    """From creation to ready, of each pod that was made in the time (as far as can be told)."""
    if history.boots is None:
        return np.zeros(0)
    first: set[str] = set()
    seconds: dict[str, float] = {}
    pieces = int(np.ceil((span.end_s - span.start_s) / SPAN_S))
    for piece in range(pieces):
        at_s = min(span.start_s + (piece + 1) * SPAN_S, span.end_s)
        query = _filled(history.boots, one, SPAN_S).replace("{span}", f"{SPAN_S:.0f}s")
        for labels, value in metrics.at("history.boots", query, at_s):
            pod = str(sorted(labels.items()))
            if piece == 0:
                first.add(pod)  # it may have been there for long, and have been unready meanwhile
            if 0.0 < value < LONGEST_BOOT_S:
                seconds[pod] = min(value, seconds.get(pod, value))
    fresh = [value for pod, value in seconds.items() if pod not in first]
    return np.sort(np.array(fresh, dtype=np.float64))


def _calls(
    metrics: PastMetrics,
    history: HistoryConfig,
    platform: ImportedPlatform,
    grid: HistoryGrid,
    *,
    silent: list[str],
) -> dict[tuple[str, str], FloatArray]:
    if history.calls is None:
        return {}
    by_workload = {one.object_name: name for name, one in platform.services.items()}
    example = next(iter(platform.services.values()))
    calls: dict[tuple[str, str], FloatArray] = {}
    for series in metrics.over("history.calls", _filled(history.calls, example, grid.step_s), grid):
        source = by_workload.get(series.labels.get(history.source, ""))
        callee = by_workload.get(series.labels.get(history.destination, ""))
        if source is not None and callee is not None and source != callee:
            calls[source, callee] = series.values
    if not calls:
        silent.append("history.calls")
    return calls


def _filled(query: str, one: ImportedService, step_s: float) -> str:
    values = {
        "{namespace}": one.namespace, "{workload}": one.object_name, "{kind}": one.kind,
        "{pods}": pods(one), "{step}": f"{step_s:.0f}s",
    }  # fmt: skip
    for name, value in values.items():
        query = query.replace(name, value)
    return query
