"""The figures of a platform as its history says them, in the place of what was assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from engine.config.strict import ConfigError
from engine.importing import fitting
from engine.importing.figures import (
    BY_HAND,
    SAID,
    ImportedPlatform,
    ImportedService,
    SourcedFigure,
)
from engine.importing.fitting import FitError, FittedWork, MeasuredWork
from engine.importing.history import PlatformHistory
from engine.model import FloatArray

INTERNAL = 0.02
"""A service of which less comes from outside is one that users do not enter at."""
LEAST_CALLS = 1e-3
FEWEST_BOOTS = 8


@dataclass(frozen=True, slots=True)
class MeasuredCalls:
    """Calls that each request makes, by caller and callee; `waits`: the caller waits for them."""

    per_request: Mapping[tuple[str, str], float]
    waits: Mapping[tuple[str, str], bool]

    def of(self, caller: str) -> dict[str, float]:
        """Its callees, with how many calls a request makes to each."""
        return {b: count for (a, b), count in self.per_request.items() if a == caller}


def fitted(
    platform: ImportedPlatform, history: PlatformHistory
) -> tuple[ImportedPlatform, dict[str, str]]:
    """The platform with what could be measured, and why of each other service not."""
    part = slice(0, round((history.span.check_s - history.span.start_s) / history.grid.step_s))
    graph = call_graph(platform, history, part)
    why: dict[str, str] = {}
    works: dict[str, FittedWork] = {}
    services = dict(platform.services)
    for name in _callees_first(list(services), graph):
        one = services[name]
        figures = {**_boots(history.services[name].boots), **_calls(name, graph)}
        figures |= _entered(name, history, part) if history.calls else {}
        try:
            work = fitting.fit(_work(name, history, graph, services, part=part), one.cores)
        except FitError as error:
            why[name] = str(error)
            services[name] = _changed(one, figures)
            continue
        works[name] = work
        services[name] = _changed(
            replace(one, cores=work.cores, autoscaler=_rescaled(one, work.cores)),
            {**figures, **_figures(one, work, history, name, part=part)},
        )
    if not history.calls:
        note = (
            "No metric says who calls whom (history.calls), so calls are missing: what services "
            "ask of each other counts as load from outside."
        )
        platform = replace(platform, notes=(note,))
    return replace(platform, services=services), why


def call_graph(platform: ImportedPlatform, history: PlatformHistory, part: slice) -> MeasuredCalls:
    """Who calls whom how often; nobody waits for a call that takes longer than its response."""
    counts: dict[tuple[str, str], float] = {}
    waits: dict[tuple[str, str], bool] = {}
    for (caller, callee), rates in history.calls.items():
        load = history.services[caller].of("load", history.grid)
        count = fitting.per_request(rates[part], load[part])
        if count is None or count < LEAST_CALLS:
            continue
        counts[caller, callee] = count
        times = [
            history.services[name].of("response_s", history.grid)[part] for name in (caller, callee)
        ]
        both = np.isfinite(times[0]) & np.isfinite(times[1])
        longer = both.any() and count * np.median(times[1][both]) >= np.median(times[0][both])
        waits[caller, callee] = not longer
    names = list(platform.services)
    graph = MeasuredCalls(counts, waits)
    _callees_first(names, graph)
    return graph


def outside(history: PlatformHistory, name: str) -> FloatArray:
    """What comes to a service from none of the others."""
    calls = {a: rates for (a, b), rates in history.calls.items() if b == name}
    return fitting.outside(history.services[name].of("load", history.grid), calls)


def entered(history: PlatformHistory, name: str, part: slice | None = None) -> float:
    """The share of its requests that come from outside."""
    where = part or slice(None)
    load = history.services[name].of("load", history.grid)[where]
    from_outside = outside(history, name)[where]
    both = np.isfinite(load) & np.isfinite(from_outside)
    total = float(load[both].sum())
    return float(from_outside[both].sum()) / total if total > 0.0 else 0.0


def _callees_first(names: list[str], graph: MeasuredCalls) -> list[str]:
    """So that what a caller waits for is there before it; raises ConfigError for a circle."""
    done: list[str] = []
    under: list[str] = []

    def visit(name: str) -> None:
        if name in done:
            return
        if name in under:
            circle = " → ".join([*under[under.index(name) :], name])
            raise ConfigError(
                f"history.calls: services call each other in a circle ({circle}), which a platform "
                "file cannot say; leave one of them out (~history.calls, or workloads)"
            )  # fmt: skip
        under.append(name)
        for callee in graph.of(name):
            visit(callee)
        under.pop()
        done.append(name)

    for name in names:
        visit(name)
    return done


def _work(
    name: str,
    history: PlatformHistory,
    graph: MeasuredCalls,
    services: Mapping[str, ImportedService],
    *,
    part: slice,
) -> MeasuredWork:
    own, grid = history.services[name], history.grid
    calls_s = np.zeros(grid.steps)
    variance = 0.0
    for callee, count in graph.of(name).items():
        if graph.waits[name, callee]:
            response = history.services[callee].of("response_s", grid)
            calls_s = calls_s + count * response
            mean = float(np.nanmedian(response)) if np.isfinite(response).any() else 0.0
            more = count - int(count)
            scv = services[callee].number("service_scv")
            variance += count * scv * mean**2 + more * (1.0 - more) * mean**2
    return MeasuredWork(
        load=own.of("load", grid)[part],
        ready=own.of("ready", grid)[part],
        response_s=own.of("response_s", grid)[part],
        p95_s=own.of("p95_s", grid)[part],
        cores=own.of("cores", grid)[part],
        calls_s=calls_s[part],
        calls_variance=variance,
    )


def _figures(
    one: ImportedService, work: FittedWork, history: PlatformHistory, name: str, *, part: slice
) -> dict[str, SourcedFigure]:
    days = round((history.span.check_s - history.span.start_s) / 86_400.0)
    base = f"fitted to {work.steps:,} steps of {history.grid.step_s:g} s in {days} days"
    figures = {
        "slots": SourcedFigure(
            work.slots, f"{base}; all of them busy take {work.cores:.3g} cores"
        ),
        "service_s": SourcedFigure(
            float(f"{work.service_s:.4g}"),
            f"{base}; median error of a step's response {work.error:.1%}; {work.core_s:.3g} s of "
            "it processor time",
        ),
        "service_scv": SourcedFigure(
            float(f"{work.service_scv:.3g}"),
            "p95 against mean in the quietest quarter of the steps",
        ) if work.scv_measured
        else SourcedFigure(1.0, "no p95 was measured (plausible: 0.5 … 4)", assumed=True),
    }  # fmt: skip
    p95 = history.services[name].of("p95_s", history.grid)[part]
    if one.figures["slo_p95_s"].assumed and np.isfinite(p95).any():
        usual = float(np.nanquantile(p95, 0.5))
        figures["slo_p95_s"] = SourcedFigure(
            float(f"{2.0 * usual:.2g}"),
            f"twice the usual p95 of {usual:.3g} s; {one.figures['slo_p95_s'].source}",
            assumed=True,
        )
    return figures


def _boots(seconds: FloatArray) -> dict[str, SourcedFigure]:
    if len(seconds) < FEWEST_BOOTS:
        return {}
    median, tail = fitting.boots(seconds)
    source = f"from creation to ready, {len(seconds)} pods of the history"
    return {
        "boot.median_s": SourcedFigure(median, source),
        "boot.p95_s": SourcedFigure(tail, source),
    }


def _calls(name: str, graph: MeasuredCalls) -> dict[str, SourcedFigure]:
    figures = {}
    for callee, count in graph.of(name).items():
        figures[f"calls.{callee}.per_request"] = SourcedFigure(
            float(f"{count:.4g}"), "calls counted against requests, in the days of the fit"
        )
        if not graph.waits[name, callee]:
            figures[f"calls.{callee}.asynchronous"] = SourcedFigure(
                True, "they take longer than the responses of who calls", assumed=True
            )
    return figures


def _entered(name: str, history: PlatformHistory, part: slice) -> dict[str, SourcedFigure]:
    share = entered(history, name, part)
    return {
        "user_facing": SourcedFigure(
            share >= INTERNAL, f"{share:.0%} of its requests come from none of these services"
        )
    }


def _changed(one: ImportedService, figures: Mapping[str, SourcedFigure]) -> ImportedService:
    """With the figures, but what somebody has said themselves stays."""
    kept = {
        key: figure
        for key, figure in figures.items()
        if key not in one.figures or one.figures[key].source not in (BY_HAND, SAID)
    }
    return one.with_figures(kept)


def _rescaled(one: ImportedService, cores: float) -> dict[str, object] | None:
    """The autoscaler's target as a share of what all slots take."""
    if one.autoscaler is None or one.aim_cores is None:
        return None if one.autoscaler is None else dict(one.autoscaler)
    target = min(max(round(100.0 * one.aim_cores / cores), 1), 100)
    return {**one.autoscaler, "target_cpu": target}
