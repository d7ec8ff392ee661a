"""The tags fit into what AWS takes, and say what was done after any order of events."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.adapters.aws.tags import (
    DECISION,
    DECISIONS,
    FENCE,
    INSTANCES,
    REMEMBERED,
    SET,
    WARM,
    TagKeys,
    TagRecord,
    as_tags,
    begun,
    ended,
    read,
)

TAKEN = re.compile(r"[\w\s+=.:/@-]{0,256}", re.ASCII)
IDS = st.text(min_size=1, max_size=300) | st.from_regex(
    r"[a-z-]{1,60}-[0-9a-f]{12}", fullmatch=True
)


@given(
    st.lists(st.tuples(IDS, st.integers(0, 5000)), max_size=40), st.sampled_from([INSTANCES, WARM])
)
def test_any_decisions_fit_into_tags_and_come_back_as_they_were(
    steps: list[tuple[str, int]], keys: TagKeys
) -> None:
    record, before = TagRecord(), 1
    for decision, after in steps:
        record = begun(record, before, decision, before, after=after, fence=7)
        assert read(as_tags(record, keys), keys) == record
        assert record.intends(decision)
        record, before = ended(record, decision, after), after
        tags = as_tags(record, keys)
        assert set(tags) <= set(keys.all)
        assert all(TAKEN.fullmatch(value) for value in tags.values()), tags
        assert read(tags, keys) == record
        assert record.has_done(decision)
        assert not record.is_changed(after)
        assert record.is_changed(after + 1)
    for decision, _ in steps[-REMEMBERED:]:
        assert record.has_done(decision)


def test_a_step_whose_end_nobody_wrote_down_is_the_engines_own_whichever_count_there_is() -> None:
    one = ended(begun(TagRecord(), 2, "d1", 2, after=4, fence=1), "d1", 4)
    cut_off = begun(one, 4, "d2", 4, after=6, fence=1)
    assert not cut_off.is_changed(4)
    assert not cut_off.is_changed(6)
    assert cut_off.is_changed(5)
    assert not cut_off.has_done("d2")
    following = begun(cut_off, 6, "d3", 6, after=7, fence=1)
    assert following.has_done("d2")
    never = begun(cut_off, 4, "d3", 4, after=7, fence=1)
    assert not never.has_done("d2")


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {FENCE: "", SET: "-1", DECISION: "x", DECISIONS: ""},
        {FENCE: "one", SET: "1e9", DECISION: "x 1 two", DECISIONS: " "},
        {FENCE: "-3", SET: "9" * 99, DECISION: "a b c d"},
        {FENCE: "²", "Name": "web"},
    ],
)
def test_what_somebody_made_of_the_tags_by_hand_is_as_if_not_there(tags: dict[str, str]) -> None:
    assert read(tags) == TagRecord()
    assert not read(tags).is_changed(3)
