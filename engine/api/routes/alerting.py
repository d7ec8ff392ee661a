"""What the monitor says, and what people do with the incidents that they are told of."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from engine.api.access import Context, Reader, Writer
from engine.api.alert_documents import (
    FindingList,
    IncidentAnswerDocument,
    IncidentAnswerRequest,
    IncidentList,
)
from engine.api.answers import CHANGING, documented, fresh
from engine.api.context import NOT_LEADING, ApiContext, NotedChange
from engine.api.events import EventKind
from engine.api.problems import Problem, ProblemError
from engine.model import AlertAnswer
from engine.security.roles import Permission, Principal

router = APIRouter(prefix="/api/scalability")

STANDS_S = 86_400.0
"""An engine that is down so long need not know what was said of its incidents."""


@router.get(
    "/findings",
    operation_id="findings",
    summary="What the monitor finds wrong now",
    response_model=FindingList,
    responses=documented(Problem.NOT_THERE),
)
async def findings(context: Context, principal: Reader) -> Response:
    """Of the services that one may see; the worst first."""
    monitor, as_of_s = monitor_of(context)
    allowed = context.visible(principal)
    items = [one for one in monitor["findings"] if one["service"] in allowed]
    ranks = ("critical", "warning", "info")
    items.sort(key=lambda one: (ranks.index(one["severity"]), one["noticed_s"]))
    # What a service of somebody else's has to do with it is not his to see.
    shown = [
        {**one, "causes": [c for c in one["causes"] if c["service"] in allowed]} for one in items
    ]
    return fresh(
        {
            "as_of_s": as_of_s,
            "watching_since_s": monitor["since_s"],
            "services": [name for name in monitor["services"] if name in allowed],
            "silent": [name for name in monitor["silent"] if name in allowed],
            "items": shown,
        }
    )


@router.get(
    "/alerts",
    operation_id="alerts",
    summary="The incidents that people are told of",
    response_model=IncidentList,
    responses=documented(Problem.NOT_THERE),
)
async def alerts(context: Context, principal: Reader) -> Response:
    """Those that are not over, oldest first."""
    monitor, as_of_s = monitor_of(context)
    allowed = context.visible(principal)
    items = [one for one in monitor["alerts"] if one["service"] in allowed]
    return fresh(
        {
            "as_of_s": as_of_s,
            "undelivered": monitor["undelivered"],
            "items": sorted(items, key=lambda one: one["opened_s"]),
        }
    )


@router.post(
    "/alerts/{incident}/acknowledge",
    operation_id="acknowledge",
    summary="Take an incident on",
    status_code=202,
    response_model=IncidentAnswerDocument,
    responses=documented(*CHANGING, Problem.NOT_THERE),
)
async def acknowledge(
    context: Context, principal: Writer, incident: str, asked: IncidentAnswerRequest
) -> Response:
    """Nobody further is told, until it gets worse or the acknowledgement lapses."""
    return await _answered(
        context, principal, incident, asked.why, permission=Permission.ACKNOWLEDGE
    )


@router.post(
    "/alerts/{incident}/escalate",
    operation_id="escalate",
    summary="Tell the next people of an incident now",
    status_code=202,
    response_model=IncidentAnswerDocument,
    responses=documented(*CHANGING, Problem.NOT_THERE),
)
async def escalate(
    context: Context, principal: Writer, incident: str, asked: IncidentAnswerRequest
) -> Response:
    """Without waiting for the time of the next level."""
    return await _answered(context, principal, incident, asked.why, permission=Permission.ESCALATE)


async def _answered(
    context: ApiContext, principal: Principal, incident: str, why: str, *, permission: Permission
) -> Response:
    monitor, _ = monitor_of(context)
    allowed = context.visible(principal)
    own = next(
        (o for o in monitor["alerts"] if o["id"] == incident and o["service"] in allowed), None
    )
    if own is None:
        raise ProblemError(Problem.NOT_THERE, "there is no such incident, or it is over")
    service = str(own["service"])
    await context.check(principal, permission, service, why=why)
    escalates = permission is Permission.ESCALATE
    answer = AlertAnswer(
        id=secrets.token_hex(8),
        service=service,
        incident=incident,
        escalates=escalates,
        expires_s=context.clock_s() + STANDS_S,
        requested_by=principal.name,
        why=why,
    )
    await context.change(
        principal,
        NotedChange(permission, service, why=why, after={"incident": incident}),
        lambda row: context.desk.ask(answer, audit=row),
    )
    content = {
        "incident": incident,
        "service": service,
        "answer": permission.value,
        "by": principal.name,
    }
    context.board.events.publish(
        EventKind.ALERT, service, {"at_s": context.clock_s(), "answer": content, "why": why}
    )
    return fresh(content, 202)


def monitor_of(context: ApiContext) -> tuple[Mapping[str, Any], float]:
    """What the monitor showed last, and when; raises the problem that there is none."""
    shown = context.board.shown
    if shown is None:
        context.look()
        raise ProblemError(Problem.NOT_READY, "the engine has shown nothing yet")
    if not context.board.leads:
        raise ProblemError(Problem.NOT_READY, NOT_LEADING, headers={"retry-after": "5"})
    monitor = shown.status.get("monitor")
    if monitor is None:
        raise ProblemError(
            Problem.NOT_THERE, "this engine runs without the monitor (monitor.enabled)"
        )
    return monitor, float(shown.status["time_s"])
