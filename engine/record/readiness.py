"""Whether the capacity for major events stood ready when they began, and how much too much of it.

Worked out after a run, in hindsight, from what any record has: how many instances were ready and
needed, and the floors in force.  So twin and live runs, and all controllers, are judged alike.

Events that begin in the same half hour are one group, at the time T of the first of them.  Its
*need* is the largest of the minute means of the instances needed in the five minutes from T, and
*ready* are those that stand at T.  A lead time before T the engine has promised its floor for it
(what the ordinary load needs by then, plus the major events' load); it is compared with what was
ready then.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.decide.callgraph import critical_services
from engine.model import FloatArray, ServiceSpec
from engine.record.schema.summary import PrescaledService, Prescaling
from engine.record.schema.tables import PRESCALING

GROUP_S = 1800.0
NEED_MINUTES = 5
MINUTE_S = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class InstancesOverTime:
    """Instances of each service over time: (services, samples), samples `step_s` apart.

    Sample k shows the moment `start_s` + (k + 1) * `step_s`, its `needed` the interval before it.
    """

    start_s: float
    step_s: float
    ready: NDArray[np.int32]
    needed: FloatArray
    floors: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Readiness:
    """One service when one group of `events` major events began, at `at_s` (epoch seconds).

    `lead_ready` and `lead_floor` are instances a lead time before; NaN where that was before the
    run, and the floor also where the controller had promised none.  `waited_for` says whether users
    wait for the service.
    """

    at_s: float
    events: int
    service: str
    waited_for: bool
    need: float
    ready: int
    lead_ready: float
    lead_floor: float
    price_per_hour: float

    @property
    def kept(self) -> bool:
        """Whether what was needed stood ready at the start."""
        return self.ready >= self.need

    @property
    def kept_lead(self) -> bool | None:
        """Whether the promised floor stood ready a lead time before; None without a promise."""
        return None if math.isnan(self.lead_floor) else self.lead_ready >= self.lead_floor


def readiness(
    specs: Sequence[ServiceSpec], counts: InstancesOverTime, starts_s: FloatArray, lead_s: float
) -> list[Readiness]:
    """One row for each group of `starts_s` (epoch seconds) in the run, and service."""
    samples = counts.ready.shape[1]
    critical = critical_services(specs)
    rows: list[Readiness] = []
    for at_s, events in _groups(starts_s):
        k = _sample(counts, at_s)
        span = _minutes(counts, at_s)
        if not 0 <= k < samples or not span:
            continue
        before = _sample(counts, at_s - lead_s)
        for i, spec in enumerate(specs):
            need = max(float(counts.needed[i, a:b].mean()) for a, b in span)
            floor = int(counts.floors[i, before]) if before >= 0 else 0
            rows.append(
                Readiness(
                    at_s=at_s,
                    events=events,
                    service=spec.name,
                    waited_for=spec.name in critical,
                    need=max(need, float(spec.min_instances)),
                    ready=int(counts.ready[i, k]),
                    lead_ready=float(counts.ready[i, before]) if before >= 0 else math.nan,
                    lead_floor=float(floor) if floor > 0 else math.nan,
                    price_per_hour=spec.price_per_hour,
                )
            )
    return rows


def figures(rows: Sequence[Readiness], lead_s: float) -> Prescaling:
    """The summary's figures; None where there was nothing to judge.

    `ready_share` and `lead_ready_share` are shares of the events for which *every* service that
    users wait for was ready; `worst_ready_ratio` is the smallest ready / need of these services;
    `excess_share` is what the instances ready at the start cost above those needed, as a mean over
    the events.
    """
    groups: dict[float, list[Readiness]] = {}
    for row in rows:
        groups.setdefault(row.at_s, []).append(row)
    waited = [[row for row in group if row.waited_for] for group in groups.values()]
    by_service: dict[str, list[Readiness]] = {}
    for row in rows:
        by_service.setdefault(row.service, []).append(row)
    return Prescaling(
        lead_s=lead_s,
        events=sum(group[0].events for group in groups.values()),
        groups=len(groups),
        ready_share=_share([(g[0].events, all(r.kept for r in g)) for g in waited if g]),
        lead_ready_share=_share(
            [
                (g[0].events, all(r.kept_lead is not False for r in g))
                for g in waited
                if any(r.kept_lead is not None for r in g)
            ]
        ),
        worst_ready_ratio=min((r.ready / r.need for g in waited for r in g), default=None),
        excess_share=_excess(list(groups.values())),
        services={
            name: PrescaledService(
                ready_share=_share([(row.events, row.kept) for row in own]),
                lead_ready_share=_share(
                    [(row.events, row.kept_lead) for row in own if row.kept_lead is not None]
                ),
                worst_ready_ratio=min(row.ready / row.need for row in own),
                excess_share=_excess([[row] for row in own]),
            )
            for name, own in by_service.items()
        },
    )


def table(rows: Sequence[Readiness]) -> pd.DataFrame:
    """The rows of `prescaling.parquet`."""
    return PRESCALING.rows([dataclasses.asdict(row) for row in rows])


def _groups(starts_s: FloatArray) -> list[tuple[float, int]]:
    """(first start, how many) of each half hour in which an event begins."""
    groups: dict[int, list[float]] = {}
    for start_s in np.sort(starts_s).tolist():
        groups.setdefault(math.floor(start_s / GROUP_S), []).append(start_s)
    return [(group[0], len(group)) for group in groups.values()]


def _sample(counts: InstancesOverTime, at_s: float) -> int:
    """Index of the newest sample at `at_s`; negative before the first."""
    return math.floor((at_s - counts.start_s) / counts.step_s + 1e-9) - 1


def _minutes(counts: InstancesOverTime, at_s: float) -> list[tuple[int, int]]:
    """The whole minutes from `at_s` on, as slices of samples, as far as there are samples."""
    first = _sample(counts, at_s) + 1
    length = max(round(MINUTE_S / counts.step_s), 1)
    edges = [(first + m * length, first + (m + 1) * length) for m in range(NEED_MINUTES)]
    return [(a, b) for a, b in edges if a >= 0 and b <= counts.ready.shape[1]]


def _share(parts: Sequence[tuple[int, bool]]) -> float | None:
    total = sum(events for events, _ in parts)
    return sum(events for events, yes in parts if yes) / total if total else None


def _excess(groups: Sequence[Sequence[Readiness]]) -> float | None:
    """Cost of what is ready over that of what is needed, less 1, as a mean over the events."""
    weights, shares = [], []
    for group in groups:
        needed = sum(row.need * row.price_per_hour for row in group)
        if needed > 0.0:
            ready = sum(row.ready * row.price_per_hour for row in group)
            weights.append(float(group[0].events))
            shares.append(ready / needed - 1.0)
    return float(np.average(shares, weights=weights)) if shares else None
