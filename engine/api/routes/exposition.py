"""`/metrics`: the engine's own figures for Prometheus."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from engine.api.access import Context, Reader
from engine.api.answers import documented
from engine.api.context import ApiContext
from engine.api.routes.looking import readiness_document

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
    """Counts of instances, steps, troubles, waiting questions, listening clients."""
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

FAMILIES = (
    READY, STEP_AGE, STEPS, SKIPPED, STREAMS, AWAITING, TROUBLES, INSTANCES, FLOORS, LOOKS,
    UNDELIVERED, FINDINGS, INCIDENTS,
)  # fmt: skip
"""All of them, in the order in which they are shown."""


def markdown() -> str:
    """The families as the table of `docs/reference/metrics.md`."""
    rows = [
        f"| `{one.name}{'_total' if one.counts else ''}` | {'counter' if one.counts else 'gauge'} "
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
