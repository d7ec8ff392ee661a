"""Some instances that are slow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from scenarios.faults.base import During, Effect, Happening, Victim
from scenarios.faults.draw import Draw
from scenarios.faults.parts import SlownessPart


class SlowInstance(During):
    """Some instances of a service need `factor` times as long, as on a sick machine.

    Requests are spread evenly over the instances, so each of them gets its share of the requests.
    One that goes takes its slowness with it.
    """

    kind: Literal["slow_instance"] = "slow_instance"
    service: str
    instances: Annotated[int, Field(ge=1, le=1000)] = 1
    factor: Annotated[float, Field(ge=1, le=100)]

    spoils: ClassVar[str] = "slowness"
    cause: ClassVar[str] = "instance"
    example: ClassVar[dict[str, Any]] = {
        "service": "api", "factor": 4, "at": 600, "duration_s": 600,
    }  # fmt: skip

    def effect(self, part: SlownessPart, happening: Happening) -> Effect:
        """It hits ready instances that are not slow already."""
        return _Slow(self, part, happening)

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """Up to three instances of any service."""
        return {
            "service": victim.service, "instances": draw.whole(1, 3), "factor": draw.log(2, 20),
        }  # fmt: skip


class _Slow(Effect):
    def __init__(self, fault: SlowInstance, slowness: SlownessPart, happening: Happening) -> None:
        self._fault, self._slowness, self._happening = fault, slowness, happening
        self._over: Callable[[], None]

    def begin(self) -> str:
        fault, rng = self._fault, self._happening.rng(self._fault.service)
        names, self._over = self._slowness.slow_instances(
            fault.service, fault.instances, fault.factor, rng=rng
        )
        self._happening.fire(len(names))
        return f"{', '.join(names) or 'no instance'}: {fault.factor:g} times as long"

    def end(self) -> str:
        self._over()
        return ""


KIND = SlowInstance
