"""The book of the workers: whole at any moment, one writer at a time."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from engine.adapters.pool.book import REMEMBERED, Instance, PoolFile, Wanted, WorkerPhase
from engine.adapters.pool.haproxy import counts
from engine.adapters.pool.processes import Process
from engine.ports.infrastructure import Counts


def instance(number: int, phase: WorkerPhase, down_s: float = 0.0) -> Instance:
    return Instance(
        f"api-{number}", "api", "a", 4000 + number, phase, 1.0, 2.0, down_s, Process(number, 7)
    )


@pytest.fixture
def book_file(tmp_path: Path) -> PoolFile:
    file = PoolFile(tmp_path / "pool.json")
    file.create({"api": 2, "database": 1})
    return file


def test_what_is_written_is_read_again(book_file: PoolFile) -> None:
    with book_file.change() as book:
        book.keeper = 3
        book.instances = [instance(1, WorkerPhase.READY), instance(2, WorkerPhase.DRAINING)]
        book.services["api"].remember("d1")
    assert book_file.read() == book


def test_a_change_that_fails_changes_nothing(book_file: PoolFile) -> None:
    before = book_file.read()

    def fail() -> None:
        with book_file.change() as book:
            book.keeper = 9
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert book_file.read() == before


def test_changes_at_the_same_time_are_made_one_after_the_other(book_file: PoolFile) -> None:
    def add() -> None:
        for _ in range(10):
            with book_file.change() as book:
                book.keeper += 1

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert book_file.read().keeper == 40


def test_a_book_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    file = PoolFile(tmp_path / "pool.json")
    with pytest.raises(FileNotFoundError), file.change():
        pass
    assert list(tmp_path.iterdir()) == []


def test_old_decisions_are_forgotten_at_last() -> None:
    wanted = Wanted(1)
    for k in range(REMEMBERED + 5):
        wanted.remember(f"d{k}")
    assert len(wanted.decisions) == REMEMBERED
    assert wanted.decisions[-1] == f"d{REMEMBERED + 4}"


def test_what_is_ill_does_not_count_as_ready_and_what_stops_is_still_paid_for(
    book_file: PoolFile,
) -> None:
    with book_file.change() as book:
        book.instances = [
            instance(1, WorkerPhase.READY),
            instance(2, WorkerPhase.READY, down_s=5.0),
            instance(3, WorkerPhase.BOOTING),
            instance(4, WorkerPhase.DRAINING),
            instance(5, WorkerPhase.STOPPING),
        ]
    assert counts(book)["api"] == Counts(desired=2, ready=1, booting=2, draining=2)
    assert counts(book)["database"] == Counts(1, 0, 0, 0)
