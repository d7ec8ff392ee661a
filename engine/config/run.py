"""What every run says of itself, in the twin's world or in the real one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from engine.config.strict import Strict
from engine.model import Budget

Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Count = Annotated[int, Field(ge=0, le=10_000_000)]

Approver = Literal["automatic", "never"] | Annotated[float, Field(ge=0.0, le=86_400.0)]
"""Who answers an action that needs approval: at once, nobody, or somebody after so many seconds."""


class ScenarioConfig(Strict):
    """What a scenario says of itself."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^[\w.-]+$")
    """What records and reports call it."""
    description: str = ""
    """What it is, in a sentence."""


class BudgetConfig(Strict):
    """Ceilings over all services; null: none."""

    usd_per_hour: Annotated[float, Field(ge=0.0)] | None = None
    """What all instances may cost, USD an hour."""
    instances: Count | None = None
    """How many there may be, as an account's quota."""

    def budget(self) -> Budget:
        """The ceilings as the engine takes them."""
        given = {name: value for name, value in self.model_dump().items() if value is not None}
        return Budget(**given)
