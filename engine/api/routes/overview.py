"""What one page over everything asks for: how it stands, who asks, what is behind a decision."""

from __future__ import annotations

import math
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from engine.api.access import Context, Reader
from engine.api.answers import answer, documented, fresh, moment
from engine.api.context import ApiContext
from engine.api.decisions import Row
from engine.api.overview import overview as overview_of
from engine.api.overview_documents import BackgroundDocument, OverviewDocument, WhoDocument
from engine.api.problems import Problem, ProblemError
from engine.api.routes.metrics import LAST_S, sizes_of
from engine.decide.callgraph import critical_services
from engine.model import Reason, Status
from engine.security.roles import TABLE, Extent, Permission, PlatformState, refusal

router = APIRouter(prefix="/api/scalability")

CARRIED_OUT = (Status.ACCEPTED.value, Status.COMPLETED.value)
"""Outcomes of an action that the infrastructure has taken."""


@router.get(
    "/overview",
    operation_id="overview",
    summary="How it stands with everything",
    response_model=OverviewDocument,
    responses=documented(Problem.NOT_THERE, validated=True),
)
async def overview(
    request: Request,
    context: Context,
    principal: Reader,
    at: Annotated[
        int,
        Query(
            ge=0,
            le=LAST_S,
            description="A moment that is over (epoch seconds), to the minute; without it: now",
        ),
    ] = 0,
) -> Response:
    """Weddings by phase, services with demand, capacity and need, cost, major events to come.

    Of a moment that is over, by the step before it: without major events to come.
    """
    look = context.look()
    names = context.visible(principal)
    past, step = context.board.past, None
    if at:
        step = past.at(at)
        if step is None:
            span = past.span()
            kept = f"; they reach from {moment(span[0])} to {moment(span[1])}" if span else ""
            raise ProblemError(Problem.NOT_THERE, f"at: no step of {moment(at)} is kept{kept}")

    def made() -> dict[str, Any]:
        sizes = sizes_of(context)
        waited_for = frozenset(critical_services(tuple(context.board.specs.values())))
        settings = context.board.settings
        if step is not None:
            return overview_of(
                past.look(step, look), names, sizes, settings, waited_for=waited_for, needs=(),
                weddings={"noun": look.weddings.noun, **step.weddings},
            )  # fmt: skip
        needs = context.majors.of(look, sizes)
        return overview_of(look, names, sizes, settings, waited_for=waited_for, needs=needs)

    return answer(request, look.text(("overview", names, step and step.number), made))


@router.get(
    "/me",
    operation_id="me",
    summary="Who asks, and what he may do",
    response_model=WhoDocument,
    responses=documented(),
)
async def me(context: Context, principal: Reader) -> Response:
    """By the table of roles; what is shown to him need not hold what he may not do."""
    may: dict[str, dict[str, list[str]]] = {
        extent.value: {state.value: [] for state in PlatformState} for extent in Extent
    }
    allowed = {cell[1:] for cell in TABLE if cell[0] in principal.roles}
    for permission, extent, state in sorted(allowed):
        may[extent.value][state.value].append(permission.value)
    return fresh(
        {
            "name": principal.name,
            "roles": sorted(principal.roles),
            "method": principal.method.value,
            "services": None if principal.services is None else sorted(principal.services),
            "expires_s": principal.expires_s if math.isfinite(principal.expires_s) else None,
            "may": may,
            "what_if": context.trials.is_there
            and not refusal(
                principal, Permission.PREDICT, "", context.situation(""), now_s=context.wall_s()
            ),
        }
    )


@router.get(
    "/decisions/{decision_id}/background",
    operation_id="decisionBackground",
    summary="What is behind a decision",
    response_model=BackgroundDocument,
    responses=documented(Problem.NOT_THERE),
)
async def decision_background(context: Context, principal: Reader, decision_id: str) -> Response:
    """What the rules wanted in the same step, how to take it back, and whether it helped."""
    book = context.board.decisions
    row = book.action(decision_id)
    if row is None or row["service"] not in context.visible(principal):
        raise ProblemError(Problem.NOT_THERE, "there is no such decision among the newest")
    of_service, _ = book.page(
        None, context.config.limits.decisions, lambda one: bool(one["service"] == row["service"])
    )
    wanted = [
        one for one in of_service
        if one["kind"] == "recommendation" and one["time_s"] == row["time_s"]
    ]  # fmt: skip
    return fresh(
        {
            "decision": row,
            "wanted": wanted,
            "rollback_plan": {"service": row["service"], "instances": row["rollback_to"]},
            "verification": _verification(context, row, of_service),
        }
    )


def _verification(context: ApiContext, row: Row, of_service: list[Row]) -> dict[str, Any]:
    """How `row` came out, by what the engine did to its service since (`of_service`, newest first).

    The engine watches its newest step of a service (`engine.decide.verify`), from when it is
    carried out, and takes it back where it made things worse.
    """
    settings = context.board.settings.verify
    unjudged = {"until_s": None, "by": ""}
    if row["outcome"] == Status.ACCEPTED.value:
        return {"state": "under_way", **unjudged}
    if row["outcome"] != Status.COMPLETED.value:
        waits = row["outcome"] in ("requested", "awaiting")
        return {"state": "under_way" if waits else "not_carried_out", **unjudged}
    until_s = row["completed_s"] + settings.settle_s + settings.watch_s
    later = [
        one for one in reversed(of_service)
        if one["kind"] == "action" and one["number"] > row["number"]
        and one["outcome"] in CARRIED_OUT
    ]  # fmt: skip
    if later and later[0]["time_s"] <= until_s + settings.watch_s:
        after = later[0]
        evidence = after["evidence"]
        if (
            after["reason"] == Reason.ROLLBACK.value
            and evidence.get("from") == row["to_instances"]
            and evidence.get("back_to") == row["from_instances"]
        ):
            return {"state": "taken_back", "until_s": after["time_s"], "by": after["decision_id"]}
        if after["time_s"] < until_s:
            return {"state": "overtaken", "until_s": None, "by": after["decision_id"]}
    look = context.board.look
    now_s = until_s if look is None else look.time_s
    return {"state": "watched" if now_s < until_s else "held", "until_s": until_s, "by": ""}
