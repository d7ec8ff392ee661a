"""The store in a real PostgreSQL server: the contracts, lost connections, and who leads."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from starlette.testclient import TestClient

from engine.adapters.store import said, schema, statements
from engine.adapters.store.halves import SqlDesk, SqlStore
from engine.adapters.store.postgres import PostgresDatabase, PostgresLease
from engine.api.application import application
from engine.commands.assembly import _database
from engine.config.api import ApiConfig
from engine.config.composition import composed
from engine.config.live import parse
from engine.config.strict import ConfigError
from engine.model import Approval, ManualFloor, Plan
from engine.ports import contract
from engine.ports.contract import StagingDesk
from engine.ports.desk import RequestError, SoFar
from engine.ports.lease import Fence, FencedOffError, NotLeadingError
from engine.ports.store import HistoryRow, Kept, RowKind, Store
from engine.security.roles import Role
from tests.unit.engine.api.conftest import action as api_action
from tests.unit.engine.api.conftest import engine_in
from tests.unit.engine.runtime.conftest import Scripted, action, begun
from twin.staging.parts import as_postgres, postgres_user

STORES = Path(__file__).parents[2] / "regression" / "store"


@dataclass
class Server:
    """A server of our own, on a socket in `folder`."""

    folder: Path
    names: Iterator[int]

    def url(self, name: str) -> str:
        return f"postgresql:///{name}?host={self.folder}&user=wedtwin"

    def run(self, statement: str, name: str = "postgres") -> list[Any]:
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def new(self) -> str:
        """The name of a new database."""
        name = f"store_{next(self.names)}"
        self.run(f"CREATE DATABASE {name}")
        return name

    def cut_off(self, name: str) -> None:
        """End every connection to a database."""
        self.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    program = shutil.which("postgres")
    if program is None:
        pytest.skip("PostgreSQL is missing: apt-get install --yes postgresql")
    initdb = Path(program).resolve().with_name("initdb")
    folder = Path(tempfile.mkdtemp(prefix="wedtwin-postgres-", dir="/tmp"))
    user = postgres_user()
    os.chown(folder, user.pw_uid, user.pw_gid)
    made = as_postgres([initdb, "-D", folder / "data", "-U", "wedtwin", "-A", "trust",
                        "--no-locale", "-E", "UTF8", "--no-sync"])  # fmt: skip
    subprocess.run([str(part) for part in made], cwd=folder, check=True, capture_output=True)
    command = as_postgres([program, "-D", folder / "data", "-c", "listen_addresses=",
                           "-c", f"unix_socket_directories={folder}"])  # fmt: skip
    process = subprocess.Popen(
        [str(part) for part in command], cwd=folder,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    started = Server(folder, itertools.count())
    try:
        for _ in range(600):
            with contextlib.suppress(psycopg.OperationalError):
                started.run("SELECT 1")
                break
            time.sleep(0.1)
        yield started
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60.0)
        shutil.rmtree(folder)


class PostgresBench(contract.StoreBench):
    """A database; nobody may connect to it when it is to be broken."""

    def __init__(self, server: Server, name: str) -> None:
        self.server, self.name = server, name

    async def connect(self) -> Store:
        return SqlStore(PostgresDatabase(self.server.url(self.name)))

    def desk(self) -> StagingDesk:
        return SqlDesk(PostgresDatabase(self.server.url(self.name)))

    async def break_off(self) -> bool:
        self.server.run(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS false")
        self.server.cut_off(self.name)
        return True

    async def mend(self) -> None:
        self.server.run(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS true")


def test_the_postgres_store_keeps_its_contract(server: Server) -> None:
    asyncio.run(contract.store(PostgresBench(server, server.new())))


def test_the_postgres_lease_keeps_its_contract(server: Server) -> None:
    names, database = itertools.count(1), PostgresDatabase(server.url(server.new()))

    async def connect() -> PostgresLease:
        return PostgresLease(database, f"engine {next(names)}")

    asyncio.run(contract.lease(connect))
    database.close()


def test_a_lead_that_is_not_taken_again_ends_and_its_writes_are_refused(server: Server) -> None:
    name = server.new()
    database = PostgresDatabase(server.url(name))
    store = SqlStore(database)
    first, second = PostgresLease(database, "one"), PostgresLease(database, "two")

    async def run() -> None:
        fence = await first.hold(0.0)
        await store.keep(Kept("1"), fence)
        with pytest.raises(NotLeadingError, match="one leads"):
            await second.hold(0.0)
        server.run("UPDATE lead SET expires_s = expires_s - 16", name)
        newer = await second.hold(0.0)
        assert newer == fence + 1
        with pytest.raises(FencedOffError):
            await store.keep(Kept("2"), fence)
        with pytest.raises(NotLeadingError, match="two leads"):
            await first.hold(0.0)
        assert await store.memory() == "1"
        # One who comes back in time keeps its lead, whoever asked meanwhile.
        server.run("UPDATE lead SET expires_s = expires_s - 14", name)
        assert await second.hold(0.0) == newer
        await store.close()

    asyncio.run(run())


def test_what_was_acknowledged_is_there_once_whenever_connections_end(server: Server) -> None:
    name = server.new()
    database = PostgresDatabase(server.url(name))
    kept: set[int] = set()
    over = threading.Event()

    def cut() -> None:
        seen = 0
        while not over.wait(0.01):
            if len(kept) >= seen + 20:  # however slow the machine is, it gets on between two cuts
                seen = len(kept)
                server.cut_off(name)

    async def task(store: SqlStore, number: int) -> None:
        while number < 300:
            row = HistoryRow(RowKind.INTENT, f"d-{number}", 0.0, "{}")
            with contextlib.suppress(OSError):
                await store.keep(Kept(str(number), (), (row,)), Fence(1))
                kept.add(number)
                number += 6  # else once more: it may be there

    async def run() -> None:
        store = SqlStore(database)
        await asyncio.gather(*(task(store, k) for k in range(6)))

    cutting = threading.Thread(target=cut)
    cutting.start()
    asyncio.run(run())
    over.set()
    cutting.join()
    rows = SqlDesk(PostgresDatabase(server.url(name))).history(limit=10_000)
    assert sorted(int(kept.row.id[2:]) for kept in rows) == sorted(kept) == list(range(300))
    database.close()


def test_two_engines_that_begin_at_once_make_the_tables_once(server: Server) -> None:
    url = server.url(server.new())
    opened = [PostgresDatabase(url) for _ in range(6)]
    done = [database.write(statements.newest) for database in opened]
    assert [one.result() for one in done] == [0] * 6
    for database in opened:
        database.close()


def test_an_error_names_the_server_and_never_the_password(server: Server) -> None:
    url = f"postgresql://wedtwin:s3cret@/nosuch?host={server.folder}"
    database = PostgresDatabase(url)
    for use in (lambda: database.read(statements.memory), lambda: SqlDesk(database).status()):
        with pytest.raises(OSError, match="does not exist") as error:
            use()
        assert str(error.value.filename) == f"PostgreSQL at {server.folder}:5432/nosuch"
        assert "s3cret" not in str(error.value)
    with pytest.raises(ValueError, match="no address of a PostgreSQL database"):
        PostgresDatabase("postgresql://[half")


@pytest.mark.parametrize("path", sorted(STORES.glob("*.sql")), ids=lambda path: path.stem)
def test_a_database_of_each_version_is_gone_on_with(server: Server, path: Path) -> None:
    name = server.new()
    server.run(path.read_text(encoding="utf-8"), name)
    database = PostgresDatabase(server.url(name))
    desk = SqlDesk(database)
    assert [one.request for one in desk.asked()[0]] == [ManualFloor("api", 9, 900.0, "ada")]
    assert database.read(lambda at: statements.requests(at, 0.0)).answers == (
        Approval("api-12", False, 7.0, "ada"),
    )
    so_far = database.read(lambda at: said.so_far(at, "api-13", 900.0))
    assert so_far == SoFar(("ada",) if path.stem >= "version-5" else ())
    database.write(lambda to: statements.keep(to, Kept("{}"), Fence(5))).result()
    database.close()
    assert server.run("SELECT version FROM schema_version", name) == [(schema.NEWEST,)]


def test_two_who_approve_at_two_engines_have_both_been_heard(
    server: Server, tmp_path: Path
) -> None:
    url = server.url(server.new())
    engines = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        desk = SqlDesk(PostgresDatabase(url), log=name)
        engines.append(engine_in(tmp_path / name, ApiConfig(), desk))
    apis = [TestClient(application(engine.context)) for engine in engines]

    def say(number: int, who: str, decision: str, verb: str = "approve") -> dict[str, Any]:
        """What the API of an engine answers; it leads, as the one before it is gone."""
        engine = engines[number]
        engine.major = True
        waiting = ["d1", "d2"]
        engine.step(
            Plan(awaiting=tuple(api_action(name, after=3) for name in waiting)), awaiting=waiting
        )
        answer = apis[number].post(
            f"/api/scalability/approvals/{decision}/{verb}", json={"why": "a test's load"},
            headers=engine.token(who, Role.APPROVER),
        )  # fmt: skip
        return {"status": answer.status_code, **answer.json()}

    def answers() -> tuple[Approval, ...]:
        return (
            engines[0]
            .context.desk.database.read(  # type: ignore[attr-defined]
                lambda at: statements.requests(at, 0.0)
            )
            .answers
        )

    assert say(0, "ann", "d1")["complete"] is False
    assert answers() == ()
    again = say(1, "ann", "d1")
    assert (again["status"], "approved it already" in again["detail"]) == (403, True)
    second = say(1, "ben", "d1")
    assert (second["complete"], second["approved_by"]) == (True, ["ann", "ben"])
    assert [(one.decision_id, one.approved, one.approver) for one in answers()] == [
        ("d1", True, "ben")
    ]
    # A refusal at one is final at the other, also after a first approval there.
    assert say(0, "ann", "d2")["complete"] is False
    assert say(1, "kim", "d2", "reject")["status"] == 200
    late = say(0, "ben", "d2")
    assert (late["status"], "kim has refused it" in late["detail"]) == (403, True)
    assert [(one.decision_id, one.approved) for one in answers()] == [("d1", True), ("d2", False)]
    # Each is in the log of the engine that was told.
    for engine, actions in zip(
        engines, (["approve", "approve"], ["approve", "reject"]), strict=True
    ):
        rows = [row for row in engine.rows() if row["outcome"] == "accepted"]
        assert [row["action"] for row in rows if row["action"] != "login"] == actions
    for engine in engines:
        engine.context.desk.close()


def test_of_many_who_approve_at_once_at_two_engines_two_are_heard_and_one_answer_given(
    server: Server,
) -> None:
    url = server.url(server.new())
    desks = [SqlDesk(PostgresDatabase(url)) for _ in range(2)]
    names = [f"person {number}" for number in range(8)]
    heard: list[str] = []

    def approve(number: int) -> None:
        desk, name = desks[number % 2], names[number]
        seen = desk.so_far("d1")
        while len(seen.approved_by) < 2:
            yes = Approval("d1", True, 1.0, name)
            with contextlib.suppress(RequestError):
                desk.answer(yes, seen=seen, complete=len(seen.approved_by) == 1)
                heard.append(name)
                return
            seen = desk.so_far("d1")

    threads = [threading.Thread(target=approve, args=(number,)) for number in range(len(names))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert desks[0].so_far("d1") == desks[1].so_far("d1")
    assert sorted(desks[0].so_far("d1").approved_by) == sorted(heard)
    assert len(heard) == 2
    [given] = desks[0].database.read(lambda at: statements.requests(at, 0.0)).answers
    assert given.approver == desks[0].so_far("d1").approved_by[1]
    for desk in desks:
        desk.close()


def test_a_database_of_a_later_version_is_not_touched(server: Server) -> None:
    name = server.new()
    database = PostgresDatabase(server.url(name))
    database.write(statements.newest).result()
    database.close()
    server.run(f"UPDATE schema_version SET version = {schema.NEWEST + 1}", name)
    with pytest.raises(OSError, match="a later version has used it"):
        SqlDesk(PostgresDatabase(server.url(name))).status()


def test_of_two_engines_one_acts_and_the_other_goes_on_with_what_it_remembered(
    server: Server, tmp_path: Path
) -> None:
    url = server.url(server.new())
    world = begun(tmp_path)
    names = ("one", "two")
    databases = [PostgresDatabase(url) for _ in names]
    controllers = [Scripted(Plan(actions=(action("a", 4, 5),))), Scripted()]
    shells = [
        world.shell(
            controller, duration_s=None, store=SqlStore(database),
            lease=PostgresLease(database, name),
        )
        for name, database, controller in zip(names, databases, controllers, strict=True)
    ]  # fmt: skip

    async def run() -> None:
        for k in range(1, 4):
            for shell in shells:
                await shell.step(1_000_000.0 + 5.0 * k)
        assert [shell.fence for shell in shells] == [1, 0]
        assert (controllers[0].count, controllers[1].count) == (3, 0)
        assert shells[1].cycle.troubles.all["lease"] == ("one leads",)
        await shells[0].close()
        await shells[1].step(1_000_020.0)
        await shells[1].close()

    asyncio.run(run())
    assert shells[1].fence == 2
    assert controllers[1].count == 4 - 2  # it was kept after the step that acted and after a cycle
    assert world.pool.writes == [(4, 5)]


def test_an_engine_whose_database_comes_later_holds_still_until_then_and_leads_from_there(
    server: Server, tmp_path: Path
) -> None:
    name = server.new()
    bench = PostgresBench(server, name)
    world = begun(tmp_path)
    database = PostgresDatabase(server.url(name))
    controller = Scripted(Plan(actions=(action("a", 4, 5),)))
    shell = world.shell(
        controller, duration_s=None, store=SqlStore(database),
        lease=PostgresLease(database, "late"),
    )  # fmt: skip

    async def run() -> None:
        await bench.break_off()
        for k in range(1, 5):
            await shell.step(1_000_000.0 + 5.0 * k)
        (words,) = shell.cycle.troubles.all["lease"]
        assert words.startswith("PostgreSQL at ")
        assert words.endswith("; until it says who leads, no count is changed")
        assert (shell.fence, controller.count, world.pool.writes) == (0, 0, [])
        await bench.mend()
        await shell.step(1_000_025.0)
        await shell.close()

    asyncio.run(run())
    assert (shell.fence, controller.count, world.pool.writes) == (1, 1, [(4, 5)])
    assert shell.cycle.troubles.all == {}


@pytest.mark.parametrize(
    ("store", "said"),
    [("https://db.example", "live.store: no address of a PostgreSQL database"), ("", "live.store")],
)
def test_an_address_that_is_none_is_named_by_its_key(store: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        _database(parse(composed([f"live.store='{store}'"], root="live")), tmp_path)
