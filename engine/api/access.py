"""Who asks, and whether he may: a dependency of every route.

Nothing is remembered between two requests, so a token that was revoked stops at the next one.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from engine.api.context import ApiContext
from engine.api.problems import Problem, ProblemError
from engine.api.rates import Rates
from engine.security.certificates import peer_of
from engine.security.identity import (
    IdentityUnreadableError,
    NotAuthenticatedError,
    authenticated,
)
from engine.security.roles import Permission, Principal


async def context_of(request: Request) -> ApiContext:
    """What the handlers share; asynchronous, as FastAPI sends whatever is not to a thread."""
    context: ApiContext = request.app.state.context
    return context


Context = Annotated[ApiContext, Depends(context_of)]


async def principal_of(request: Request, context: ApiContext) -> Principal:
    """Who asks; raises the problem that it is not shown, or was not too often."""
    shown = request.headers.getlist("authorization")
    try:
        if len(shown) > 1:
            raise NotAuthenticatedError("Authorization: it is there more than once")
        principal = await authenticated(
            context.identity, shown[0] if shown else "", context.wall_s(), peer_of(request.scope)
        )
    except IdentityUnreadableError as error:
        # No failure of who asks: he may well be who he says.
        raise ProblemError(Problem.STORE, str(error), headers={"retry-after": "5"}) from None
    except NotAuthenticatedError as error:
        # Only failures count: whoever shows who he is does not wait for somebody who guesses.
        address = request.client.host if request.client else ""
        if wait_s := context.failures.wait_s(address):
            raise ProblemError(
                Problem.TOO_MANY, "too many requests that did not show who asks",
                headers={"retry-after": str(wait_s)},
            ) from None  # fmt: skip
        if shown or peer_of(request.scope):  # who shows nothing has only not begun yet
            await context.note("", "login", request.url.path[:200], "refused", why=str(error),
                               after={"address": address})  # fmt: skip
        raise ProblemError(
            Problem.NOT_AUTHENTICATED, str(error),
            headers={"www-authenticate": 'Bearer realm="wedtwin"'},
        ) from None  # fmt: skip
    await context.came_in(principal)
    return principal


def _take(rates: Rates, principal: Principal) -> None:
    wait_s = rates.wait_s(principal.name)
    if wait_s:
        raise ProblemError(
            Problem.TOO_MANY, f"too many requests of {principal.name}",
            headers={"retry-after": str(wait_s)},
        )  # fmt: skip


async def may_look(context: ApiContext, principal: Principal) -> None:
    """Raises the problem that `principal` may not see anything."""
    await _check_somewhere(context, principal, Permission.LOOK)


async def _check_somewhere(
    context: ApiContext, principal: Principal, permission: Permission
) -> None:
    """Whether he may for the platform, or, limited to some services, for one of them."""
    service = ""
    if principal.services is not None:
        service = next(iter(context.visible(principal)), "")
    await context.check(principal, permission, service)


async def _reader(request: Request) -> Principal:
    context: ApiContext = request.app.state.context
    principal = await principal_of(request, context)
    _take(context.reads, principal)
    await _check_somewhere(context, principal, Permission.LOOK)
    return principal


async def _asker(request: Request) -> Principal:
    context: ApiContext = request.app.state.context
    principal = await principal_of(request, context)
    _take(context.predictions, principal)
    await _check_somewhere(context, principal, Permission.PREDICT)
    return principal


async def _platform_asker(request: Request) -> Principal:
    context: ApiContext = request.app.state.context
    principal = await principal_of(request, context)
    _take(context.predictions, principal)
    await context.check(principal, Permission.PREDICT, "")
    return principal


async def _writer(request: Request) -> Principal:
    context: ApiContext = request.app.state.context
    principal = await principal_of(request, context)
    _take(context.writes, principal)
    return principal


async def _sender(request: Request) -> Principal:
    context: ApiContext = request.app.state.context
    principal = await principal_of(request, context)
    if context.receiving is None:
        await context.check(principal, Permission.SEND_SAMPLES, "")
        raise ProblemError(
            Problem.NOT_THERE, "this engine takes no samples in; metrics=received switches that on"
        )
    _take(context.receiving.requests, principal)
    await context.check(principal, Permission.SEND_SAMPLES, "")
    return principal


Reader = Annotated[Principal, Depends(_reader)]
"""Somebody who may look."""
Asker = Annotated[Principal, Depends(_asker)]
"""Somebody who may have things worked out."""
PlatformAsker = Annotated[Principal, Depends(_platform_asker)]
"""The same for what is about all services at once."""
Sender = Annotated[Principal, Depends(_sender)]
"""A machine that may send samples."""
Writer = Annotated[Principal, Depends(_writer)]
"""Somebody who asks for a change; the handler checks whether he may, as it knows the service."""
