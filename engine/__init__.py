"""The scaling engine: a pure, wedding-aware reconciler and the parts it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.autoscaler import Autoscaler
    from engine.settings import EngineSettings

__all__ = ["Autoscaler", "EngineSettings"]


def __getattr__(name: str) -> object:
    """The two names, imported when asked for: a command that only reads a file need not wait."""
    if name == "Autoscaler":
        from engine.autoscaler import Autoscaler

        return Autoscaler
    if name == "EngineSettings":
        from engine.settings import EngineSettings

        return EngineSettings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
