"""`/metrics`: the engine's own figures for Prometheus.

How busy it is has the names that staging's workers use, so that one set of queries reads both: the
engine is a service of its own platform file where its page is scraped with that service's label.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any, NamedTuple

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from engine.api.access import Context, Reader
from engine.api.answers import documented
from engine.api.context import ApiContext
from engine.api.routes.looking import readiness_document
from engine.runtime.own_load import BUCKETS, arrived

router = APIRouter()

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Figures of the engine itself, for Prometheus",
    response_class=Response,
    responses={
        **documented(),
        200: {
            "description": "The text format",
            "content": {
                "text/plain": {
                    "schema": {"type": "string"},
                    "example": 'wedtwin_instances{service="api",what="ready"} 4.0\n',
                }
            },
        },
    },
)
async def metrics(context: Context, principal: Reader) -> Response:
    """Instances, steps, troubles, waiting questions, listening clients, and its own load."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(context, context.visible(principal)))
    return Response(generate_latest(registry), media_type=MEDIA_TYPE)


class Family(NamedTuple):
    """A figure that is shown, one value for each combination of its labels."""

    name: str
    text: str
    labels: tuple[str, ...] = ()
    counts: bool = False
    """Whether it only grows; its name then ends in `_total`."""
    buckets: bool = False
    """Whether it is a histogram."""

    @property
    def kind(self) -> str:
        """Its type, as Prometheus has it."""
        return "histogram" if self.buckets else "counter" if self.counts else "gauge"

    def empty(self) -> CounterMetricFamily | GaugeMetricFamily:
        """Without any value yet."""
        kind = CounterMetricFamily if self.counts else GaugeMetricFamily
        return kind(self.name, self.text, labels=self.labels)

    def of(self, value: float) -> Metric:
        """With its one value."""
        family = self.empty()
        family.add_metric([], value)
        return family


READY = Family("wedtwin_ready", "Whether the engine leads and steps")
STEP_AGE = Family("wedtwin_last_step_age_seconds", "Since the newest step; NaN before the first")
STEPS = Family("wedtwin_steps", "Steps that were made", counts=True)
SKIPPED = Family("wedtwin_steps_skipped", "Steps that could not be made", counts=True)
STREAMS = Family("wedtwin_event_streams", "Clients of the event stream")
AWAITING = Family("wedtwin_awaiting_approval", "Actions that wait for people")
TROUBLES = Family("wedtwin_troubles", "What does not work", ("source",))
INSTANCES = Family("wedtwin_instances", "Instances by what they do", ("service", "what"))
FLOORS = Family("wedtwin_wedding_floor", "Instances that stand for weddings", ("service",))
LOOKS = Family("wedtwin_monitor_looks", "Times that the monitor looked", counts=True)
UNDELIVERED = Family("wedtwin_notices_undelivered", "Notices that no receiver took yet")
FINDINGS = Family("wedtwin_findings", "What is wrong now", ("service", "severity"))
INCIDENTS = Family("wedtwin_incidents", "Incidents that are not over", ("service", "severity"))
SLOTS = Family("wedtwin_slots", "Threads that step: one")
BUSY = Family(
    "wedtwin_slots_busy_seconds", "For how long the thread that steps had the processor",
    counts=True,
)  # fmt: skip
REQUESTS = Family("wedtwin_requests", "Samples of its services that came due", counts=True)
RESPONSES = Family(
    "wedtwin_responses", "Samples that its steps took up", ("outcome",), counts=True
)  # fmt: skip
QUEUE = Family("wedtwin_queue_depth", "Samples of steps that were due and not made")
RESPONSE = Family(
    "wedtwin_response_seconds", "From when the step of a sample was due until it was over",
    buckets=True,
)  # fmt: skip

OWN_LOAD = (SLOTS, BUSY, REQUESTS, RESPONSES, QUEUE, RESPONSE)
FAMILIES = (
    READY, STEP_AGE, STEPS, SKIPPED, STREAMS, AWAITING, TROUBLES, INSTANCES, FLOORS, LOOKS,
    UNDELIVERED, FINDINGS, INCIDENTS, *OWN_LOAD,
)  # fmt: skip
"""All of them, in the order in which they are shown."""


def markdown() -> str:
    """The families as the table of `docs/reference/metrics.md`."""
    rows = [
        f"| `{one.name}{'_total' if one.counts else ''}` | {one.kind} "
        f"| {', '.join(f'`{label}`' for label in one.labels)} | {one.text} |"
        for one in FAMILIES
    ]
    return "\n".join(["| metric | type | labels | |", "| --- | --- | --- | --- |", *rows]) + "\n"


class _Figures(Collector):
    def __init__(self, context: ApiContext, services: tuple[str, ...]) -> None:
        self._context = context
        self._services = services

    def collect(self) -> Iterator[Metric]:
        """All figures, as of the newest step."""
        context = self._context
        board, ready = context.board, readiness_document(context)
        age_s = ready["last_step_age_s"]
        yield READY.of(float(ready["ready"]))
        yield STEP_AGE.of(math.nan if age_s is None else age_s)
        yield STEPS.of(ready["steps"])
        yield SKIPPED.of(ready["skipped"])
        yield STREAMS.of(context.streams)
        yield AWAITING.of(len(board.awaiting) + len(board.asked_before))
        troubles = TROUBLES.empty()
        if board.shown is not None:
            for source, texts in board.shown.status["troubles"].items():
                troubles.add_metric([source], len(texts))
        yield troubles
        instances, floors = INSTANCES.empty(), FLOORS.empty()
        if board.look is not None:
            for name in self._services:
                service = board.look.services[name]
                for what in ("desired", "ready", "booting", "draining"):
                    instances.add_metric([name, what], getattr(service, what))
                floors.add_metric([name], service.wedding_floor)
        yield instances
        yield floors
        yield from _watched(board.shown.status.get("monitor") if board.shown else None,
                            self._services)  # fmt: skip
        yield from _own(board.shown.status.get("load") if board.shown else None, context.wall_s())


def _own(load: Mapping[str, Any] | None, now_s: float) -> Iterator[Metric]:
    """How busy the engine itself is, as of the newest step."""
    if load is None:
        return
    yield SLOTS.of(1.0)
    yield BUSY.of(load["busy_s"])
    yield REQUESTS.of(arrived(load["arrived"], load["per_s"], load["at_s"], now_s))
    responses = RESPONSES.empty()
    responses.add_metric(["served"], load["samples"])
    yield responses
    yield QUEUE.of(load["waiting"])
    up_to = accumulate(load["counts"])
    bounds = [*map(repr, BUCKETS.edges_s.tolist()), "+Inf"]
    response = HistogramMetricFamily(RESPONSE.name, RESPONSE.text)
    response.add_metric(
        [], [(bound, float(count)) for bound, count in zip(bounds, up_to, strict=True)],
        load["sum_s"],
    )  # fmt: skip
    yield response


def _watched(monitor: Mapping[str, Any] | None, services: tuple[str, ...]) -> Iterator[Metric]:
    """Figures of the monitor, if there is one."""
    if monitor is None:
        return
    yield LOOKS.of(monitor["looks"])
    yield UNDELIVERED.of(monitor["undelivered"])
    for family, items in ((FINDINGS, monitor["findings"]), (INCIDENTS, monitor["alerts"])):
        shown = family.empty()
        counts = Counter((one["service"], one["severity"]) for one in items)
        for service in services:
            for severity in ("info", "warning", "critical"):
                shown.add_metric([service, severity], counts[service, severity])
        yield shown
