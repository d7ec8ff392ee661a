"""How engines share shards: what one of them knows, asks for, and may do.

An engine and the lease table talk in *rounds*, one each 2 s: the engine says that it lives, which
leases it keeps, gives back and wants; the table answers with what became of that, with all leases,
and with who lives.  A round is one statement of the database, so it counts wholly or not at all.

    state, asked = protocol.asks(state, now_s)          None: no round is due
    state = protocol.answered(state, answer, now_s)     also late, twice, or never
    epoch = protocol.may_act(state, shard, now_s)       0: it may not
    state = protocol.boundary(state, now_s)             between two cycles: one shard may go

`now_s` is the engine's own monotonic clock, which nobody sets.  The rules, and why:

- *A lease lasts 8 s by the table's clock and 6 s by the engine's, counted from when the renewal was
  sent.*  The table cannot have begun its 8 s earlier than that, however long the answer took, so
  the engine stops first unless its clock is slow by a quarter.
- *What is over stays over.*  An engine never asks to keep an epoch that it gave back or lost, also
  when an old answer or a round that was delivered twice says that it has it.
- *An engine that hears nothing asks for nothing.*  It says that it lives only while answers come:
  else one whose questions arrive and whose answers do not would hold shards that it cannot serve.
- *A shard goes to another engine between two cycles*, one in each cycle of an engine: its step is
  over, its memory is kept, and a newcomer does not set off a storm.
- *Who has just come takes nothing for 2 s*: of engines that are started together each sees the
  others first, and none takes all.
- *A free shard is the best-placed engine's*; the next one takes it if that has not, 4 s later.
- *One layout at a time.*  Engines whose platform is cut otherwise share no shard with these; they
  wait until the last of them is gone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from engine.sharding.placement import owners, ranked
from engine.sharding.shards import ShardLayout

RENEW_S = 2.0
"""From one round to the next."""
ACT_S = 6.0
"""A holder acts for so long after it sent its last good renewal."""
SPARE_S = 4.0
"""The next engine in the order takes a free shard after so long, the one after it after twice."""
SOON_S = 0.25
"""After a lease of another has run out, or a round has failed."""


@dataclass(frozen=True, slots=True)
class Round:
    """What an engine says and asks; `keep` and `drop` are shards with their epochs."""

    member: str
    number: int
    layout: str
    alive: bool = False
    """Whether it has heard of the table of late: else it asks only to hear."""
    leaves: bool = False
    keep: tuple[tuple[str, int], ...] = ()
    drop: tuple[tuple[str, int], ...] = ()
    take: tuple[str, ...] = ()
    above: tuple[tuple[str, int], ...] = ()
    """Epochs that those of some shards have to be above: the infrastructure has heard of them."""


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """A shard's lease as the table has it; over for so long if `left_s` is negative."""

    shard: str
    holder: str
    epoch: int
    left_s: float


@dataclass(frozen=True, slots=True)
class RoundAnswer:
    """What became of a round: what was kept and taken, all leases, and who lives."""

    number: int
    kept: tuple[tuple[str, int], ...]
    taken: tuple[tuple[str, int], ...]
    rows: tuple[LeaseRow, ...]
    members: tuple[str, ...]
    ours: bool
    """Whether the platform is cut by this engine's layout now."""


@dataclass(frozen=True, slots=True)
class HeldShard:
    """A shard of this engine: under which epoch, and until when it may act."""

    epoch: int
    until_s: float


@dataclass(frozen=True, slots=True)
class _Sent:
    asked: Round
    at_s: float


@dataclass(frozen=True, slots=True)
class TableView:
    """What the newest answer said: to a round of `sent_s`, heard at `came_s`."""

    number: int
    sent_s: float
    came_s: float
    rows: Mapping[str, LeaseRow]
    members: tuple[str, ...]
    ours: bool


_NOTHING_SEEN = TableView(0, -math.inf, -math.inf, {}, (), False)


@dataclass(frozen=True, slots=True)
class MemberState:
    """All that an engine knows of the sharing."""

    member: str
    layout: ShardLayout
    due_s: float
    """When its next round is due."""
    number: int = 0
    held: Mapping[str, HeldShard] = field(default_factory=dict)
    over: Mapping[str, int] = field(default_factory=dict)
    """The newest epoch of each shard that this engine had and has no more."""
    view: TableView = _NOTHING_SEEN
    leaves: bool = False
    above: Mapping[str, int] = field(default_factory=dict)
    """Epochs that the infrastructure has heard of and this engine's are not above."""
    since_s: float = math.inf
    """Since when it says that it lives, and answers come."""
    _sent: tuple[_Sent, ...] = ()
    """Rounds without an answer yet."""


class LeaseProtocol:
    """What an engine does next; without state, so that a test can plant a fault in it."""

    def begin(self, member: str, layout: ShardLayout, now_s: float) -> MemberState:
        """An engine that has just been started: its name must be its own."""
        return MemberState(member, layout, now_s)

    def asks(self, state: MemberState, now_s: float) -> tuple[MemberState, Round | None]:
        """The round that is due, None if none is."""
        if now_s < state.due_s:
            return state, None
        view, me = state.view, state.member
        alive = now_s - view.sent_s <= ACT_S and not state.leaves
        keep: dict[str, int] = {}
        drop: dict[str, int] = {}
        for shard, row in view.rows.items():
            if row.holder != me:
                continue
            if row.epoch <= state.over.get(shard, 0):
                drop[shard] = row.epoch
            elif alive:
                keep[shard] = row.epoch
        if alive:
            keep.update({s: h.epoch for s, h in state.held.items() if now_s < h.until_s})
        take: tuple[str, ...] = ()
        next_s = now_s + RENEW_S
        since_s = min(state.since_s, now_s) if alive else math.inf
        if alive and view.ours and now_s - since_s >= RENEW_S:
            take, next_s = self._wanted(state, now_s, next_s, {*keep, *drop})
        asked = Round(
            me, state.number + 1, state.layout.digest, alive, state.leaves,
            tuple(keep.items()), tuple(drop.items()), take, tuple(state.above.items()),
        )  # fmt: skip
        sent = [one for one in state._sent if now_s - one.at_s <= ACT_S]
        # Not `replace`, here and below, which takes longer than all the rest.
        after = MemberState(
            me, state.layout, next_s, asked.number, state.held, state.over, view, state.leaves,
            state.above, since_s, (*sent, _Sent(asked, now_s)),
        )  # fmt: skip
        return after, asked

    def answered(self, state: MemberState, answer: RoundAnswer, now_s: float) -> MemberState:
        """The state after an answer came; one that nobody waits for changes nothing."""
        sent = next((one for one in state._sent if one.asked.number == answer.number), None)
        if sent is None:
            return state
        held, over = self._confirmed(state, sent, answer, now_s)
        view, due_s = state.view, state.due_s
        if answer.number > view.number:
            first = not view.rows and not view.members
            view = TableView(
                answer.number, sent.at_s, now_s, {row.shard: row for row in answer.rows},
                answer.members, answer.ours,
            )  # fmt: skip
            if (first or not sent.asked.alive) and not state.leaves:
                due_s = now_s  # it could not ask for anything before
        rest = tuple([one for one in state._sent if one is not sent])
        after = MemberState(
            state.member, state.layout, due_s, state.number, held, over, view, state.leaves,
            state.above, state.since_s, rest,
        )  # fmt: skip
        is_fresh = view is not state.view and view.ours and now_s < view.sent_s + ACT_S
        if is_fresh and now_s - state.since_s >= RENEW_S:
            rows = view.rows.values()
            if len(rows) < len(state.layout.shards) or any(row.left_s <= 0.0 for row in rows):
                settled = {row.shard for row in rows if row.holder == state.member}
                if not state.leaves and self._wanted(after, now_s, due_s, settled)[0]:
                    return replace(after, due_s=now_s)  # what is free waits for nothing
        return after

    def failed(self, state: MemberState, number: int, now_s: float) -> MemberState:
        """The table has refused a round, or cannot be reached; nobody waits for its answer."""
        rest = tuple([one for one in state._sent if one.asked.number != number])
        return replace(state, _sent=rest, due_s=min(state.due_s, now_s + 2.0 * SOON_S))

    def may_act(self, state: MemberState, shard: str, now_s: float) -> int:
        """The epoch under which this engine may act for `shard` now; 0 if it may not."""
        held = state.held.get(shard)
        return held.epoch if held is not None and now_s < held.until_s else 0

    def boundary(self, state: MemberState, now_s: float) -> MemberState:
        """Between two cycles: give back the one shard that is another's, if there is one."""
        if now_s - state.view.sent_s > ACT_S or not state.view.ours:
            return state
        should = self._owners(state, now_s)
        for shard in sorted(state.held):
            if should.get(shard, state.member) != state.member:
                return self._without(state, [shard], now_s)
        return state

    def raise_above(self, state: MemberState, shard: str, epoch: int, now_s: float) -> MemberState:
        """The infrastructure has heard of `epoch`: have the shard under a higher one."""
        above = {**state.above, shard: max(epoch, state.above.get(shard, 0))}
        state = replace(state, above=above)
        if shard in state.held and state.held[shard].epoch <= epoch:
            return self._without(state, [shard], now_s)
        return state

    def leave(self, state: MemberState, now_s: float) -> MemberState:
        """The engine ends: it acts no more, and its next round gives everything back."""
        return replace(self._without(state, list(state.held), now_s), leaves=True)

    # --- rules of their own

    def until_s(self, sent_s: float, came_s: float) -> float:
        """When a holder stops that was confirmed by an answer which came at `came_s`."""
        del came_s  # the table may have begun to count long before
        return sent_s + ACT_S

    def is_new(self, epoch: int, over: int) -> bool:
        """Whether an epoch may be held: none that is `over`."""
        return epoch > over

    # --- inside

    def _confirmed(
        self, state: MemberState, sent: _Sent, answer: RoundAnswer, now_s: float
    ) -> tuple[dict[str, HeldShard], dict[str, int]]:
        """What is held after an answer, and which epochs are over."""
        until_s = self.until_s(sent.at_s, now_s)
        held, over = dict(state.held), dict(state.over)
        for shard, epoch in (*answer.kept, *answer.taken):
            before = held.get(shard)
            if not self.is_new(epoch, over.get(shard, 0)):
                continue
            if before is None or (before.epoch, before.until_s) < (epoch, until_s):
                held[shard] = HeldShard(epoch, until_s)
        kept = dict(answer.kept)
        for shard, epoch in sent.asked.keep:
            if kept.get(shard) != epoch:
                over[shard] = max(over.get(shard, 0), epoch)
                if shard in held and held[shard].epoch == epoch:
                    del held[shard]
        return held, over

    def _without(self, state: MemberState, shards: list[str], now_s: float) -> MemberState:
        held, over = dict(state.held), dict(state.over)
        for shard in shards:
            over[shard] = max(over.get(shard, 0), held.pop(shard).epoch)
        return replace(state, held=held, over=over, due_s=now_s)

    def _wanted(
        self, state: MemberState, now_s: float, next_s: float, settled: set[str]
    ) -> tuple[tuple[str, ...], float]:
        """Free shards that this engine takes, and when its next round is due."""
        view, me = state.view, state.member
        age_s = now_s - view.came_s
        should: dict[str, str] | None = None
        take: list[str] = []
        for shard in state.layout.shards:
            name = shard.name
            if name in settled:
                continue
            row = view.rows.get(name)
            left_s = 0.0 if row is None else row.left_s - age_s
            if left_s > 0.0:
                # Its holder may be gone: ask again as soon as that is certain.
                next_s = min(next_s, now_s + left_s + SOON_S)
                continue
            if should is None:
                should = self._owners(state, now_s)
            if should.get(name) == me or (
                row is not None
                and me in view.members
                and -left_s >= SPARE_S * ranked(name, view.members).index(me)
                and -left_s >= SPARE_S
            ):
                take.append(name)
        return tuple(take), next_s

    def _owners(self, state: MemberState, now_s: float) -> dict[str, str]:
        view = state.view
        age_s = now_s - view.came_s
        holders = {name: row.holder for name, row in view.rows.items() if row.left_s > age_s}
        for name, epoch in state.over.items():
            if name in holders and view.rows[name].epoch <= epoch:
                del holders[name]
        # Not what ran out while nothing was heard: another may have had it for long.
        held = [shard for shard, own in state.held.items() if now_s < own.until_s]
        holders.update(dict.fromkeys(held, state.member))
        # Who let a lease run out, and has none besides, is gone: its sign of life ended with it.
        gone = {row.holder for row in view.rows.values() if row.left_s <= age_s}
        gone -= {*holders.values(), state.member}
        members = (
            [member for member in view.members if member not in gone] if gone else view.members
        )
        return owners(state.layout.shards, members, holders)
