"""Hydra's complaints in our words: `scenarios.hydra_errors`, for all command lines alike."""

from __future__ import annotations

from scenarios.hydra_errors import CAUGHT, explain

__all__ = ["CAUGHT", "explain"]
