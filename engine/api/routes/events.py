"""The event stream (server-sent events): what happens, as it happens, and what was missed.

A client takes what is in the ring at its own pace.  One that takes nothing for `limits.request_s`
is cut off; it may come back with `Last-Event-ID` and go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response

from engine.api.access import Context, Reader, may_look
from engine.api.answers import documented
from engine.api.board import shown
from engine.api.context import ApiContext
from engine.api.events import EventKind, EventRing, framed
from engine.api.guard import Receive, Scope, Send
from engine.api.problems import Problem, ProblemError
from engine.security.certificates import peer_of
from engine.security.identity import (
    IdentityUnreadableError,
    NotAuthenticatedError,
    authenticated,
)
from engine.security.roles import Principal

router = APIRouter(prefix="/api/scalability")

HEARTBEAT_S = 15.0
"""Something is sent at least so often, so that both ends notice when the other is gone."""
RETRY_MS = 2_000


@router.get(
    "/events",
    operation_id="events",
    summary="What happens, as it happens",
    response_class=Response,
    responses={
        **documented(Problem.BUSY),
        200: {
            "description": "Server-sent events: samples, decision, result, approval, trouble, "
            "alert, request, reset",
            "content": {
                "text/event-stream": {
                    "schema": {"type": "string"},
                    "example": 'id: 6a1f-7\nevent: samples\ndata: {"at_s":1781870400.0}\n\n',
                }
            },
        },
    },
)
async def events(
    request: Request,
    context: Context,
    principal: Reader,
    last_event_id: Annotated[
        str,
        Header(alias="Last-Event-ID", description="What came last"),
    ] = "",
    *,
    once: Annotated[bool, Query(description="End when everything there is was sent")] = False,
) -> Response:
    """First all services as they are, or what came after `Last-Event-ID`; then what happens."""
    if context.streams >= context.config.limits.streams:
        raise ProblemError(
            Problem.BUSY, f"{context.streams} clients listen already", headers={"retry-after": "5"}
        )
    return EventStream(context, principal, request, last_event_id, once=once)


class EventStream(Response):
    """An answer that goes on until the client goes, is too slow, or may not look any more."""

    def __init__(
        self,
        context: ApiContext,
        principal: Principal,
        request: Request,
        last_event_id: str,
        *,
        once: bool,
    ) -> None:
        super().__init__(media_type="text/event-stream", headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        self._context = context
        self._principal = principal
        self._authorization = request.headers.get("authorization", "")
        self._peer = peer_of(request.scope)
        self._last = last_event_id
        self._once = once

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until there is a reason to end."""
        self._context.streams += 1
        gone = asyncio.create_task(_gone(receive))
        try:
            await self._run(scope, send, gone)
        finally:
            self._context.streams -= 1
            gone.cancel()

    async def _run(self, scope: Scope, send: Send, gone: asyncio.Task[None]) -> None:
        slow_s = self._context.config.limits.request_s

        async def put(content: bytes, more: bool = True) -> None:
            async with asyncio.timeout(slow_s):
                await send({"type": "http.response.body", "body": content, "more_body": more})

        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await put(f"retry: {RETRY_MS}\n\n".encode())
            number, content = self._begin(self._context.board.events)
            while True:
                if content:
                    await put(content)
                number, content = await self._next(number, gone)
                if number < 0:
                    break
            await put(content, more=False)
        except TimeoutError:
            abort = scope.get("state", {}).get("abort")
            if abort is not None:
                abort()
                await asyncio.sleep(0)

    def _begin(self, ring: EventRing) -> tuple[int, bytes]:
        """Where the client goes on, and what it is sent first."""
        place = ring.place(self._last) if self._last else None
        if place is not None:
            return place, b""
        return ring.newest, self._reset(ring)

    def _reset(self, ring: EventRing) -> bytes:
        """All services as they are now: whatever the client knew before counts no more."""
        look = self._context.board.look
        services = self._services()
        content: dict[str, Any] = {"at_s": None, "services": {}}
        if look is not None:
            content = {
                "at_s": look.time_s,
                "services": {
                    name: shown(one)
                    for name, one in look.services.items()
                    if services is None or name in services
                },
            }
        return framed(f"{ring.epoch}-{ring.newest}", EventKind.RESET, content)

    async def _next(self, number: int, gone: asyncio.Task[None]) -> tuple[int, bytes]:
        """What is newer than `number`, (-1, last words) when it is over."""
        ring = self._context.board.events
        if ring.newest <= number:
            if self._once:
                return -1, b""
            await ring.wait(number, HEARTBEAT_S, gone)
            if gone.done() or ring.is_over:
                return -1, b""
        if words := await self._no_longer():
            return -1, f": {words}\n\n".encode()
        newer = ring.after(number, self._services())
        if newer is None:
            return ring.newest, self._reset(ring)
        return newer if newer[0] != number else (number, b": still here\n\n")

    async def _no_longer(self) -> str:
        """Why the client may not see what comes next, "" if he may."""
        context = self._context
        try:
            self._principal = await authenticated(
                context.identity, self._authorization, context.wall_s(), self._peer
            )
            await may_look(context, self._principal)
        except NotAuthenticatedError:
            return "what was shown is not valid any more"
        except IdentityUnreadableError as error:
            return str(error)
        except ProblemError as error:
            return error.detail.replace("\n", " ")
        return ""

    def _services(self) -> Collection[str] | None:
        return self._principal.services


async def _gone(receive: Receive) -> None:
    """Until the client has closed its end."""
    while (await receive())["type"] != "http.disconnect":
        pass
