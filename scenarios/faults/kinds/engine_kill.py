"""An engine that dies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from scenarios.faults.base import AwaitedEffect, Duration, During, Happening, Victim
from scenarios.faults.draw import Draw
from scenarios.faults.parts import Death, EnginePart


class EngineKill(During):
    """The engine dies between deciding and acting, and is restarted from an old snapshot.

    It dies with the first decision after `at` that asks for something, of which `acted` actions
    still go out; if there is none it dies at the end of `duration_s`.  `down_s` later it starts
    again from a snapshot that was `snapshot_age_s` old when it died, or with no memory at all if
    there is none so old.
    """

    kind: Literal["engine_kill"] = "engine_kill"
    duration_s: Duration = 600.0
    acted: Annotated[int, Field(ge=0, le=100)] = 0
    down_s: Annotated[float, Field(ge=0, le=86_400)] = 30.0
    snapshot_age_s: Annotated[float, Field(ge=0, le=86_400)] = 300.0

    spoils: ClassVar[str] = "engine"
    example: ClassVar[dict[str, Any]] = {
        "at": 600, "duration_s": 600, "down_s": 60, "snapshot_age_s": 120,
    }  # fmt: skip

    def effect(self, part: EnginePart, happening: Happening) -> AwaitedEffect:
        """It hits the engine once."""
        return _Killed(self, part, happening)

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """With commands half sent, restarted at once or later, with any memory."""
        return {
            "acted": draw.whole(0, 2), "down_s": draw.whole(0, 120),
            "snapshot_age_s": draw.one_of([0, 30, 300, 3600]),
        }  # fmt: skip


class _Killed:
    def __init__(self, fault: EngineKill, engine: EnginePart, happening: Happening) -> None:
        self.lasts_s = fault.down_s
        self._engine, self._happening = engine, happening
        self._death = Death(fault.acted, fault.down_s, fault.snapshot_age_s)

    def await_begin(self, begun: Callable[[str], None]) -> None:
        """The shell kills itself, after a step that acts; it says when."""

        def died(detail: str) -> None:
            self._happening.fire(1)
            begun(detail)

        self._engine.kill(self._death, self._happening.begin_s, self._happening.end_s, died)


KIND = EngineKill
