"""One request to the API server, and one watch: whatever goes wrong becomes an `ApiError`.

A watch is a stream of lines.  They are split at newlines only: other characters at which text can
be split stand in JSON as themselves.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx

from engine.adapters.kubernetes.access import Access, AccessError
from engine.adapters.kubernetes.shapes import complaint
from engine.security.foreign_json import ForeignJsonError, parsed_object, words
from engine.security.outbound import OutboundTransport

JSON, PATCH = "application/json", "application/json-patch+json"
MANAGER = "wedtwin"
"""As what the engine is known in an object's `managedFields`."""
LONGEST = 64 * 2**20
"""Bytes of one answer, or of one line of a watch."""

GONE = 410
TRIES, LONGEST_WAIT_S = 3, 2
"""A server that says when to ask again is asked so often, if it is to be soon."""


class ApiError(Exception):
    """The API server refused, or did not answer: then its `status` is 0."""

    def __init__(self, message: str, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class Api:
    """The API server, asked as `access` says."""

    def __init__(
        self,
        access: Access,
        timeout_s: float,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.access = access
        self.timeout_s = timeout_s
        self._client = httpx.AsyncClient(
            base_url=access.url,
            timeout=timeout_s,
            headers={"Accept": JSON, "User-Agent": MANAGER},
            transport=transport or OutboundTransport(to_self=True, verify=access.context),
            trust_env=False,
        )

    async def get(self, path: str, **parameters: str | int) -> dict[str, Any]:
        """One object or list; raises ApiError."""
        return await self._asked("GET", path, parameters=parameters)

    async def patch(self, path: str, operations: list[dict[str, Any]]) -> dict[str, Any]:
        """The object after a JSON Patch (RFC 6902); raises ApiError."""
        return await self._asked(
            "PATCH",
            path,
            operations,
            PATCH,
            parameters={"fieldManager": MANAGER, "fieldValidation": "Strict"},
        )

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The object that was made; raises ApiError."""
        return await self._asked("POST", path, body, JSON, parameters={"fieldManager": MANAGER})

    async def watch(
        self, path: str, version: str, duration_s: float, **parameters: str | int
    ) -> AsyncIterator[dict[str, Any]]:
        """Events after `version`, bookmarks among them, until the server ends it or is silent.

        Raises ApiError, also for an event that is an error.
        """
        asked = {
            **parameters, "watch": "1", "allowWatchBookmarks": "true",
            "resourceVersion": version, "timeoutSeconds": max(1, round(duration_s)),
        }  # fmt: skip
        patience = httpx.Timeout(self.timeout_s, read=duration_s + 5.0)
        try:
            async with self._client.stream(
                "GET", path, params=asked, headers=self._who(), timeout=patience
            ) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    raise _refusal(answer, path)
                rest = b""
                async for piece in answer.aiter_bytes():
                    *lines, rest = (rest + piece).split(b"\n")
                    if len(rest) > LONGEST:
                        raise ApiError(f"{path}: an event of more than {LONGEST} bytes")
                    for line in lines:
                        if line:
                            yield _event(line, path)
        except (httpx.HTTPError, OSError) as error:
            raise _silence(self.access.url, error) from error

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    def _who(self) -> dict[str, str]:
        try:
            return self.access.headers()
        except AccessError as error:
            raise ApiError(str(error)) from None

    async def _asked(
        self,
        method: str,
        path: str,
        body: object = None,
        kind: str = JSON,
        *,
        parameters: Mapping[str, str | int] | None = None,
    ) -> dict[str, Any]:
        content = None if body is None else json.dumps(body).encode()
        headers = {**self._who(), **({"Content-Type": kind} if content else {})}
        for again in range(TRIES, 0, -1):
            try:
                answer = await self._client.request(
                    method, path, params=parameters, content=content, headers=headers
                )
            except (httpx.HTTPError, OSError) as error:
                raise _silence(self.access.url, error) from error
            wait_s = _wait_s(answer)
            if again == 1 or wait_s is None:
                break
            await asyncio.sleep(wait_s)
        return answered(answer, path)


def _wait_s(answer: httpx.Response) -> float | None:
    """When to ask a server again that says it took nothing and when it will; None: not at all.

    API priority and fairness answers so, and a server whose storage is not there yet after a start.
    """
    after = answer.headers.get("retry-after", "")
    if answer.status_code not in (429, 503) or not after.isdigit() or int(after) > LONGEST_WAIT_S:
        return None
    return float(after)


def answered(answer: httpx.Response, path: str) -> dict[str, Any]:
    """The object in an answer; raises ApiError."""
    if not answer.is_success:
        raise _refusal(answer, path)
    try:
        body = parsed_object(answer.content)
    except ForeignJsonError as error:
        raise ApiError(f"{path}: the answer is no object of Kubernetes: {error}") from None
    if why := complaint(path, body):
        raise ApiError(f"{path}: the answer is no object of Kubernetes: {why}")
    return body


def _event(line: bytes, path: str) -> dict[str, Any]:
    try:
        event = parsed_object(line)
        body, what = event["object"], event["type"]
    except (ForeignJsonError, KeyError):
        raise ApiError(f"{path}: the watch said {line[:60]!r}") from None
    if what == "ERROR":
        code = body.get("code") if isinstance(body, dict) else None
        said = words(body.get("message"), 200) if isinstance(body, dict) else ""
        raise ApiError(f"{path}: {said}", code if isinstance(code, int) else 500)
    if not isinstance(body, dict) or complaint(path, body):
        raise ApiError(f"{path}: the watch said {line[:60]!r}")
    return {"type": what, "object": body}


def _refusal(answer: httpx.Response, path: str) -> ApiError:
    """What the server says why; a proxy before it may say anything."""
    try:
        said = parsed_object(answer.content)
        message, reason = words(said.get("message"), 400), words(said.get("reason"), 100)
    except ForeignJsonError:
        message, reason = answer.text[:100].strip(), ""
    status = answer.status_code
    if status == 401:
        message = "the token or certificate is not accepted (401): is it of this cluster, expired?"
    text = message or f"HTTP status {status}"
    return ApiError(text if status in (401, 403) else f"{path}: {text}", status, reason)


def _silence(url: str, error: Exception) -> ApiError:
    if isinstance(error, httpx.ConnectTimeout):
        why = "takes no connection"
    elif isinstance(error, httpx.TimeoutException):
        why = "does not answer"
    else:
        why = str(error) or type(error).__name__
    return ApiError(f"the API server {url}: {why}")
