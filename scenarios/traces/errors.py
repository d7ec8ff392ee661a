"""What is wrong with a file of measurements, told apart by what a folder of files does about it."""

from __future__ import annotations


class TraceError(ValueError):
    """A file that cannot be taken as a trace; the message says what was seen and what to say."""


class NoTraceError(TraceError):
    """A file that is something else, or that may be taken for several traces."""
