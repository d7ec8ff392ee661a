"""`/api/v1/write`: samples that others send, by Prometheus's remote write 1.0 and 2.0."""

from __future__ import annotations

import asyncio
from email.message import Message

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from engine.api.access import Context, Sender
from engine.api.answers import documented
from engine.api.guard import abort
from engine.api.problems import FieldProblem, Problem, ProblemError
from engine.ingest.plain import BombError, WireError, WireVersion

router = APIRouter()

MESSAGES = {
    "": WireVersion.ONE,
    "prometheus.WriteRequest": WireVersion.ONE,
    "io.prometheus.write.v2.Request": WireVersion.TWO,
}
"""What `proto` of the Content-Type may be."""
WRITTEN = "x-prometheus-remote-write-{}-written"
SHOWN = 20
"""Reasons of an answer at the most."""


@router.post(
    "/api/v1/write",
    operation_id="write",
    summary="Samples by remote write 1.0 or 2.0, compressed with snappy",
    status_code=204,
    response_class=Response,
    responses={
        **documented(
            Problem.NOT_THERE, Problem.NOT_REMOTE_WRITE, Problem.REFUSED_SAMPLES, Problem.BUSY
        ),
        204: {"description": "All of it is written"},
    },
)
async def write(request: Request, context: Context, _: Sender) -> Response:
    """What can be written is; 400 says what was not, and that it need not be sent again."""
    receiving = context.receiving
    assert receiving is not None, "nobody is let in without it"
    version = _version(request)
    patience_s = context.config.limits.request_s
    try:
        async with asyncio.timeout(patience_s):
            await receiving.room.acquire()
    except TimeoutError:
        raise ProblemError(
            Problem.BUSY, "too many samples are on their way in", headers={"retry-after": "1"}
        ) from None
    try:
        body = await _body(request, receiving.most, patience_s)
        if body is None:
            return Response(status_code=400)  # there is nobody any more to read it
        written = await receiving.write(body, version, context.clock_s())
    except WireError as error:
        raise ProblemError(Problem.INVALID, f"body: {error}") from None
    except BombError as error:
        raise ProblemError(Problem.TOO_LARGE, f"body: {error}") from None
    finally:
        receiving.room.release()
    # A sender of 1.0 knows of no counts, and the compliance suite wants none to be there.
    headers = {} if version is WireVersion.ONE else {
        WRITTEN.format(what): str(count)
        for what, count in (
            ("samples", written.samples), ("histograms", written.histograms),
            ("exemplars", written.exemplars),
        )
    }  # fmt: skip
    if written.refused:
        reasons = [f"{count} × {reason}" for reason, count in written.refused.items()][:SHOWN]
        raise ProblemError(
            Problem.REFUSED_SAMPLES, "; ".join(reasons), headers=headers,
            fields=[FieldProblem("body", reason) for reason in reasons],
        )  # fmt: skip
    return Response(status_code=204, headers=headers)


def _version(request: Request) -> WireVersion:
    """Which message it is; raises the problem that it is none that can be read."""
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "snappy"):
        raise ProblemError(
            Problem.NOT_REMOTE_WRITE, "Content-Encoding: it has to be snappy",
            headers={"accept-encoding": "snappy"},
        )  # fmt: skip
    given = Message()
    given["content-type"] = request.headers.get("content-type", "application/x-protobuf")
    proto = given.get_param("proto", "")
    if given.get_content_type() != "application/x-protobuf" or proto not in MESSAGES:
        allowed = " or ".join(f"proto={name}" for name in MESSAGES if name)
        raise ProblemError(
            Problem.NOT_REMOTE_WRITE,
            f"Content-Type: it has to be application/x-protobuf, with {allowed}",
            headers={"accept": "application/x-protobuf"},
        )
    return MESSAGES[str(proto)]


async def _body(request: Request, most: int, patience_s: float) -> bytes | None:
    """The whole body, None if the sender has gone; raises the problem that it is too large."""
    too_large = ProblemError(
        Problem.TOO_LARGE,
        f"the body is larger than {most:,} bytes",
        headers={"connection": "close"},
    )
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > most:
        raise too_large
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(patience_s):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise too_large
                parts.append(part)
    except TimeoutError:
        abort(request.scope)
        return None
    except ClientDisconnect:
        return None
    return b"".join(parts)
