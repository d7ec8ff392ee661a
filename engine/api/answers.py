"""Answers: encoded texts with validators, and what every route may answer besides."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from engine.api.problems import Problem, wrong
from engine.api.snapshot import EncodedText, encoded
from engine.config.complaints import close

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
USUAL = (Problem.INVALID, Problem.NOT_AUTHENTICATED, Problem.FORBIDDEN, Problem.TOO_LARGE,
         Problem.MEDIA, Problem.TOO_MANY, Problem.INTERNAL, Problem.NOT_READY,
         Problem.STORE)  # fmt: skip
"""What any route that asks who asks may answer."""
CHANGING = (Problem.CONFLICT, Problem.KEY_REUSED)


def documented(*problems: Problem, validated: bool = False) -> dict[int | str, dict[str, Any]]:
    """The responses of a route besides its own; `validated`: also that it has not changed."""
    responses: dict[int | str, dict[str, Any]] = {}
    for problem in (*USUAL, *problems):
        kind = problem.value
        before = responses.get(kind.status, {}).get("description", "")
        titles = f"{before}; {kind.title}" if before and kind.title not in before else kind.title
        responses[kind.status] = {
            "description": titles,
            "content": {
                "application/problem+json": {
                    "schema": {"$ref": "#/components/schemas/ProblemDocument"},
                    "example": {
                        "type": problem.uri, "title": kind.title, "status": kind.status,
                        "detail": kind.title,
                    },
                }
            },
        }  # fmt: skip
    if validated:
        responses[304] = {"description": "It has not changed (If-None-Match)"}
    return responses


def answer(request: Request, text: EncodedText) -> Response:
    """The text, or that it has not changed."""
    headers = {"etag": text.etag, "cache-control": "private, no-cache"}
    if matches(request.headers.get("if-none-match", ""), text.etag):
        return Response(status_code=304, headers=headers)
    return Response(text.content, headers=headers, media_type="application/json")


def fresh(
    document: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer that nobody keeps."""
    return Response(
        encoded(document).content, status, dict(headers or {}), media_type="application/json"
    )


def matches(condition: str, etag: str) -> bool:
    """Whether `If-None-Match` names it (RFC 9110 13.1.2: weakly compared)."""
    if condition.strip() == "*":
        return True
    return etag in (tag.strip().removeprefix("W/") for tag in condition.split(","))


def has_changed(condition: str, etag: str) -> bool:
    """Whether `If-Match` names something else (RFC 9110 13.1.1: strongly compared)."""
    if not condition.strip() or condition.strip() == "*":
        return False
    return etag not in (tag.strip() for tag in condition.split(","))


def duration_s(field: str, text: str, least_s: float, most_s: float) -> float:
    """A duration such as 90s, 15m, 2h or 1d; raises the problem that it is none."""
    match = re.fullmatch(r"(\d{1,9})([smhd])", text, re.ASCII)
    allowed = f"{_short(least_s)} … {_short(most_s)}, such as 90s, 15m, 2h"
    if match is None:
        raise wrong(field, text, allowed)
    given_s = float(match[1]) * UNITS[match[2]]
    if not least_s <= given_s <= most_s:
        raise wrong(field, text, allowed)
    return given_s


def named_services(field: str, text: str, allowed: Sequence[str]) -> tuple[str, ...]:
    """Names with commas between them, "" for all; raises the problem that one is none of these."""
    if not text:
        return tuple(allowed)
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in allowed:
            raise wrong(field, name, ", ".join(allowed), close(name, allowed))
    return names


def cursor_of(number: int, mark: str = "n") -> str:
    """Where a page begins, as clients hand it back; `mark` says what is counted."""
    return base64.urlsafe_b64encode(f"{mark}{number}".encode()).decode().rstrip("=")


def below(cursor: str) -> tuple[str, int] | None:
    """What `cursor` counts and its number, None for none; raises the problem that it is none."""
    if not cursor:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    if not re.fullmatch(r"[np][0-9]{1,15}", text) or cursor_of(int(text[1:]), text[0]) != cursor:
        raise wrong("cursor", cursor, "`next` of the page before")
    return text[0], int(text[1:])


def moment(time_s: float) -> str:
    """ISO 8601 of epoch seconds, UTC."""
    return dt.datetime.fromtimestamp(time_s, dt.UTC).isoformat(timespec="seconds")


def _short(seconds: float) -> str:
    for unit in ("d", "h", "m"):
        if seconds >= UNITS[unit] and seconds % UNITS[unit] == 0:
            return f"{seconds / UNITS[unit]:.0f}{unit}"
    return f"{seconds:.0f}s"
