"""What earlier runs came to, to be compared."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from engine.api.access import Context, Reader
from engine.api.answers import documented, fresh
from engine.api.problems import Problem, ProblemError
from engine.api.record_documents import RecordList

router = APIRouter(prefix="/api/scalability")
OF_SERVICE = "services."


@router.get(
    "/records",
    operation_id="records",
    summary="What earlier runs came to",
    response_model=RecordList,
    responses=documented(Problem.NOT_THERE, Problem.STORE),
)
async def records(context: Context, principal: Reader) -> Response:
    """The newest run records of the output folder with their headline figures, newest first.

    Who is limited to some services sees the figures of those and none of the platform's.
    """
    there = context.records
    if there is None:
        raise ProblemError(Problem.NOT_THERE, "this engine keeps no run records")
    newest, unreadable = await context.read(there.newest)
    items: list[dict[str, Any]] = []
    for one in newest:
        figures = dict(one.figures)
        if principal.services is not None:
            figures = {
                path: value for path, value in figures.items()
                if any(path.startswith(f"{OF_SERVICE}{name}.") for name in principal.services)
            }  # fmt: skip
        items.append(
            {
                "id": one.id, "scenario": one.scenario, "controller": one.controller,
                "world": one.world, "seed": one.seed, "started_at": one.started_at,
                "partial": one.partial, "figures": figures,
            }
        )  # fmt: skip
    return fresh({"items": items, "unreadable": unreadable})
