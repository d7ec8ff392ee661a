"""What was measured cannot be read in the files of an engine whose owner has sealed them."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.adapters.store.halves import SqlDesk, SqlStore
from engine.adapters.store.resealing import reseal, reseal_a_piece, texts_under
from engine.adapters.store.sealed import desk_of, letters_of
from engine.adapters.store.sqlite import SqliteFile
from engine.commands import keys
from engine.model import ActionResult, Approval, ManualFloor, ManualScale, Status
from engine.ports.desk import RequestError, SoFar
from engine.ports.lease import Fence
from engine.ports.store import HistoryRow, Kept, RowKind
from engine.record.journal import JOURNAL, Journal, JournalHeading, read
from engine.security.sealing import Sealer, SealError, keys_in, made

KEY = made()
SEALER = Sealer(lambda: keys_in(KEY, "here"))
ROW = HistoryRow(RowKind.DECISION, "api-1", 1.0, '{"evidence": {"cpu": 0.47110815}}')


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def kept(folder: Path, *, sealer: Sealer = SEALER) -> None:
    async def keep() -> None:
        store = SqlStore(SqliteFile(folder), letters_of(sealer))
        await store.keep(Kept(memory='{"learned": 0.47110815}', rows=(ROW,)), Fence(1))
        await store.show_status('{"cpu": 0.47110815}', Fence(1))
        assert await store.memory() == '{"learned": 0.47110815}'
        assert await store.newest() == Fence(1)
        await store.close()

    asyncio.run(keep())


def test_no_figure_of_memory_status_or_history_is_in_the_file(tmp_path: Path) -> None:
    kept(tmp_path)
    assert b"47110815" not in bytes_of(tmp_path)
    with closing(SqlDesk(SqliteFile(tmp_path), letters_of(SEALER))) as desk:
        assert desk.status() == '{"cpu": 0.47110815}'
        row = desk.row(RowKind.DECISION, "api-1")
        assert row is not None and row.row == ROW
        assert [one.row for one in desk.history()] == [ROW]
        assert desk.row(RowKind.DECISION, "api-2") is None


def test_people_ask_a_sealed_store_as_any_other(tmp_path: Path) -> None:
    with closing(SqlDesk(SqliteFile(tmp_path), letters_of(SEALER))) as desk:
        request = ManualFloor("api", 5, 2e9, "pat")
        assert desk.ask(request) == "floor-api"
        assert b"pat" not in bytes_of(tmp_path)
        assert [one.request for one in desk.asked()[0]] == [request]
        assert desk.withdraw("floor", "api")

    async def requests() -> Any:
        store = SqlStore(SqliteFile(tmp_path), letters_of(SEALER))
        try:
            return await store.requests(1.0)
        finally:
            await store.close()

    assert asyncio.run(requests()).floors == ()


def test_who_has_not_the_key_gets_an_error_and_no_memory(tmp_path: Path) -> None:
    kept(tmp_path)
    other = Sealer(lambda: keys_in(made(), "there"))

    async def memory() -> str:
        store = SqlStore(SqliteFile(tmp_path), letters_of(other))
        try:
            return await store.memory()
        finally:
            await store.close()

    with pytest.raises(OSError, match="not here"):
        asyncio.run(memory())
    with (
        closing(SqlDesk(SqliteFile(tmp_path), letters_of(other))) as desk,
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
        store = SqlStore(SqliteFile(tmp_path), letters_of(SEALER))
        memory = await store.memory()
        await store.keep(Kept(memory='{"new": 1}'), Fence(1))
        await store.put_memory_aside(Fence(1))
        await store.close()
        return memory

    asyncio.run(before())
    assert asyncio.run(after()) == "{}"
    with closing(SqlDesk(SqliteFile(tmp_path), letters_of(SEALER))) as desk:
        assert [one.row.content for one in desk.history()] == [ROW.content, '{"new": 1}']


def test_a_key_that_rows_are_sealed_with_is_not_retired_by_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, file = ["--state", str(tmp_path)], tmp_path / "keys"
    assert keys.run(["make", str(file)]) == keys.run(["use", "--file", str(file), *state]) == 0
    old = file.read_text().split("_")[1]
    kept(tmp_path, sealer=Sealer(lambda: keys_in(file.read_text(), "file")))
    with closing(desk_of(tmp_path)) as desk:
        assert desk.status() == '{"cpu": 0.47110815}'
    assert keys.run(["rotate", *state]) == 0
    kept(tmp_path, sealer=Sealer(lambda: keys_in(file.read_text().splitlines()[1], "an old one")))
    with closing(SqliteFile(tmp_path)) as file_of_it:
        assert texts_under(file_of_it, old) == 2  # memory and status; the row is there already
    assert keys.run(["retire", old, *state]) == 2
    assert "2 texts of the store" in capsys.readouterr().err
    assert keys.run(["rotate", *state]) == keys.run(["retire", old, *state]) == 0
    with closing(desk_of(tmp_path)) as desk:
        assert desk.status() == '{"cpu": 0.47110815}'
        assert [one.row for one in desk.history()] == [ROW]


def test_a_sealed_journal_is_gone_on_with_and_read_by_who_has_the_key(tmp_path: Path) -> None:
    heading = JournalHeading(1000.0, ("api",), 5.0, "engine")
    plain = Journal(tmp_path, heading)
    plain.event(1001.0, "note", "api", "before", detail="it was sealed")
    plain.close()
    for _ in range(2):
        journal = Journal(tmp_path, heading, SEALER)
        journal.result(ActionResult("api-47110815", Status.COMPLETED, 1002.0, "cpu 0.47110815"))
        journal.close()
    assert b"47110815" not in (tmp_path / JOURNAL).read_bytes()
    kinds = [line["kind"] for line in read(tmp_path / JOURNAL, SEALER)]
    assert kinds == ["run", "event", "event", "result", "event", "result"]
    assert [line["kind"] for line in read(tmp_path / JOURNAL)] == ["run", "event"]
    text = (tmp_path / JOURNAL).read_text()
    (tmp_path / JOURNAL).write_text(text[:-30])  # killed in the middle of a line
    assert len(list(read(tmp_path / JOURNAL, SEALER))) == 5
    assert json.loads(text.splitlines()[0])["kind"] == "run"


PEOPLE = (
    ManualFloor("api", 5, 2e9, "patricia-47110815"),
    ManualScale("one", "api", 7, 2e9, "patricia-47110815", "a fair", 4),
)


def test_no_word_of_who_asks_and_answers_is_in_the_file(tmp_path: Path) -> None:
    answer = Approval("api-1", False, 1.0, "patricia-47110815")
    audit = '{"actor":"patricia-47110815","id":"0123456789abcdef"}'
    with closing(SqlDesk(SqliteFile(tmp_path), letters_of(SEALER))) as desk:
        for request in PEOPLE:
            desk.ask(request, audit=audit)
        desk.answer(answer)
        assert b"47110815" not in bytes_of(tmp_path)
        assert [one.request for one in desk.asked()[0]] == list(PEOPLE)
        row = desk.row(RowKind.SCALE, "one")
        assert row is not None and "patricia-47110815" in row.row.content
        assert [one.text for one in desk.staged()] == [audit]
        with pytest.raises(RequestError, match="refused"):
            desk.answer(Approval("api-1", True, 2.0, "eve"))
        desk.ask(PEOPLE[1])  # the same once more, sealed anew

    async def read_and_taken() -> tuple[Any, Any]:
        store = SqlStore(SqliteFile(tmp_path), letters_of(SEALER))
        try:
            before = await store.requests(1.0)
            await store.keep(Kept(taken=(answer,)), Fence(1))
            return before, await store.requests(1.0)
        finally:
            await store.close()

    before, after = asyncio.run(read_and_taken())
    assert before.answers == (answer,) and before.floors == PEOPLE[:1]
    assert after.answers == ()


def test_a_request_whose_key_is_gone_is_a_complaint_and_its_answer_may_be_a_refusal(
    tmp_path: Path,
) -> None:
    with closing(SqlDesk(SqliteFile(tmp_path), letters_of(SEALER))) as desk:
        desk.ask(PEOPLE[0])
        desk.answer(Approval("api-1", False, 1.0, "pat"))
    other = Sealer(lambda: keys_in(made(), "there"))
    for letters in (letters_of(other), letters_of(None)):
        with closing(SqlDesk(SqliteFile(tmp_path), letters)) as desk:
            standing, complaints = desk.asked()
            assert standing == [] and len(complaints) == 1 and "floor-api" in complaints[0]
            with pytest.raises(RequestError, match="it may be a refusal"):
                desk.answer(Approval("api-1", True, 2.0, "eve"))


def test_a_text_does_not_open_in_the_place_of_another(tmp_path: Path) -> None:
    with closing(SqlDesk(SqliteFile(tmp_path), letters_of(SEALER))) as desk:
        desk.ask(PEOPLE[0])
        desk.ask(ManualFloor("database", 2, 2e9, "pat"))
        desk.database.write(
            lambda to: to.execute(
                "UPDATE requests SET content = "
                "(SELECT content FROM requests WHERE id = 'floor-api')"
            )
        ).result()
        standing, complaints = desk.asked()
    assert [one.request.service for one in standing] == ["api"]
    assert "floor-database" in complaints[0]


def test_a_rotation_seals_every_text_anew_piece_by_piece_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.adapters.store.resealing.PIECE", 2)
    rows = tuple(HistoryRow(RowKind.DECISION, f"d-{k}", float(k), f"cpu {k}") for k in range(5))
    lines = [made()]
    sealer = Sealer(lambda: keys_in("\n".join(lines), "here"))
    old = sealer.key_id

    async def keep(store: SqlStore, rows: tuple[HistoryRow, ...], fence: int) -> None:
        await store.keep(Kept("memory 47110815", (), rows), Fence(fence))
        await store.put_memory_aside(Fence(fence))
        await store.keep(Kept("memory 47110815"), Fence(fence))
        await store.close()

    # Some of it from before it was sealed, and all of it readable afterwards.
    asyncio.run(keep(SqlStore(SqliteFile(tmp_path)), rows[:2], 1))
    asyncio.run(keep(SqlStore(SqliteFile(tmp_path), letters_of(sealer)), rows[2:], 2))
    with closing(SqlDesk(SqliteFile(tmp_path), letters_of(sealer))) as desk:
        desk.ask(PEOPLE[0])
        desk.answer(Approval("api-1", False, 1.0, "pat"))
        file = desk.database
        lines.insert(0, made())
        sealer.renew()
        assert texts_under(file, old) == 8  # memory, request, answer and whose, and four rows
        assert reseal_a_piece(file, sealer)
        assert file.read(lambda at: at.execute("SELECT position FROM resealed")) == [(2,)]
        one_more = Sealer(lambda: keys_in("\n".join(lines), "after a restart"))
        reseal(file, one_more)
        assert texts_under(file, old) == 0 and texts_under(file, sealer.key_id) == 11
        del lines[1:]
        sealer.renew()
        assert [one.row.content for one in desk.history()] == [
            "cpu 0", "cpu 1", "memory 47110815", "cpu 2", "cpu 3", "cpu 4", "memory 47110815",
        ]  # fmt: skip
        assert len(desk.asked()[0]) == 1
        assert desk.so_far("api-1") == SoFar((), "pat")
    assert b"47110815" not in bytes_of(tmp_path)


def test_a_row_whose_key_is_gone_for_good_does_not_keep_the_others(tmp_path: Path) -> None:
    kept(tmp_path)
    lines = [made()]
    other = Sealer(lambda: keys_in("\n".join(lines), "there"))
    with closing(SqliteFile(tmp_path)) as file:
        reseal(file, other)  # nothing of it opens
        desk = SqlDesk(file, letters_of(other))
        desk.ask(PEOPLE[0])
        lines.insert(0, made())
        other.renew()
        reseal(file, other)
        assert texts_under(file, other.key_id) == 1
        lines.clear()
        with pytest.raises(SealError):  # nobody can be asked: it is tried again, nothing is skipped
            reseal(file, other)
