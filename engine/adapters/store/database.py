"""One thread writes: what waits at the same time is one transaction, each undone by itself.

So a commit, which waits for the disk, is shared by all who write at the time; and a connection is
never in two hands.
"""

from __future__ import annotations

import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, Generic, Protocol, TypeVar

from engine.adapters.store.recent import Recent
from engine.adapters.store.schema import Transaction

TOGETHER = 256
"""Most writes in one transaction."""
TRIES = 3
"""For a transaction in the middle of which this process stands still."""

_Result = TypeVar("_Result")


class Link(Protocol):
    """A connection that is made when it is needed, and anew when it is of no use any more."""

    @property
    def failures(self) -> type[Exception]:
        """What the database's library raises."""
        ...

    @property
    def is_broken(self) -> bool:
        """Whether the connection that there was has ended."""
        ...

    def begin(self) -> Transaction:
        """Begin the only transaction that writes now."""
        ...

    @property
    def in_transaction(self) -> bool:
        """Whether one is open."""
        ...

    def named(self) -> AbstractContextManager[None]:
        """What is raised inside, as an OSError that names the database."""
        ...

    def tidy(self) -> None:
        """What is to be done now and then after a commit."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Hints(Protocol):
    """Wakes whoever waits for what is appended; for one thread."""

    def wait(self, timeout_s: float, over: threading.Event) -> None:
        """Until there may be something new, the time is over, or it is `over`."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class _Change(Generic[_Result]):
    """A write that waits for its turn."""

    def __init__(self, make: Callable[[Transaction], _Result]) -> None:
        self.done: Future[_Result] = Future()
        self._make = make
        self._made: list[_Result] = []

    def make(self, transaction: Transaction) -> None:
        self._made = [self._make(transaction)]

    def succeed(self) -> None:
        self.done.set_result(self._made[0])


class Database(ABC):
    """A database; `link` makes the connection of the thread that writes."""

    name: str
    """What people know it as, without a password."""

    def __init__(self, link: Callable[[], Link]) -> None:
        self.own = Recent()
        """Keys of history rows that this process wanted to keep."""
        self._link = link
        self._waiting: queue.SimpleQueue[_Change[Any] | None] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._writer: threading.Thread | None = None

    def write(self, make: Callable[[Transaction], _Result]) -> Future[_Result]:
        """Let `make` write; done when that is on the disk, or with what went wrong."""
        change = _Change(make)
        with self._starting:
            if self._writer is None:
                # A daemon: a disk that never answers must not keep the process from ending.
                self._writer = threading.Thread(target=self._work, name="store", daemon=True)
                self._writer.start()
            self._waiting.put(change)
        return change.done

    @abstractmethod
    def apart(self) -> Database:
        """The same database over connections of its own, which wait for nobody who uses this."""

    def version(self) -> tuple[int, int] | None:
        """Another one after each commit, of whichever process; told at once, or None."""
        return None

    def hints(self) -> Hints:
        """Hints at what is appended; where the database has none, only the time passes."""
        return _Time()

    @abstractmethod
    def read(self, look: Callable[[Transaction], _Result]) -> _Result:
        """What `look` sees, at one moment; raises OSError."""

    def close(self) -> None:
        """Let go of it, after what waits to be written."""
        with self._starting:
            writer, self._writer = self._writer, None
            if writer is not None:
                self._waiting.put(None)
        if writer is not None:
            writer.join()

    def _work(self) -> None:
        link = self._link()
        while (change := self._waiting.get()) is not None:
            changes, over = [change], False
            while len(changes) < TOGETHER and not self._waiting.empty():
                following = self._waiting.get()
                if following is None:
                    over = True
                    break
                changes.append(following)
            self._commit(link, changes)
            if over:
                break
        link.close()

    def _commit(self, link: Link, changes: list[_Change[Any]], tries: int = TRIES) -> None:
        """Make all of them last together; if that cannot be, each by itself.

        A transaction whose connection ended before it was to last, as of a process that stood
        still in the middle of it, has left nothing, so it is made again.
        """
        failed: dict[int, BaseException] = {}
        may_last = False
        try:
            with link.named():
                try:
                    transaction = _all_made(link, changes, failed)
                    may_last = True
                    _ended(link, transaction)
                except link.failures:
                    if may_last or tries == 1 or not link.is_broken:
                        raise
                    self._commit(link, changes, tries - 1)
                    return
        except BaseException as error:
            if len(changes) > 1:
                for change in changes:
                    self._commit(link, [change])
            else:
                changes[0].done.set_exception(error)
            return
        for number, change in enumerate(changes):
            if number in failed:
                change.done.set_exception(failed[number])
            else:
                change.succeed()
        link.tidy()


class _Time:
    """`Hints` of nothing."""

    def wait(self, timeout_s: float, over: threading.Event) -> None:
        over.wait(timeout_s)

    def close(self) -> None:
        pass


def _all_made(
    link: Link, changes: list[_Change[Any]], failed: dict[int, BaseException]
) -> Transaction:
    """All of them in one transaction; `failed` gets those that went wrong by themselves."""
    transaction = link.begin()
    try:
        for number, change in enumerate(changes):
            if (error := _made(link, transaction, change)) is not None:
                failed[number] = error
    except BaseException:
        if link.in_transaction:
            transaction.execute("ROLLBACK")
        raise
    return transaction


def _ended(link: Link, transaction: Transaction) -> None:
    """Let it last."""
    try:
        transaction.execute("COMMIT")
    except BaseException:
        if link.in_transaction:
            transaction.execute("ROLLBACK")
        raise


def _made(link: Link, transaction: Transaction, change: _Change[Any]) -> BaseException | None:
    """Make one change within the transaction; what went wrong, and is undone.

    Raises what the library raises if the whole transaction is undone by it.
    """
    transaction.execute("SAVEPOINT one")
    try:
        change.make(transaction)
    except Exception as error:
        if isinstance(error, link.failures) or not link.in_transaction:
            raise
        transaction.execute("ROLLBACK TO SAVEPOINT one")
        transaction.execute("RELEASE SAVEPOINT one")
        return error
    transaction.execute("RELEASE SAVEPOINT one")
    return None
