"""What is known of the events, and what a new listing changes in it: pure, no I/O and no clock.

A listing is a claim of somebody else's, and may be wrong in ways that look like a quiet season:

- A row that cannot be meant is left out; an event that was known stays as it was.
- A listing of which too much is wrong is not believed at all.
- An event that is *marked* as cancelled is gone at once.  One that is only *missing* is gone when
  it has been missing for a while: a file may have been read while it was written.
- A listing in which most of what is to come is missing is not believed, however long it says so:
  calendars do not empty themselves.  Whoever means it marks the events, or sets `vanished_share`
  to 1 for once.
- Of two rows with one id the newer counts, and one that is older than what is known counts never.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine.adapters.bookings.rows import BookedEvent, FeedConfig, WrongRow

FEW = 3
"""So few events may go missing at once without the listing being doubted for that."""
BEHIND_S = 86_400.0
"""An event is forgotten so long after its beginning, or its end."""
EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Listing:
    """What a source lists; `as_of_s` is when it was made, None if it does not say.

    `is_whole` is False for one that had to be cut: then nothing is missing in it.
    """

    events: Sequence[BookedEvent]
    wrong: Sequence[WrongRow] = ()
    as_of_s: float | None = None
    is_whole: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CalendarChanges:
    """How many events a listing changed."""

    new: int = 0
    moved: int = 0
    cancelled: int = 0
    updated: int = 0

    def __bool__(self) -> bool:
        return bool(self.new or self.moved or self.cancelled or self.updated)


@dataclass(frozen=True, slots=True)
class KnownEvents:
    """The events that are on, by id, and since when (epoch seconds) some are missing."""

    events: Mapping[str, BookedEvent] = field(default_factory=dict)
    missing_since: Mapping[str, float] = field(default_factory=dict)
    ever: bool = False
    """Whether a listing was ever believed."""


@dataclass(frozen=True, slots=True)
class TakenListing:
    """What is known after a listing, what changed, and what is wrong with it.

    `believed` is False when all of it was put aside.
    """

    calendar: KnownEvents
    changes: CalendarChanges
    troubles: tuple[str, ...]
    believed: bool = True


def take(calendar: KnownEvents, listing: Listing, now_s: float, config: FeedConfig) -> TakenListing:
    """What is known after `listing`, which was read at `now_s` (epoch seconds)."""
    troubles = [*listing.notes, *_wrong(listing.wrong)]
    rows = len(listing.events) + len(listing.wrong)
    if listing.wrong and (
        not listing.events or len(listing.wrong) > max(1.0, config.wrong_share * rows)
    ):
        troubles.append(
            f"{len(listing.wrong)} of {rows} rows are wrong: the listing is not believed"
        )
        return TakenListing(calendar, CalendarChanges(), tuple(troubles), believed=False)
    newest, twice = _newest(listing.events)
    if twice:
        troubles.append(f"{twice} ids come more than once with different words: the newest counts")
    listed = {*newest, *(row.id for row in listing.wrong if row.id)}
    ahead = [one for one in calendar.events.values() if _end_s(one) > now_s]
    missing = [one.id for one in ahead if one.id not in listed] if listing.is_whole else []
    is_much = len(missing) > FEW and len(missing) > config.vanished_share * len(ahead)
    if missing and (is_much or (not listed and config.vanished_share < 1.0)):
        troubles.append(
            f"{len(missing)} of {len(ahead)} events to come are missing without being marked as "
            f"cancelled: the listing is not believed"
        )
        return TakenListing(calendar, CalendarChanges(), tuple(troubles), believed=False)
    return _merged(calendar, newest, missing, now_s, config=config, troubles=tuple(troubles))


def _merged(
    calendar: KnownEvents,
    newest: Mapping[str, BookedEvent],
    missing: Sequence[str],
    now_s: float,
    *,
    config: FeedConfig,
    troubles: tuple[str, ...],
) -> TakenListing:
    events = {name: one for name, one in calendar.events.items() if _end_s(one) > now_s - BEHIND_S}
    new = moved = cancelled = updated = 0
    for name, row in newest.items():
        before = events.get(name)
        if before is not None and row.updated_s < before.updated_s:
            continue
        if row.cancelled:
            cancelled += events.pop(name, None) is not None
        elif before is None:
            if _end_s(row) > now_s - BEHIND_S:
                events[name] = row
                new += 1
        elif not row.same(before):
            is_moved = repr((row.starts_s, row.ends_s)) != repr((before.starts_s, before.ends_s))
            moved, updated = moved + is_moved, updated + (not is_moved)
            events[name] = row
            if _end_s(row) <= now_s - BEHIND_S:
                del events[name]
        elif row.updated_s > before.updated_s:
            events[name] = row
    since = {name: min(calendar.missing_since.get(name, now_s), now_s) for name in missing}
    for name, first_s in list(since.items()):
        if now_s - first_s >= config.vanish_after_s and (name in calendar.missing_since):
            cancelled += events.pop(name, None) is not None
            del since[name]
    changes = CalendarChanges(new, moved, cancelled, updated)
    return TakenListing(KnownEvents(events, since, ever=True), changes, troubles)


def still_missing(calendar: KnownEvents, now_s: float, config: FeedConfig) -> TakenListing:
    """The same after a look that found the listing unchanged: what is missing may be gone now."""
    events = dict(calendar.events)
    gone = [
        name for name, first_s in calendar.missing_since.items()
        if now_s - first_s >= config.vanish_after_s
    ]  # fmt: skip
    cancelled = sum(events.pop(name, None) is not None for name in gone)
    since = {name: at_s for name, at_s in calendar.missing_since.items() if name not in gone}
    return TakenListing(
        replace(calendar, events=events, missing_since=since),
        CalendarChanges(cancelled=cancelled),
        (),
    )


def _newest(events: Sequence[BookedEvent]) -> tuple[dict[str, BookedEvent], int]:
    """By id the row that counts, and how many ids come with different words."""
    newest: dict[str, BookedEvent] = {}
    differ: set[str] = set()
    for row in events:
        before = newest.get(row.id)
        if before is not None and not row.same(before):
            differ.add(row.id)
        if before is None or not row.updated_s < before.updated_s:
            newest[row.id] = row
    return newest, len(differ)


def _wrong(rows: Sequence[WrongRow]) -> list[str]:
    if not rows:
        return []
    examples = "; ".join(f"{row.where}: {row.why}" for row in rows[:EXAMPLES])
    more = f"; and {len(rows) - EXAMPLES} more" if len(rows) > EXAMPLES else ""
    return [f"rows that are left out: {examples}{more}"]


def _end_s(event: BookedEvent) -> float:
    return max(event.starts_s, event.ends_s if event.ends_s == event.ends_s else event.starts_s)
