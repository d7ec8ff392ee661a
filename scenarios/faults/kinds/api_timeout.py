"""An interface that answers too late."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from scenarios.faults.base import Victim
from scenarios.faults.commands import BadCommands
from scenarios.faults.draw import Draw
from scenarios.faults.parts import CommandFate, UnansweredCommand


class ApiTimeout(BadCommands):
    """No answer within `timeout_s`, which reads as a failure; carried out `late_s` after it."""

    kind: Literal["api_timeout"] = "api_timeout"
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 10.0
    late_s: Annotated[float, Field(ge=0, le=86_400)] = 60.0

    cause: ClassVar[str] = "starts"
    example: ClassVar[dict[str, Any]] = {"share": 0.5, "at": 300, "duration_s": 1800}

    def fate(self) -> CommandFate:
        """Carried out after its failure was taken for granted."""
        return UnansweredCommand(self.timeout_s, self.late_s)

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """Late by less than a cycle, and by more than a rest."""
        return {
            "share": victim.share, "timeout_s": draw.log(1, 60), "late_s": draw.log(1, 600),
        }  # fmt: skip


KIND = ApiTimeout
