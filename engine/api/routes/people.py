"""What people let stand and answer: floors, pauses, approvals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from engine.api import older
from engine.api.access import Context, Reader, Writer
from engine.api.answers import CHANGING, documented, fresh
from engine.api.context import NOT_LEADING, ApiContext, NotedChange
from engine.api.decision_documents import (
    AnswerDocument,
    ApproveRequest,
    AwaitingList,
    RejectRequest,
)
from engine.api.events import PLATFORM, EventKind
from engine.api.problems import FieldProblem, Problem, ProblemError, wrong
from engine.api.routes.actions import kept_action
from engine.api.scale_documents import WithdrawnDocument
from engine.api.service_documents import FloorRequest, PauseRequest, StandingDocument, StandingList
from engine.api.standing import asked_for, standing
from engine.config.complaints import close
from engine.config.recurrence import Recurrence
from engine.model import Approval, ManualFloor, Pause
from engine.ports.desk import EVERYTHING, SoFar
from engine.security.roles import Permission, Principal, Situation, approvals_needed

router = APIRouter(prefix="/api/scalability")

Why = Annotated[str, Query(max_length=500, description="A reason, for the audit log")]


# --- floors and pauses


@router.get(
    "/floors",
    operation_id="floors",
    summary="The floors that people let stand",
    response_model=StandingList,
    responses=documented(Problem.STORE),
)
async def floors(context: Context, principal: Reader) -> Response:
    """Whether they hold now or not."""
    return fresh(await _list(context, principal, "floor"))


@router.get(
    "/pauses",
    operation_id="pauses",
    summary="The pauses that people let stand",
    response_model=StandingList,
    responses=documented(Problem.STORE),
)
async def pauses(context: Context, principal: Reader) -> Response:
    """Whether they hold now or not."""
    return fresh(await _list(context, principal, "pause"))


@router.post(
    "/floors",
    operation_id="floor",
    summary="Keep at least so many instances",
    status_code=201,
    response_model=StandingDocument,
    responses=documented(*CHANGING),
)
async def floor(context: Context, principal: Writer, asked: FloorRequest) -> Response:
    """In place of the one before; it stands until it is taken back, or for a time."""
    _check_service(context, principal, asked.service)
    await context.check(principal, Permission.FLOOR, asked.service, why=asked.why)
    spec = context.board.specs[asked.service]
    if asked.instances > spec.max_instances:
        raise wrong("instances", asked.instances, f"1 … {spec.max_instances:,}")
    expires_s = _expires_s(context, asked.for_s, asked.schedule)
    request = ManualFloor(asked.service, asked.instances, expires_s, principal.name)
    await _stand(
        context, principal, Permission.FLOOR, request, schedule=asked.schedule, why=asked.why,
        after={"instances": asked.instances},
    )  # fmt: skip
    return fresh(_standing(context, request, asked.schedule), 201)


@router.post(
    "/pauses",
    operation_id="pause",
    summary="Do not scale",
    status_code=201,
    response_model=StandingDocument,
    responses=documented(*CHANGING),
)
async def pause(context: Context, principal: Writer, asked: PauseRequest) -> Response:
    """One service or all, one direction or both, until it is taken back, or for a time."""
    if asked.service:
        _check_service(context, principal, asked.service)
    elif asked.pinned is not None:
        raise wrong("pinned", asked.pinned, "only with a service")
    await context.check(principal, Permission.PAUSE, asked.service, why=asked.why)
    if asked.pinned is not None:
        spec = context.board.specs[asked.service]
        if not spec.min_instances <= asked.pinned <= spec.max_instances:
            raise wrong("pinned", asked.pinned, f"{spec.min_instances:,} … {spec.max_instances:,}")
    expires_s = _expires_s(context, asked.for_s, asked.schedule)
    request = Pause(asked.service, asked.direction, expires_s, asked.pinned)
    await _stand(
        context, principal, Permission.PAUSE, request, schedule=asked.schedule, why=asked.why,
        after={"direction": asked.direction.value, "pinned": asked.pinned},
    )  # fmt: skip
    return fresh(_standing(context, request, asked.schedule), 201)


@router.delete(
    "/floors/{service}",
    operation_id="dropFloor",
    summary="Take the floors of a service back",
    response_model=WithdrawnDocument,
    responses=documented(*CHANGING),
)
async def drop_floor(context: Context, principal: Writer, service: str, why: Why = "") -> Response:
    """Those of schedules too."""
    _check_service(context, principal, service)
    await context.check(principal, Permission.DROP_FLOOR, service, why=why)
    gone = await context.change(
        principal, NotedChange(Permission.DROP_FLOOR, service, why),
        lambda audit: context.desk.withdraw("floor", service, audit=audit),
    )  # fmt: skip
    return _withdrawn(context, "floor", service, gone)


@router.delete(
    "/pauses/{service}",
    operation_id="resume",
    summary="Take the pauses of a service back",
    response_model=WithdrawnDocument,
    responses=documented(*CHANGING),
)
async def resume(context: Context, principal: Writer, service: str, why: Why = "") -> Response:
    """`all-services` is for the one of all of them."""
    name = "" if service == EVERYTHING else service
    if name:
        _check_service(context, principal, name)
    await context.check(principal, Permission.RESUME, name, why=why)
    gone = await context.change(
        principal, NotedChange(Permission.RESUME, name, why),
        lambda audit: context.desk.withdraw("pause", name, audit=audit),
    )  # fmt: skip
    return _withdrawn(context, "pause", name, gone)


# --- approvals


@router.get(
    "/approvals",
    operation_id="approvals",
    summary="What waits for approval",
    response_model=AwaitingList,
    responses=documented(Problem.STORE),
)
async def approvals(context: Context, principal: Reader) -> Response:
    """Each with who asked for it, who has approved it, and how many have to."""
    allowed = context.visible(principal)
    items = [
        await _awaiting(context, row)
        for row in (await _waiting(context)).values()
        if row["service"] in allowed
    ]
    return fresh({"items": items})


@router.post(
    "/approvals/{decision_id}/approve",
    operation_id="approve",
    summary="Let an action pass",
    response_model=AnswerDocument,
    responses=documented(*CHANGING, Problem.NOT_THERE),
)
async def approve(
    context: Context, principal: Writer, decision_id: str, asked: ApproveRequest
) -> Response:
    """Not by who asked for it; risky ones need two."""
    return await _answered(context, principal, decision_id, asked.why, approved=True)


@router.post(
    "/approvals/{decision_id}/reject",
    operation_id="reject",
    summary="Refuse an action",
    response_model=AnswerDocument,
    responses=documented(*CHANGING, Problem.NOT_THERE),
)
async def reject(
    context: Context, principal: Writer, decision_id: str, asked: RejectRequest
) -> Response:
    """With a reason; it is final."""
    return await _answered(context, principal, decision_id, asked.why, approved=False)


# --- inside


async def _answered(
    context: ApiContext, principal: Principal, decision_id: str, why: str, *, approved: bool
) -> Response:
    row = (await _waiting(context)).get(decision_id)
    if row is None or row["service"] not in context.visible(principal):
        raise ProblemError(Problem.NOT_THERE, "nothing with this id waits for approval")
    permission = Permission.APPROVE if approved else Permission.REJECT
    situation = await _situation(context, row)
    await context.check(principal, permission, row["service"], situation, why=why)
    needed = approvals_needed(situation)
    by = (*situation.approved_by, principal.name) if approved else situation.approved_by
    complete = not approved or len(by) >= needed
    answer = Approval(decision_id, approved, context.clock_s(), principal.name)

    change = NotedChange(
        permission, row["service"], why,
        after={"decision": decision_id, "approved": approved, "complete": complete},
    )  # fmt: skip

    def give(audit: str) -> None:
        seen = SoFar(situation.approved_by, situation.rejected_by)
        context.approvals.give(answer, complete=complete, seen=seen, audit=audit)

    await context.change(principal, change, give)
    content = {
        "decision_id": decision_id,
        "approved": approved,
        "by": principal.name,
        "complete": complete,
        "approvals_needed": needed,
        "approved_by": list(by),
    }
    context.board.events.publish(
        EventKind.APPROVAL, row["service"], {"at_s": answer.time_s, "answer": content, "why": why}
    )
    return fresh(content)


async def _waiting(context: ApiContext) -> Mapping[str, Mapping[str, Any]]:
    """What waits for approval, also what an engine before this one asked about.

    Raises the problem that this engine cannot say it: another one leads, or nobody knows who.
    """
    board = context.board
    context.look()
    if not board.leads:
        raise ProblemError(Problem.NOT_READY, NOT_LEADING, headers={"retry-after": "5"})
    if before := board.asked_before:
        board.recall(await context.read(partial(older.asked, context.desk, before)))
    return board.awaiting


async def _situation(context: ApiContext, row: Mapping[str, Any]) -> Situation:
    so_far = await context.read(partial(context.approvals.so_far, row["decision_id"]))
    asked = await kept_action(context, row["scale_id"]) if row["scale_id"] else None
    return replace(
        context.situation(row["service"]),
        scale_in=row["to_instances"] < row["from_instances"],
        asked_by=asked.scale.requested_by if asked else "",
        approved_by=so_far.approved_by,
        rejected_by=so_far.rejected_by,
    )


async def _awaiting(context: ApiContext, row: Mapping[str, Any]) -> dict[str, Any]:
    situation = await _situation(context, row)
    return {
        **row,
        "asked_by": situation.asked_by,
        "approved_by": list(situation.approved_by),
        "approvals_needed": approvals_needed(situation),
        "expires_s": row["time_s"] + context.board.settings.approval.expires_s,
    }


def _check_service(context: ApiContext, principal: Principal, name: str) -> None:
    allowed = context.visible(principal)
    if name not in allowed:
        raise wrong("service", name, ", ".join(allowed), close(name, allowed))


def _expires_s(context: ApiContext, for_s: float | None, schedule: Recurrence | None) -> float:
    """When it ends (epoch seconds, in the engine's time); a schedule says for itself how long."""
    if for_s is None:
        return math.inf
    if schedule is not None:
        detail = "for_s: is not allowed with a schedule, whose duration_s says how long"
        raise ProblemError(
            Problem.INVALID, detail, fields=[FieldProblem("for_s", detail, "one of the two")]
        )
    return context.clock_s() + for_s


async def _stand(
    context: ApiContext,
    principal: Principal,
    permission: Permission,
    request: ManualFloor | Pause,
    *,
    schedule: Recurrence | None,
    why: str,
    after: Mapping[str, Any],
) -> None:
    until = "until taken back" if math.isinf(request.expires_s) else str(request.expires_s)
    said = {**after, "until": until if schedule is None else str(schedule)}
    await context.change(
        principal, NotedChange(permission, request.service, why, after=said),
        lambda audit: context.desk.ask(request, schedule, audit=audit),
    )  # fmt: skip
    context.board.events.publish(
        EventKind.REQUEST, request.service or PLATFORM,
        {"at_s": context.clock_s(), "kind": permission.value,
         "request": _standing(context, request, schedule)},
    )  # fmt: skip


def _standing(
    context: ApiContext, request: ManualFloor | Pause, schedule: Recurrence | None
) -> dict[str, Any]:
    holds = schedule is None or schedule.at(context.clock_s()) is not None
    return standing(request, schedule, holds)


async def _list(context: ApiContext, principal: Principal, kind: str) -> dict[str, Any]:
    asked, complaints = await context.read(context.desk.asked)
    allowed = context.visible(principal)
    now_s = context.clock_s()
    items = [document for one in asked if (document := asked_for(one, now_s)) is not None]
    return {
        "items": [
            one for one in items
            if one["kind"] == kind and one["service"] in ("", *allowed)
        ],
        "complaints": complaints if principal.services is None else [],
    }  # fmt: skip


def _withdrawn(context: ApiContext, kind: str, service: str, gone: bool) -> Response:
    content = {"kind": kind, "service": service, "withdrawn": gone}
    if gone:
        context.board.events.publish(
            EventKind.REQUEST, service or PLATFORM,
            {"at_s": context.clock_s(), "kind": f"withdraw_{kind}", "request": content},
        )  # fmt: skip
    return fresh(content)
