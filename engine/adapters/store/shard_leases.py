"""The lease table of engines that share a PostgreSQL database, and the store of one shard in it.

A round is one statement, in autocommit: an engine that is stopped in the middle of one holds no
lock, and a pooler may give each another connection.  Its parts touch different rows: what is kept
and given back is the member's own, what is taken is nobody's; PostgreSQL looks at each row again as
it is once it has it, so of two that want the same one gets it.  What it means is
`engine.sharding.register`, and a test gives both the same rounds.

Whatever a shard's engine keeps it keeps in a transaction that holds the shard's row for reading and
compares the epoch; nobody can take the shard before that has ended, which it does within two
seconds also when the engine stands still.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import psycopg

from engine.adapters.store import letters as contexts
from engine.adapters.store import statements
from engine.adapters.store.database import Database
from engine.adapters.store.halves import SqlStore
from engine.adapters.store.letters import PLAIN, Letters, readable
from engine.adapters.store.schema import Transaction
from engine.ports.lease import NO_FENCE, Fence, FencedOffError
from engine.ports.store import HistoryRow, Kept, RowKind
from engine.sharding.protocol import LeaseRow, Round, RoundAnswer
from engine.sharding.register import TTL_S

CONNECTION: Mapping[str, Any] = {
    "connect_timeout": 2, "keepalives": 1, "keepalives_idle": 1, "keepalives_interval": 1,
    "keepalives_count": 2, "tcp_user_timeout": 3000,
    "options": "-c synchronous_commit=on -c lock_timeout=1500 -c statement_timeout=2500",
}  # fmt: skip
"""A way that is cut is given up after about three seconds, and another is tried."""

_ROUND = """
WITH now AS MATERIALIZED (SELECT EXTRACT(EPOCH FROM clock_timestamp())::float8 AS s),
gone AS (DELETE FROM engine_member WHERE %(leaves)s AND member = %(me)s),
lives AS (
  INSERT INTO engine_member (member, layout, until_s)
  SELECT %(me)s, %(layout)s, s + %(ttl)s FROM now WHERE %(alive)s AND NOT %(leaves)s
  ON CONFLICT (member) DO UPDATE SET layout = excluded.layout, until_s = excluded.until_s
  RETURNING member),
cut AS (
  INSERT INTO shard_layout AS l (one, layout, until_s)
  SELECT 1, %(layout)s, s + %(ttl)s FROM now WHERE %(alive)s AND NOT %(leaves)s
  ON CONFLICT (one) DO UPDATE SET layout = excluded.layout, until_s = excluded.until_s
  WHERE l.layout = excluded.layout OR l.until_s <= excluded.until_s - %(ttl)s
  RETURNING one),
kept AS (
  UPDATE shard_lease AS l SET until_s = EXTRACT(EPOCH FROM clock_timestamp()) + %(ttl)s
  FROM unnest(%(keep)s::text[], %(keep_epochs)s::bigint[]) AS k (shard, epoch)
  WHERE l.shard = k.shard AND l.epoch = k.epoch AND l.holder = %(me)s
    AND l.until_s > EXTRACT(EPOCH FROM clock_timestamp())
  RETURNING l.shard, l.epoch, l.until_s),
dropped AS (
  UPDATE shard_lease AS l SET holder = '', until_s = EXTRACT(EPOCH FROM clock_timestamp())
  FROM unnest(%(drop)s::text[], %(drop_epochs)s::bigint[]) AS k (shard, epoch)
  WHERE l.shard = k.shard AND l.epoch = k.epoch AND l.holder = %(me)s
    AND l.until_s > EXTRACT(EPOCH FROM clock_timestamp())
  RETURNING l.shard, l.epoch, l.until_s),
taken AS (
  INSERT INTO shard_lease AS l (shard, holder, epoch, until_s)
  SELECT t.shard, %(me)s, t.above + 1, now.s + %(ttl)s
  FROM now, unnest(%(take)s::text[], %(take_above)s::bigint[]) AS t (shard, above)
  WHERE EXISTS (SELECT 1 FROM cut)
  ON CONFLICT (shard) DO UPDATE SET holder = excluded.holder,
    epoch = GREATEST(l.epoch + 1, excluded.epoch),
    until_s = EXTRACT(EPOCH FROM clock_timestamp()) + %(ttl)s
  WHERE l.until_s <= EXTRACT(EPOCH FROM clock_timestamp())
  RETURNING l.shard, l.epoch, l.until_s)
SELECT 'kept', shard, '', epoch, until_s FROM kept
UNION ALL SELECT 'dropped', shard, '', epoch, until_s FROM dropped
UNION ALL SELECT 'taken', shard, '', epoch, until_s FROM taken
UNION ALL SELECT 'row', shard, holder, epoch, until_s FROM shard_lease
UNION ALL SELECT 'member', member, layout, 0, until_s FROM engine_member
UNION ALL SELECT 'now', '', '',
  (SELECT COUNT(*) FROM cut) + (SELECT COUNT(*) FROM shard_layout WHERE layout = %(layout)s),
  EXTRACT(EPOCH FROM clock_timestamp()) FROM now
"""
"""The rows that it reads are those before it; what it changed is put over them."""


class PostgresLeaseTable:
    """Serves rounds, over a connection of its own; one round at a time, and it may take long."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def serve(self, asked: Round) -> RoundAnswer:
        """The answer; raises OSError, and the round may have counted all the same."""
        try:
            if self._connection is None:
                self._connection = psycopg.connect(
                    self._url, autocommit=True, prepare_threshold=None, **CONNECTION
                )
            rows = self._connection.execute(_ROUND.encode(), _parameters(asked)).fetchall()
        except psycopg.Error as error:
            self.close()
            reason = "; ".join(str(error).strip().splitlines()) or type(error).__name__
            raise OSError(0, reason.replace(self._url, "(address)"), "the lease table") from None
        return _answer(asked, rows)

    def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _parameters(asked: Round) -> dict[str, Any]:
    above = dict(asked.above)
    take = sorted(asked.take)  # in one order for all: two that take the same cannot block another
    return {
        "me": asked.member, "layout": asked.layout, "ttl": TTL_S,
        "alive": asked.alive, "leaves": asked.leaves,
        "keep": [shard for shard, _ in asked.keep],
        "keep_epochs": [epoch for _, epoch in asked.keep],
        "drop": [shard for shard, _ in asked.drop],
        "drop_epochs": [epoch for _, epoch in asked.drop],
        "take": take if asked.alive else [],
        "take_above": [above.get(shard, 0) for shard in take] if asked.alive else [],
    }  # fmt: skip


def _answer(asked: Round, rows: list[tuple[Any, ...]]) -> RoundAnswer:
    of: dict[str, list[tuple[str, str, int, float]]] = {
        kind: [] for kind in ("kept", "dropped", "taken", "row", "member", "now")
    }
    for kind, name, other, number, until_s in rows:
        of[kind].append((name, other, int(number), float(until_s)))
    [(_, _, cut, now_s)] = of["now"]
    lots = {name: (holder, epoch, until_s) for name, holder, epoch, until_s in of["row"]}
    for name, _, epoch, until_s in (*of["kept"], *of["taken"]):
        lots[name] = asked.member, epoch, until_s
    for name, _, epoch, until_s in of["dropped"]:
        lots[name] = "", epoch, until_s
    alive = {
        name for name, layout, _, until_s in of["member"]
        if layout == asked.layout and now_s < until_s
    }  # fmt: skip
    if asked.leaves:
        alive.discard(asked.member)
    elif asked.alive:
        alive.add(asked.member)
    return RoundAnswer(
        asked.number,
        tuple([(name, epoch) for name, _, epoch, _ in of["kept"]]),
        tuple([(name, epoch) for name, _, epoch, _ in of["taken"]]),
        tuple([LeaseRow(name, holder, epoch, until_s - now_s)
               for name, (holder, epoch, until_s) in sorted(lots.items())]),
        tuple(sorted(alive)),
        bool(cut),
    )  # fmt: skip


class ShardStore(SqlStore):
    """`engine.ports.store.Store` of one shard: its memory, under its epoch."""

    def __init__(
        self, database: Database, shard: str, letters: Letters = PLAIN, log: str = ""
    ) -> None:
        super().__init__(database, letters, log)
        self._shard = shard

    async def newest(self) -> Fence:
        """The shard's epoch."""
        return await self._look(lambda at: epoch_of(at, self._shard))

    async def memory(self) -> str:
        """The shard's memory, "" without one; raises OSError where it cannot be opened."""

        def look(at: Transaction) -> str:
            rows = at.execute("SELECT text FROM shard_memory WHERE shard = ?", self._shard)
            return readable(self._letters, str(rows[0][0]) if rows else "", contexts.MEMORY)

        return await self._look(look)

    async def keep(self, kept: Kept, fence: Fence) -> None:
        """Keep it, on the disk when this returns; raises FencedOffError, OSError."""

        def make(to: Transaction) -> None:
            check_epoch(to, self._shard, fence)
            if kept.memory is not None:
                to.execute(
                    "INSERT INTO shard_memory (shard, text) VALUES (?, ?) "
                    "ON CONFLICT (shard) DO UPDATE SET text = excluded.text",
                    self._shard, self._letters.closed(kept.memory, contexts.MEMORY),
                )  # fmt: skip
            statements.keep_rest(to, kept, fence, self._letters, log=self._log)

        self._note_own(kept)
        await self._change(make)

    async def put_memory_aside(self, fence: Fence) -> str:
        """Move the shard's memory into the history."""
        now_s = time.time()

        def make(to: Transaction) -> str:
            check_epoch(to, self._shard, fence)
            rows = to.execute("SELECT text FROM shard_memory WHERE shard = ?", self._shard)
            row = HistoryRow(
                RowKind.MEMORY, f"{self._shard}/{fence}@{now_s}", now_s,
                str(rows[0][0]) if rows else "",
            )  # fmt: skip
            if rows:
                statements.keep_rest(to, Kept(rows=(row,)), fence, PLAIN, log="")
                to.execute("DELETE FROM shard_memory WHERE shard = ?", self._shard)
            return f"history: {row.kind} {row.id}"

        return await self._change(make)

    async def show_status(self, text: str, fence: Fence) -> None:
        """Nothing: what is shown is all of an engine's shards together."""

    async def close(self) -> None:
        """Nothing: the database is all shards'."""


def epoch_of(transaction: Transaction, shard: str) -> Fence:
    """The newest epoch of a shard."""
    rows = transaction.execute("SELECT epoch FROM shard_lease WHERE shard = ?", shard)
    return Fence(int(rows[0][0])) if rows else NO_FENCE


def check_epoch(transaction: Transaction, shard: str, fence: Fence) -> None:
    """Nobody takes the shard before the transaction ends; raises FencedOffError."""
    rows = transaction.execute("SELECT epoch FROM shard_lease WHERE shard = ? FOR SHARE", shard)
    newest = Fence(int(rows[0][0])) if rows else NO_FENCE
    if fence != newest:
        raise FencedOffError(fence, newest)


def show(transaction: Transaction, text: str, letters: Letters = PLAIN) -> None:
    """Show what an engine of several says; whoever says it last is what is seen."""
    statements.put_shown(transaction, text, letters)
