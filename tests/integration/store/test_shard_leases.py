"""The lease table in a real PostgreSQL: it does what the register does, and refuses old epochs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import psycopg
import pytest

from engine.adapters.store import shard_leases
from engine.adapters.store.halves import SqlDesk
from engine.adapters.store.postgres import PostgresDatabase
from engine.adapters.store.shard_leases import PostgresLeaseTable, ShardStore
from engine.ports.lease import Fence, FencedOffError
from engine.ports.store import HistoryRow, Kept, RowKind
from engine.sharding.protocol import Round, RoundAnswer
from engine.sharding.register import TTL_S, LeaseRegister, LeaseTable
from tests.integration.store.test_postgres import Server, server  # noqa: F401 (a fixture)

SHARDS, MEMBERS = ("a", "b", "c"), ("x", "y")


@dataclass
class Bench:
    server: Server
    name: str
    database: PostgresDatabase
    table: PostgresLeaseTable = field(init=False)

    def __post_init__(self) -> None:
        self.table = PostgresLeaseTable(self.server.url(self.name))
        self.database.read(lambda at: at.execute("SELECT 1"))  # makes the tables

    def pass_s(self, seconds: float) -> None:
        """Let so much time pass, for the leases."""
        tables = ("shard_lease", "engine_member", "shard_layout")
        self.server.run(
            ";".join(f"UPDATE {t} SET until_s = until_s - {seconds}" for t in tables), self.name
        )

    def store(self, shard: str) -> ShardStore:
        return ShardStore(self.database, shard)


@pytest.fixture
def bench(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:  # noqa: F811
    # A busy machine may take its time for a round.
    monkeypatch.setitem(shard_leases.CONNECTION, "options", "-c synchronous_commit=on")  # type: ignore[arg-type]
    monkeypatch.setitem(shard_leases.CONNECTION, "connect_timeout", 120)  # type: ignore[arg-type]
    name = server.new(still=True)
    bench = Bench(server, name, PostgresDatabase(server.url(name)))
    yield bench
    bench.table.close()
    bench.database.close()


def comparable(answer: RoundAnswer) -> RoundAnswer:
    """Two clocks: what can be compared of a time is whether it is over."""
    rows = tuple(
        [
            replace(row, left_s=float(row.left_s > 0.0))
            for row in sorted(answer.rows, key=lambda row: row.shard)
        ]
    )
    return replace(
        answer, rows=rows, kept=tuple(sorted(answer.kept)), taken=tuple(sorted(answer.taken))
    )


def test_the_table_does_what_the_register_does(bench: Bench) -> None:
    register, plain, now_s = LeaseRegister(), LeaseTable(), 1000.0
    draw = np.random.Generator(np.random.Philox(3))
    seen = {"kept": 0, "taken": 0, "refused": 0, "free": 0, "not ours": 0}
    for number in range(1, 120):
        rows = {row[0]: row[1] for row in bench.server.run(
            "SELECT shard, epoch FROM shard_lease", bench.name)}  # fmt: skip
        parts: list[list[str]] = [[], [], []]
        for shard in SHARDS:
            parts[int(draw.integers(3))].append(shard)
        epochs = {s: max(rows.get(s, 1) - int(draw.random() < 0.2), 1) for s in SHARDS}
        alive, leaves = bool(draw.random() < 0.8), False
        if not alive:
            leaves = bool(draw.random() < 0.5)
        asked = Round(
            MEMBERS[int(draw.integers(2))], number, "l1" if draw.random() < 0.9 else "l2",
            alive, leaves,
            tuple((s, epochs[s]) for s in parts[0]),
            tuple((s, epochs[s]) for s in parts[1] if draw.random() < 0.5), tuple(parts[2]),
            (("a", int(draw.integers(9))),) if draw.random() < 0.2 else (),
        )  # fmt: skip
        plain, expected = register.serve(plain, asked, now_s)
        assert comparable(bench.table.serve(asked)) == comparable(expected), asked
        seen["kept"] += len(expected.kept)
        seen["taken"] += len(expected.taken)
        seen["refused"] += len(asked.take) > len(expected.taken)
        seen["free"] += any(row.left_s <= 0.0 for row in expected.rows)
        seen["not ours"] += not expected.ours
        step_s = (0.0, 4.0, 9.0)[int(draw.integers(3))]  # seconds from where it matters
        bench.pass_s(step_s)
        now_s += step_s
    assert min(seen.values()) > 5, seen


def test_of_engines_that_take_at_once_one_gets_each_shard(bench: Bench) -> None:
    shards = tuple(f"s{k}" for k in range(40))
    answers: dict[str, RoundAnswer] = {}

    def take(member: str) -> None:
        table = PostgresLeaseTable(bench.server.url(bench.name))
        order = shards if member < "m2" else shards[::-1]
        answers[member] = table.serve(Round(member, 1, "l", True, take=order))
        table.close()

    for _ in range(3):
        threads = [threading.Thread(target=take, args=(f"m{k}",)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        taken = [shard for answer in answers.values() for shard, _ in answer.taken]
        assert sorted(taken) == sorted(shards)
        bench.pass_s(TTL_S + 1.0)


def test_what_a_shard_keeps_is_refused_under_an_old_epoch(bench: Bench) -> None:
    store, row = bench.store("a"), HistoryRow(RowKind.INTENT, "d-1", 1.0, "{}")
    bench.table.serve(Round("x", 1, "l", True, take=("a", "b")))
    asyncio.run(store.keep(Kept("mine", rows=(row,)), Fence(1)))
    bench.pass_s(TTL_S + 1.0)
    bench.table.serve(Round("y", 1, "l", True, take=("a",)))
    with pytest.raises(FencedOffError):
        asyncio.run(store.keep(Kept("late", rows=(replace(row, id="d-2"),)), Fence(1)))
    with pytest.raises(FencedOffError):
        asyncio.run(store.put_memory_aside(Fence(1)))
    assert asyncio.run(store.newest()) == Fence(2)
    assert asyncio.run(store.memory()) == "mine"
    assert asyncio.run(bench.store("b").memory()) == ""
    history = SqlDesk(bench.database).history()
    assert [(one.fence, one.row.id) for one in history] == [(Fence(1), "d-1")]
    assert "shard_memory" not in asyncio.run(store.put_memory_aside(Fence(2)))
    assert asyncio.run(store.memory()) == ""


def test_an_engine_that_stands_still_in_a_transaction_holds_nobody_up_for_long(
    bench: Bench,
) -> None:
    bench.table.serve(Round("x", 1, "l", True, take=("a",)))
    still = psycopg.connect(
        bench.server.url(bench.name), options="-c idle_in_transaction_session_timeout=300"
    )
    still.execute("LOCK TABLE schema_version IN EXCLUSIVE MODE")
    still.execute("SELECT epoch FROM shard_lease FOR SHARE")
    asyncio.run(bench.store("a").keep(Kept("after all"), Fence(1)))  # waits until it is put out
    bench.pass_s(TTL_S + 1.0)
    assert bench.table.serve(Round("y", 1, "l", True, take=("a",))).taken == (("a", 2),)
    with pytest.raises(psycopg.Error):
        still.execute("SELECT 1")
    assert bench.database.read(
        lambda at: at.execute("SHOW idle_in_transaction_session_timeout")
    ) == [("2s",)]
    still.close()


def test_a_table_that_cannot_be_reached_is_an_error_without_its_address(bench: Bench) -> None:
    table = PostgresLeaseTable("postgresql://someone:secret@127.0.0.1:1/none")
    with pytest.raises(OSError, match="lease table") as error:
        table.serve(Round("x", 1, "l", True))
    assert "secret" not in str(error.value)
    bench.table.serve(Round("x", 1, "l", True))
    bench.server.cut_off(bench.name)
    with pytest.raises(OSError, match="terminat"):
        bench.table.serve(Round("x", 1, "l", True))
    assert bench.table.serve(Round("x", 2, "l", True)).members == ("x",)  # by another connection
