"""Emergency access over the API: a code that was sealed beforehand, for a token of an hour."""

from __future__ import annotations

import asyncio
from functools import partial

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import Response

from engine.api.access import Context
from engine.api.answers import documented, fresh
from engine.api.emergency_documents import EmergencyDocument, EmergencyRequest
from engine.api.problems import Problem, ProblemError, wrong
from engine.ports.cabinet import CabinetError
from engine.security.break_glass import BreakGlassError

router = APIRouter(prefix="/api/scalability")

log = structlog.stdlib.get_logger(__name__)


@router.post(
    "/break-glass",
    operation_id="breakGlass",
    summary="Open emergency access",
    response_model=EmergencyDocument,
    responses=documented(Problem.NOT_AUTHENTICATED, Problem.TOO_MANY, Problem.STORE),
)
async def break_glass(request: Request, context: Context, asked: EmergencyRequest) -> Response:
    """A sealed code shows who asks; a token comes for it, once, and everybody is told.

    Neither an identity provider nor the store is asked.  Codes that are none count against the
    address that they come from, and are written down.
    """
    address = request.client.host if request.client else ""
    now_s = context.wall_s()
    if not asked.reason.isprintable():
        raise wrong("reason", "what it says", "characters that can be printed")
    exchange = partial(
        context.emergency.exchanged, asked.code.get_secret_value(), asked.reason,
        context.audit.append, now_s=now_s, for_s=asked.for_s, asked_by={"address": address},
    )  # fmt: skip
    if context.emergency.opened_with(asked.code.get_secret_value()) is None and (
        wait_s := context.failures.wait_s(address)
    ):
        raise ProblemError(
            Problem.TOO_MANY, "too many requests that did not show who asks",
            headers={"retry-after": str(wait_s)},
        )  # fmt: skip
    try:
        token = await asyncio.to_thread(exchange)
    except BreakGlassError as error:
        raise ProblemError(
            Problem.NOT_AUTHENTICATED, str(error),
            headers={"www-authenticate": 'Bearer realm="wedtwin"'},
        ) from None  # fmt: skip
    except (OSError, CabinetError) as error:
        log.error(f"emergency access cannot be opened: {error}")
        raise ProblemError(
            Problem.STORE, "what is asked for cannot be written down, so it is not done"
        ) from error
    return fresh({"token": token, "expires_s": round(now_s + asked.for_s, 3)})
