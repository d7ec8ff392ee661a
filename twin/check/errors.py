"""What can be wrong with what is compared."""

from __future__ import annotations


class BaselineError(ValueError):
    """A baseline or record that cannot be used; the message names it and says why."""
