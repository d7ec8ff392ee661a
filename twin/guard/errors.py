"""What can be wrong with what the guard compares."""

from __future__ import annotations


class GuardError(ValueError):
    """Nothing can be compared; the message says why and what to do."""
