"""Rows of alerts: what had to be told to whom, and that each way to go wrong is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from scenarios.streams import Streams
from twin.evidence.claims import read
from twin.evidence.measures import alerting
from twin.evidence.measures.alerting import AlertStory, Receipt, delivered, rows_of

STORY = AlertStory.of(1_000_000.0, np.random.Generator(np.random.Philox(5)))
TAKEN, LEFT = STORY.names[0], STORY.names[1]
"""A service whose incidents are acknowledged, and one whose are not."""

Receipts = list[Receipt]


def receipts_of(name: str) -> Receipts:
    """All that has to be told of a bad service."""
    incident, bad_s = f"{name}/slowness#1", STORY.breaks_s[name]
    told_s = bad_s + 8.0
    kinds = [("triggered", alerting.ON_CALL, told_s), ("resolved", alerting.ON_CALL, bad_s + 120.0)]
    if not STORY.acknowledges(name):
        due_s = told_s + alerting.NEXT_S
        kinds += [("escalated", alerting.SECOND, due_s), ("resolved", alerting.SECOND, due_s + 90)]
    return [
        Receipt(receiver, f"{incident}.{k}", incident, kind, made_s, made_s + 2.0)
        for k, (kind, receiver, made_s) in enumerate(kinds)
    ]


def all_told() -> Receipts:
    return [receipt for name in STORY.kinds for receipt in receipts_of(name)]


def without(kind: str, receiver: str) -> Callable[[Receipts], Receipts]:
    return lambda receipts: [
        one for one in receipts
        if (one.service, one.kind, one.receiver) != (LEFT, kind, receiver)
    ]  # fmt: skip


def besides(service: str, kind: str, receiver: str) -> Callable[[Receipts], Receipts]:
    """A notice more, under an id of its own."""
    incident = f"{service}/slowness#1"
    more = Receipt(receiver, f"{incident}.9", incident, kind, 1_000_200.0, 1_000_201.0)
    return lambda receipts: [*receipts, more]


def test_a_story_has_services_of_each_kind_and_some_that_are_well() -> None:
    assert set(STORY.kinds.values()) == set(alerting.KINDS)
    assert len(STORY.names) - len(STORY.kinds) == alerting.WELL
    assert STORY.acknowledges(TAKEN) and not STORY.acknowledges(LEFT)
    assert AlertStory.of(5.0, Streams(1)("a")) == AlertStory.of(5.0, Streams(1)("a"))
    begins_s, _ = STORY.down_s
    assert begins_s > max(STORY.breaks_s.values()) + alerting.NEXT_S  # nothing is due meanwhile


def test_where_all_is_told_each_row_says_so_and_how_late_it_was() -> None:
    rows = rows_of(STORY, all_told())
    assert all(row["once"] == 1 and row["astray"] == 0 for row in rows)
    assert {row["alert_s"] for row in rows} == {None, 10.0}
    assert {row["late_s"] for row in rows} == {None, 2.0}
    assert len(rows) >= max(figure.smallest_n for figure in read()["3.3"][0].figures[:2])


@pytest.mark.parametrize(
    "change",
    [
        without("triggered", alerting.ON_CALL),
        without("escalated", alerting.SECOND),
        without("resolved", alerting.ON_CALL),
        without("resolved", alerting.SECOND),
        besides(LEFT, "triggered", alerting.ON_CALL),
        besides(LEFT, "escalated", alerting.SECOND),
        besides(LEFT, "resolved", alerting.ON_CALL),
        besides(TAKEN, "escalated", alerting.SECOND),
        besides(STORY.names[-1], "triggered", alerting.ON_CALL),
    ],
)
def test_what_is_lost_told_twice_or_told_to_the_wrong_is_seen(
    change: Callable[[Receipts], Receipts],
) -> None:
    rows = rows_of(STORY, change(all_told()))
    assert sum(row["astray"] for row in rows) == 1


def test_a_second_incident_of_a_service_is_told_as_well_and_is_not_the_same_told_twice() -> None:
    other = replace(
        receipts_of(LEFT)[0], id=f"{LEFT}/burn_rate#2.1", incident=f"{LEFT}/burn_rate#2"
    )
    assert sum(row["astray"] for row in rows_of(STORY, [*all_told(), other])) == 0


@pytest.mark.slow
def test_the_live_engine_tells_real_receivers_and_nobody_where_none_listens() -> None:
    told_rows, untold = delivered(rows=1, seed=3), delivered(rows=1, seed=3, down=True)
    for row in told_rows:
        # On a machine that stands still the second person is told before the first could answer.
        assert row["once"] == 1 or (row["what"], row["who"]) == ("nothing", alerting.SECOND), row
    assert {row["once"] for row in untold if row["what"] != "nothing"} == {0}
