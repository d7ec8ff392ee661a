"""An engine that believes that it leads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from scenarios.faults.base import During, Effect, Happening, Victim
from scenarios.faults.draw import Draw
from scenarios.faults.parts import EnginePart


class TwoLeaders(During):
    """A second engine takes the lead while the first, cut off, still believes that it leads.

    The old leader goes on from what it saw `behind_s` ago and sends its commands under its old
    lease, until `duration_s` is over.
    """

    kind: Literal["two_leaders"] = "two_leaders"
    behind_s: Annotated[float, Field(ge=0, le=3_600)] = 30.0

    spoils: ClassVar[str] = "engine"
    needs_scaling: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"at": 600, "duration_s": 600, "behind_s": 60}

    def effect(self, part: EnginePart, happening: Happening) -> Effect:
        """It hits the steps that the old leader still makes."""
        return _Led(self, part, happening)

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """Up to date, and far behind."""
        return {"behind_s": draw.one_of([0, 15, 60, 300])}


class _Led(Effect):
    def __init__(self, fault: TwoLeaders, engine: EnginePart, happening: Happening) -> None:
        self._behind_s, self._engine, self._fire = fault.behind_s, engine, happening.fire
        self._before = 0
        self._noticed: Callable[[], None]

    def begin(self) -> str:
        self._before = self._engine.deposed_steps
        self._noticed = self._engine.depose(self._behind_s)
        return f"a second engine leads, the first goes on {self._behind_s:g} s behind"

    def end(self) -> str:
        self._noticed()
        self._fire(self._engine.deposed_steps - self._before)
        return ""


KIND = TwoLeaders
