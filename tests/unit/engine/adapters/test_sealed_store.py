"""What was measured cannot be read in the files of an engine whose owner has sealed them."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.adapters.store.halves import SqlDesk, SqlStore
from engine.adapters.store.sealed import SealedDesk, SealedStore, desk_of, rows_under
from engine.adapters.store.sqlite import SqliteFile
from engine.commands import keys
from engine.model import ActionResult, ManualFloor, Status
from engine.ports.lease import Fence
from engine.ports.store import HistoryRow, Kept, RowKind
from engine.record.journal import JOURNAL, Journal, JournalHeading, read
from engine.security.sealing import Sealer, keys_in, made

KEY = made()
SEALER = Sealer(lambda: keys_in(KEY, "here"))
ROW = HistoryRow(RowKind.DECISION, "api-1", 1.0, '{"evidence": {"cpu": 0.4711}}')


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def kept(folder: Path, *, sealer: Sealer = SEALER) -> None:
    async def keep() -> None:
        store = SealedStore(SqlStore(SqliteFile(folder)), sealer)
        await store.keep(Kept(memory='{"learned": 0.4711}', rows=(ROW,)), Fence(1))
        await store.show_status('{"cpu": 0.4711}', Fence(1))
        assert await store.memory() == '{"learned": 0.4711}'
        assert await store.newest() == Fence(1)
        await store.close()

    asyncio.run(keep())


def test_no_figure_of_memory_status_or_history_is_in_the_file(tmp_path: Path) -> None:
    kept(tmp_path)
    assert b"4711" not in bytes_of(tmp_path)
    with closing(SealedDesk(SqlDesk(SqliteFile(tmp_path)), SEALER)) as desk:
        assert desk.status() == '{"cpu": 0.4711}'
        row = desk.row(RowKind.DECISION, "api-1")
        assert row is not None and row.row == ROW
        assert [one.row for one in desk.history()] == [ROW]
        assert desk.row(RowKind.DECISION, "api-2") is None


def test_people_ask_a_sealed_store_as_any_other(tmp_path: Path) -> None:
    with closing(SealedDesk(SqlDesk(SqliteFile(tmp_path)), SEALER)) as desk:
        request = ManualFloor("api", 5, 2e9, "pat")
        assert desk.ask(request) == "floor-api"
        assert [one.request for one in desk.asked()[0]] == [request]
        assert desk.withdraw("floor", "api")

    async def requests() -> Any:
        store = SealedStore(SqlStore(SqliteFile(tmp_path)), SEALER)
        try:
            return await store.requests(1.0)
        finally:
            await store.close()

    assert asyncio.run(requests()).floors == ()


def test_who_has_not_the_key_gets_an_error_and_no_memory(tmp_path: Path) -> None:
    kept(tmp_path)
    other = Sealer(lambda: keys_in(made(), "there"))

    async def memory() -> str:
        store = SealedStore(SqlStore(SqliteFile(tmp_path)), other)
        try:
            return await store.memory()
        finally:
            await store.close()

    with pytest.raises(OSError, match="not here"):
        asyncio.run(memory())
    with (
        closing(SealedDesk(SqlDesk(SqliteFile(tmp_path)), other)) as desk,
        pytest.raises(OSError, match="not here"),
    ):
        desk.history()


def test_what_was_kept_before_it_was_sealed_is_read_and_a_memory_put_aside_opens(
    tmp_path: Path,
) -> None:
    async def before() -> None:
        store = SqlStore(SqliteFile(tmp_path))
        await store.keep(Kept(memory="{}", rows=(ROW,)), Fence(1))
        await store.close()

    async def after() -> str:
        store = SealedStore(SqlStore(SqliteFile(tmp_path)), SEALER)
        memory = await store.memory()
        await store.keep(Kept(memory='{"new": 1}'), Fence(1))
        await store.put_memory_aside(Fence(1))
        await store.close()
        return memory

    asyncio.run(before())
    assert asyncio.run(after()) == "{}"
    with closing(SealedDesk(SqlDesk(SqliteFile(tmp_path)), SEALER)) as desk:
        assert [one.row.content for one in desk.history()] == [ROW.content, '{"new": 1}']


def test_a_key_that_rows_are_sealed_with_is_not_retired_by_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, file = ["--state", str(tmp_path)], tmp_path / "keys"
    assert keys.run(["make", str(file)]) == keys.run(["use", "--file", str(file), *state]) == 0
    old = file.read_text().split("_")[1]
    kept(tmp_path, sealer=Sealer(lambda: keys_in(file.read_text(), "file")))
    with closing(desk_of(tmp_path)) as desk:
        assert desk.status() == '{"cpu": 0.4711}'
    assert keys.run(["rotate", *state]) == 0
    assert rows_under(tmp_path, old) == 1
    assert keys.run(["retire", old, *state]) == 2
    assert "1 rows of the store's history" in capsys.readouterr().err
    assert keys.run(["retire", old, "--even-so", *state]) == 0


def test_a_sealed_journal_is_gone_on_with_and_read_by_who_has_the_key(tmp_path: Path) -> None:
    heading = JournalHeading(1000.0, ("api",), 5.0, "engine")
    plain = Journal(tmp_path, heading)
    plain.event(1001.0, "note", "api", "before", "it was sealed")
    plain.close()
    for _ in range(2):
        journal = Journal(tmp_path, heading, SEALER)
        journal.result(ActionResult("api-4711", Status.COMPLETED, 1002.0, "cpu 0.4711"))
        journal.close()
    assert b"4711" not in (tmp_path / JOURNAL).read_bytes()
    kinds = [line["kind"] for line in read(tmp_path / JOURNAL, SEALER)]
    assert kinds == ["run", "event", "event", "result", "event", "result"]
    assert [line["kind"] for line in read(tmp_path / JOURNAL)] == ["run", "event"]
    text = (tmp_path / JOURNAL).read_text()
    (tmp_path / JOURNAL).write_text(text[:-30])  # killed in the middle of a line
    assert len(list(read(tmp_path / JOURNAL, SEALER))) == 5
    assert json.loads(text.splitlines()[0])["kind"] == "run"
