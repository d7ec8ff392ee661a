"""An interface that takes commands twice."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from scenarios.faults.base import Victim
from scenarios.faults.commands import BadCommands
from scenarios.faults.draw import Draw
from scenarios.faults.parts import CommandFate, RepeatedCommand


class CommandsDuplicated(BadCommands):
    """Commands arrive again, `delay_s` later."""

    kind: Literal["commands_duplicated"] = "commands_duplicated"
    delay_s: Annotated[float, Field(ge=0, le=86_400)] = 30.0

    example: ClassVar[dict[str, Any]] = {"at": 300, "duration_s": 1800}

    def fate(self) -> CommandFate:
        """Taken twice."""
        return RepeatedCommand(self.delay_s)

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """Again at once, and when much else has been done."""
        return {"share": victim.share, "delay_s": draw.log(0.1, 600)}


KIND = CommandsDuplicated
