"""The store in a real PostgreSQL server: the contracts, lost connections, and who leads.

It is long because one server is used for all that the store promises.
"""

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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import trustme
from psycopg import conninfo
from starlette.testclient import TestClient

from engine.adapters.lease_file import take_lead
from engine.adapters.store import follower, place, postgres, said, schema, statements
from engine.adapters.store.credentials import SqlCredentials
from engine.adapters.store.database import Database
from engine.adapters.store.follower import Follower
from engine.adapters.store.halves import SqlDesk, SqlStore
from engine.adapters.store.listening import CHANNEL
from engine.adapters.store.postgres import PostgresDatabase, PostgresLease
from engine.adapters.store.sealed import letters_of
from engine.adapters.store.sqlite import SqliteFile
from engine.api.application import application
from engine.api.others import Others
from engine.commands import requests, status, token
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
from engine.runtime.outbox import Outbox
from engine.security.roles import Role
from tests.unit.engine.adapters.test_sealed_store import SEALER
from tests.unit.engine.api.conftest import Engine, engine_in
from tests.unit.engine.api.conftest import action as api_action
from tests.unit.engine.api.test_events import stream
from tests.unit.engine.runtime.conftest import Scripted, action, begun
from twin.staging.parts import as_postgres, postgres_user
from twin.staging.ports import free_ports

STILL_CLOCK = """
CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS 'SELECT pg_catalog.to_timestamp(1000000000)';
ALTER DATABASE {name} SET search_path = public, pg_catalog;
"""
"""A lead ends when the test says so, and not because the machine stood still."""
PATIENT = "-c synchronous_commit=on -c idle_in_transaction_session_timeout=2000"
"""Locks and statements take as long as a busy machine takes for them."""
STORES = Path(__file__).parents[2] / "regression" / "store"


@dataclass
class Server:
    """A server of our own, on a socket in `folder`."""

    folder: Path
    names: Iterator[int]
    program: str
    port: int = 5432
    process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        """Begin, also after a kill: what is left of the one before may take a moment to end."""
        command = as_postgres([
            self.program, "-D", self.folder / "data", "-c", "listen_addresses=",
            "-c", f"unix_socket_directories={self.folder}", "-c", f"port={self.port}",
            "-c", "fsync=off", *options,  # the server may be killed, and the machine stays
        ])  # fmt: skip
        end_s = time.monotonic() + 300.0
        while time.monotonic() < end_s:
            if self.process is None or self.process.poll() is not None:
                self.process = subprocess.Popen(
                    [str(part) for part in command], cwd=self.folder,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )  # fmt: skip
            with contextlib.suppress(psycopg.OperationalError):
                self.run("SELECT 1")
                return
            time.sleep(0.1)
        raise AssertionError("PostgreSQL does not begin")

    def end(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(300.0)

    def url(self, name: str) -> str:
        return f"postgresql:///{name}?host={self.folder}&port={self.port}&user=wedtwin"

    def run(self, statement: str, name: str = "postgres") -> list[Any]:
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def new(self, *, still: bool = False) -> str:
        """The name of a new database; one whose clock is to stand `still` has its own."""
        name = f"store_{next(self.names)}"
        self.run(f"CREATE DATABASE {name}")
        if still:
            self.run(STILL_CLOCK.format(name=name), name)
        return name

    def cut_off(self, name: str) -> None:
        """End every connection to a database."""
        self.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "OPTIONS", PATIENT)
    monkeypatch.setattr(postgres, "CONNECT_S", 120)


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
    started = Server(folder, itertools.count(), program)
    try:
        started.start()
        yield started
    finally:
        started.end(signal.SIGINT)
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


def test_credentials_in_postgres_keep_their_contract(server: Server) -> None:
    url = server.url(server.new())
    contract.credentials(lambda: SqlCredentials(PostgresDatabase(url)))


def test_the_postgres_lease_keeps_its_contract(server: Server) -> None:
    names, database = itertools.count(1), PostgresDatabase(server.url(server.new(still=True)))

    async def connect() -> PostgresLease:
        return PostgresLease(database, f"engine {next(names)}")

    asyncio.run(contract.lease(connect))
    database.close()


def test_a_lead_that_is_not_taken_again_ends_and_its_writes_are_refused(server: Server) -> None:
    name = server.new(still=True)
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


def test_who_stands_still_in_the_middle_of_a_transaction_makes_it_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "OPTIONS", "-c idle_in_transaction_session_timeout=100")
    database = PostgresDatabase(server.url(server.new()))
    store, rows = SqlStore(database), [HistoryRow(RowKind.INTENT, "d-1", 0.0, "{}")]
    turns: list[str] = []

    def gone(at: schema.Transaction) -> None:
        """Stand still until the server has had enough, the first time."""
        turns.append("")
        [(pid,)] = at.execute("SELECT pg_backend_pid()")
        while len(turns) == 1 and server.run(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid}"):
            time.sleep(0.01)

    def keep(to: schema.Transaction) -> None:
        statements.keep(to, Kept("{}", rows=tuple(rows)), Fence(1))
        gone(to)

    database.write(keep).result()
    assert len(turns) == 2
    turns.clear()

    def memory(at: schema.Transaction) -> str:
        gone(at)
        return statements.memory(at)

    assert database.read(memory) == "{}"
    assert len(turns) == 2
    assert [kept.row.id for kept in SqlDesk(database).history()] == ["d-1"]
    asyncio.run(store.close())


def test_a_lock_that_was_not_had_in_time_keeps_no_later_write(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "OPTIONS", "-c lock_timeout=50")
    name = server.new()
    database = PostgresDatabase(server.url(name))
    database.write(statements.newest).result()
    with psycopg.connect(server.url(name)) as holding:
        holding.execute("LOCK TABLE schema_version IN EXCLUSIVE MODE")
        with pytest.raises(OSError, match="lock timeout"):
            database.write(statements.newest).result()
    assert database.write(statements.newest).result() == 0
    database.close()


def test_what_the_address_says_of_patience_goes_before_ours() -> None:
    def patience(url: str) -> Any:
        address = PostgresDatabase(url)._connection()._address
        return conninfo.conninfo_to_dict(address)["tcp_user_timeout"]

    assert int(patience("postgresql://wedtwin@db.example/wedtwin")) == 10_000
    assert int(patience("postgresql://wedtwin@db.example/wedtwin?tcp_user_timeout=7")) == 7


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
    credentials = SqlCredentials(database)
    kept = credentials.glimpse(None)
    assert kept is not None
    assert [name[:8] for name in kept.texts] == (
        ["01234567", "refused-"] if path.stem >= "version-6" else []
    )
    credentials.change(lambda texts: {**texts, "new": "{}"})
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


def two_engines(url: str, folder: Path) -> list[Engine]:
    """Two over one database, each with a state folder of its own."""
    engines = []
    for name in ("one", "two"):
        (folder / name).mkdir()
        engine = engine_in(folder / name, ApiConfig(), SqlDesk(PostgresDatabase(url), log=name))
        engine.step()
        engines.append(engine)
    return engines


def asked(engine: Engine, headers: dict[str, str]) -> httpx.Response:
    """What somebody is answered who looks at a service."""
    return TestClient(application(engine.context)).get(
        "/api/scalability/services/api", headers=headers
    )


def eventually(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 300.0
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.02)


async def decide(database: Database, *names: str) -> None:
    """As the shell of an engine keeps what it decides: again, until it is acknowledged."""
    outbox = Outbox()
    outbox.decided([api_action(name) for name in names], "acts")
    rows = outbox.rows(0.0)
    for _ in range(50):
        with contextlib.suppress(OSError):
            await SqlStore(database, letters_of(SEALER)).keep(Kept(rows=rows), Fence(1))
            return
    raise AssertionError("the store takes nothing")


@pytest.mark.parametrize("through", ["hints", "a pooler that loses them"])
def test_a_decision_of_one_engine_is_an_event_of_the_other_whatever_is_cut(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, through: str
) -> None:
    monkeypatch.setattr(follower, "POLL_S", 0.2)
    if through != "hints":
        monkeypatch.setattr(PostgresDatabase, "hints", Database.hints)
    name = server.new()
    one, two = two_engines(server.url(name), tmp_path)
    headers = two.token("ann", Role.VIEWER)
    databases = [PostgresDatabase(server.url(name)) for _ in range(2)]
    reader = Follower(databases[1], Others(two.context.board).take, letters_of(SEALER))
    wanted = [f"d{k}" for k in range(40)]
    heard: list[str] = []
    with TestClient(application(two.context)) as client, reader.running():
        last = stream(client, headers)[-1]["id"]

        def hear() -> bool:
            nonlocal last
            for event in stream(client, headers, last):
                last = event["id"]
                if event["event"] == "decision":
                    heard.append(event["data"]["decision_id"])
            return len(heard) >= len(wanted)

        eventually(lambda: reader.position is not None)
        for k, decision in enumerate(wanted):
            asyncio.run(decide(databases[0], decision))
            asyncio.run(decide(databases[1], f"own {k}"))
            if k % 8 == 3:
                server.cut_off(name)
            if k == 20:
                server.end(signal.SIGKILL)
                server.start()
        eventually(hear)
    assert heard == wanted
    assert all(two.context.board.decisions.action(decision) is not None for decision in wanted)
    for engine in (one, two):
        engine.context.identity.close()
        engine.context.desk.close()
    for database in databases:
        database.close()


def test_a_hint_wakes_the_reader_long_before_it_looks_by_itself(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "POLL_S", 3600.0)
    url = server.url(server.new())
    databases = [PostgresDatabase(url) for _ in range(2)]
    heard: list[str] = []
    reader = Follower(databases[1], lambda kept: heard.append(kept.row.id), letters_of(SEALER))
    with reader.running():
        eventually(lambda: reader.position is not None)
        assert "history" in {thread.name for thread in threading.enumerate()}
        for k in range(5):
            asyncio.run(decide(databases[0], f"d{k}"))
            eventually(lambda k=k: len(heard) > k)  # type: ignore[misc]
    assert heard == [f"d{k}" for k in range(5)]
    for database in databases:
        database.close()


def test_a_hint_is_the_newest_position_and_comes_with_the_commit_alone(server: Server) -> None:
    url = server.url(server.new())
    database = PostgresDatabase(url)
    asyncio.run(decide(database, "d1"))
    rows = (HistoryRow(RowKind.DECISION, "late", 1.0, "{}"),)
    with psycopg.connect(url, autocommit=True) as listener:
        listener.execute(f"LISTEN {CHANNEL}".encode())
        with pytest.raises(FencedOffError):
            asyncio.run(SqlStore(database).keep(Kept(rows=rows), Fence(0)))
        asyncio.run(decide(database, "d1"))  # it is there already
        asyncio.run(decide(database, "d2", "d3"))
        hints = list(listener.notifies(timeout=300.0, stop_after=1))
    newest = database.read(lambda at: at.execute("SELECT MAX(position) FROM history"))
    assert [hint.payload for hint in hints] == [str(newest[0][0])]
    database.close()


def test_of_many_who_append_at_once_none_is_seen_before_one_with_a_lesser_position(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "TOGETHER", 7)
    url = server.url(server.new())
    writers = [PostgresDatabase(url) for _ in range(4)]
    reading = PostgresDatabase(url)
    heard: list[str] = []
    reader = Follower(reading, lambda kept: heard.append(kept.row.id), letters_of(SEALER))
    reader.catch_up()

    def write(number: int) -> None:
        for k in range(25):
            asyncio.run(decide(writers[number], f"{number}/{k}/a", f"{number}/{k}/b"))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(len(writers))]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        reader.catch_up()
    reader.catch_up()
    there = reading.read(lambda at: at.execute("SELECT id FROM history ORDER BY position"))
    assert len(heard) == 200
    assert heard == [name for (name,) in there]
    reader.close()
    for database in (*writers, reading):
        database.close()


def test_a_token_that_is_made_at_one_engine_holds_at_the_other_and_so_does_its_end(
    server: Server, tmp_path: Path
) -> None:
    one, two = two_engines(server.url(server.new()), tmp_path)
    headers = one.token("ann", Role.VIEWER)
    for k in range(5):
        assert [asked(engine, headers).status_code for engine in (one, two)] == [200, 200]
        ender, other = (one, two) if k % 2 else (two, one)
        ender.tokens.revoke("ann", time.time())
        refusals = [asked(engine, headers) for engine in (other, ender)]
        assert [answer.status_code for answer in refusals] == [401, 401]
        assert "was revoked" in refusals[0].json()["detail"]
        headers = ender.token("ann", Role.VIEWER)
    for engine in (one, two):
        engine.context.identity.close()
        engine.context.desk.close()


def test_the_command_line_makes_tokens_in_the_database_that_the_environment_names(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = server.url(server.new())
    one, two = two_engines(url, tmp_path)
    state = ["--state", str(one.state)]
    place.remember(one.state, PostgresDatabase(url))
    for command, arguments in (
        (token.run, ["create", "ann", "--role", "viewer"]), (token.run, ["revoke", "ann"]),
        (status.run, []), (requests.floor, ["api", "5"]),
    ):  # fmt: skip
        assert command([*arguments, *state]) == 2
        assert "its engine has its store in PostgreSQL at" in capsys.readouterr().err
    assert not (one.state / "store.db").exists()

    monkeypatch.setenv(place.VARIABLE, url)
    assert token.run(["create", "ann", "--role", "viewer", *state]) == 0
    headers = {"authorization": f"Bearer {capsys.readouterr().out.strip()}"}
    assert [asked(engine, headers).status_code for engine in (one, two)] == [200, 200]
    assert token.run(["list", "--state", str(two.state)]) == 0
    assert "ann: viewer" in capsys.readouterr().out
    assert token.run(["revoke", "ann", *state]) == 0
    assert [asked(engine, headers).status_code for engine in (one, two)] == [401, 401]
    # What is asked for is there too, and its row in the log of the folder that it was asked in.
    assert requests.floor(["api", "5", *state]) == 0
    [floor] = two.context.desk.asked()[0]
    assert isinstance(floor.request, ManualFloor) and floor.request.instances == 5
    assert one.rows()[-1]["action"] == "floor"
    monkeypatch.setenv(place.VARIABLE, "nonsense")
    assert token.run(["list", *state]) == 2
    assert "WEDTWIN_STORE: no address of a PostgreSQL database" in capsys.readouterr().err
    # A folder whose engine goes back to its file is asked there again.
    monkeypatch.delenv(place.VARIABLE)
    place.remember(one.state, SqliteFile(one.state))
    assert token.run(["list", *state]) == 0
    assert capsys.readouterr().out == ""
    for engine in (one, two):
        engine.context.identity.close()
        engine.context.desk.close()


def test_status_says_who_leads_by_the_database_and_not_by_the_folder(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = server.new(still=True)
    database = PostgresDatabase(server.url(name))
    monkeypatch.setenv(place.VARIABLE, server.url(name))
    # An engine on a database has the lead of its folder as well, also while it stands by.
    held = take_lead(tmp_path, time.time())

    def first_line() -> str:
        assert status.run(["--state", str(tmp_path)]) == 1  # nobody has stepped
        return capsys.readouterr().out.splitlines()[0]

    assert first_line() == "no engine leads"
    lease = PostgresLease(database, "the engine with pid 7 on far")
    asyncio.run(lease.hold(0.0))
    assert first_line() == "the engine with pid 7 on far leads"
    server.run("UPDATE lead SET expires_s = 0", name)
    assert first_line() == "no engine leads"
    server.run(
        "INSERT INTO shard_lease VALUES ('a', 'x', 1, 9e9), ('b', 'y', 1, 9e9), ('c', 'y', 1, 9e9),"
        "('d', 'z', 1, 5.0), ('e', '', 1, 9e9)",
        name,
    )
    assert first_line() == "x leads 1 shard, y leads 2 shards"
    held.release()
    database.close()


def test_while_the_database_is_killed_nobody_comes_in_by_a_token_but_on_its_own_machine(
    server: Server, tmp_path: Path
) -> None:
    one, two = two_engines(server.url(server.new()), tmp_path)
    first = {"authorization": f"Bearer {one.context.bootstrap(time.time())}"}
    headers = one.token("ann", Role.VIEWER)
    sealed = one.context.emergency.seal("kim", now_s=time.time(), sealed_by="ann", for_s=3600.0)
    opened = one.context.emergency.use(sealed, "nobody can log in at all", now_s=time.time())
    emergency = {"authorization": f"Bearer {opened}"}
    assert [asked(engine, headers).status_code for engine in (one, two)] == [200, 200]
    rows = len(one.rows())
    server.end(signal.SIGKILL)
    for engine in (one, two):
        for shown in (headers, {"authorization": f"Bearer wt_{'0' * 12}_{'x' * 43}"}):
            answer = asked(engine, shown)
            problem = answer.json()
            assert (answer.status_code, problem["type"]) == (503, "urn:wedtwin:problem:store")
            assert answer.headers["retry-after"] == "5"
    # It is no failure of whoever asks, and no row of the audit log.
    assert len(one.rows()) == rows
    # What is in files goes on.
    assert [asked(one, shown).status_code for shown in (first, emergency)] == [200, 200]
    # What is for one machine and its files is unknown at the other.
    assert asked(two, emergency).status_code == 401
    server.start()
    assert [asked(engine, headers).status_code for engine in (one, two)] == [200, 200]
    assert asked(two, first).status_code == 401
    for engine in (one, two):
        engine.context.identity.close()
        engine.context.desk.close()


def test_a_server_that_answers_nothing_keeps_a_request_for_no_longer_than_its_patience(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = server.new()
    [one, _] = two_engines(server.url(name), tmp_path)
    headers = one.token("ann", Role.VIEWER)
    assert asked(one, headers).status_code == 200
    monkeypatch.setattr(one.context.identity._looks, "_patience_s", 0.3)  # type: ignore[attr-defined]
    with psycopg.connect(server.url(name)) as holding:
        holding.execute("LOCK TABLE credentials_mark IN ACCESS EXCLUSIVE MODE")
        assert [asked(one, headers).status_code for _ in range(3)] == [503] * 3
        # Emergency access waits for none of it.
        code = one.context.emergency.seal("kim", now_s=time.time(), sealed_by="ann", for_s=60.0)
        opened = one.context.emergency.use(code, "nobody can log in at all", now_s=time.time())
        assert asked(one, {"authorization": f"Bearer {opened}"}).status_code == 200
    for _ in range(600):
        if asked(one, headers).status_code == 200:
            break
        time.sleep(0.05)
    assert asked(one, headers).status_code == 200


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
    url = server.url(server.new(still=True))
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
    name = server.new(still=True)
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


def written(folder: Path, name: str, certificate: trustme.LeafCert) -> Path:
    """A certificate's files, which PostgreSQL's own user may read."""
    path = folder / f"{name}.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(str(path))
    path.chmod(0o600)
    if os.geteuid() == 0 and name == "server":
        os.chown(path, postgres_user().pw_uid, postgres_user().pw_gid)
    return path


def test_engines_speak_tls_with_their_database_and_know_it_by_its_name(
    server: Server, tmp_path: Path
) -> None:
    name = server.new(still=True)
    ca, stranger = trustme.CA(), trustme.CA()
    trusted, other = tmp_path / "ca.pem", tmp_path / "other.pem"
    ca.cert_pem.write_to_path(str(trusted))
    stranger.cert_pem.write_to_path(str(other))
    ca.cert_pem.write_to_path(str(server.folder / "ca.pem"))
    shown = written(server.folder, "server", ca.issue_cert("db.example"))
    own = written(tmp_path, "engine", ca.issue_cert("engine.example", common_name="wedtwin"))
    (server.folder / "ca.pem").chmod(0o644)
    rules = server.folder / "rules"
    rules.write_text("local all all trust\nhostssl all all 127.0.0.1/32 cert\n")
    rules.chmod(0o644)

    def url(host: str = "db.example", root: Path = trusted, mode: str = "verify-full",
            certificate: Path | None = own) -> str:  # fmt: skip
        whose = "" if certificate is None else f"&sslcert={certificate}&sslkey={certificate}"
        return (
            f"postgresql://wedtwin@{host}:{server.port}/{name}?hostaddr=127.0.0.1&sslmode={mode}"
            f"&sslrootcert={root}{whose}"
        )

    server.end(signal.SIGINT)
    (server.port,) = free_ports(1)
    tls = ("ssl=on", f"ssl_cert_file={shown}", f"ssl_key_file={shown}",
           f"ssl_ca_file={server.folder / 'ca.pem'}", "ssl_min_protocol_version=TLSv1.3",
           f"hba_file={rules}", "listen_addresses=127.0.0.1")  # fmt: skip
    server.start(*(part for option in tls for part in ("-c", option)))
    try:
        database = PostgresDatabase(url())
        spoken = database.read(
            lambda at: at.execute(
                "SELECT ssl, version, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            )
        )
        assert spoken == [(True, "TLSv1.3", spoken[0][2])] and "CN=wedtwin" in spoken[0][2]
        one, two = two_engines(url(), tmp_path)
        headers = one.token("ann", Role.VIEWER)
        assert asked(two, headers).status_code == 200
        assert asyncio.run(PostgresLease(database, "one").hold(0.0)) == 1
        for wrong, said in (
            (url(root=other), "certificate verify failed"),
            (url(host="elsewhere.example"), "does not match host name"),
            (url(certificate=None), "requires a valid client certificate"),
            (url(mode="disable"), "no pg_hba.conf entry|no encryption"),
        ):
            refused = PostgresDatabase(wrong)
            with pytest.raises(OSError, match=said):
                refused.read(statements.newest)
        database.close()
        for engine in (one, two):
            engine.context.identity.close()
            engine.context.desk.close()
    finally:
        server.end(signal.SIGINT)
        server.port = 5432
        server.start()
