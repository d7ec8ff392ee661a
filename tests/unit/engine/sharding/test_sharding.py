"""Which parts a platform has, who should own them, and what one engine may do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.model import BootTime, Call, ServiceSpec
from engine.sharding.placement import ROOM, owners
from engine.sharding.protocol import (
    ACT_S,
    RENEW_S,
    SPARE_S,
    HeldShard,
    LeaseProtocol,
    LeaseRow,
    MemberState,
    Round,
    RoundAnswer,
)
from engine.sharding.register import TTL_S, LeaseRegister, LeaseTable
from engine.sharding.shards import Shard, layout_of

PROTOCOL, REGISTER = LeaseProtocol(), LeaseRegister()


def platform(calls: Mapping[str, Sequence[str]]) -> tuple[ServiceSpec, ...]:
    return tuple(
        ServiceSpec(
            name, 1, 9, 8, 0.05, 1.0, BootTime(20.0, 0.1), 5.0, 0.5, 0.1,
            calls=tuple(Call(to, 1.0) for to in callees),
        )
        for name, callees in calls.items()
    )  # fmt: skip


@st.composite
def platforms(draw: st.DrawFn) -> dict[str, list[str]]:
    names = [f"s{k}" for k in range(draw(st.integers(1, 12)))]
    return {name: draw(st.lists(st.sampled_from(names), max_size=2)) for name in names}


# --- shards


@given(platforms())
@example({"b": ["a"], "a": [], "c": []})
def test_callers_and_callees_share_a_shard_and_nothing_else_does(
    calls: dict[str, list[str]],
) -> None:
    shards = layout_of(platform(calls)).shards
    of = {name: shard.name for shard in shards for name in shard.services}
    assert sorted(of) == sorted(calls)  # each service is in one
    assert sum(shard.cost for shard in shards) == len(calls)
    assert all(of[caller] == of[to] for caller, callees in calls.items() for to in callees)
    for shard in shards:
        assert shard.name == min(shard.services)
        reached, to_visit = set[str](), [shard.name]
        while to_visit:
            at = to_visit.pop()
            if at not in reached:
                reached.add(at)
                to_visit += [*calls[at], *(one for one in calls if at in calls[one])]
        assert reached == set(shard.services)  # nothing in it is without a tie to the others


@given(platforms(), st.randoms(use_true_random=False))
def test_the_order_of_services_changes_no_shard(calls: dict[str, list[str]], by: object) -> None:
    specs = list(platform(calls))
    before = layout_of(specs)
    by.shuffle(specs)  # type: ignore[attr-defined]
    assert layout_of(specs) == before


def test_another_call_is_another_layout() -> None:
    apart, together = {"a": [], "b": []}, {"a": ["b"], "b": []}
    assert layout_of(platform(apart)).digest != layout_of(platform(together)).digest


def test_a_call_of_what_is_no_service_is_named() -> None:
    with pytest.raises(ValueError, match="a calls x, which is not a service"):
        layout_of(platform({"a": ["x"]}))


# --- placement

SHARDS = tuple(Shard(f"s{k}", tuple(f"s{k}.{i}" for i in range(1 + k % 7))) for k in range(300))
SERVICES = sum(shard.cost for shard in SHARDS)


def moved(before: Mapping[str, str], after: Mapping[str, str]) -> int:
    return sum(shard.cost for shard in SHARDS if before[shard.name] != after[shard.name])


@given(st.integers(2, 7), st.integers(0, 10_000))
@settings(max_examples=25)
def test_an_engine_more_or_less_moves_few_services(n: int, world: int) -> None:
    members = [f"e{world}-{k}" for k in range(n + 1)]
    before = owners(SHARDS, members[:n], {})
    load = {m: sum(s.cost for s in SHARDS if before[s.name] == m) for m in members}
    assert max(load.values()) <= ROOM * SERVICES / n
    more = owners(SHARDS, members, before)
    assert 0 < moved(before, more) <= 1.2 / n * SERVICES
    less = owners(SHARDS, members[: n - 1], before)
    assert moved(before, less) <= 1.2 / n * SERVICES
    # Who stays keeps what it had.
    assert all(less[s] == m for s, m in before.items() if m in members[: n - 1])
    # And then nothing more moves.
    assert owners(SHARDS, members, more) == more
    assert owners(SHARDS, members[: n - 1], less) == less


def test_a_shard_that_is_more_than_a_share_stays_where_it_is() -> None:
    shards = (Shard("large", tuple("abcdefghij")), Shard("small", ("k",)))
    assert owners(shards, ["x", "y"], {"large": "x", "small": "y"})["large"] == "x"


def test_without_engines_nobody_owns_anything() -> None:
    assert owners(SHARDS, [], {}) == {}


# --- what one engine does


class Place:
    """Engines and a table that always answer at once; each has a clock of its own."""

    def __init__(self, *members: str, calls: Mapping[str, Sequence[str]] | None = None) -> None:
        self.layout = layout_of(platform(calls or {"a": [], "b": [], "c": []}))
        self.table = LeaseTable()
        self.now_s = 0.0
        self.states = {name: PROTOCOL.begin(name, self.layout, 0.0) for name in members}

    def round(self, member: str, *, heard: bool = True) -> Round | None:
        state, asked = PROTOCOL.asks(self.states[member], self.now_s)
        if asked is not None:
            self.table, answer = REGISTER.serve(self.table, asked, self.now_s)
            if heard:
                state = PROTOCOL.answered(state, answer, self.now_s)
        self.states[member] = state
        return asked

    def run(self, until_s: float, *members: str) -> None:
        while self.now_s < until_s:
            for member in members:
                self.round(member)
            self.now_s += 0.25

    def acts(self, member: str) -> list[str]:
        state = self.states[member]
        return [s.name for s in self.layout.shards if PROTOCOL.may_act(state, s.name, self.now_s)]


def test_each_shard_has_one_owner_and_in_the_end_all_engines_have_some() -> None:
    place = Place("x", "y", "z", calls={f"s{k}": [] for k in range(9)})
    place.run(5.0, "x", "y", "z")
    for _ in range(8):
        for member in "xyz":
            place.states[member] = PROTOCOL.boundary(place.states[member], place.now_s)
        place.run(place.now_s + 3.0, "x", "y", "z")
    owned = [shard for member in "xyz" for shard in place.acts(member)]
    assert sorted(owned) == sorted(shard.name for shard in place.layout.shards)
    assert min(len(place.acts(member)) for member in "xyz") > 1


def test_of_engines_that_are_started_together_none_takes_all() -> None:
    place = Place("x", "y", "z", calls={f"s{k}": [] for k in range(9)})
    place.run(6.0, "x", "y", "z")
    assert [len(place.acts(member)) for member in "xyz"] == [3, 3, 3]


def test_a_holder_stops_six_seconds_after_it_sent_its_last_good_renewal() -> None:
    place = Place("x")
    place.run(3.0, "x")
    sent_s = place.states["x"].view.sent_s
    assert place.acts("x") == ["a", "b", "c"]
    place.now_s = sent_s + ACT_S - 0.01
    assert place.acts("x") == ["a", "b", "c"]
    place.now_s = sent_s + ACT_S
    assert place.acts("x") == []


def test_an_answer_counts_from_when_it_was_asked_for_however_late_it_is() -> None:
    place = Place("x")
    place.run(3.0, "x")
    place.now_s = place.states["x"].due_s
    state, asked = PROTOCOL.asks(place.states["x"], place.now_s)
    assert asked is not None
    _, answer = REGISTER.serve(place.table, asked, place.now_s)
    late = PROTOCOL.answered(state, answer, place.now_s + 5.0)
    assert {held.until_s for held in late.held.values()} == {place.now_s + ACT_S}


def test_what_a_dead_engine_had_is_taken_when_its_lease_is_over() -> None:
    place = Place("x", "y")
    place.run(4.0, "x", "y")
    had = {shard: place.table.lots[shard] for shard in place.acts("x")}
    assert had
    until_s = max(lot.until_s for lot in had.values())
    place.run(until_s + 0.6, "y")
    assert sorted(place.acts("y")) == ["a", "b", "c"]
    assert all(place.table.lots[shard].epoch == lot.epoch + 1 for shard, lot in had.items())


def test_an_engine_whose_answers_are_lost_ends_to_renew() -> None:
    place = Place("x", "y")
    place.run(4.0, "x", "y")
    lost_s = place.states["x"].view.sent_s
    while place.now_s < lost_s + ACT_S + TTL_S + RENEW_S:
        place.round("x", heard=False)
        place.round("y")
        place.now_s += 0.25
    assert sorted(place.acts("y")) == ["a", "b", "c"]


def test_one_shard_in_each_cycle_goes_to_an_engine_that_has_come() -> None:
    place = Place("x", "y", calls={f"s{k}": [] for k in range(10)})
    place.run(4.0, "x")
    place.run(8.0, "x", "y")
    assert len(place.acts("x")) == 10  # nothing is taken from it
    for left in (9, 8, 7):
        place.states["x"] = PROTOCOL.boundary(place.states["x"], place.now_s)
        assert len(place.acts("x")) == left  # it stops before it says so
        place.run(place.now_s + 3.0, "x", "y")
        assert len(place.acts("y")) == 10 - left


def test_what_was_given_back_is_never_held_again_under_that_epoch() -> None:
    place = Place("x")
    place.run(3.0, "x")
    place.now_s = place.states["x"].due_s
    state, asked = PROTOCOL.asks(place.states["x"], place.now_s)
    assert asked is not None
    assert asked.keep
    _, answer = REGISTER.serve(place.table, asked, place.now_s)
    left = PROTOCOL.leave(state, place.now_s)
    late = PROTOCOL.answered(left, answer, place.now_s)
    assert not late.held
    _, last = PROTOCOL.asks(late, late.due_s)
    assert last is not None
    assert (last.leaves, dict(last.drop), last.keep) == (True, dict(asked.keep), ())


def test_an_answer_that_comes_twice_changes_nothing_the_second_time() -> None:
    place = Place("x")
    place.run(3.0, "x")
    place.now_s = place.states["x"].due_s
    state, asked = PROTOCOL.asks(place.states["x"], place.now_s)
    assert asked is not None
    _, answer = REGISTER.serve(place.table, asked, place.now_s)
    once = PROTOCOL.answered(state, answer, place.now_s)
    assert PROTOCOL.answered(once, answer, place.now_s + 1.0) == once


def test_a_round_that_failed_is_soon_tried_again() -> None:
    place = Place("x")
    place.run(3.0, "x")
    state, asked = PROTOCOL.asks(place.states["x"], place.states["x"].due_s)
    assert asked is not None
    now_s = place.states["x"].due_s
    again = PROTOCOL.failed(state, asked.number, now_s)
    assert now_s < again.due_s <= now_s + 0.5 < state.due_s


def test_a_free_shard_goes_to_the_next_engine_if_the_first_does_not_take_it() -> None:
    layout = layout_of(platform({"a": []}))
    row = LeaseRow("a", "", 3, -SPARE_S)
    for free_s, wants in ((SPARE_S - 1.0, 1), (SPARE_S, 2)):
        takers = 0
        for me in ("x", "y"):
            state: MemberState = PROTOCOL.begin(me, layout, 0.0)
            for number, now_s in enumerate((0.0, 0.0, RENEW_S), start=1):
                state, asked = PROTOCOL.asks(state, now_s)
                rows = (replace(row, left_s=now_s - RENEW_S - free_s),)
                answer = RoundAnswer(number, (), (), rows, ("x", "y"), True)
                state = PROTOCOL.answered(state, answer, now_s)
            _, asked = PROTOCOL.asks(replace(state, due_s=RENEW_S), RENEW_S)
            takers += asked is not None and asked.take == ("a",)
        assert takers == wants


def test_what_ran_out_while_nothing_was_heard_takes_no_room_from_what_is_free() -> None:
    layout = layout_of(platform({name: [] for name in "abcdef"}))
    state: MemberState = PROTOCOL.begin("x", layout, 0.0)
    others = {"c": HeldShard(1, -1.0), "d": HeldShard(1, -1.0)}  # y has had them for long
    state = replace(state, held=others)
    holders = dict(zip("abcde", "xxyyy", strict=True))
    for number, now_s in enumerate((0.0, 0.0, RENEW_S), start=1):
        state, _ = PROTOCOL.asks(state, now_s)
        rows = [LeaseRow(shard, holder, 2, 5.0) for shard, holder in holders.items()]
        rows.append(LeaseRow("f", "z", 2, -0.1))
        answer = RoundAnswer(number, (), (), tuple(rows), ("x", "y"), True)
        state = PROTOCOL.answered(state, answer, now_s)
    _, asked = PROTOCOL.asks(replace(state, due_s=RENEW_S), RENEW_S)
    assert asked is not None
    assert asked.take == ("f",)


def test_engines_that_cut_the_platform_otherwise_wait_until_the_last_of_these_is_gone() -> None:
    place = Place("x")
    other = layout_of(platform({"a": ["b"], "b": [], "c": []}))
    place.states["new"] = PROTOCOL.begin("new", other, 0.0)
    place.run(20.0, "x", "new")
    assert place.acts("x") == ["a", "b", "c"]
    assert not place.states["new"].held
    place.states["x"] = PROTOCOL.leave(place.states["x"], place.now_s)
    place.round("x")
    place.run(place.now_s + TTL_S + RENEW_S + 0.5, "new")
    assert sorted(place.states["new"].held) == ["a", "c"]
