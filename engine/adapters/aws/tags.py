"""What the engine writes beside a count, as tags, and what that proves.

AWS sets a count without looking at what it was.  So a decision is carried out in three steps, and
the tags say how far one has come:

    1. its intent:  the epoch, the decision, from which count to which
    2. the count itself
    3. that it is done:  the count that was set, and the decision among the last ones

How many a group holds warm is a count of its own, with tags of its own; the epoch is of both.

A command that was cut off after 1 is carried out when it comes again, as the count is still the one
that it was decided on; one that was cut off after 2 is seen to be done, as the count is the one
that it intended; after 3 it counts no more.  An engine with an older epoch reads a newer one and
stops, and whoever finds another intent after having written its own stops as well.

What this does not give: between the last look and the count's being set another writer may set
another one, and is overwritten; AWS's answers may be some seconds old after a write.  That is why
one engine acts at a time, under a lead whose epoch only grows.  And whoever may write tags may
write these.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple


class TagKeys(NamedTuple):
    """The tags beside one count.

    They say what the last decision set; the last one that was begun, with its counts; and the last
    ones that are done, shortened, the newest first.
    """

    set: str
    decision: str
    decisions: str

    @property
    def all(self) -> tuple[str, ...]:
        """With that of the epoch."""
        return (FENCE, *self)


FENCE = "wedtwin:fence"
"""The newest epoch."""
SET, DECISION, DECISIONS = INSTANCES = TagKeys(
    "wedtwin:set", "wedtwin:decision", "wedtwin:decisions"
)
WARM = TagKeys("wedtwin:warm-set", "wedtwin:warm-decision", "wedtwin:warm-decisions")
REMEMBERED = 28
"""As many as a tag's 256 characters hold."""

_LONGEST_ID = 200
_ALLOWED = re.compile(r"[\w+=.:/@-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Intent:
    """A decision that was begun."""

    decision: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class TagRecord:
    """What the engine's tags say; `set` is None before it has done anything."""

    fence: int = 0
    set: int | None = None
    intent: Intent | None = None
    done: tuple[str, ...] = ()

    def has_done(self, decision: str) -> bool:
        """Whether a decision was carried out, as far back as is remembered."""
        return shortened(decision) in self.done

    def intends(self, decision: str) -> bool:
        """Whether this was begun last."""
        return self.intent is not None and self.intent.decision == _kept(decision)

    def written_count(self, desired: int) -> int | None:
        """The count that the engine's last decision led to or leads to; None: there was none.

        `desired` says which of both it is, if the last one's end is not on record.
        """
        intent = self.intent
        if intent is not None and not self.has_done(intent.decision) and desired == intent.after:
            return intent.after
        return self.set

    def is_changed(self, desired: int) -> bool:
        """Whether somebody else has changed the count since the last decision."""
        written = self.written_count(desired)
        return written is not None and written != desired


def read(tags: Mapping[str, str], keys: TagKeys = INSTANCES) -> TagRecord:
    """What the tags of a target say; what somebody has made of them by hand is as if not there."""
    return TagRecord(
        _number(tags.get(FENCE)) or 0,
        _number(tags.get(keys.set)),
        _intent(tags.get(keys.decision, "")),
        tuple(tags.get(keys.decisions, "").split()),
    )


def as_tags(record: TagRecord, keys: TagKeys = INSTANCES) -> dict[str, str]:
    """The tags that say this."""
    tags = {FENCE: str(record.fence)}
    if record.intent is not None:
        kept = record.intent
        tags[keys.decision] = f"{kept.decision} {kept.before} {kept.after}"
    if record.set is not None:
        tags |= {keys.set: str(record.set), keys.decisions: " ".join(record.done)}
    return tags


def begun(
    record: TagRecord, desired: int, decision: str, before: int, *, after: int, fence: int
) -> TagRecord:
    """What is to be written in step 1, on top of `record`."""
    last = record.intent
    if last is not None and last.after == desired and not record.has_done(last.decision):
        # It was done, and whoever did it could not say so any more.
        record = ended(record, last.decision, last.after)
    return replace(record, fence=fence, intent=Intent(_kept(decision), before, after))


def ended(record: TagRecord, decision: str, after: int) -> TagRecord:
    """What is to be written in step 3, on top of `record`."""
    own = shortened(decision)
    done = (own, *(other for other in record.done if other != own))
    return replace(record, set=after, done=done[:REMEMBERED])


def shortened(decision: str) -> str:
    """An id as it is kept among the last ones: 48 bits of a hash."""
    digest = hashlib.blake2s(_kept(decision).encode(), digest_size=6).digest()
    return base64.urlsafe_b64encode(digest).decode()


def _kept(decision: str) -> str:
    """An id as a tag can have it."""
    if len(decision) <= _LONGEST_ID and _ALLOWED.fullmatch(decision):
        return decision
    return hashlib.blake2s(decision.encode(), digest_size=16).hexdigest()


def _intent(text: str) -> Intent | None:
    match text.split():
        case [decision, before, after]:
            counts = _number(before), _number(after)
            if counts[0] is not None and counts[1] is not None:
                return Intent(decision, counts[0], counts[1])
    return None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"\d{1,9}", text, re.ASCII) else None
