"""Whether a history of rounds could be that of one register a shard, each round at one moment.

The method of Wing and Gong with the memory of Lowe: a round may be put next if none that is not
put yet was answered before it was sent; what it answered must then be what the register says; a
dead end is gone back from, and none is entered twice.  A register is linearizable if each of its
shards is, so one shard is looked at after the other.

The register here is one without a clock: a lease may run out at any moment, unseen.  So it finds
what cannot be, whoever's clock is right: two owners under one epoch, an epoch that does not grow, a
renewal of what another has, a row that was over before it was asked for.  A round that nobody heard
an answer to may have counted, at any later time, or not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from twin.leases.world import TableCall

_State = tuple[int, str]
"""The newest epoch and its holder, "" if it is free."""
_FREE: _State = (0, "")


def is_linearizable(calls: Sequence[TableCall], shards: Sequence[str]) -> bool:
    """Whether all shards' histories are."""
    return all(_is_linearizable(_of_shard(calls, shard)) for shard in shards)


class _Call:
    """A round as far as it is about one shard; an answer of None is one that nobody heard."""

    __slots__ = ("drops", "heard_s", "holder", "keeps", "kept", "member", "row", "sent_s",
                 "taken", "takes")  # fmt: skip

    def __init__(self, call: TableCall, shard: str) -> None:
        asked, answer = call.asked, call.answer
        self.member, self.sent_s, self.heard_s = call.member, call.sent_s, call.heard_s
        self.keeps = next((epoch for name, epoch in asked.keep if name == shard), 0)
        self.drops = next((epoch for name, epoch in asked.drop if name == shard), 0)
        self.takes = asked.alive and shard in asked.take
        self.kept, self.taken = False, 0
        self.row: tuple[int, str, bool] | None = None
        if answer is not None:
            self.kept = (shard, self.keeps) in answer.kept
            self.taken = next((epoch for name, epoch in answer.taken if name == shard), 0)
            self.row = next(
                ((row.epoch, row.holder, row.left_s > 0.0)
                 for row in answer.rows if row.shard == shard), (0, "", False),
            )  # fmt: skip

    @property
    def is_heard(self) -> bool:
        return self.row is not None

    def after(self, state: _State) -> list[_State]:
        """What the register may be afterwards; empty if it cannot have answered so."""
        if self.keeps:
            states = self._after_keeping(state)
        elif self.drops:
            ours = state == (self.drops, self.member)
            states = [(self.drops, "")] if ours else [state]
        elif self.takes:
            states = self._after_taking(state)
        else:
            states = [state]
        if self.row is None:
            return states
        seen_epoch, seen_holder, lasts = self.row
        return [
            (epoch, holder)
            for epoch, holder in states
            if seen_epoch == epoch and (not lasts or seen_holder == holder)
        ]

    def _after_keeping(self, state: _State) -> list[_State]:
        ours = state == (self.keeps, self.member)
        if not self.is_heard or ours == self.kept:
            return [state]
        # It had run out; what was another's was not kept.
        return [(self.keeps, "")] if ours else []

    def _after_taking(self, state: _State) -> list[_State]:
        epoch, holder = state
        if not self.is_heard:
            return [state, (epoch + 1, self.member)]
        if self.taken:
            return [(self.taken, self.member)] if self.taken == epoch + 1 else []
        # Nobody had it, and it was refused: that cannot be.
        is_free = not holder and self.row is not None and self.row[2]
        return [] if is_free else [state]


def _of_shard(calls: Sequence[TableCall], shard: str) -> list[_Call]:
    made = [_Call(call, shard) for call in calls]
    # A look that nobody heard changes nothing.
    return [one for one in made if one.is_heard or one.keeps or one.drops or one.takes]


def _is_linearizable(calls: list[_Call]) -> bool:
    calls.sort(key=lambda one: (one.heard_s, one.sent_s))
    count = sum(one.is_heard for one in calls)  # those that nobody heard are behind them
    # From a call on, the earliest that any was sent: so a look for what may come next ends early.
    earliest_s = [math.inf] * (len(calls) + 1)
    for k in reversed(range(len(calls))):
        earliest_s[k] = min(earliest_s[k + 1], calls[k].sent_s)

    def next_after(put: int, first: int, state: _State) -> list[tuple[int, _State]]:
        """What may come next, and what the register is then; those in `put` have come."""
        by_s, options = calls[first].heard_s, []
        for k in range(first, len(calls)):
            if earliest_s[k] > by_s:
                break
            if not put >> k & 1 and calls[k].sent_s <= by_s:
                options += [(k, to) for to in calls[k].after(state)]
        return options

    tried: set[tuple[int, _State]] = set()
    # A stack of what has come, from where on not all has, and what may come next.
    stack = [(0, 0, iter(next_after(0, 0, _FREE)))] if count else []
    while stack:
        put, first, options = stack[-1]
        option = next(options, None)
        if option is None:
            stack.pop()
            continue
        k, state = option
        after = put | 1 << k
        if (after, state) in tried:
            continue
        tried.add((after, state))
        while first < count and after >> first & 1:
            first += 1
        if first == count:
            return True
        stack.append((after, first, iter(next_after(after, first, state))))
    return not count
