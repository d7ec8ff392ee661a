"""What is asked of the tables, whichever database has them.

Whoever calls a function that writes has the only transaction that does so at the time: positions of
the history are given in here, and a fence is compared and raised in here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from engine.adapters.store import written
from engine.adapters.store.schema import Transaction
from engine.config.recurrence import Recurrence
from engine.model import Approval, ManualFloor, ManualScale, Pause
from engine.ports.desk import (
    Asked,
    KeptRow,
    Kind,
    Request,
    RequestError,
    check_decision,
    check_service,
    kind_of,
    request_id,
)
from engine.ports.lease import NO_FENCE, Fence, FencedOffError
from engine.ports.store import HistoryRow, Kept, Requests, RowKind

# --- of whoever leads


def newest(transaction: Transaction) -> Fence:
    """The newest fence."""
    rows = transaction.execute("SELECT fence FROM lead")
    return Fence(int(rows[0][0])) if rows else NO_FENCE


def check_fence(transaction: Transaction, fence: Fence) -> None:
    """Remember the fence if it is the newest; raises FencedOffError if it is over."""
    latest = newest(transaction)
    if fence < latest:
        raise FencedOffError(fence, latest)
    if fence > latest:
        _put_one(transaction, "lead", "fence", fence)


def keep(transaction: Transaction, kept: Kept, fence: Fence) -> None:
    """Keep it; raises FencedOffError."""
    check_fence(transaction, fence)
    if kept.memory is not None:
        _put_one(transaction, "memory", "text", kept.memory)
    for given in kept.taken:
        transaction.execute(
            "DELETE FROM answers WHERE decision_id = ? AND content = ?",
            given.decision_id, written.of_answer(given),
        )  # fmt: skip
    _append(transaction, kept.rows, fence)


def memory(transaction: Transaction) -> str:
    """The text, "" without one."""
    return _one(transaction, "memory")


def put_memory_aside(transaction: Transaction, fence: Fence, now_s: float) -> str:
    """Move the memory into the history; where it is there.  Raises FencedOffError."""
    check_fence(transaction, fence)
    text = memory(transaction)
    row = HistoryRow(RowKind.MEMORY, f"{fence}@{now_s}", now_s, text)
    if text:
        _append(transaction, (row,), fence)
        transaction.execute("DELETE FROM memory")
    return f"history: {row.kind} {row.id}"


def show(transaction: Transaction, text: str, fence: Fence) -> None:
    """Show a status; raises FencedOffError."""
    check_fence(transaction, fence)
    _put_one(transaction, "shown", "text", text)


def requests(transaction: Transaction, now_s: float) -> Requests:
    """All that holds at `now_s`; what cannot be read is a complaint."""
    standing, complaints = asked(transaction)
    texts = transaction.execute("SELECT decision_id, content FROM answers ORDER BY decision_id")
    answers, unread = written.readable(
        ((f"the answer to {name}", text) for name, text in texts),
        lambda _, text: written.answer_of(text),
    )
    holding = [request for one in standing if (request := one.at(now_s)) is not None]
    return Requests(
        tuple([request for request in holding if isinstance(request, ManualFloor)]),
        tuple([request for request in holding if isinstance(request, Pause)]),
        tuple(answers),
        (*complaints, *unread),
        tuple([request for request in holding if isinstance(request, ManualScale)]),
    )


# --- of people


def ask(
    transaction: Transaction, request: Request, schedule: Recurrence | None, now_s: float
) -> str:
    """Let it stand; its id.  Raises RequestError."""
    name = request_id(request, schedule)
    text = written.of_request(request, schedule)
    if isinstance(request, ManualScale):
        before = row(transaction, RowKind.SCALE, request.id)
        if before is not None and before.row.content != text:
            raise RequestError(f'"{request.id}" is the id of an earlier request')
        _append(transaction, (HistoryRow(RowKind.SCALE, request.id, now_s, text),), NO_FENCE)
    put_request(transaction, name, kind_of(request), request.service, text)
    return name


def put_request(transaction: Transaction, name: str, kind: str, service: str, text: str) -> None:
    """Put the text of a request in place of the one of that name."""
    transaction.execute(
        "INSERT INTO requests (id, kind, service, content) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET content = excluded.content",
        name, kind, service, text,
    )  # fmt: skip


def withdraw(transaction: Transaction, kind: Kind, service: str) -> bool:
    """Take such requests back; whether there were any.  Raises RequestError."""
    check_service(service)
    gone = transaction.execute(
        "DELETE FROM requests WHERE kind = ? AND service = ? RETURNING id", kind, service
    )
    return bool(gone)


def answer(transaction: Transaction, approval: Approval) -> None:
    """Answer a question; raises RequestError."""
    check_decision(approval.decision_id)
    before = transaction.execute(
        "SELECT decision_id, content FROM answers WHERE decision_id = ?", approval.decision_id
    )
    given, _ = written.readable(before, lambda _, text: written.answer_of(text))
    for other in given:
        if approval.approved and not other.approved:
            raise RequestError(f"{approval.decision_id}: {other.approver} has refused it")
    put_answer(transaction, approval.decision_id, written.of_answer(approval))


def put_answer(transaction: Transaction, decision_id: str, text: str) -> None:
    """Put the text of an answer in place of the one to the same decision."""
    transaction.execute(
        "INSERT INTO answers (decision_id, content) VALUES (?, ?) "
        "ON CONFLICT (decision_id) DO UPDATE SET content = excluded.content",
        decision_id, text,
    )  # fmt: skip


def asked(transaction: Transaction) -> tuple[list[Asked], list[str]]:
    """All that stands, and complaints about what cannot be read."""
    rows = transaction.execute("SELECT id, kind, content FROM requests ORDER BY id")
    kinds = {name: kind for name, kind, _ in rows}
    return written.readable(
        ((name, text) for name, _, text in rows),
        lambda name, text: written.asked_of(kinds[name], text),
    )


def shown(transaction: Transaction) -> str:
    """The status that was shown last, "" without one."""
    return _one(transaction, "shown")


def history(
    transaction: Transaction, after: int, limit: int, kinds: Collection[RowKind]
) -> list[KeptRow]:
    """Rows beyond a position, rising."""
    wanted = list(kinds or RowKind)
    marks = ", ".join("?" * len(wanted))
    rows = transaction.execute(
        f"SELECT {_COLUMNS} FROM history WHERE position > ? AND kind IN ({marks}) "  # nosec B608 (names of ours)
        "ORDER BY position LIMIT ?",
        after, *(kind.value for kind in wanted), limit,
    )  # fmt: skip
    return [_kept(*columns) for columns in rows]


def row(transaction: Transaction, kind: RowKind, name: str) -> KeptRow | None:
    """The row with a key."""
    rows = transaction.execute(
        f"SELECT {_COLUMNS} FROM history WHERE kind = ? AND id = ?",  # nosec B608 (names of ours)
        kind.value,
        name,
    )
    return _kept(*rows[0]) if rows else None


# --- inside

_COLUMNS = "position, kind, id, time_s, fence, content"


def _kept(position: int, kind: str, name: str, time_s: float, fence: int, content: str) -> KeptRow:
    return KeptRow(position, Fence(fence), HistoryRow(RowKind(kind), name, time_s, content))


def _append(transaction: Transaction, rows: Sequence[HistoryRow], fence: Fence) -> None:
    """Append rows; those that are there already stay as they are."""
    if not rows:
        return
    [(last,)] = transaction.execute("SELECT COALESCE(MAX(position), 0) FROM history")
    for position, one in enumerate(rows, start=int(last) + 1):
        transaction.execute(
            f"INSERT INTO history ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",  # nosec B608 (names of ours)
            position, one.kind.value, one.id, one.time_s, fence, one.content,
        )  # fmt: skip


def _one(transaction: Transaction, table: str) -> str:
    rows = transaction.execute(f"SELECT text FROM {table}")  # nosec B608 (names of ours)
    return str(rows[0][0]) if rows else ""


def _put_one(transaction: Transaction, table: str, column: str, value: str | int) -> None:
    transaction.execute(
        f"INSERT INTO {table} (one, {column}) VALUES (1, ?) "  # nosec B608 (names of ours)
        f"ON CONFLICT (one) DO UPDATE SET {column} = excluded.{column}",
        value,
    )
