"""The store in an SQLite file: what stands, what recurs, and a file that is amiss."""

from __future__ import annotations

import errno
import math
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.adapters.store import schema, sqlite, statements
from engine.adapters.store.database import Database, Link
from engine.adapters.store.halves import SqlDesk
from engine.adapters.store.sqlite import FILE, SqliteFile
from engine.config.recurrence import Recurrence
from engine.model import Approval, Direction, ManualFloor, ManualScale, Pause
from engine.ports.lease import Fence
from engine.ports.store import HistoryRow, Kept, Requests, RowKind


@pytest.fixture
def file(tmp_path: Path) -> Iterator[SqliteFile]:
    opened = SqliteFile(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def desk(file: SqliteFile) -> SqlDesk:
    return SqlDesk(file)


def standing(file: SqliteFile, now_s: float) -> Requests:
    return file.read(lambda at: statements.requests(at, now_s))


def keep(file: SqliteFile, kept: Kept, fence: int = 1) -> None:
    file.write(lambda to: statements.keep(to, kept, Fence(fence))).result()


def test_what_is_asked_for_holds_until_it_expires(desk: SqlDesk) -> None:
    floor = ManualFloor("api", 12, 1000.0, "ada")
    pauses = (Pause(), Pause("file-storage", Direction.IN, 500.0, 4))
    for request in (floor, *pauses):
        desk.ask(request)
    before = standing(desk.database, 499.0)
    assert before.floors == (floor,)
    assert set(before.pauses) == set(pauses)
    assert standing(desk.database, 500.0).pauses == (Pause(),)
    assert standing(desk.database, 1000.0).floors == ()


def test_what_recurs_holds_when_its_schedule_says_until_it_is_taken_back(desk: SqlDesk) -> None:
    six_s = 6 * 3600.0
    six = Recurrence(cron="0 6 * * *", time_zone="UTC", duration_s=60.0)
    seven = Recurrence(cron="0 7 * * *", time_zone="UTC", duration_s=60.0)
    desk.ask(ManualFloor("api", 3, math.inf, "ada"))
    for instances, when in ((9, six), (20, six), (30, seven)):
        desk.ask(ManualFloor("api", instances, math.inf, "ada"), when)
    desk.ask(Pause("", Direction.IN, six_s + 30.0), six)
    assert [floor.instances for floor in standing(desk.database, six_s - 1.0).floors] == [3]
    during = standing(desk.database, six_s)
    assert set(during.floors) == {
        ManualFloor("api", 3, math.inf, "ada"), ManualFloor("api", 20, six_s + 60.0, "ada"),
    }  # fmt: skip
    assert during.pauses == (Pause("", Direction.IN, six_s + 30.0),)
    assert desk.withdraw("floor", "api")
    assert standing(desk.database, six_s).floors == ()
    assert standing(desk.database, six_s).pauses == during.pauses


@pytest.mark.parametrize(
    ("kind", "content", "complaint"),
    [
        ("floor", "{", "property name"),
        ("floor", "[1]", "not a mapping"),
        ("floor", '{"instances": 3}', "'service' is missing"),
        ("floor", '{"service": "api", "instances": -1}', "-1 is not a count"),
        ("floor", '{"service": "api", "instances": true}', "True is not a count"),
        ("floor", '{"service": "api", "instances": 2, "expires_s": NaN}', "not a time"),
        ("pause", '{"service": "api", "direction": "up"}', "'up' is not a valid"),
        ("scale", '{"service": "api", "instances": 2}', "'id' is missing"),
        ("floor", '{"service": "api", "instances": 2, "schedule": 8}', "not a mapping"),
        (
            "floor",
            '{"service": "api", "instances": 2, "schedule": {"cron": "0 8 * *"}}',
            "schedule.time_zone: is missing; schedule.duration_s: is missing",
        ),
    ],
)
def test_what_makes_no_sense_is_complained_about_and_the_rest_holds(
    desk: SqlDesk, kind: str, content: str, complaint: str
) -> None:
    desk.ask(ManualFloor("database", 4, math.inf))
    desk.database.write(
        lambda to: statements.put_request(to, f"{kind}-api", kind, "api", text=content)
    ).result()
    desk.database.write(lambda to: statements.put_answer(to, "api-9", "nonsense")).result()
    asked = standing(desk.database, 0.0)
    assert [floor.service for floor in asked.floors] == ["database"]
    assert (asked.pauses, asked.scales, asked.answers) == ((), (), ())
    about_request, about_answer = asked.complaints
    assert about_request.startswith(f"{kind}-api is ignored: ")
    assert complaint in about_request
    assert about_answer.startswith("the answer to api-9 is ignored: ")


def test_whoever_only_looks_leaves_nothing_behind(tmp_path: Path) -> None:
    desk = SqlDesk(SqliteFile(tmp_path))
    assert (desk.asked(), desk.status(), desk.history()) == (([], []), "", [])
    assert list(tmp_path.iterdir()) == []


def test_history_is_read_in_pages_and_by_kind(file: SqliteFile) -> None:
    kinds = (RowKind.INTENT, RowKind.RESULT)
    keep(
        file,
        Kept(rows=tuple(HistoryRow(kinds[k % 2], f"a-{k}", float(k), "{}") for k in range(10))),
    )
    desk = SqlDesk(file)
    page = desk.history(limit=4)
    assert [kept.row.id for kept in page] == ["a-0", "a-1", "a-2", "a-3"]
    assert [kept.row.id for kept in desk.history(page[-1].position, 2)] == ["a-4", "a-5"]
    assert [kept.row.id for kept in desk.history(5, 9, (RowKind.INTENT,))] == ["a-6", "a-8"]
    assert desk.row(RowKind.RESULT, "a-1") == page[1]
    assert desk.row(RowKind.INTENT, "a-1") is None


def test_those_that_write_at_once_share_a_transaction_and_one_that_fails_is_alone(
    file: SqliteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    plain = Database._commit
    gate = threading.Event()

    def commit(self: Database, link: Link, changes: list[object]) -> None:
        batches.append(len(changes))
        gate.wait(30.0)
        plain(self, link, changes)  # type: ignore[arg-type]

    monkeypatch.setattr(Database, "_commit", commit)
    first = file.write(lambda to: statements.check_fence(to, Fence(5)))
    row = HistoryRow(RowKind.GAP, "lost", 0.0, "{}")
    late = file.write(lambda to: statements.keep(to, Kept(rows=(row,)), Fence(4)))
    wrong = file.write(lambda to: to.execute("SELECT nonsense"))
    rows = [
        file.write(
            lambda to, k=k: statements.keep(  # type: ignore[misc]
                to, Kept(rows=(HistoryRow(RowKind.GAP, f"g-{k}", 0.0, "{}"),)), Fence(5)
            )
        )
        for k in range(20)
    ]
    gate.set()
    assert [one.result() for one in (first, *rows)] == [None] * 21
    assert "fence 4 is over" in str(late.exception())
    assert "nonsense" in str(wrong.exception())
    # Together, and each by itself when the transaction as a whole came to nothing.
    assert max(batches) > 1
    assert len(SqlDesk(file).history()) == 20


def test_the_journal_stays_small_whatever_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "WAL_BYTES", 200_000)
    file = SqliteFile(tmp_path)
    sizes = []
    for k in range(30):
        keep(file, Kept('"' + chr(65 + k) * 90_000 + '"'))
        file.read(statements.memory)
        sizes.append((tmp_path / f"{FILE}-wal").stat().st_size)
    assert 200_000 < max(sizes) < 500_000
    file.close()
    assert not (tmp_path / f"{FILE}-wal").exists()


def test_a_folder_that_was_taken_away_is_not_written_to(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    file = SqliteFile(state)
    keep(file, Kept("1"))
    assert file.read(statements.memory) == "1"
    state.rename(tmp_path / "gone")
    with pytest.raises(OSError, match=FILE) as error:
        keep(file, Kept("2"))
    assert error.value.filename == str(state / FILE)
    state.mkdir()
    keep(file, Kept("3"))
    assert file.read(statements.memory) == "3"
    assert SqliteFile(tmp_path / "gone").read(statements.memory) == "1"
    file.close()


@pytest.mark.parametrize("content", [b"nonsense" * 1000, b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    file = SqliteFile(tmp_path)
    for use in (lambda: keep(file, Kept("1")), lambda: file.read(statements.memory)):
        with pytest.raises(OSError, match="put the file aside to begin with an empty store"):
            use()
    assert (tmp_path / FILE).read_bytes() == content


def test_a_store_of_a_later_version_is_not_touched(tmp_path: Path) -> None:
    keep(file := SqliteFile(tmp_path), Kept("1"))
    file.close()
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("UPDATE schema_version SET version = ?", (schema.NEWEST + 1,))
    connection.close()
    with pytest.raises(OSError, match="a later version has used it") as error:
        keep(SqliteFile(tmp_path), Kept("2"))
    assert error.value.errno == errno.EPROTONOSUPPORT


def test_another_that_writes_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    file = SqliteFile(tmp_path, busy_s=0.05)
    keep(file, Kept("1"))
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OSError, match="locked") as error:
        keep(file, Kept("2"))
    assert error.value.errno == errno.EBUSY
    assert file.read(statements.memory) == "1"  # who reads waits for nobody
    other.execute("ROLLBACK")
    other.close()
    keep(file, Kept("2"))
    assert file.read(statements.memory) == "2"
    file.close()


def test_a_person_who_asks_again_is_the_last_to_have_asked(desk: SqlDesk) -> None:
    desk.ask(ManualScale("one", "api", 5, math.inf, "ada"))
    desk.ask(ManualScale("two", "api", 7, math.inf, "bob", "a fair"))
    assert [scale.id for scale in standing(desk.database, 0.0).scales] == ["two"]
    rows = desk.history(kinds=(RowKind.SCALE,))
    assert [kept.row.id for kept in rows] == ["one", "two"]
    assert desk.withdraw("scale", "api")
    assert standing(desk.database, 0.0).scales == ()


def test_an_answer_may_be_given_to_an_engine_that_does_not_run(desk: SqlDesk) -> None:
    desk.answer(Approval("api-1", False, 1.0, "ada"))
    desk.answer(Approval("api-1", False, 2.0, "bob"))
    assert standing(desk.database, 3.0).answers == (Approval("api-1", False, 2.0, "bob"),)


def test_a_change_of_whoever_is_seen_without_a_look(file: SqliteFile, tmp_path: Path) -> None:
    other = SqliteFile(tmp_path)
    assert file.version() is None  # there is no connection yet
    other.write(lambda to: to.execute("DELETE FROM credentials")).result()
    file.read(lambda at: at.execute("SELECT 1"))
    before = file.version()
    assert before is not None
    assert file.version() == before
    file.read(lambda at: at.execute("SELECT 1"))
    assert file.version() == before
    for writer in (other, file):
        writer.write(lambda to: to.execute("DELETE FROM credentials_mark")).result()
        assert file.version() != before
        before = file.version()
    assert file.read(lambda _: file.version()) is None  # it waits for nobody who reads
    for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    assert file.version() is None  # of a file that is another one, or none
    other.close()
    renewed = SqliteFile(tmp_path)
    renewed.write(lambda to: to.execute("DELETE FROM credentials")).result()
    file.read(lambda at: at.execute("SELECT 1"))
    assert file.version() not in (None, before)
    renewed.close()
