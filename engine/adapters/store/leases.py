"""The lead in the database, for engines on several hosts: a row with an end, by one clock.

Whoever holds it has to say so again before it ends.  The fence grows with each lead, so what is
written or sent by an engine that does not know yet that its lead is over is refused.
"""

from __future__ import annotations

from engine.adapters.store.schema import Transaction
from engine.adapters.store.statements import newest
from engine.ports.lease import Fence, NotLeadingError

LASTS_S = 15.0
"""A lead that was not taken again for so long is over: three steps."""


def hold(transaction: Transaction, holder: str, above: Fence) -> Fence:
    """Take the lead or keep it; raises NotLeadingError while it is another's."""
    now_s = _now_s(transaction)
    rows = transaction.execute("SELECT fence, holder, expires_s FROM lead")
    fence, leads, expires_s = rows[0] if rows else (0, "", 0.0)
    is_ours = leads == holder and now_s < expires_s
    if leads and not is_ours and now_s < expires_s:
        raise NotLeadingError(f"{leads} leads", str(leads))
    if not is_ours or fence <= above:
        fence = max(int(fence), above) + 1
    transaction.execute(
        "INSERT INTO lead (one, fence, holder, expires_s) VALUES (1, ?, ?, ?) "
        "ON CONFLICT (one) DO UPDATE SET fence = excluded.fence, holder = excluded.holder, "
        "expires_s = excluded.expires_s",
        fence, holder, now_s + LASTS_S,
    )  # fmt: skip
    return Fence(int(fence))


def release(transaction: Transaction, holder: str) -> None:
    """Let another engine lead; the fence stays."""
    if newest(transaction):
        transaction.execute("UPDATE lead SET holder = '', expires_s = 0 WHERE holder = ?", holder)


def who_leads(transaction: Transaction) -> str:
    """Who leads now, or of which engine how many shards are; "" if nobody does."""
    now_s = _now_s(transaction)
    whole = transaction.execute(
        "SELECT holder FROM lead WHERE holder <> '' AND expires_s > ?", now_s
    )
    shards = transaction.execute(
        "SELECT holder, COUNT(*) FROM shard_lease WHERE holder <> '' AND until_s > ? "
        "GROUP BY holder ORDER BY holder",
        now_s,
    )
    return ", ".join(
        [f"{holder} leads" for (holder,) in whole]
        + [f"{holder} leads {count} shard{'s' if count > 1 else ''}" for holder, count in shards]
    )


def _now_s(transaction: Transaction) -> float:
    """The database's clock, of all hosts' the one that counts (epoch seconds)."""
    [(now_s,)] = transaction.execute("SELECT EXTRACT(EPOCH FROM clock_timestamp())")
    return float(now_s)
