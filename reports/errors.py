"""What can be wrong with a record."""

from __future__ import annotations


class RecordError(ValueError):
    """A run record that cannot be read; the message names the file and the field."""
