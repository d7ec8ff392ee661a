"""What was known last, on the disk: an engine that is started again is no calendar that is empty.

Under pseudonyms, and sealed where the owner has keys.  It is of one source: when another one is
configured, or people are counted by other roles, it is left aside, and so is one that cannot be
read.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import structlog
from pydantic import SecretStr

from engine.adapters.bookings.known import KnownEvents
from engine.adapters.bookings.rows import BookedEvent, FeedConfig
from engine.config.secrets import masked
from engine.record.files import write_atomically
from engine.security.sealing import Sealer, SealError

VERSION = 1
NAME, CONTEXT = "known", "bookings/known"
OF_NO_ACCOUNT = {
    "poll_s", "ahead_s", "max_age_s", "wrong_share", "vanished_share", "vanish_after_s",
    "timeout_s", "max_mib", "headers", "secret", "ca", "model", "usual",
}  # fmt: skip
"""Settings that say nothing of which source it is."""

log = structlog.stdlib.get_logger(__name__)


class LastGood:
    """The file in `folder`; `roles` are the model's."""

    def __init__(
        self, folder: Path, sealer: Sealer | None, config: FeedConfig, roles: tuple[str, ...]
    ) -> None:
        self._path = folder / NAME
        self._sealer = sealer
        self._roles = len(roles)
        words = [
            f"{key}={masked(value.get_secret_value()) if isinstance(value, SecretStr) else value}"
            for key, value in config
            if key not in OF_NO_ACCOUNT
        ]
        self._of = hashlib.sha256(repr((words, roles)).encode()).hexdigest()

    def read(self) -> tuple[KnownEvents, float]:
        """What was known, and when it was read (-inf: never)."""
        nothing = KnownEvents(), -math.inf
        try:
            content = self._path.read_bytes()
            if self._sealer is not None:
                content = self._sealer.open(content, CONTEXT)
            raw = json.loads(content)
            if raw["version"] != VERSION or raw["of"] != self._of:
                return nothing
            events = {str(row[0]): self._event(row) for row in raw["events"]}
            return KnownEvents(events, ever=True), float(raw["read_s"])
        except FileNotFoundError:
            return nothing
        except (
            OSError, SealError, ValueError, KeyError, TypeError, IndexError, OverflowError,
            RecursionError,
        ) as error:  # fmt: skip
            log.warning(f"{self._path}: what was known of the bookings is left aside ({error})")
            return nothing

    def write(self, calendar: KnownEvents, read_s: float) -> None:
        """Keep it, whole or not at all; raises OSError, SealError."""
        content = json.dumps(
            {
                "version": VERSION, "of": self._of, "read_s": read_s,
                "events": [_row(one) for one in calendar.events.values()],
            }
        ).encode()  # fmt: skip
        if self._sealer is not None:
            content = self._sealer.seal(content, CONTEXT)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path, content)

    def _event(self, row: list[Any]) -> BookedEvent:
        name, starts_s, ends_s, people, major, updated_s = row
        if len(people) != self._roles or not math.isfinite(float(starts_s)):
            raise ValueError("an event that is none")
        return BookedEvent(
            str(name), float(starts_s), _figure(ends_s), tuple(_figure(count) for count in people),
            bool(major), updated_s=_figure(updated_s),
        )  # fmt: skip


def _row(event: BookedEvent) -> list[Any]:
    return [
        event.id, event.starts_s, _finite(event.ends_s), [_finite(count) for count in event.people],
        event.major, _finite(event.updated_s),
    ]  # fmt: skip


def _finite(figure: float) -> float | None:
    return None if math.isnan(figure) else figure


def _figure(value: object) -> float:
    return math.nan if value is None else float(value)  # type: ignore[arg-type]
