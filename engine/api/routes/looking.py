"""What there is: services, decisions, troubles, and how the engine itself fares."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from engine.api import older
from engine.api.access import Context, Reader
from engine.api.answers import answer, below, cursor_of, documented, fresh
from engine.api.context import NOT_LEADING, ApiContext
from engine.api.decision_documents import DecisionDocument, DecisionPage
from engine.api.decisions import Row
from engine.api.documents import HealthDocument, ReadinessDocument, TroublesDocument
from engine.api.problems import Problem, ProblemError, wrong
from engine.api.service_documents import ServiceDocument, ServiceList
from engine.api.snapshot import EncodedText, StepLook, encoded
from engine.api.standing import floors_of, pauses_of
from engine.config.complaints import close

router = APIRouter(prefix="/api/scalability")
probes = APIRouter()

SILENT_S = 60.0
"""An engine that has shown nothing for longer hangs."""
KINDS = ("action", "recommendation", "warm")


@router.get(
    "/services",
    operation_id="services",
    summary="All services",
    response_model=ServiceList,
    responses=documented(validated=True),
)
async def services(request: Request, context: Context, principal: Reader) -> Response:
    """As they are configured, and what people want of them."""
    look = context.look()
    names = context.visible(principal)
    return answer(
        request,
        look.text(
            ("services", names), lambda: {"items": [service_document(look, n)[0] for n in names]}
        ),
    )


@router.get(
    "/services/{name}",
    operation_id="service",
    summary="One service",
    response_model=ServiceDocument,
    responses=documented(Problem.NOT_THERE, validated=True),
)
async def service(request: Request, context: Context, principal: Reader, name: str) -> Response:
    """Its ETag goes into If-Match of a manual action: it changes with what people may change."""
    context.service(principal, name)
    document, etag = service_document(context.look(), name)
    return answer(request, EncodedText(encoded(document).content, etag))


def service_document(look: StepLook, name: str) -> tuple[dict[str, Any], str]:
    """A service and its ETag."""
    service = look.services[name]
    spec = service.spec
    scale = next((s.id for s in reversed(look.scales) if s.service == name), "")
    document: dict[str, Any] = {
        "name": name,
        "desired": service.desired,
        "min_instances": spec.min_instances,
        "max_instances": spec.max_instances,
        "slots": spec.slots,
        "rate_per_instance": spec.rate_per_instance,
        "slo_p95_s": spec.slo_p95_s,
        "price_per_hour": spec.price_per_hour,
        "stateful": spec.stateful,
        "user_facing": spec.user_facing,
        "calls": {call.service: call.per_request for call in spec.calls},
        "wedding_floor": service.wedding_floor,
        "floors": floors_of(look, name),
        "pauses": pauses_of(look, name),
        "manual_action": scale,
        "state": service.state.value,
    }
    etag = encoded(document).etag
    return {**document, "version": etag.strip('"')}, etag


# --- decisions


@router.get(
    "/decisions",
    operation_id="decisions",
    summary="The newest decisions",
    response_model=DecisionPage,
    responses=documented(),
)
async def decisions(
    context: Context,
    principal: Reader,
    limit: Annotated[int, Query(ge=1, le=200, description="Rows of a page")] = 50,
    cursor: Annotated[str, Query(max_length=40, description="`next` of the page before")] = "",
    *,
    service: Annotated[str, Query(max_length=100, description="Of this one alone")] = "",
    kind: Annotated[str, Query(max_length=20, description="action or recommendation")] = "",
) -> Response:
    """Newest first; a page does not shift while new ones come.

    What the engine does not remember any more comes from the store: actions, without a number.
    """
    allowed = context.visible(principal)
    if service and service not in allowed:
        raise wrong("service", service, ", ".join(allowed), close(service, allowed))
    if kind and kind not in KINDS:
        raise wrong("kind", kind, ", ".join(KINDS), close(kind, KINDS))
    most = min(limit, context.config.limits.page)

    def wanted(row: Row) -> bool:
        return (
            row["service"] in allowed
            and (not service or row["service"] == service)
            and (not kind or row["kind"] == kind)
        )

    mark, number = below(cursor) or ("n", None)
    if mark == "n":
        rows, after = context.board.decisions.page(number, most, wanted)
        if after is not None or kind == "recommendation":
            return fresh({"items": rows, "next": None if after is None else cursor_of(after)})
        position = await _remembered_from(context)
    else:
        rows, position = [], number or 0

    def is_older(row: Row) -> bool:
        return wanted(row) and context.board.decisions.action(row["decision_id"]) is None

    stored, position_after = await context.read(
        partial(older.page, context.desk, position, most - len(rows), is_older)
    )
    following = None if position_after is None else cursor_of(position_after, "p")
    return fresh({"items": [*rows, *stored], "next": following})


async def _remembered_from(context: ApiContext) -> int | None:
    """The position in the history of the oldest action that is remembered; None for its end."""
    oldest = context.board.decisions.oldest_action()
    if oldest is None:
        return None
    return await context.read(partial(older.position_of, context.desk, oldest))


@router.get(
    "/decisions/{decision_id}",
    operation_id="decision",
    summary="One decision",
    response_model=DecisionDocument,
    responses=documented(Problem.NOT_THERE, validated=True),
)
async def decision(
    request: Request, context: Context, principal: Reader, decision_id: str
) -> Response:
    """An action by its id, and what became of it."""
    row = context.board.decisions.action(decision_id)
    if row is None and re.fullmatch(r"[\w.-]{1,200}", decision_id):
        row = await context.read(partial(older.one, context.desk, decision_id))
    if row is None or row["service"] not in context.visible(principal):
        raise ProblemError(Problem.NOT_THERE, "there is no such decision")
    return answer(request, encoded(row))


# --- the engine itself


@router.get(
    "/troubles",
    operation_id="troubles",
    summary="What does not work now",
    response_model=TroublesDocument,
    responses=documented(),
)
async def troubles(context: Context, principal: Reader) -> Response:
    """By source; who is limited to some services is shown those that name one of them."""
    shown = context.board.shown
    if shown is None:
        context.look()
        raise ProblemError(Problem.NOT_READY, "the engine has shown nothing yet")
    all_of_them: dict[str, list[str]] = {k: list(v) for k, v in shown.status["troubles"].items()}
    names = context.visible(principal)
    if principal.services is not None:
        limited = {
            source: [text for text in texts if any(name in text.split() for name in names)]
            for source, texts in all_of_them.items()
        }
        all_of_them = {source: texts for source, texts in limited.items() if texts}
    document = {
        "as_of_s": shown.status["time_s"],
        "troubles": all_of_them,
        "bookings": shown.status.get("bookings") if principal.services is None else None,
        "counted_s": {
            name: at_s for name, at_s in shown.status.get("counted_s", {}).items() if name in names
        },
    }
    return fresh(document)


@router.get(
    "/health",
    operation_id="health",
    summary="Liveness",
    response_model=HealthDocument,
    responses={500: documented()[500]},
)
async def health() -> Response:
    """Whether the process answers; a probe need not show who it is."""
    return fresh({"status": "alive"})


@router.get(
    "/readiness",
    operation_id="readiness",
    summary="Readiness",
    response_model=ReadinessDocument,
    responses={
        500: documented()[500],
        503: {
            "description": "It does not lead, does not step, or is about to stop",
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/ReadinessDocument"}}
            },
        },
    },
)
async def readiness(context: Context) -> Response:
    """Whether the engine leads and steps; a probe need not show who it is."""
    document = readiness_document(context)
    return fresh(document, 200 if document["ready"] else 503)


def readiness_document(context: ApiContext) -> dict[str, Any]:
    """Whether the engine leads and steps, and why not."""
    shown = context.board.shown
    age_s = None if shown is None else max(context.wall_s() - shown.shown_s, 0.0)
    reason = ""
    if context.draining:
        reason = "it is about to stop"
    elif age_s is None:
        reason = "the engine has made no step yet"
    elif age_s > SILENT_S:
        reason = f"the engine's last step was {age_s:.0f} s ago"
    elif not context.board.leads:
        reason = NOT_LEADING
    elif context.board.look is None:
        reason = "the engine could not make a step yet"
    return {
        "ready": not reason,
        "reason": reason,
        "acts": context.acts,
        "steps": shown.status["steps"] if shown else 0,
        "skipped": shown.status["skipped"] if shown else 0,
        "last_step_age_s": None if age_s is None else round(age_s, 3),
        "lead": shown.status["lead"] if shown else 0,
    }
