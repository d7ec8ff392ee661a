"""Nezha's microservices: which service a fault was injected into, by its metrics alone.

Yu et al., "Nezha: Interpretable Fine-Grained Root Causes Analysis for Microservices on Multi-modal
Observability Data", ESEC/FSE 2023.  A fault shows within five minutes of its injection, if a
finding of its own service begins then; findings of a service at other times are false.  It comes
*first* if of all services its own has the most unusual figure in these minutes.  A fault is not
judged before its service has as many values as the detector needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from engine.config.strict import ConfigError
from engine.model import FloatArray
from engine.monitoring.series.departures import LEAST
from twin.benchmark.courses import BenchmarkSeries, files_in, numbers, seconds, table

EXPECTED = (
    "metrics.csv[.gz] (timestamp, service, cpu_millicores, …) and faults.csv (inject_utc, "
    "service, fault), each day in a folder"
)
DETECTORS = ("departures", "rolling z")
FIGURES = ("cpu_millicores", "server_p95_s")
KINDS = ("cpu_contention", "cpu_consumed", "network_delay", "exception", "return")
SHOWS_S = 300.0
"""Within so long after its injection a fault shows."""
WEARS_OFF_S = 240.0
"""So long after that what it led to is no false alarm, and no alarm is told twice."""
FALSE = 0.25
"""False alarms an hour and service that a threshold is chosen for: a quarter of what is borne."""
OF_FAULTS = ("judged", "noticed", "first")
COUNTS = (*(f"{kind} {count}" for kind in KINDS for count in OF_FAULTS), "hours", "false")


class InjectedFault(NamedTuple):
    """What was done to which service, and when."""

    at_s: float
    service: str
    kind: str


class NezhaCase(NamedTuple):
    """An application's day: courses by service and figure, and what was injected."""

    name: str
    services: tuple[str, ...]
    figures: tuple[str, ...]
    courses: tuple[BenchmarkSeries, ...]
    """Of each service, in the order of `figures`."""
    faults: tuple[InjectedFault, ...]


def read(folder: Path) -> list[NezhaCase]:
    """All days of `folder`; raises ConfigError saying what is expected."""
    cases = []
    for file in files_in(folder, EXPECTED):
        if file.name.removesuffix(".gz") != "metrics.csv":
            continue
        faults = next((f for f in files_in(file.parent, EXPECTED)
                       if f.name.removesuffix(".gz") == "faults.csv"), None)  # fmt: skip
        if faults is None:
            raise ConfigError(f"data: {file.parent}: faults.csv is missing; expected is {EXPECTED}")
        cases.append(_case(file, faults))
    if not cases:
        raise ConfigError(f"data: {folder}: has no metrics.csv; expected is {EXPECTED}")
    return cases


def _case(metrics: Path, injected: Path) -> NezhaCase:
    frame = table(metrics, ("timestamp", "service", FIGURES[0]))
    figures = tuple(name for name in FIGURES if name in frame.columns)
    frame = frame.assign(at_s=seconds(frame, "timestamp", metrics))
    courses, services = [], []
    for service, own in frame.groupby("service", sort=True):
        own = own.drop_duplicates("at_s").sort_values("at_s")
        services.append(str(service))
        at_s = own["at_s"].to_numpy(np.float64)
        courses += [
            BenchmarkSeries(
                f"{metrics.parent.name}/{service}/{name}", at_s, numbers(own, name, metrics)
            )
            for name in figures
        ]
    table_of_faults = table(injected, ("inject_utc", "service", "fault"))
    at_s = seconds(table_of_faults, "inject_utc", injected)
    faults = []
    for time_s, service, kind in zip(
        at_s.tolist(), table_of_faults["service"], table_of_faults["fault"], strict=True
    ):
        if kind not in KINDS:
            raise ConfigError(
                f'data: {injected}: fault: "{kind}" is not allowed ({", ".join(KINDS)})'
            )
        if service not in services:
            raise ConfigError(f"data: {injected}: service: {metrics} has none called {service}")
        faults.append(InjectedFault(time_s, str(service), str(kind)))
    return NezhaCase(metrics.parent.name, tuple(services), figures, tuple(courses), tuple(faults))


def name_of(case: NezhaCase) -> str:
    """The file or folder that it is of."""
    return case.name


def courses_of(case: NezhaCase) -> Sequence[BenchmarkSeries]:
    """A series for each service and figure."""
    return case.courses


def prepared(detector: str, scored: FloatArray) -> FloatArray:
    """As they are."""
    del detector
    return scored


def counts(case: NezhaCase, scores: Sequence[FloatArray], thresholds: FloatArray) -> FloatArray:
    """(thresholds, counts) of this day, in the order of `COUNTS`."""
    width = len(case.figures)
    worst = {
        service: np.max(np.stack(scores[width * k : width * (k + 1)]), axis=0)
        for k, service in enumerate(case.services)
    }
    time_s = {service: case.courses[width * k].time_s for k, service in enumerate(case.services)}
    whole = np.zeros((len(thresholds), len(COUNTS)))
    for fault in case.faults:
        if (time_s[fault.service] < fault.at_s).sum() <= LEAST:
            continue
        shown = {
            service: float(worst[service][_within(time_s[service], fault)].max(initial=0.0))
            for service in case.services
        }
        own = shown[fault.service]
        at = len(OF_FAULTS) * KINDS.index(fault.kind)
        whole[:, at] += 1.0
        whole[:, at + 1] += own >= thresholds
        whole[:, at + 2] += own > 0.0 and own == max(shown.values())
    for service in case.services:
        due = np.zeros(len(time_s[service]), dtype=np.bool_)
        for fault in case.faults:
            if fault.service == service:
                due |= _within(time_s[service], fault, WEARS_OFF_S)
        whole[:, -2] += (time_s[service][-1] - time_s[service][0]) / 3600.0
        for k, threshold in enumerate(thresholds.tolist()):
            last_s = -np.inf
            for i in np.flatnonzero(worst[service] >= threshold).tolist():
                begins = time_s[service][i] - last_s > WEARS_OFF_S
                last_s = time_s[service][i]
                whole[k, -1] += begins and not due[i]
    return whole


def _within(time_s: FloatArray, fault: InjectedFault, longer_s: float = 0.0) -> np.ndarray:
    return (time_s >= fault.at_s) & (time_s <= fault.at_s + SHOWS_S + longer_s)


def figures(whole: FloatArray) -> dict[str, float]:
    """What follows from the counts of several days, summed."""
    own = dict(zip(COUNTS, whole.tolist(), strict=True))
    return {
        "recall of cpu contention": own["cpu_contention noticed"]
        / max(own["cpu_contention judged"], 1.0),
        "false a service hour": own["false"] / own["hours"] if own["hours"] else 0.0,
        **{name: own[name] for name in COUNTS[:-2]},
    }


def worth(figures: dict[str, float]) -> float:
    """What a threshold is chosen by: most contentions, then the lowest with few false alarms."""
    beside = figures["false a service hour"] - FALSE
    return -beside if beside > 0.0 else figures["recall of cpu contention"] + 0.1 * beside
