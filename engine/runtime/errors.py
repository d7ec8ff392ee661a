"""What a command has to catch of a run, without importing what runs."""

from __future__ import annotations


class ControllerError(RuntimeError):
    """The controller raised, or asked for something that makes no sense."""
