"""Monitoring sessions: who starts one, which there are, who ends one."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from engine.api.access import Context, Reader, Writer
from engine.api.answers import CHANGING, documented, fresh
from engine.api.context import ApiContext, NotedChange
from engine.api.events import EventKind
from engine.api.monitoring_documents import SessionDocument, SessionList, SessionRequest
from engine.api.problems import Problem, ProblemError, wrong
from engine.api.routes.alerting import monitor_of
from engine.model import MonitoringSession
from engine.monitoring.sessions import (
    MOST_SESSIONS,
    SHOWN_S,
    ended,
    said,
    session_document,
    session_of,
    wrong_with,
)
from engine.security.roles import Permission, Principal

router = APIRouter(prefix="/api/scalability/monitoring")


@router.get(
    "/sessions",
    operation_id="monitoringSessions",
    summary="What is watched, how often and since when",
    response_model=SessionList,
    responses=documented(Problem.NOT_THERE, Problem.STORE),
)
async def sessions(context: Context, principal: Reader) -> Response:
    """The engine's own session, and those that people asked for."""
    monitor, as_of_s = monitor_of(context)
    allowed = context.visible(principal)
    there = await _sessions(context, monitor)
    shown = {str(one["id"]): one for one in monitor["sessions"]}
    items = []
    for session in there.values():
        services = [name for name in session.services if name in allowed]
        if session.services and not services:
            continue  # it is of other services only
        looks = shown.get(session.id, {})
        items.append(
            session_document(session, context.clock_s())
            | {"services": services}
            | {name: looks[name] for name in ("looks", "looked_s") if name in looks}
        )
    unwatched = [name for name in monitor["unwatched"] if name in allowed]
    return fresh({"as_of_s": as_of_s, "unwatched": unwatched, "items": items})


@router.post(
    "/sessions",
    operation_id="startMonitoring",
    summary="Start a monitoring session",
    status_code=201,
    response_model=SessionDocument,
    responses=documented(*CHANGING, Problem.NOT_THERE),
)
async def start(context: Context, principal: Writer, asked: SessionRequest) -> Response:
    """The engine begins with its next step; it goes on over restarts."""
    monitor, _ = monitor_of(context)
    allowed = context.visible(principal)
    if what := wrong_with(asked.services, asked.every_s, asked.kinds, allowed):
        raise wrong(what.field, what.given, what.allowed, what.hint)
    services = tuple(dict.fromkeys(asked.services))
    for name in services or ("",):
        await context.check(principal, Permission.WATCH, name, why=asked.why)
    now_s = context.clock_s()
    there = (await _sessions(context, monitor)).values()
    if sum(one.runs(now_s) for one in there) >= MOST_SESSIONS:
        detail = f"{MOST_SESSIONS} monitoring sessions run; end one first"
        raise ProblemError(Problem.CONFLICT, detail)
    until_s = math.inf if asked.for_s is None else now_s + asked.for_s
    session = MonitoringSession(
        f"s-{secrets.token_hex(4)}", services, asked.every_s, tuple(dict.fromkeys(asked.kinds)),
        now_s, until_s, until_s + SHOWN_S, principal.name, asked.why,
    )  # fmt: skip
    await _stand(context, principal, Permission.WATCH, session, why=asked.why)
    return fresh(session_document(session, now_s), 201)


@router.delete(
    "/sessions/{session}",
    operation_id="endMonitoring",
    summary="End a monitoring session",
    response_model=SessionDocument,
    responses=documented(*CHANGING, Problem.NOT_THERE),
)
async def end(
    context: Context,
    principal: Writer,
    session: str,
    why: Annotated[str, Query(max_length=500, description="A reason, for the audit log")] = "",
) -> Response:
    """What no other session watches is not looked at any more, and its findings end."""
    monitor, _ = monitor_of(context)
    own = (await _sessions(context, monitor)).get(session)
    allowed = context.visible(principal)
    if own is None or not all(name in allowed for name in own.services):
        raise ProblemError(Problem.NOT_THERE, "there is no such monitoring session")
    for name in own.services or ("",):
        await context.check(principal, Permission.END_WATCH, name, why=why)
    now_s = context.clock_s()
    if not own.runs(now_s):
        raise ProblemError(Problem.CONFLICT, "the monitoring session is over")
    over = ended(own, principal.name, now_s)
    await _stand(context, principal, Permission.END_WATCH, over, why=why)
    return fresh(session_document(over, now_s))


async def _sessions(
    context: ApiContext, monitor: Mapping[str, Any]
) -> dict[str, MonitoringSession]:
    """By their ids: what the engine showed last, and on top of it what people asked for since."""
    now_s = context.clock_s()
    asked, _ = await context.read(context.desk.asked)
    there = {str(one["id"]): session_of(one) for one in monitor["sessions"]}
    there |= {
        one.request.id: one.request for one in asked if isinstance(one.request, MonitoringSession)
    }
    return {name: one for name, one in there.items() if now_s < one.expires_s}


async def _stand(
    context: ApiContext,
    principal: Principal,
    permission: Permission,
    session: MonitoringSession,
    *,
    why: str,
) -> None:
    change = NotedChange(permission, session.service, why, after=said(session))
    await context.change(principal, change, lambda audit: context.desk.ask(session, audit=audit))
    content = session_document(session, context.clock_s())
    context.board.events.publish(
        EventKind.REQUEST, session.service,
        {"at_s": context.clock_s(), "kind": permission.value, "request": content},
    )  # fmt: skip
