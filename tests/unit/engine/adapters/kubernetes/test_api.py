"""A server that says when to ask again is asked again, if that is soon; nothing else is."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from engine.adapters.kubernetes import api as module
from engine.adapters.kubernetes.api import Api, ApiError

BUSY = {"message": "storage is (re)initializing", "reason": "TooManyRequests"}


def asked(*answers: httpx.Response, method: str = "get") -> tuple[list[str], Any]:
    """What was sent to a server that answers so, one after the other, and what came of it."""
    sent: list[str] = []
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.method)
        return left.pop(0)

    access: Any = SimpleNamespace(url="https://cluster.test", context=True, headers=dict)

    async def story() -> Any:
        api = Api(access, 5.0, httpx.MockTransport(answer))
        try:
            if method == "get":
                return await api.get("/apis/x")
            return await api.patch("/apis/x", [])
        except ApiError as error:
            return error
        finally:
            await api.close()

    return sent, asyncio.run(story())


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long is waited, without waiting."""
    waited: list[float] = []

    async def sleep(wait_s: float) -> None:
        waited.append(wait_s)

    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=sleep))
    return waited


def busy(after: str, status: int = 429) -> httpx.Response:
    return httpx.Response(status, json=BUSY, headers={"retry-after": after} if after else {})


@pytest.mark.parametrize("method", ["get", "patch"])
@pytest.mark.parametrize("status", [429, 503])
def test_it_is_asked_again_after_as_long_as_it_says(
    waits: list[float], method: str, status: int
) -> None:
    fine = httpx.Response(200, json={"kind": "List"})
    sent, came = asked(busy("1", status), busy("2", status), fine, method=method)
    assert (len(sent), came, waits) == (3, {"kind": "List"}, [1.0, 2.0])


def test_it_is_not_asked_for_ever(waits: list[float]) -> None:
    sent, came = asked(*(busy("1") for _ in range(9)))
    assert (len(sent), waits) == (module.TRIES, [1.0, 1.0])
    assert isinstance(came, ApiError) and came.status == 429
    assert "initializing" in str(came)


@pytest.mark.parametrize(
    "answer",
    [busy(""), busy("3"), busy("soon"), busy("-1"), busy("1", 500), busy("1", 409), busy("1", 404)],
)
def test_what_says_nothing_of_the_kind_is_taken_at_its_word(
    waits: list[float], answer: httpx.Response
) -> None:
    sent, came = asked(answer)
    assert (len(sent), waits) == (1, [])
    assert isinstance(came, ApiError)


def test_a_refusal_that_is_nested_too_deep_is_a_refusal_all_the_same() -> None:
    """An exception of another kind would end a watch, and nobody would hear of it."""
    answer = httpx.Response(500, content=b"[" * 200_000)
    error = module._refusal(answer, "/api/v1/pods")
    assert error.status == 500
    assert str(error).startswith("/api/v1/pods: [[[")
