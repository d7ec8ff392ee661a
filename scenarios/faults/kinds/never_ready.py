"""Boots that hang."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from scenarios.faults.base import Victim
from scenarios.faults.draw import Draw
from scenarios.faults.launches import BadLaunches
from scenarios.faults.parts import LaunchPart


class NeverReady(BadLaunches):
    """A share of the boots hang; such an instance is given up and replaced after `given_up_s`."""

    kind: Literal["never_ready"] = "never_ready"
    given_up_s: Annotated[float, Field(gt=0, le=86_400)] = 600.0

    cause: ClassVar[str] = "starts"
    what: ClassVar[str] = "boots hang"
    example: ClassVar[dict[str, Any]] = {"share": 0.5, "at": 300, "duration_s": 1800}

    def spoil(self, launch: LaunchPart, hit: NDArray[np.bool_], rng: np.random.Generator) -> None:
        """Let them boot for ever."""
        launch.wait_s[hit] = np.inf
        launch.given_up_s[hit] = np.minimum(launch.given_up_s[hit], self.given_up_s)

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """Given up before anybody would have been ready, and long after."""
        return {"share": victim.share, "given_up_s": draw.whole(30, 300)}


KIND = NeverReady
