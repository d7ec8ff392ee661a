"""What is asked of the tables, whichever database has them.

Whoever calls a function that writes has the only transaction that does so at the time: positions of
the history are given in here, and a fence is compared and raised in here.  `letters` say how texts
lie in the tables, and `log` is the audit log that rows are staged for.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from engine.adapters.store import letters as contexts
from engine.adapters.store import staging, written
from engine.adapters.store.letters import PLAIN, Letters, readable
from engine.adapters.store.schema import Transaction
from engine.config.recurrence import Recurrence
from engine.model import (
    AlertAnswer,
    Approval,
    ManualFloor,
    ManualScale,
    MonitoringSession,
    Occasion,
    Pause,
)
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
from engine.ports.engine_time import engine_s
from engine.ports.lease import NO_FENCE, Fence, FencedOffError
from engine.ports.store import HistoryRow, Kept, Requests, RowKind

MOST_ROWS = 2**62
"""Beyond any position."""

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


def keep(
    transaction: Transaction, kept: Kept, fence: Fence, letters: Letters = PLAIN, *, log: str = ""
) -> None:
    """Keep it; raises FencedOffError."""
    check_fence(transaction, fence)
    if kept.memory is not None:
        text = letters.closed(kept.memory, contexts.MEMORY)
        _put_one(transaction, "memory", "text", text)
    keep_rest(transaction, kept, fence, letters, log=log)


def keep_rest(
    transaction: Transaction, kept: Kept, fence: Fence, letters: Letters = PLAIN, *, log: str = ""
) -> None:
    """Keep all of it but the memory, and compare no fence: whoever calls has done both."""
    for given in kept.taken:
        # Read before it goes: one that was given anew since stays, and sealed texts do not compare.
        if given in _given(transaction, given.decision_id, letters)[0]:
            transaction.execute("DELETE FROM answers WHERE decision_id = ?", given.decision_id)
    _append(transaction, kept.rows, fence, letters, log=log)


def memory(transaction: Transaction, letters: Letters = PLAIN) -> str:
    """The text, "" without one; raises OSError where it cannot be opened."""
    return readable(letters, _one(transaction, "memory"), contexts.MEMORY)


def put_memory_aside(transaction: Transaction, fence: Fence, now_s: float) -> str:
    """Move the memory into the history; where it is there.  Raises FencedOffError."""
    check_fence(transaction, fence)
    text = _one(transaction, "memory")
    row = HistoryRow(RowKind.MEMORY, f"{fence}@{now_s}", now_s, text)
    if text:
        _append(transaction, (row,), fence, PLAIN, log="")  # as it lies there, sealed or not
        transaction.execute("DELETE FROM memory")
    return f"history: {row.kind} {row.id}"


def show(transaction: Transaction, text: str, fence: Fence, letters: Letters = PLAIN) -> None:
    """Show a status; raises FencedOffError."""
    check_fence(transaction, fence)
    put_shown(transaction, text, letters)


def put_shown(transaction: Transaction, text: str, letters: Letters = PLAIN) -> None:
    """Put a status in place of the one before."""
    _put_one(transaction, "shown", "text", letters.closed(text, contexts.STATUS))


def requests(transaction: Transaction, now_s: float, letters: Letters = PLAIN) -> Requests:
    """All that holds at `now_s`; what cannot be read is a complaint."""
    standing, complaints = asked(transaction, letters)
    answers, unread = _given(transaction, "", letters)
    holding = [request for one in standing if (request := one.at(now_s)) is not None]
    return Requests(
        tuple([request for request in holding if isinstance(request, ManualFloor)]),
        tuple([request for request in holding if isinstance(request, Pause)]),
        tuple(answers),
        (*complaints, *unread),
        tuple([request for request in holding if isinstance(request, ManualScale)]),
        tuple([request for request in holding if isinstance(request, AlertAnswer)]),
        tuple([request for request in holding if isinstance(request, MonitoringSession)]),
        occasions=tuple([request for request in holding if isinstance(request, Occasion)]),
    )


# --- of people


def ask(
    transaction: Transaction,
    request: Request,
    schedule: Recurrence | None,
    now_s: float,
    *,
    letters: Letters = PLAIN,
    log: str = "",
    audit: str = "",
) -> str:
    """Let it stand; its id.  Raises RequestError."""
    name = request_id(request, schedule)
    # What is over is of no use any more: by the time of the engine, which may be another one.
    if isinstance(request, AlertAnswer | MonitoringSession | Occasion):
        over_s = _engine_s(transaction, letters, now_s)
        for one in asked(transaction, letters)[0]:
            if isinstance(one.request, type(request)) and one.request.expires_s <= over_s:
                transaction.execute("DELETE FROM requests WHERE id = ?", request_id(one.request))
    text = written.of_request(request, schedule)
    if isinstance(request, ManualScale):
        before = row(transaction, RowKind.SCALE, request.id, letters)
        if before is not None and not written.is_same_scale(before.row.content, text):
            raise RequestError(f'"{request.id}" is the id of an earlier request')
        scale = HistoryRow(RowKind.SCALE, request.id, now_s, text, audit)
        _append(transaction, (scale,), NO_FENCE, letters, log=log)
        if before is not None:
            text = before.row.content  # the count before it is the one that was before it at first
    else:
        staging.stage(transaction, (audit,), letters, log)
    put_request(transaction, name, kind_of(request), request.service, text=text, letters=letters)
    return name


def _engine_s(transaction: Transaction, letters: Letters, now_s: float) -> float:
    """The engine's time, as its last status says it; the machine's where none can be read."""
    try:
        status = json.loads(shown(transaction, letters) or "{}")
    except (OSError, ValueError):
        return now_s
    return engine_s(status, now_s) if isinstance(status, dict) else now_s


def put_request(
    transaction: Transaction,
    name: str,
    kind: str,
    service: str,
    *,
    text: str,
    letters: Letters = PLAIN,
) -> None:
    """Put the text of a request in place of the one of that name."""
    transaction.execute(
        "INSERT INTO requests (id, kind, service, content) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET content = excluded.content",
        name, kind, service, letters.closed(text, contexts.of_request(name)),
    )  # fmt: skip


def withdraw(
    transaction: Transaction,
    kind: Kind,
    service: str,
    letters: Letters = PLAIN,
    *,
    log: str = "",
    audit: str = "",
) -> bool:
    """Take such requests back; whether there were any.  Raises RequestError."""
    check_service(service)
    staging.stage(transaction, (audit,), letters, log)
    gone = transaction.execute(
        "DELETE FROM requests WHERE kind = ? AND service = ? RETURNING id", kind, service
    )
    return bool(gone)


def answer(
    transaction: Transaction,
    approval: Approval,
    letters: Letters = PLAIN,
    log: str = "",
    *,
    audit: str = "",
) -> None:
    """Answer a question; raises RequestError."""
    check_decision(approval.decision_id)
    given, unread = _given(transaction, approval.decision_id, letters)
    if approval.approved and unread:
        raise RequestError(f"{unread[0]}; it may be a refusal")
    for other in given:
        if approval.approved and not other.approved:
            raise RequestError(f"{approval.decision_id}: {other.approver} has refused it")
    put_answer(transaction, approval.decision_id, written.of_answer(approval), letters)
    staging.stage(transaction, (audit,), letters, log)


def put_answer(
    transaction: Transaction, decision_id: str, text: str, letters: Letters = PLAIN
) -> None:
    """Put the text of an answer in place of the one to the same decision."""
    transaction.execute(
        "INSERT INTO answers (decision_id, content) VALUES (?, ?) "
        "ON CONFLICT (decision_id) DO UPDATE SET content = excluded.content",
        decision_id, letters.closed(text, contexts.of_answer(decision_id)),
    )  # fmt: skip


def asked(transaction: Transaction, letters: Letters = PLAIN) -> tuple[list[Asked], list[str]]:
    """All that stands, and complaints about what cannot be read."""
    rows = transaction.execute("SELECT id, kind, content FROM requests ORDER BY id")
    kinds = {name: kind for name, kind, _ in rows}
    return written.readable(
        ((name, text) for name, _, text in rows),
        lambda name, text: written.asked_of(
            kinds[name], letters.opened(text, contexts.of_request(name))
        ),
    )


def shown(transaction: Transaction, letters: Letters = PLAIN) -> str:
    """The status that was shown last, "" without one; raises OSError."""
    return readable(letters, _one(transaction, "shown"), contexts.STATUS)


def history(
    transaction: Transaction,
    after: int,
    limit: int,
    kinds: Collection[RowKind],
    *,
    letters: Letters = PLAIN,
) -> list[KeptRow]:
    """Rows beyond a position, rising; raises OSError where one cannot be opened."""
    wanted = list(kinds or RowKind)
    marks = ", ".join("?" * len(wanted))
    rows = transaction.execute(
        f"SELECT {_COLUMNS} FROM history WHERE position > ? AND kind IN ({marks}) "  # nosec B608 (names of ours)
        "ORDER BY position LIMIT ?",
        after, *(kind.value for kind in wanted), limit,
    )  # fmt: skip
    return [_kept(letters, columns) for columns in rows]


def history_back(
    transaction: Transaction,
    below: int | None,
    limit: int,
    kinds: Collection[RowKind],
    *,
    letters: Letters = PLAIN,
) -> list[KeptRow]:
    """Rows below a position (None: the end), falling; raises OSError."""
    wanted = list(kinds or RowKind)
    marks = ", ".join("?" * len(wanted))
    # The kinds as an expression: an index of kinds would be read to its end and sorted.
    rows = transaction.execute(
        f"SELECT {_COLUMNS} FROM history WHERE position < ? AND kind || '' IN ({marks}) "  # nosec B608 (names of ours)
        "ORDER BY position DESC LIMIT ?",
        MOST_ROWS if below is None else below, *(kind.value for kind in wanted), limit,
    )  # fmt: skip
    return [_kept(letters, columns) for columns in rows]


def row(
    transaction: Transaction, kind: RowKind, name: str, letters: Letters = PLAIN
) -> KeptRow | None:
    """The row with a key; raises OSError where it cannot be opened."""
    rows = transaction.execute(
        f"SELECT {_COLUMNS} FROM history WHERE kind = ? AND id = ?",  # nosec B608 (names of ours)
        kind.value,
        name,
    )
    return _kept(letters, rows[0]) if rows else None


# --- inside

_COLUMNS = "position, kind, id, time_s, fence, content"


def _kept(letters: Letters, columns: Sequence[Any]) -> KeptRow:
    """The row of `_COLUMNS`, opened."""
    position, kind, name, time_s, fence, content = columns
    text = readable(letters, content, contexts.of_history(kind))
    return KeptRow(position, Fence(fence), HistoryRow(RowKind(kind), name, time_s, text))


def _append(
    transaction: Transaction,
    rows: Sequence[HistoryRow],
    fence: Fence,
    letters: Letters,
    *,
    log: str,
) -> None:
    """Append rows, and stage what the audit log has of them; those that are there already stay."""
    if not rows:
        return
    [(last,)] = transaction.execute("SELECT COALESCE(MAX(position), 0) FROM history")
    audits, newest = [], 0
    for position, one in enumerate(rows, start=int(last) + 1):
        new = transaction.execute(
            f"INSERT INTO history ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) "  # nosec B608 (names of ours)
            "ON CONFLICT DO NOTHING RETURNING position",
            position, one.kind.value, one.id, one.time_s, fence,
            letters.closed(one.content, contexts.of_history(one.kind.value)),
        )  # fmt: skip
        if new:
            audits.append(one.audit)
            newest = position
    if newest:
        transaction.appended(newest)
    staging.stage(transaction, audits, letters, log)


def _given(
    transaction: Transaction, decision_id: str, letters: Letters
) -> tuple[list[Approval], list[str]]:
    """The answer to a decision ("": all that stand), and complaints about what cannot be read."""
    texts = transaction.execute(
        "SELECT decision_id, content FROM answers WHERE decision_id = ? OR ? = '' "
        "ORDER BY decision_id",
        decision_id, decision_id,
    )  # fmt: skip
    return written.readable(
        ((f"the answer to {name}", text) for name, text in texts),
        lambda name, text: written.answer_of(
            letters.opened(text, contexts.of_answer(name.removeprefix("the answer to ")))
        ),
    )


def _one(transaction: Transaction, table: str) -> str:
    rows = transaction.execute(f"SELECT text FROM {table}")  # nosec B608 (names of ours)
    return str(rows[0][0]) if rows else ""


def _put_one(transaction: Transaction, table: str, column: str, value: str | int) -> None:
    transaction.execute(
        f"INSERT INTO {table} (one, {column}) VALUES (1, ?) "  # nosec B608 (names of ours)
        f"ON CONFLICT (one) DO UPDATE SET {column} = excluded.{column}",
        value,
    )
