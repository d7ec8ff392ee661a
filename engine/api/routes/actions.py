"""Manual actions: asked for here, taken by the engine at its next step, through its own limits.

What is asked for together is one transaction of the store: all of it stands, or none.

It is long because one kind of request goes through many checks, each with its own answer.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi.responses import Response

from engine.adapters.store.written import scale_of
from engine.api import scaling
from engine.api.access import Context, Reader, Writer
from engine.api.answers import CHANGING, documented, fresh, has_changed
from engine.api.context import ApiContext, NotedChange
from engine.api.events import EventKind
from engine.api.idempotency import Reply, identifier
from engine.api.manual import OVER, ManualAction, ManualStatus
from engine.api.problems import Problem, ProblemError
from engine.api.routes.looking import service_document
from engine.api.routes.metrics import needed, sizes_of
from engine.api.scale_documents import (
    ManualDocument,
    OrchestrateRequest,
    RollbackRequest,
    ScaleDocument,
    ScaleRequest,
    ScalingResult,
    WeddingAwareRequest,
)
from engine.api.scaling import Target
from engine.decide.callgraph import call_order
from engine.model import ManualScale
from engine.ports.desk import Asked
from engine.ports.store import RowKind
from engine.security.roles import Method, Permission, Principal

router = APIRouter(prefix="/api/scalability/actions")

BEYOND = (*CHANGING, Problem.PROTECTED, Problem.BEYOND_QUOTA, Problem.BEYOND_BUDGET,
          Problem.IN_PROGRESS)  # fmt: skip

Key = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        description="The same key makes the same request once, however often it is sent",
        examples=["4f6c2a0e"],
    ),
]
IfMatch = Annotated[
    str, Header(alias="If-Match", description="The service's ETag when it was looked at")
]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a request comes to."""

    targets: tuple[Target, ...]
    why: str
    for_s: float
    dry_run: bool
    override: bool = False


@router.post(
    "/scale",
    operation_id="scale",
    summary="Scale one service",
    status_code=202,
    response_model=ScaleDocument,
    responses={
        **documented(*BEYOND, Problem.CHANGED),
        200: {"model": ScaleDocument, "description": "dry_run: what would be done"},
    },
)
async def scale(
    context: Context,
    principal: Writer,
    asked: ScaleRequest,
    key: Key = "",
    *,
    if_match: IfMatch = "",
) -> Response:
    """Checked against bounds, protection, quota, budget and who may; then the engine takes it.

    With `override` an incident commander has it done at once, past steps, rests, quota and budget.
    """
    wanted = _Wanted(
        (Target(asked.service, asked.instances, "instances"),), asked.why, asked.for_s,
        asked.dry_run, asked.override,
    )  # fmt: skip

    async def work() -> Reply:
        look = context.look()
        scaling.checked_names(wanted.targets, context.visible(principal))
        if has_changed(if_match, service_document(look, asked.service)[1]):
            raise ProblemError(Problem.CHANGED, f"{asked.service} has changed; look at it again")
        actions, warnings = await _asked(context, principal, wanted, key)
        action = actions[0]
        price = look.services[asked.service].spec.price_per_hour
        content = {
            **action.shown(),
            "dry_run": asked.dry_run,
            "warnings": warnings,
            "cost_per_hour": round((asked.instances - (action.scale.before or 0)) * price, 6),
        }
        return _reply(content, asked.dry_run, action.scale.id)

    return await _once(context, principal, key, {"scale": asked.model_dump(mode="json")}, work=work)


@router.post(
    "/orchestrate",
    operation_id="orchestrate",
    summary="Scale several services, all or none",
    status_code=202,
    response_model=ScalingResult,
    responses={
        **documented(*BEYOND),
        200: {"model": ScalingResult, "description": "dry_run: what would be done"},
    },
)
async def orchestrate(
    context: Context, principal: Writer, asked: OrchestrateRequest, key: Key = ""
) -> Response:
    """Checked together, and asked for in the order of calls: what is called goes first."""
    wanted = _Wanted(
        tuple(
            Target(change.service, change.instances, f"changes.{i}.instances")
            for i, change in enumerate(asked.changes)
        ),
        asked.why,
        asked.for_s,
        asked.dry_run,
        asked.override,
    )

    async def work() -> Reply:
        context.look()
        scaling.checked_names(wanted.targets, context.visible(principal))
        actions, warnings = await _asked(context, principal, wanted, key)
        return _reply_several(actions, warnings, asked.dry_run)

    request = {"orchestrate": asked.model_dump(mode="json")}
    return await _once(context, principal, key, request, work=work)


@router.post(
    "/wedding-aware",
    operation_id="weddingAware",
    summary="Scale to what the booked weddings ask for",
    status_code=202,
    response_model=ScalingResult,
    responses={
        **documented(*BEYOND),
        200: {"model": ScalingResult, "description": "dry_run, or nothing has to be done"},
    },
)
async def wedding_aware(
    context: Context, principal: Writer, asked: WeddingAwareRequest, key: Key = ""
) -> Response:
    """Each service that has less than its wedding floor, or than the next hours need, gets that."""

    async def work() -> Reply:
        look = context.look()
        allowed = context.visible(principal)
        names = asked.services or list(allowed)
        given = tuple(Target(n, 0, f"services.{i}.service") for i, n in enumerate(names))
        scaling.checked_names(given, allowed)
        for name in names:  # also where nothing has to be done: what is needed is not for everybody
            await context.check(principal, Permission.SCALE_OUT, name, why=asked.why)
        sizes = sizes_of(context)
        targets = []
        for name in names:
            service = look.services[name]
            lead_s = context.board.settings.weddings.lead_s
            counts = [
                needed(service.spec, sizes[name], one.q90, one.q50)
                for one in service.forecasts
                if one.horizon_s <= lead_s
            ]
            most = max([*counts, min(service.wedding_floor, service.spec.max_instances)])
            if most > service.desired:
                targets.append(Target(name, most, "services"))
        wanted = _Wanted(tuple(targets), asked.why, asked.for_s, asked.dry_run)
        actions, warnings = await _asked(context, principal, wanted, key)
        if not targets:
            warnings.append("every service has what the next hours need")
        return _reply_several(actions, warnings, asked.dry_run or not targets)

    request = {"wedding-aware": asked.model_dump(mode="json")}
    return await _once(context, principal, key, request, work=work)


@router.get(
    "/{action_id}",
    operation_id="action",
    summary="How far a manual action is",
    response_model=ManualDocument,
    responses=documented(Problem.NOT_THERE),
)
async def action(context: Context, principal: Reader, action_id: str) -> Response:
    """From `requested` to `completed`; what holds it back is in `detail`."""
    return fresh((await _there(context, principal, action_id)).shown())


@router.post(
    "/{action_id}/rollback",
    operation_id="rollback",
    summary="Take a manual action back",
    status_code=202,
    response_model=ManualDocument,
    responses=documented(*BEYOND, Problem.NOT_THERE),
)
async def rollback(
    context: Context, principal: Writer, action_id: str, asked: RollbackRequest, *, key: Key = ""
) -> Response:
    """To the count before it, as a manual action of its own."""

    async def work() -> Reply:
        taken_back = await _there(context, principal, action_id)
        scale = taken_back.scale
        await context.check(principal, Permission.ROLL_BACK, scale.service, why=asked.why)
        if taken_back.status in OVER:
            raise ProblemError(Problem.CONFLICT, f"{action_id} is {taken_back.status.value}")
        if scale.before is None:
            raise ProblemError(
                Problem.CONFLICT,
                f"nobody knows what {scale.service} had before {action_id}; ask for a count",
            )
        spec = context.look().services[scale.service].spec
        before = min(max(scale.before, spec.min_instances), spec.max_instances)
        wanted = _Wanted(
            (Target(scale.service, before, "instances"),),
            asked.why or f"rollback of {action_id}", ROLLBACK_S, False,
        )  # fmt: skip
        actions, _ = await _asked(context, principal, wanted, key or f"rollback-{action_id}")
        context.board.manual.rolled_back(action_id, actions[0].scale.id)
        return _reply(actions[0].shown(), False, actions[0].scale.id)

    return await _once(
        context, principal, key, {"rollback": action_id, "why": asked.why}, work=work
    )


URGENT_S = 3.0
"""Who has emergency access waits for the store for so long."""
IDENTIFIER = re.compile(r"manual-[0-9a-f]{24}")
ROLLBACK_S = 900.0
"""A rollback holds its count for so long, and leaves the service to the engine then."""


async def _asked(
    context: ApiContext, principal: Principal, wanted: _Wanted, key: str
) -> tuple[list[ManualAction], list[str]]:
    """Check all of it, then ask for each; raises ProblemError, and has then asked for nothing."""
    look, board = context.look(), context.board
    allowed = scaling.permissions(wanted.targets, look)
    for target in wanted.targets:
        await context.check(principal, allowed[target.service], target.service, why=wanted.why)
        if wanted.override:
            await context.check(principal, Permission.OVERRIDE, target.service, why=wanted.why)
    if wanted.override:
        scaling.check_override(wanted.targets, look, wanted.why, wanted.for_s)
    scaling.check(wanted.targets, look, override=wanted.override)
    now_s = context.clock_s()
    actions = []
    for target in _callees_first(context, wanted.targets):
        service = look.services[target.service]
        made = identifier(principal.name, f"{key}\0{target.service}", "manual") if key else ""
        scale = ManualScale(
            id=made or f"manual-{secrets.token_hex(12)}",
            service=target.service,
            instances=target.instances,
            expires_s=now_s + wanted.for_s,
            requested_by=principal.name,
            why=wanted.why,
            before=service.desired,
            override=wanted.override,
        )
        done_s = scaling.done_s(
            service, target.instances, board.settings, now_s, override=wanted.override
        )
        actions.append(ManualAction(scale, now_s, done_s))
    if not wanted.dry_run:
        urgent = (
            context.aside is not None
            and principal.method is Method.BREAK_GLASS
            and all(permission is Permission.SCALE_OUT for permission in allowed.values())
        )
        if urgent:
            return await _ask_urgently(context, principal, wanted, allowed, actions=actions)
        earlier = [await kept_action(context, one.scale.id) for one in actions]
        if any(earlier):
            return _again(actions, earlier), []
        await _ask(context, principal, allowed, actions)
    return actions, scaling.warnings(wanted.targets, look)


def _again(
    actions: Sequence[ManualAction], earlier: Sequence[ManualAction | None]
) -> list[ManualAction]:
    """The actions that were asked for under the same key before the engine was started anew.

    Raises the problem that they were others.
    """
    same = []
    for one, kept in zip(actions, earlier, strict=True):
        if (
            kept is None
            or kept.scale.instances != one.scale.instances
            or kept.scale.override != one.scale.override
        ):
            raise ProblemError(
                Problem.KEY_REUSED, "another request was made under this Idempotency-Key"
            )
        same.append(kept)
    return same


async def _ask_urgently(
    context: ApiContext,
    principal: Principal,
    wanted: _Wanted,
    allowed: Mapping[str, Permission],
    *,
    actions: list[ManualAction],
) -> tuple[list[ManualAction], list[str]]:
    """As otherwise, and beside the store where that takes nothing, or nothing in time.

    What the store takes after all is the same there, as it has the same id.
    """
    assert context.aside is not None
    said = scaling.warnings(wanted.targets, context.look())
    try:
        async with asyncio.timeout(URGENT_S):
            earlier = [await kept_action(context, one.scale.id) for one in actions]
            if any(earlier):
                return _again(actions, earlier), []
            await _ask(context, principal, allowed, actions)
            return actions, said
    except TimeoutError:
        pass
    except ProblemError as error:
        if error.problem is not Problem.STORE:
            raise
    beside = [await asyncio.to_thread(context.aside.scale, one.scale.id) for one in actions]
    if any(beside):
        waiting = [None if scale is None else replace(one, scale=scale)
                 for one, scale in zip(actions, beside, strict=True)]  # fmt: skip
        return _again(actions, waiting), said
    await _ask(context, principal, allowed, actions, beside=True)
    return actions, [*said, "the store takes nothing: it is kept beside it, and acted on"]


async def _ask(
    context: ApiContext,
    principal: Principal,
    allowed: Mapping[str, Permission],
    actions: Sequence[ManualAction],
    *,
    beside: bool = False,
) -> None:
    """Ask for all of them in one transaction, or for none; `beside` a store that takes nothing."""
    changes = [
        NotedChange(
            allowed[scale.service], scale.service, scale.why,
            before={"instances": scale.before},
            after={"instances": scale.instances, "id": scale.id, "expires_s": scale.expires_s,
                   "override": scale.override},
        )
        for action in actions
        for scale in (action.scale,)
    ]  # fmt: skip
    if beside:
        await context.set_aside(principal, changes, [action.scale for action in actions])
    else:
        scales = [Asked(action.scale, None) for action in actions]
        await context.change_together(
            principal, changes,
            lambda audits: context.desk.ask_together(list(zip(scales, audits, strict=True))),
        )  # fmt: skip
    for action in actions:
        context.board.manual.add(action)
        context.board.events.publish(
            EventKind.REQUEST, action.scale.service,
            {"at_s": action.asked_s, "kind": "scale", "action": action.shown()},
        )  # fmt: skip


def _callees_first(context: ApiContext, targets: Sequence[Target]) -> list[Target]:
    specs = tuple(context.board.specs.values())
    rank = {specs[i].name: -place for place, i in enumerate(call_order(specs))}
    return sorted(targets, key=lambda target: rank[target.service])


async def _there(context: ApiContext, principal: Principal, action_id: str) -> ManualAction:
    action = await kept_action(context, action_id)
    if action is None or action.scale.service not in context.visible(principal):
        raise ProblemError(Problem.NOT_THERE, "there is no such manual action")
    return action


async def kept_action(context: ApiContext, action_id: str) -> ManualAction | None:
    """The action with this id, also one of an engine before this one."""
    action = context.board.manual.get(action_id)
    if action is not None or not IDENTIFIER.fullmatch(action_id):
        return action
    kept = await context.read(partial(context.desk.row, RowKind.SCALE, action_id))
    if kept is None:
        return None
    scale = scale_of(kept.row.content)
    look = context.look()
    if scale.service not in look.services:
        return None
    status = ManualStatus.REQUESTED
    if scale.expires_s <= context.clock_s():
        status = ManualStatus.EXPIRED
    action = ManualAction(scale, kept.row.time_s, kept.row.time_s, status)
    context.board.manual.add(action)
    return action


def _reply(content: Mapping[str, Any], dry_run: bool, action_id: str) -> Reply:
    if dry_run:
        return Reply(200, content, {})
    return Reply(202, content, {"location": f"/api/scalability/actions/{action_id}"})


def _reply_several(
    actions: Sequence[ManualAction], warnings: Sequence[str], dry_run: bool
) -> Reply:
    content = {
        "dry_run": dry_run,
        "actions": [action.shown() for action in actions],
        "warnings": list(warnings),
    }
    return Reply(200 if dry_run else 202, content, {})


async def _once(
    context: ApiContext,
    principal: Principal,
    key: str,
    request: Mapping[str, Any],
    *,
    work: Callable[[], Any],
) -> Response:
    reply, again = await context.replies.once(principal.name, key, request, work)
    headers = {**reply.headers, **({"idempotency-replayed": "true"} if again else {})}
    return fresh(reply.content, reply.status, headers)
