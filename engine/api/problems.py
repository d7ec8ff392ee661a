"""Every way in which a request can come to nothing, in one registry (RFC 9457).

An answer that is not what was asked for has the type of one of these and nothing of the inside of
the engine: what went wrong there is in its log, under the number that the answer names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
PREFIX = "urn:wedtwin:problem:"


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One kind: the status of its answers, and what it is in a few words."""

    name: str
    status: int
    title: str


class Problem(Enum):
    """All kinds (closed)."""

    INVALID = ProblemKind("invalid", 400, "The request is not what is allowed")
    NOT_AUTHENTICATED = ProblemKind("not-authenticated", 401, "It is not shown who asks")
    FORBIDDEN = ProblemKind("forbidden", 403, "Whoever asks may not do that")
    NOT_THERE = ProblemKind("not-there", 404, "There is no such thing")
    METHOD = ProblemKind("method", 405, "That cannot be done with it")
    CONFLICT = ProblemKind("conflict", 409, "It does not fit what there is now")
    PROTECTED = ProblemKind("protected", 409, "Booked weddings stand against it")
    BEYOND_QUOTA = ProblemKind("beyond-quota", 409, "The account has no room for it")
    BEYOND_BUDGET = ProblemKind("beyond-budget", 409, "It would cost more than is allowed")
    IN_PROGRESS = ProblemKind("in-progress", 409, "The same request is being worked on")
    CHANGED = ProblemKind("changed", 412, "It has changed since it was looked at")
    TOO_LARGE = ProblemKind("too-large", 413, "The request is too large")
    MEDIA = ProblemKind("media", 415, "The body has to be plain JSON")
    NOT_REMOTE_WRITE = ProblemKind("not-remote-write", 415, "The body is not remote write")
    REFUSED_SAMPLES = ProblemKind("refused-samples", 400, "Some of the samples are refused")
    KEY_REUSED = ProblemKind("key-reused", 422, "The Idempotency-Key was used for another request")
    TOO_MANY = ProblemKind("too-many", 429, "Too many requests")
    INTERNAL = ProblemKind("internal", 500, "The engine failed to answer")
    NOT_READY = ProblemKind("not-ready", 503, "There is nothing to answer with yet")
    STORE = ProblemKind("store", 503, "The store cannot be reached")
    BUSY = ProblemKind("busy", 503, "It takes longer than an answer may; ask again")

    @property
    def uri(self) -> str:
        """Its type, as answers name it."""
        return PREFIX + self.value.name


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one field: where it is, what is wrong, and what is allowed."""

    field: str
    detail: str
    allowed: str = ""


class ProblemError(Exception):
    """Ends a request with a problem.

    `fields` say what is wrong with which; `headers` go with the answer.
    """

    def __init__(
        self,
        problem: Problem,
        detail: str,
        *,
        fields: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.problem = problem
        self.detail = detail
        self.fields = tuple(fields)
        self.headers = dict(headers or {})


def wrong(field: str, given: object, allowed: str, hint: str = "") -> ProblemError:
    """The problem that `given` is not allowed for `field`."""
    shown = json.dumps(given, ensure_ascii=False, default=str)
    shown = shown if len(shown) <= 100 else f"{shown[:100]}…"
    detail = f"{field}: {shown} is not allowed ({allowed}){hint}"
    return ProblemError(Problem.INVALID, detail, fields=[FieldProblem(field, detail, allowed)])


def body(error: ProblemError) -> dict[str, Any]:
    """The answer's content."""
    kind = error.problem.value
    content: dict[str, Any] = {
        "type": error.problem.uri,
        "title": kind.title,
        "status": kind.status,
        "detail": error.detail,
    }
    if error.fields:
        content["errors"] = [
            {"field": one.field, "detail": one.detail, "allowed": one.allowed}
            for one in error.fields
        ]
    return content


def response(error: ProblemError) -> Response:
    """The answer."""
    text = json.dumps(body(error), ensure_ascii=True)
    headers = {"cache-control": "no-store", **error.headers}
    return Response(text, error.problem.value.status, headers, MEDIA_TYPE)
