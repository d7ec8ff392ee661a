"""Faults of the interface that commands go through: a share of them fares otherwise."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from scenarios.faults.base import During, Effect, Happening, Services, Share
from scenarios.faults.parts import CommandFate, CommandFault, CommandsPart


class BadCommands(During):
    """A share of the commands for some services has another fate."""

    share: Share = 1.0
    services: Services = ()

    spoils: ClassVar[str] = "commands"
    needs_scaling: ClassVar[bool] = True

    @abstractmethod
    def fate(self) -> CommandFate:
        """What becomes of a command that is hit."""

    def effect(self, part: CommandsPart, happening: Happening) -> Effect:
        """Each command, while it lasts."""
        return _Spoiling(self, part, happening)


class _Spoiling(Effect):
    def __init__(self, fault: BadCommands, commands: CommandsPart, happening: Happening) -> None:
        self._fault, self._faults = fault, commands.faults
        fate = fault.fate()
        rngs = {name: happening.rng(name) for name in fault.services or commands.services}

        def hit(service: str) -> CommandFate | None:
            rng = rngs.get(service)
            if rng is None or not rng.random() < fault.share:
                return None
            happening.fire(1)
            return fate

        self._hit: CommandFault = hit

    def begin(self) -> str:
        self._faults.append(self._hit)
        return f"{self._fault.share:.0%} of the commands"

    def end(self) -> str:
        self._faults.remove(self._hit)
        return ""
