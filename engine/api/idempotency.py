"""The same request twice is one: what was answered under an Idempotency-Key is answered again.

As the draft of the IETF has it (draft-ietf-httpapi-idempotency-key-header-07): the same key with
another request is refused, and one that is still being worked on is not begun again.  A key belongs
to whoever used it, and for a day.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.api.problems import FieldProblem, Problem, ProblemError

KEPT_S = 86_400.0
MOST = 10_000
KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered: status, content, headers."""

    status: int
    content: Mapping[str, Any]
    headers: Mapping[str, str]


@dataclass(slots=True)
class _Kept:
    request: str
    at_s: float
    reply: Reply | None = None


class Replies:
    """The answers of a day, by caller and key."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()

    async def once(
        self,
        caller: str,
        key: str,
        request: Mapping[str, Any],
        work: Callable[[], Awaitable[Reply]],
    ) -> tuple[Reply, bool]:
        """The answer to `request`, and whether it was given before; "" is no key.

        A request that failed may be made again.  Raises ProblemError.
        """
        if not key:
            return await work(), False
        if not KEY.fullmatch(key):
            detail = "Idempotency-Key: it has to be 1 … 255 printable characters without spaces"
            raise ProblemError(
                Problem.INVALID, detail,
                fields=[FieldProblem("Idempotency-Key", detail, "1 … 255 printable characters")],
            )  # fmt: skip
        self._forget()
        text = json.dumps(request, sort_keys=True)
        slot = (caller, key)
        kept = self._kept.get(slot)
        if kept is not None:
            if kept.request != text:
                raise ProblemError(
                    Problem.KEY_REUSED, "another request was made under this Idempotency-Key"
                )
            if kept.reply is None:
                raise ProblemError(
                    Problem.IN_PROGRESS, "it is not done yet; ask again",
                    headers={"retry-after": "1"},
                )  # fmt: skip
            return kept.reply, True
        kept = self._kept[slot] = _Kept(text, self._now_s())
        try:
            kept.reply = await work()
        except BaseException:
            del self._kept[slot]
            raise
        return kept.reply, False

    def _forget(self) -> None:
        now_s = self._now_s()
        while self._kept:
            slot, kept = next(iter(self._kept.items()))
            if len(self._kept) <= MOST and now_s - kept.at_s < KEPT_S:
                return
            if kept.reply is None:  # it is being worked on
                self._kept.move_to_end(slot)
                return
            del self._kept[slot]


def identifier(caller: str, key: str, kind: str) -> str:
    """An id that is the same for the same key, also after the engine was started anew."""
    digest = hashlib.sha256(f"{kind}\0{caller}\0{key}".encode()).hexdigest()
    return f"{kind}-{digest[:24]}"
