"""Where instances run: one small port, and an adapter for each kind of infrastructure."""

from engine.infrastructure.port import (
    Counts,
    Infrastructure,
    Sighting,
    Unreachable,
    connect,
)

__all__ = ["Counts", "Infrastructure", "Sighting", "Unreachable", "connect"]
