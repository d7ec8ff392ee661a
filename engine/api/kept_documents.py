"""Kept samples of a range of time, as answers show them.

As in `engine.api.documents`: times ending in `_s` are epoch seconds (UTC), figures that are not
known are null.
"""

from __future__ import annotations

from engine.api.documents import Document, Figure


class KeptSeriesDocument(Document):
    """One series: a value for each step, null and 0 where there is no sample."""

    labels: dict[str, str]
    smallest: list[Figure]
    largest: list[Figure]
    mean: list[Figure]
    count: list[int]


class KeptRangeDocument(Document):
    """Series in the order of their labels; each step begins at a `time_s` and lasts `step_s`."""

    service: str
    figure: str
    step_s: float
    time_s: list[float]
    items: list[KeptSeriesDocument]
    next: str | None
    """The `cursor` of the next page, null after the last."""
