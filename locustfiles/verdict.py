"""From the tally to `load_summary.json`, and whether the load's limits were kept.

A request violates if it failed, was shed, timed out or felt slower than its service's SLO;
`slo.violation_ratio` is their share of all attempts, retries included, as in the twin's summary.
One that was held for longer than its client waits, because so many others had no answer yet, counts
as timed out there: nobody served it.  But what the generator itself sent late, or did not send
because a worker was lost, says nothing about the system: then a bad figure is no verdict on it, and
"not judged" is what the load test says, which is a failure of its own.  An exception in a user
class is a fault of the test: it fails, however good the figures are.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from engine.record.schema import thresholds
from engine.record.schema.load import (
    VERSION,
    AllRequests,
    Felt,
    GeneratorFigures,
    LoadedService,
    LoadFigures,
    LoadSummary,
    Omission,
    Quantiles,
    Verdict,
)
from engine.record.schema.paths import Possible, RunScope, of_kind
from engine.record.schema.thresholds import ThresholdConfig, path_of
from locustfiles.plan import LoadPlan
from locustfiles.tally import LATE_S, ServiceSecond, Tally, figures, share_above

MOST_UNSENT = 0.01
MOST_LATE = 0.05
"""Above these shares of the requests due (or of the time), the generator was tested instead."""

MOST_REASONS = 20


class LimitError(ValueError):
    """A threshold cannot be read or names no figure; the message says what is allowed."""


Limit = tuple[str, ThresholdConfig]
"""A name, and what a figure of the summary has to keep to."""


@dataclass(frozen=True, slots=True)
class Generator:
    """How the load was made: `cpu` are shares of a core, one for each worker and second."""

    workers: int
    lost_workers: int
    peak_in_flight: int
    max_in_flight: int
    cpu: Sequence[float]


def limit(text: str, name: str = "") -> Limit:
    """Parse `figure operator number`; raises LimitError."""
    try:
        threshold = ThresholdConfig.model_validate(text)
    except ValidationError:
        raise LimitError(
            f'--threshold: "{text}" is not allowed; give a figure, an operator and a number, such '
            'as "violation_ratio <= 0.001" or "api.p95_s <= 0.5"'
        ) from None
    return name or threshold.metric, threshold


def check(limits: Sequence[Limit], services: Sequence[str]) -> None:
    """Find out before the load whether each limit names a figure of it; raises LimitError."""
    for _, threshold in limits:
        try:
            path_of(threshold.metric, _possible(services), "a load test")
        except ValueError as error:
            raise LimitError(f"--threshold: {error}") from None


def summarise(
    plan: LoadPlan,
    tally: Tally,
    intended: NDArray[np.int64],
    generator: Generator,
    *,
    host: str,
    started: dt.datetime,
    lasted_s: float,
    partial: bool,
) -> LoadFigures:
    """All figures; `intended` (services, seconds) is what the schedule asked for."""
    services = {
        name: _service(tally.of([i]), int(intended[i].sum()), plan.clients[i].slo_p95_s)
        for i, name in enumerate(plan.services)
    }
    everything = tally.of(range(len(plan.services)))
    due = int(intended.sum())
    return LoadFigures.model_validate(
        {
            "schema": VERSION,
            "scenario": plan.scenario,
            "seed": plan.seed,
            "scale": plan.scale,
            "speed": plan.speed,
            "host": host,
            "from": dt.datetime.fromtimestamp(plan.start_s, dt.UTC).isoformat(),
            "scenario_s": plan.seconds,
            "started_at": started.isoformat(timespec="milliseconds"),
            "wall_s": lasted_s,
            "partial": partial,
            "requests": AllRequests(
                **everything.counts | {"intended": due},
                peak_rate_per_s=float(intended.sum(axis=0).max(initial=0)),
            ),
            "slo": Felt(**_felt(everything)),
            "services": services,
            "roles": dict(sorted(tally.roles.items())),
            "reasons": dict(
                sorted(tally.reasons.items(), key=lambda item: -item[1])[:MOST_REASONS]
            ),
            "exceptions": dict(
                sorted(tally.exceptions.items(), key=lambda item: -item[1])[:MOST_REASONS]
            ),
            "left_out": plan.left_out,
            "coordinated_omission": {name: _omission(one) for name, one in services.items()},
            "generator": _generator(tally, everything, due, generator, partial=partial),
        }
    )


def judge(figures: LoadFigures, limits: Sequence[Limit]) -> LoadSummary:
    """The summary: the figures, each limit with its value, and the verdict."""
    judged = thresholds.judge(limits, figures, _possible(tuple(figures.services)))
    generator, outcomes = figures.generator, {one.outcome for one in judged}
    verdict: Verdict
    if figures.exceptions:
        verdict = "failed"  # the test itself is broken, whatever its figures are
    elif generator.unsent_ratio > MOST_UNSENT or outcomes == {"not judged"}:
        verdict = "not judged"
    elif "failed" not in outcomes:
        verdict = "passed"  # being late can only have made the figures worse
    else:
        verdict = "not judged" if generator.saturated else "failed"
    return LoadSummary.model_validate(
        {**figures.model_dump(by_alias=True), "verdict": verdict, "thresholds": judged}
    )


def _possible(services: Sequence[str]) -> Possible:
    return of_kind(LoadFigures, RunScope(world="live", services=tuple(services)))


def _felt(cell: ServiceSecond) -> dict[str, float]:
    counts = cell.counts
    lost = counts["failed"] + counts["shed"] + counts["timed_out"] + counts["dropped"]
    wanted = counts["sent"] + counts["dropped"]
    return {
        "violation_ratio": _share(lost + counts["slow"], wanted),
        "availability": 1.0 - _share(lost, wanted),
    }


def _service(cell: ServiceSecond, due: int, slo_p95_s: float) -> LoadedService:
    return LoadedService.model_validate(
        {
            **cell.counts,
            "intended": due,
            **_felt(cell),
            "slo_p95_s": slo_p95_s,
            **figures(cell.felt),
            "answered": Quantiles(**figures(cell.answered)),
        }
    )


def _omission(service: LoadedService) -> Omission:
    """What a closed-loop test would have said, and what it would have hidden."""
    felt, answered = service.p95_s, service.answered.p95_s
    hidden = None if felt is None or answered is None else max(felt - answered, 0.0)
    return Omission(felt_p95_s=felt, answered_p95_s=answered, hidden_p95_s=hidden)


def _generator(
    tally: Tally, cell: ServiceSecond, due: int, generator: Generator, *, partial: bool
) -> GeneratorFigures:
    # At the end of a whole load every request has ended or timed out.
    unfinished = cell.counts["unfinished"] if partial else 0
    out = cell.counts["sent"] - cell.counts["retried"] + unfinished + cell.counts["dropped"]
    unsent = max(due - out, 0)
    late_ratio = _share(cell.counts["late"], due)
    unsent_ratio = _share(unsent, due)
    busy_ratio = share_above(tally.pulse, LATE_S)
    return GeneratorFigures(
        workers=generator.workers,
        lost_workers=generator.lost_workers,
        unsent=unsent,
        unsent_ratio=unsent_ratio,
        late_after_s=LATE_S,
        late_ratio=late_ratio,
        busy_ratio=busy_ratio,
        held_ratio=_share(cell.counts["held"], due),
        lateness=Quantiles(**figures(cell.lateness)),
        peak_in_flight=generator.peak_in_flight,
        max_in_flight=generator.max_in_flight,
        cpu_mean=float(np.mean(generator.cpu)) if len(generator.cpu) else None,
        cpu_max=float(np.max(generator.cpu)) if len(generator.cpu) else None,
        saturated=unsent_ratio > MOST_UNSENT or max(late_ratio, busy_ratio) > MOST_LATE,
    )


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
