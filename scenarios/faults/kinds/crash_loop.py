"""Instances that crash again and again."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from scenarios.faults.base import Victim
from scenarios.faults.draw import Draw
from scenarios.faults.launches import BadLaunches
from scenarios.faults.parts import LaunchPart


class CrashLoop(BadLaunches):
    """A share of the launched instances crash `up_s` after they got ready, `crashes` times over.

    Each restart waits twice as long as the one before, from 10 s to 5 min, as a kubelet's does
    (Kubernetes documentation, "Pod Lifecycle"), and warms up anew.
    """

    kind: Literal["crash_loop"] = "crash_loop"
    up_s: Annotated[float, Field(ge=1, le=86_400)] = 20.0
    crashes: Annotated[int, Field(ge=1, le=20)] = 3

    cause: ClassVar[str] = "instances"
    what: ClassVar[str] = "instances crash after they got ready"
    example: ClassVar[dict[str, Any]] = {"share": 0.5, "at": 300, "duration_s": 1800}

    def spoil(self, launch: LaunchPart, hit: NDArray[np.bool_], rng: np.random.Generator) -> None:
        """Let them crash."""
        launch.crashes[hit] = self.crashes
        launch.up_s[hit] = self.up_s

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """Up to four crashes, soon after getting ready."""
        return {"share": victim.share, "up_s": draw.whole(10, 60), "crashes": draw.whole(1, 4)}


KIND = CrashLoop
