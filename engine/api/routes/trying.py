"""What if: the hours to come, tried out from this moment on.  Nothing is changed by it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from engine.api.access import Context, PlatformAsker
from engine.api.answers import documented, fresh
from engine.api.context import ApiContext
from engine.api.problems import Problem, wrong
from engine.api.what_if import TriedChange, moment_of
from engine.api.what_if_documents import WhatIfChoices, WhatIfDocument, WhatIfRequest
from engine.config.complaints import close

router = APIRouter(prefix="/api/scalability")


@router.get(
    "/what-if",
    operation_id="whatIfChoices",
    summary="What can be tried out",
    response_model=WhatIfChoices,
    responses=documented(Problem.NOT_THERE, Problem.BUSY),
)
async def choices(context: Context, _: PlatformAsker) -> Response:
    """Zones, services and controllers; whoever asks lets it begin, so what follows is quick."""
    names = list(context.look().services)
    return fresh({**await context.trials.ask("choices"), "services": names})


@router.post(
    "/what-if",
    operation_id="whatIf",
    summary="Try the next hours out",
    response_model=WhatIfDocument,
    responses=documented(Problem.NOT_THERE, Problem.BUSY, Problem.STORE),
)
async def what_if(context: Context, _: PlatformAsker, asked: WhatIfRequest) -> Response:
    """In the twin, from the engine's own memory on: as planned, and with the change beside it."""
    look = context.look()
    change = _change(context, asked)
    memory = await context.read(context.desk.memory)
    return fresh(await context.trials.ask("tried", moment_of(look, memory), change, asked.for_s))


def _change(context: ApiContext, asked: WhatIfRequest) -> TriedChange:
    there = list(context.look().services)
    named = {
        "load.service": asked.load.service if asked.load else "",
        "pause.service": asked.pause.service if asked.pause else "",
        "floor.service": asked.floor.service if asked.floor else "",
    }
    for field, name in named.items():
        if name and name not in there:
            raise wrong(field, name, ", ".join(there[:20]), close(name, there))
    given: dict[str, Any] = {"zone": asked.zone, "controller": asked.controller}
    if asked.load:
        given |= {"load_service": asked.load.service, "load_factor": asked.load.factor}
    if asked.pause:
        given |= {"pause_service": asked.pause.service, "pause_direction": asked.pause.direction}
    if asked.floor:
        most = context.look().services[asked.floor.service].spec.max_instances
        if asked.floor.instances > most:
            raise wrong("floor.instances", asked.floor.instances, f"1 … {most:,}")
        given |= {"floor_service": asked.floor.service, "floor_instances": asked.floor.instances}
    return TriedChange(**given)
