"""An interface that loses commands."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from scenarios.faults.base import Victim
from scenarios.faults.commands import BadCommands
from scenarios.faults.draw import Draw
from scenarios.faults.parts import CommandFate, LostCommand


class CommandsLost(BadCommands):
    """Commands vanish: they change nothing and nobody ever answers."""

    kind: Literal["commands_lost"] = "commands_lost"

    cause: ClassVar[str] = "starts"
    example: ClassVar[dict[str, Any]] = {"share": 0.5, "at": 300, "duration_s": 1800}

    def fate(self) -> CommandFate:
        """Lost."""
        return LostCommand()

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """Some of them, or all."""
        return {"share": victim.share}


KIND = CommandsLost
