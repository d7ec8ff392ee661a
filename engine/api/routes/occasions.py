"""Occasions: what is in no calendar.  Somebody proposes, somebody else approves, anybody looks.

An occasion lets capacity stand ready, as a floor does: who may set the floors of its services may
propose it, and who may take them back may take it back.  Until somebody approves it nothing stands,
and who proposed it may think better of it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from engine.api.access import Context, Reader, Writer
from engine.api.answers import CHANGING, documented, fresh
from engine.api.context import ApiContext, NotedChange
from engine.api.events import EventKind
from engine.api.occasion_documents import (
    OccasionDocument,
    OccasionList,
    OccasionReason,
    OccasionRequest,
)
from engine.api.problems import Problem, ProblemError, wrong
from engine.model import Occasion
from engine.ports.desk import KeptRow
from engine.ports.occasions import (
    MOST_OCCASIONS,
    SHOWN_S,
    OccasionState,
    approved,
    fault_of,
    said,
    state_of,
    taken_back,
)
from engine.ports.store import RowKind
from engine.prediction.occasions import preview
from engine.security.roles import Permission, Principal

router = APIRouter(prefix="/api/scalability/occasions")

PAST = ("id", "starts_s", "expected", "came")
MOST_PAST, LOOKED_THROUGH = 5, 500
"""So many earlier ones of a name are shown, of so many occasions that were."""
TO_COME = (OccasionState.PROPOSED, OccasionState.APPROVED, OccasionState.UNDER_WAY)


@router.get(
    "",
    operation_id="occasions",
    summary="What is expected that no calendar knows",
    response_model=OccasionList,
    responses=documented(Problem.STORE),
)
async def occasions(context: Context, principal: Reader) -> Response:
    """With what each would take, and whether that stands ready."""
    look = context.look()
    allowed = context.visible(principal)
    there = (await _occasions(context)).values()
    items = [
        await _document(context, one) for one in there
        if any(name in allowed for name in one.services)
    ]  # fmt: skip
    return fresh({"as_of_s": look.time_s, "items": items})


@router.post(
    "",
    operation_id="proposeOccasion",
    summary="Propose an occasion",
    status_code=201,
    response_model=OccasionDocument,
    responses={
        **documented(*CHANGING),
        200: {"model": OccasionDocument, "description": "dry_run: what it would take"},
    },
)
async def propose(context: Context, principal: Writer, asked: OccasionRequest) -> Response:
    """It changes nothing until somebody else approves it; the answer says what it would take."""
    now_s = context.clock_s()
    occasion = Occasion(
        f"o-{secrets.token_hex(4)}", asked.name, tuple(asked.times.items()), asked.starts_s,
        asked.ends_s, asked.sure, asked.ramp_s, asked.ends_s + SHOWN_S, principal.name, asked.why,
    )  # fmt: skip
    if fault := fault_of(occasion, now_s, context.visible(principal)):
        raise wrong(fault.field, fault.given, fault.allowed, fault.hint)
    for name in occasion.services:
        await context.check(principal, Permission.FLOOR, name, why=asked.why)
    if asked.dry_run:
        return fresh(await _document(context, occasion), 200)
    there = (await _occasions(context)).values()
    if sum(state_of(one, now_s) in TO_COME for one in there) >= MOST_OCCASIONS:
        raise ProblemError(
            Problem.CONFLICT, f"{MOST_OCCASIONS} occasions are to come; take one back first"
        )
    return await _stand(context, principal, Permission.FLOOR, occasion, why=asked.why, status=201)


@router.post(
    "/{occasion}/approve",
    operation_id="approveOccasion",
    summary="Approve an occasion",
    response_model=OccasionDocument,
    responses=documented(*CHANGING, Problem.NOT_THERE),
)
async def approve(
    context: Context, principal: Writer, occasion: str, asked: OccasionReason
) -> Response:
    """From now on the engine expects it; who proposed it cannot approve it."""
    own = await _own(context, principal, occasion)
    for name in own.services:
        situation = replace(context.situation(name), asked_by=own.requested_by)
        await context.check(principal, Permission.APPROVE, name, situation, why=asked.why)
    if state_of(own, context.clock_s()) is not OccasionState.PROPOSED:
        raise ProblemError(Problem.CONFLICT, "the occasion does not wait for approval")
    counted = approved(own, principal.name)
    return await _stand(context, principal, Permission.APPROVE, counted, why=asked.why)


@router.delete(
    "/{occasion}",
    operation_id="dropOccasion",
    summary="Take an occasion back",
    response_model=OccasionDocument,
    responses=documented(*CHANGING, Problem.NOT_THERE),
)
async def drop(
    context: Context,
    principal: Writer,
    occasion: str,
    why: Annotated[str, Query(max_length=500, description="A reason, for the audit log")] = "",
) -> Response:
    """The engine expects it no more, and takes back what stood for it as after any event."""
    own, now_s = await _own(context, principal, occasion), context.clock_s()
    state = state_of(own, now_s)
    is_own = state is OccasionState.PROPOSED and own.requested_by == principal.name
    permission = Permission.FLOOR if is_own else Permission.DROP_FLOOR
    for name in own.services:
        await context.check(principal, permission, name, why=why)
    if state not in TO_COME:
        raise ProblemError(Problem.CONFLICT, "the occasion is over")
    return await _stand(
        context, principal, permission, taken_back(own, principal.name, now_s), why=why
    )


async def _occasions(context: ApiContext) -> dict[str, Occasion]:
    """Those that stand, by id."""
    asked, _ = await context.read(context.desk.asked)
    now_s = context.clock_s()
    return {
        one.request.id: one.request
        for one in asked
        if isinstance(one.request, Occasion) and now_s < one.request.expires_s
    }


async def _own(context: ApiContext, principal: Principal, name: str) -> Occasion:
    own = (await _occasions(context)).get(name)
    allowed = context.visible(principal)
    if own is None or not all(service in allowed for service in own.services):
        raise ProblemError(Problem.NOT_THERE, "there is no such occasion")
    return own


async def _stand(
    context: ApiContext,
    principal: Principal,
    permission: Permission,
    occasion: Occasion,
    *,
    why: str,
    status: int = 200,
) -> Response:
    change = NotedChange(permission, occasion.services[0], why, after=said(occasion))
    await context.change(principal, change, lambda audit: context.desk.ask(occasion, audit=audit))
    content = await _document(context, occasion)
    context.board.events.publish(
        EventKind.REQUEST, occasion.service,
        {"at_s": context.clock_s(), "kind": "occasion", "request": content},
    )  # fmt: skip
    return fresh(content, status)


async def _document(context: ApiContext, occasion: Occasion) -> dict[str, Any]:
    """How it stands, and what it takes on top of what is expected without it."""
    now_s = context.clock_s()
    state = state_of(occasion, now_s)
    content: dict[str, Any] = {
        "id": occasion.id, "name": occasion.name, "times": dict(occasion.times),
        "starts_s": occasion.starts_s, "ends_s": occasion.ends_s, "sure": occasion.sure,
        "ramp_s": occasion.ramp_s, "status": state.value, "requested_by": occasion.requested_by,
        "approved_by": occasion.approved_by, "ended_by": occasion.ended_by, "why": occasion.why,
        "preview": None, "came": None, "past": [],
    }  # fmt: skip
    for row in await context.read(_rows_of(context)):
        past = json.loads(row.row.content)
        if past["id"] == occasion.id:
            content["came"] = past["came"]
        elif past["name"].casefold() == occasion.name.casefold():
            content["past"].append({key: past[key] for key in PAST})
    content["past"] = content["past"][:MOST_PAST]
    if state in TO_COME:
        content["preview"] = await asyncio.to_thread(_preview, context, occasion, now_s)
    return content


def _rows_of(context: ApiContext) -> Callable[[], list[KeptRow]]:
    """What came of occasions, newest first."""
    return partial(context.desk.history_back, None, LOOKED_THROUGH, (RowKind.OCCASION,))


def _preview(context: ApiContext, occasion: Occasion, now_s: float) -> dict[str, Any]:
    look = context.look()
    specs = tuple(context.board.specs.values())
    # What is approved is in the outlook of a step already: it must not count twice.
    booked = look.outlook.as_booked or look.outlook
    previewed = preview(
        booked, occasion, specs, context.board.settings, now_s=max(now_s, booked.start_s)
    )
    services = {
        name: {
            "needed": peak, "usual": previewed.usual[name], "desired": look.services[name].desired,
            "ready": look.services[name].ready,
        }
        for name, peak in previewed.peak.items()
    }  # fmt: skip
    return {
        "services": services,
        "steps": [
            {"at_s": step.at_s, "service": step.service, "from_instances": step.from_instances,
             "to_instances": step.to_instances, "ready_s": step.ready_s}
            for step in previewed.steps
        ],
        "cost_usd": previewed.cost_usd,
        "is_known": previewed.is_known,
        "is_ready": all(one["ready"] >= one["needed"] for one in services.values()),
    }  # fmt: skip
