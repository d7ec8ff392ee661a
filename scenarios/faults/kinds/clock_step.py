"""A clock that is wrong."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from scenarios.faults.base import During, Effect, Happening, Victim
from scenarios.faults.draw import Draw
from scenarios.faults.parts import EnginePart


class ClockStep(During):
    """The engine's clock is wrong by `step_s` (either sign), until it is put right."""

    kind: Literal["clock_step"] = "clock_step"
    step_s: Annotated[float, Field(ge=-86_400, le=86_400)]

    spoils: ClassVar[str] = "engine"
    example: ClassVar[dict[str, Any]] = {"step_s": -600, "at": 600, "duration_s": 600}

    def effect(self, part: EnginePart, happening: Happening) -> Effect:
        """It hits the steps that are made by the wrong clock."""
        return _Wrong(self, part, happening)

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """Forth and back, by seconds, minutes and an hour."""
        return {"step_s": draw.one_of([-3600, -300, -20, 20, 300, 3600])}


class _Wrong(Effect):
    def __init__(self, fault: ClockStep, engine: EnginePart, happening: Happening) -> None:
        self._step_s, self._engine, self._fire = fault.step_s, engine, happening.fire
        self._before = 0

    def begin(self) -> str:
        self._before = self._engine.steps
        self._engine.clock_error_s += self._step_s
        way = "ahead" if self._step_s > 0.0 else "behind"
        return f"the engine's clock is {abs(self._step_s):g} s {way}"

    def end(self) -> str:
        self._engine.clock_error_s -= self._step_s
        self._fire(self._engine.steps - self._before)
        return ""


KIND = ClockStep
