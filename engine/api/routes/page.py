"""The live page at `/`, and its parts below `/page/`.

They are no operations of the API: they say nothing of the engine, and are open to everybody.
"""

from __future__ import annotations

import re

from fastapi import APIRouter, Request
from fastapi.responses import Response

from engine.api.answers import matches
from engine.api.problems import Problem, ProblemError
from engine.page import DOCUMENT, files

router = APIRouter(include_in_schema=False)

POLICY = "; ".join(
    (
        "default-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "object-src 'none'",
        # No text becomes markup or code, whatever a script of the page does.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "x-frame-options": "DENY",
    "cache-control": "no-cache",
}


@router.get("/")
async def page(request: Request) -> Response:
    """The document."""
    return _sent(request, DOCUMENT)


@router.get("/page/{name}")
async def part(request: Request, name: str) -> Response:
    """A script, a style sheet or a picture."""
    return _sent(request, name)


def _sent(request: Request, name: str) -> Response:
    file = files().get(name)
    if file is None:
        raise ProblemError(Problem.NOT_THERE, "there is no such path")
    content, etag, encoding = file.content, file.etag, {}
    if takes_gzip(request.headers.get("accept-encoding", "")):
        content, etag = file.packed, file.packed_etag
        encoding = {"content-encoding": "gzip"}
    headers = {**HEADERS, "etag": etag, "vary": "accept-encoding"}
    if matches(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers | encoding, media_type=file.media_type)


def takes_gzip(accepted: str) -> bool:
    """Whether `Accept-Encoding` names gzip, and not with a weight of none (RFC 9110 12.5.3)."""
    for one in accepted.split(","):
        name, _, weight = one.partition(";")
        if name.strip().lower() in ("gzip", "x-gzip"):
            return not re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", weight)
    return False
