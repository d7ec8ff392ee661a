"""An interface that refuses commands."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from scenarios.faults.base import Victim
from scenarios.faults.commands import BadCommands
from scenarios.faults.draw import Draw
from scenarios.faults.parts import CommandFate, RefusedCommand


class ApiErrors(BadCommands):
    """Commands are refused with an HTTP status and change nothing."""

    kind: Literal["api_errors"] = "api_errors"
    status: Literal[429, 500, 502, 503, 504] = 503

    cause: ClassVar[str] = "starts"
    example: ClassVar[dict[str, Any]] = {
        "status": 429, "share": 0.5, "at": 300, "duration_s": 1800,
    }  # fmt: skip

    def fate(self) -> CommandFate:
        """Refused."""
        return RefusedCommand(f"HTTP {self.status}")

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """Any of the statuses."""
        return {"share": victim.share, "status": draw.one_of([429, 500, 502, 503, 504])}


KIND = ApiErrors
