"""Boots of which some take very long."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from scenarios.faults.base import Share, Victim
from scenarios.faults.draw import Draw
from scenarios.faults.launches import BadLaunches
from scenarios.faults.parts import LaunchPart


class HeavyBoots(BadLaunches):
    """A share of the boots take Pareto(`tail`) times as long: a few of them for ever, almost."""

    kind: Literal["heavy_boots"] = "heavy_boots"
    share: Share = 0.1
    tail: Annotated[float, Field(ge=0.5, le=10)] = 1.5

    cause: ClassVar[str] = "starts"
    what: ClassVar[str] = "boots draw from a heavy tail"
    example: ClassVar[dict[str, Any]] = {"share": 0.5, "at": 300, "duration_s": 1800}

    def spoil(self, launch: LaunchPart, hit: NDArray[np.bool_], rng: np.random.Generator) -> None:
        """Multiply their boot times."""
        launch.wait_s[hit] *= (1.0 + rng.pareto(self.tail, len(hit)))[hit]

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """Tails with and without a variance, and without a mean."""
        return {"share": victim.share, "tail": draw.real(0.8, 3)}


KIND = HeavyBoots
