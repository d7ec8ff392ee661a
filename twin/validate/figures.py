"""The figures that are compared, of one run of a cell, live and in the twin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.model import SAMPLE_FIELDS, FloatArray, ServiceSpec
from twin.measure.bench import Measured
from twin.measure.driver import Arrivals
from twin.measure.meters import Increments
from twin.queues.kernels.requests.layout import BUCKETS
from twin.queues.port import TRUTH_FIELDS, ClientBehaviour
from twin.queues.requests import RequestPlatform
from twin.validate.cells import Cell

NOTICED_S = 3
"""So long after a kill, at most, the pool takes note of it."""

QUANTILES = {"p50": 0.5, "p95": 0.95}


@dataclass(frozen=True, slots=True)
class MeasuredFigures:
    """By service: answered requests/s, busy share of the slots, p50 and p95 (s), failed share.

    Response times are NaN for services that nobody enters from outside.  `busy_by_second`
    (seconds,) is for the plots.
    """

    throughput: Mapping[str, float]
    utilisation: Mapping[str, float]
    p50: Mapping[str, float]
    p95: Mapping[str, float]
    failed: Mapping[str, float]
    busy_by_second: Mapping[str, FloatArray]


def of_live(measured: Measured, cell: Cell, specs: Sequence[ServiceSpec]) -> MeasuredFigures:
    """What the driver and the workers saw."""
    answers, reading = measured.answers, measured.reading
    arrivals, since = answers.arrivals, cell.within_s
    seconds = arrivals.duration_s - since
    latency = answers.done_s - answers.sent_s
    p50, p95, failed = {}, {}, {}
    for index, spec in enumerate(specs):
        mine = (arrivals.service == index) & (answers.sent_s >= since)
        good = mine & answers.served
        p50[spec.name], p95[spec.name] = (
            (float(np.quantile(latency[good], q)) for q in QUANTILES.values())
            if good.any()
            else (np.nan, np.nan)
        )
        failed[spec.name] = 1.0 - float(good.sum() / mine.sum()) if mine.any() else np.nan
    return MeasuredFigures(
        throughput={s.name: reading.total(s.name, "served", since) / seconds for s in specs},
        utilisation={s.name: reading.utilisation(s.name, since) for s in specs},
        p50=p50,
        p95=p95,
        failed=failed,
        busy_by_second={
            s.name: np.array(
                [reading.utilisation(s.name, t, t + 1) for t in range(since + seconds)]
            )
            for s in specs
        },
    )  # fmt: skip


def with_calls_of(
    specs: Sequence[ServiceSpec], reading: Increments, since: int
) -> tuple[ServiceSpec, ...]:
    """The services, with as many calls for each request as the workers made in this one run.

    Whether a request makes a call may be a matter of chance.  Which way it went belongs to the run
    as its arrivals do: where a callee gets few calls, their number alone differs by more than the
    limits from run to run.  All calls of a service are scaled by the same factor.
    """
    specs_with_calls = []
    for spec in specs:
        expected = sum(call.per_request for call in spec.calls) * reading.total(
            spec.name, "wedtwin_service_seconds_count", since
        )
        if expected:
            factor = reading.total(spec.name, "wedtwin_calls_total", since) / expected
            calls = tuple(replace(c, per_request=c.per_request * factor) for c in spec.calls)
            spec = replace(spec, calls=calls)
        specs_with_calls.append(spec)
    return tuple(specs_with_calls)


def of_twin(
    specs: Sequence[ServiceSpec],
    clients: Mapping[str, ClientBehaviour],
    arrivals: Arrivals,
    ready: Mapping[str, Sequence[tuple[float, int]]],
    *,
    cell: Cell,
    hop_s: float,
    rng: np.random.Generator,
) -> MeasuredFigures:
    """What the twin makes of the same arrivals with the same instances ready at the same time.

    Who asks does not ask again, as the driver does not.  A hop takes no slot, so its time is added
    to the responses: one for the client's request and one for each call that it waits for.
    """
    patient = {name: replace(client, max_retries=0) for name, client in clients.items()}
    platform = RequestPlatform(specs, arrivals.per_second(), patient, rng, sample_s=1)
    changes = _changes(specs, ready)
    before = _histograms(platform, specs)
    for second in range(arrivals.duration_s):
        for index, count in changes.get(second, ()):
            killed_s = cell.kills.get(specs[index].name)
            died = killed_s is not None and 0 <= second - killed_s <= NOTICED_S
            fewer = count < platform.ready(index)
            platform.set_ready(index, count, 1 if died and fewer else 0)
        if second == cell.within_s:
            before = _histograms(platform, specs)
        platform.advance(second + 1)
    counts = _histograms(platform, specs) - before
    since, entered = cell.within_s, arrivals.per_second().sum(axis=1) > 0
    truth = platform.truth[:, since:]
    seconds = arrivals.duration_s - since
    cpu = platform.metrics[:, :, SAMPLE_FIELDS.index("cpu")]
    slots = _slots(specs, ready, arrivals.duration_s)
    p50, p95, failed = {}, {}, {}
    for index, spec in enumerate(specs):
        more_s = hop_s * (1.0 + sum(c.per_request for c in spec.calls if not c.asynchronous))
        p50[spec.name], p95[spec.name] = (
            (BUCKETS.quantiles(counts[index], tuple(QUANTILES.values())) + more_s).tolist()
            if entered[index]
            else (np.nan, np.nan)
        )
        arrived = truth[index, :, TRUTH_FIELDS.index("arrived")].sum()
        lost = sum(
            truth[index, :, TRUTH_FIELDS.index(name)].sum()
            for name in ("failed", "shed", "timed_out")
        )
        failed[spec.name] = float(lost / arrived) if arrived and entered[index] else np.nan
    return MeasuredFigures(
        throughput={
            s.name: float(truth[i, :, TRUTH_FIELDS.index("served")].sum()) / seconds
            for i, s in enumerate(specs)
        },
        utilisation={
            s.name: float((cpu[i] * slots[i])[since:].sum() / slots[i, since:].sum())
            for i, s in enumerate(specs)
        },
        p50=p50,
        p95=p95,
        failed=failed,
        busy_by_second={s.name: cpu[i] for i, s in enumerate(specs)},
    )


def _changes(
    specs: Sequence[ServiceSpec], ready: Mapping[str, Sequence[tuple[float, int]]]
) -> dict[int, list[tuple[int, int]]]:
    """(service, ready instances) at each whole second at which that changes, the nearest one."""
    changes: dict[int, list[tuple[int, int]]] = {}
    for index, spec in enumerate(specs):
        by_second = {max(round(at_s), 0): count for at_s, count in ready[spec.name]}
        for second, count in by_second.items():
            changes.setdefault(second, []).append((index, count))
    return changes


def _slots(
    specs: Sequence[ServiceSpec], ready: Mapping[str, Sequence[tuple[float, int]]], seconds: int
) -> FloatArray:
    slots = np.zeros((len(specs), seconds))
    for index, spec in enumerate(specs):
        for at_s, count in ready[spec.name]:
            slots[index, max(round(at_s), 0) :] = count * spec.slots
    return slots


def _histograms(platform: RequestPlatform, specs: Sequence[ServiceSpec]) -> NDArray[np.int64]:
    return np.stack([platform.histogram(i) for i in range(len(specs))])
