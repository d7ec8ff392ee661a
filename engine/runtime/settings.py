"""How the shell runs: what a configuration may say of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.config.strict import Strict


class LiveSettings(Strict):
    """How the shell runs."""

    state: str = Field(default="state/engine", min_length=1)
    """Folder of everything that survives a restart."""
    duration_s: Annotated[float, Field(gt=0.0, le=1e9)] | None = None
    """When to end by itself; null: never."""
    wait_for_lead: bool = False
    """Wait, if another engine leads, instead of giving up."""
    observe_timeout_s: Annotated[float, Field(gt=0.0, le=600.0)] = 4.0
    """For whatever is looked at before a step."""
    apply_timeout_s: Annotated[float, Field(gt=0.0, le=600.0)] = 10.0
    """For whatever is written after it: commands, memory, status."""
