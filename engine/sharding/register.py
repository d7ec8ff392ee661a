"""What the lease table does with a round, as a pure function: the meaning of the SQL.

`engine.adapters.store.shard_leases` does the same in one statement of PostgreSQL, and a test gives
both the same rounds.  Times are those of the one clock that the table goes by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.sharding.protocol import LeaseRow, Round, RoundAnswer

TTL_S = 8.0
"""A lease that was not renewed for so long is over; so is a member's sign of life."""


@dataclass(frozen=True, slots=True)
class Lot:
    """Who has a shard: under which epoch, and until when."""

    holder: str
    epoch: int
    until_s: float


@dataclass(frozen=True, slots=True)
class LeaseTable:
    """All leases, the members' signs of life, and by which layout the platform is cut now."""

    lots: Mapping[str, Lot] = field(default_factory=dict)
    members: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    """The layout of each, and until when it counts as alive."""
    layout: str = ""
    layout_until_s: float = 0.0


class LeaseRegister:
    """Serves rounds; without state, so that a test can plant a fault in it."""

    def serve(
        self, table: LeaseTable, asked: Round, now_s: float
    ) -> tuple[LeaseTable, RoundAnswer]:
        """The table afterwards, and the answer."""
        me, until_s = asked.member, now_s + TTL_S
        lots, members = dict(table.lots), dict(table.members)
        layout, layout_until_s = table.layout, table.layout_until_s
        if asked.leaves:
            members.pop(me, None)
        elif asked.alive:
            members[me] = (asked.layout, until_s)
            if layout == asked.layout or now_s >= layout_until_s:
                layout, layout_until_s = asked.layout, until_s
        ours = layout == asked.layout
        above = dict(asked.above)
        kept: list[tuple[str, int]] = []
        for shard, epoch in asked.keep:
            lot = lots.get(shard)
            if lot is not None and self.may_keep(lot, me, epoch, now_s):
                lots[shard] = Lot(me, lot.epoch, until_s)
                kept.append((shard, epoch))
        for shard, epoch in asked.drop:
            lot = lots.get(shard)
            if lot is not None and self.may_drop(lot, me, epoch, now_s):
                lots[shard] = Lot("", lot.epoch, now_s)
        taken: list[tuple[str, int]] = []
        if ours and asked.alive:
            for shard in asked.take:
                lot = lots.get(shard)
                if lot is None or self.may_take(lot, now_s):
                    epoch = max(self.next_epoch(lot), above.get(shard, 0) + 1)
                    lots[shard] = Lot(me, epoch, until_s)
                    taken.append((shard, epoch))
        answer = RoundAnswer(
            asked.number, tuple(kept), tuple(taken),
            tuple([LeaseRow(s, lot.holder, lot.epoch, lot.until_s - now_s)
                   for s, lot in lots.items()]),
            tuple(sorted([m for m, (cut, live_s) in members.items()
                          if cut == asked.layout and now_s < live_s])),
            ours,
        )  # fmt: skip
        return LeaseTable(lots, members, layout, layout_until_s), answer

    def may_keep(self, lot: Lot, member: str, epoch: int, now_s: float) -> bool:
        """Whether it is still this member's, under this epoch."""
        return lot.holder == member and lot.epoch == epoch and now_s < lot.until_s

    def may_drop(self, lot: Lot, member: str, epoch: int, now_s: float) -> bool:
        """As `may_keep`."""
        return self.may_keep(lot, member, epoch, now_s)

    def may_take(self, lot: Lot, now_s: float) -> bool:
        """Whether nobody has it."""
        return now_s >= lot.until_s

    def next_epoch(self, lot: Lot | None) -> int:
        """Higher than any before."""
        return 1 if lot is None else lot.epoch + 1
