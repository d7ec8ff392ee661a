"""What other engines append is handed over once, in its order, whatever happens to the reader."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.adapters.store import follower as module
from engine.adapters.store.follower import Follower
from engine.adapters.store.halves import SqlStore
from engine.adapters.store.recent import Recent
from engine.adapters.store.sealed import letters_of
from engine.adapters.store.sqlite import SqliteFile
from engine.ports.desk import KeptRow
from engine.ports.lease import Fence
from engine.ports.store import HistoryRow, Kept, RowKind
from tests.unit.engine.adapters.test_sealed_store import SEALER


class Cuttable(SqliteFile):
    """A file whose connection breaks at the reads that `cuts` says."""

    def __init__(self, state: Path, cuts: Iterator[bool]) -> None:
        super().__init__(state)
        self.cuts = cuts

    def apart(self) -> Cuttable:
        return Cuttable(self.path.parent, self.cuts)

    def read(self, look: Callable[[Any], Any]) -> Any:
        if next(self.cuts, False):
            raise OSError(5, "the connection is cut", self.name)
        seen = super().read(look)
        if next(self.cuts, False):
            raise OSError(5, "the connection is cut before the answer", self.name)
        return seen


def keep(database: SqliteFile, *names: str, kind: RowKind = RowKind.DECISION, **more: Any) -> None:
    rows = tuple(HistoryRow(kind, name, 1.0, f'{{"of": "{name}"}}') for name in names)
    asyncio.run(SqlStore(database, **more).keep(Kept(rows=rows), Fence(1)))


def read(reader: Follower) -> None:
    """As its thread does: a look that fails is followed by another."""
    try:
        reader.catch_up()
    except OSError:
        return


@given(
    deeds=st.lists(
        st.one_of(
            st.tuples(st.just("others"), st.integers(1, 7)),
            st.tuples(st.just("own"), st.integers(1, 3)),
            st.tuples(st.just("again"), st.just(0)),
            st.tuples(st.just("look"), st.just(0)),
            st.tuples(st.just("restart"), st.just(0)),
        ),
        max_size=14,
    ),
    cuts=st.lists(st.booleans(), max_size=20),
)
def test_each_row_comes_once_and_in_order_whatever_is_cut_and_begun_again(
    deeds: list[tuple[str, int]], cuts: list[bool]
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TOGETHER", 3)
        own, others = Cuttable(Path(folder), iter(())), SqliteFile(Path(folder))
        keep(others, "before it began")
        taken: list[str] = []

        def take(kept: KeptRow) -> None:
            taken.append(kept.row.id)

        reader = Follower(own, take)
        reader.catch_up()
        reader._database.cuts = iter(cuts)  # type: ignore[attr-defined]
        wanted: list[str] = []
        for number, (deed, count) in enumerate(deeds):
            names = [f"{number}-{k}" for k in range(count)]
            match deed:
                case "others":
                    keep(others, *names)
                    wanted += names
                case "own":
                    keep(own, *names)
                case "again" if wanted:
                    keep(others, wanted[-1])  # its acknowledgement was lost
                case "look":
                    read(reader)
                case "restart":
                    left, position = iter(reader._database.cuts), reader.position  # type: ignore[attr-defined]
                    reader.close()
                    reader = Follower(own, take)
                    reader.position = position
                    reader._database.cuts = left  # type: ignore[attr-defined]
        reader._database.cuts = iter(())  # type: ignore[attr-defined]
        reader.catch_up()
        assert taken == wanted
        for one in (reader, own, others):
            one.close()


def test_ten_thousand_rows_behind_it_reads_so_many_at_once(tmp_path: Path) -> None:
    own, others = SqliteFile(tmp_path), SqliteFile(tmp_path)
    taken: list[KeptRow] = []
    reader = Follower(own, taken.append)
    assert reader.catch_up() == 0
    sizes: list[int] = []
    plain = reader._newer

    def newer(at: Any) -> Any:
        answer = plain(at)
        sizes.append(len(answer[1]))
        return answer

    reader._newer = newer  # type: ignore[method-assign]
    keep(others, *(f"{k}" for k in range(10_000)))
    assert reader.catch_up() == 10_000
    assert [kept.row.id for kept in taken] == [f"{k}" for k in range(10_000)]
    assert max(sizes) == module.TOGETHER
    for one in (reader, own, others):
        one.close()


def test_sealed_rows_are_opened_and_one_that_cannot_be_holds_up_no_other(tmp_path: Path) -> None:
    own, others = SqliteFile(tmp_path), SqliteFile(tmp_path)
    taken: list[KeptRow] = []
    sealed = letters_of(SEALER)
    keeper, blind = Follower(own, taken.append, sealed), Follower(own, taken.append)
    keeper.catch_up()
    blind.catch_up()
    keep(others, "d1", letters=sealed)
    keep(others, "d2")
    assert keeper.catch_up() == 2
    assert [kept.row.content for kept in taken] == ['{"of": "d1"}', '{"of": "d2"}']
    taken.clear()
    blind.catch_up()
    assert [kept.row.id for kept in taken] == ["d2"]
    for one in (keeper, blind, own, others):
        one.close()


def test_kinds_that_nobody_shows_are_passed_and_not_read_again(tmp_path: Path) -> None:
    own, others = SqliteFile(tmp_path), SqliteFile(tmp_path)
    reader = Follower(own, lambda _: None)
    reader.catch_up()
    keep(others, "f1", "f2", kind=RowKind.FINDING)
    assert reader.catch_up() == 0
    assert reader.position == 2
    for one in (reader, own, others):
        one.close()


def test_an_older_history_is_followed_from_its_end_and_a_pruned_one_from_where_it_was(
    tmp_path: Path,
) -> None:
    own, others = SqliteFile(tmp_path), SqliteFile(tmp_path)
    taken: list[str] = []
    reader = Follower(own, lambda kept: taken.append(kept.row.id))
    reader.catch_up()
    keep(others, "a", "b", "c", "d")
    reader.catch_up()
    keep(others, "e")
    others.write(lambda to: to.execute("DELETE FROM history WHERE position < 5")).result()
    reader.catch_up()
    assert taken == ["a", "b", "c", "d", "e"]
    others.write(lambda to: to.execute("UPDATE history SET position = 2")).result()
    reader.catch_up()
    keep(others, "f")
    reader.catch_up()
    assert taken == ["a", "b", "c", "d", "e", "f"]
    for one in (reader, own, others):
        one.close()


def test_so_many_keys_are_remembered_and_the_oldest_are_forgotten() -> None:
    recent = Recent(2)
    assert [recent.add("a", name) for name in ("1", "2", "1", "3")] == [True, True, False, True]
    assert ("a", "1") not in recent
    assert ("a", "3") in recent
    assert ("b", "3") not in recent
