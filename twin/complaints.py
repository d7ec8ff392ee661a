"""What is wrong with a configuration: `scenarios.complaints`, for all command lines alike."""

from __future__ import annotations

from scenarios.complaints import close, lines

__all__ = ["close", "lines"]
