"""`/metrics`: the engine's own figures for Prometheus."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

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


class _Figures(Collector):
    def __init__(self, context: ApiContext, services: tuple[str, ...]) -> None:
        self._context = context
        self._services = services

    def collect(self) -> Iterator[Metric]:
        """All figures, as of the newest step."""
        context = self._context
        board, ready = context.board, readiness_document(context)
        yield GaugeMetricFamily(
            "wedtwin_ready", "Whether the engine leads and steps", value=float(ready["ready"])
        )
        yield GaugeMetricFamily(
            "wedtwin_last_step_age_seconds", "Since the newest step",
            value=math.nan if ready["last_step_age_s"] is None else ready["last_step_age_s"],
        )  # fmt: skip
        yield CounterMetricFamily("wedtwin_steps", "Steps that were made", value=ready["steps"])
        yield CounterMetricFamily(
            "wedtwin_steps_skipped", "Steps that could not be made", value=ready["skipped"]
        )
        yield GaugeMetricFamily(
            "wedtwin_event_streams", "Clients of the event stream", value=context.streams
        )
        yield GaugeMetricFamily(
            "wedtwin_awaiting_approval",
            "Actions that wait for people",
            value=len(board.awaiting) + len(board.asked_before),
        )
        troubles = GaugeMetricFamily("wedtwin_troubles", "What does not work", labels=["source"])
        if board.shown is not None:
            for source, texts in board.shown.status["troubles"].items():
                troubles.add_metric([source], len(texts))
        yield troubles
        instances = GaugeMetricFamily(
            "wedtwin_instances", "Instances by what they do", labels=["service", "what"]
        )
        floors = GaugeMetricFamily(
            "wedtwin_wedding_floor", "Instances that stand for weddings", labels=["service"]
        )
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
    yield CounterMetricFamily(
        "wedtwin_monitor_looks", "Times that the monitor looked", value=monitor["looks"]
    )
    yield GaugeMetricFamily(
        "wedtwin_notices_undelivered", "Notices that no receiver took yet",
        value=monitor["undelivered"],
    )  # fmt: skip
    for name, words, items in (
        ("wedtwin_findings", "What is wrong now", monitor["findings"]),
        ("wedtwin_incidents", "Incidents that are not over", monitor["alerts"]),
    ):
        family = GaugeMetricFamily(name, words, labels=["service", "severity"])
        counts = Counter((one["service"], one["severity"]) for one in items)
        for service in services:
            for severity in ("info", "warning", "critical"):
                family.add_metric([service, severity], counts[service, severity])
        yield family
