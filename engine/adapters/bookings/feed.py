"""The outlook of a source's listings: read beside the engine's steps, kept when the source fails.

A look at the outlook never waits longer than `PROMPT_S` for the source: what is still being read is
in the next step's outlook.  So a change is there within the interval of polling (or at once, where
the source hints at it), the time that reading takes, and one step.

What is known last stays in force whatever becomes of the source, and is followed as time goes on,
as far as the listings reached.  Before anything was ever read, and behind that reach, the outlook
does not cover the present: the engine then says so, and goes by what it observes.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import hmac
import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from engine.adapters.bookings.known import KnownEvents, Listing, still_missing, take
from engine.adapters.bookings.last_good import LastGood
from engine.adapters.bookings.rows import BookedEvent, FeedConfig, RowReader
from engine.config.load import build
from engine.config.strict import ConfigError, validated
from engine.forecast.outlook import BIN_S, Grid, event_load
from engine.forecast.outlook import outlook as outlook_of
from engine.model import Outlook, Schedule, ServiceSpec
from engine.ports.bookings import FeedState
from engine.prediction import event_model
from engine.prediction.event_model import EventModel
from engine.security.sealing import Sealer

PROMPT_S = 1.5
BEFORE_S = 3600.0
ROLL_S = 3600.0
"""The outlook's window moves on by so much."""
REACH_S = 604_800.0
"""What is known is followed so long behind the outlook's reach when the source is gone."""
SILENT_S = 30.0
"""A source may take so long for a listing before that is a trouble."""


class Source(Protocol):
    """Where the rows come from."""

    async def read(self, now_s: float, since_s: float | None = None) -> Listing | None:
        """All rows now, or None if nothing has changed since the last listing; raises OSError.

        With `since_s` (epoch seconds) also of what has been since then.
        """
        ...

    def hints(self) -> bool:
        """Whether something has changed since this was last asked; never blocks."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...


class Feed:
    """`engine.ports.bookings.Bookings` of one source."""

    def __init__(
        self,
        source: Source,
        reader: RowReader,
        config: FeedConfig,
        model: EventModel,
        *,
        specs: Sequence[ServiceSpec],
    ) -> None:
        self._source = source
        self._reader = reader
        self._config = config
        self._model = model
        self._specs = tuple(specs)
        self._calendar = KnownEvents()
        self._reading: asyncio.Task[Listing | None] | None = None
        self._began_s = math.nan
        """When the reading that goes on began."""
        self._due_s = -math.inf
        self._read_s = -math.inf
        self._changed_s = -math.inf
        self._as_of_s: float | None = None
        self._failure = ""
        self._complaints: tuple[str, ...] = ()
        self._is_put_aside = False
        """Whether the last listing was not believed: that it has not changed is no news then."""
        self._last_good: LastGood | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._is_kept = True
        self._not_kept = ""
        self._outlook: Outlook | None = None
        self._is_built = False
        self._now_s = -math.inf
        key = secrets.token_bytes(32)
        self.name_by(lambda text: hmac.digest(key, text.encode(), hashlib.sha256).hex())

    def name_by(self, pseudonym: Callable[[str], str]) -> None:
        """From now on `pseudonym` says what stands for an id."""
        self._reader.named = pseudonym

    def keep_in(self, folder: Path, sealing: Sealer | None) -> None:
        """Go on with what `folder` holds, and keep it there; sealed if there is a `sealing`."""
        self._last_good = LastGood(folder, sealing, self._config, self._model.roles)
        self._calendar, self._read_s = self._last_good.read()
        self._is_built = False

    async def outlook(self, now_s: float) -> Outlook:
        """The outlook as known at `now_s` (epoch seconds); the same object until it changes."""
        if now_s < self._now_s:  # the clock was set back
            self._due_s = -math.inf
        self._now_s = now_s
        if self._reading is None and (now_s >= self._due_s or self._source.hints()):
            self._due_s = now_s + self._config.poll_s
            self._began_s = now_s
            self._reading = asyncio.create_task(self._source.read(now_s))
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=PROMPT_S)
            if self._reading.done():
                task, self._reading = self._reading, None
                self._take(task, now_s)
        self._keep()
        return self._shown(now_s)

    def feed(self) -> FeedState:
        """How fresh the last outlook is."""
        troubles = [*self._complaints]
        if self._not_kept:
            troubles.append(f"what is known cannot be kept for the next start: {self._not_kept}")
        if self._failure:
            troubles.append(f"{self._failure}; {self._kept()}")
        late_s = self._now_s - self._began_s
        if self._reading is not None and late_s >= SILENT_S:
            troubles.append(f"it has not answered since {_clock(self._began_s)}; {self._kept()}")
        oldest_s, as_of_s = self._config.max_age_s, self._as_of_s
        if oldest_s is not None and as_of_s is not None and self._now_s - as_of_s > oldest_s:
            troubles.append(f"its listing was made at {_clock(as_of_s)}, and there is no newer one")
        return FeedState(self._read_s, self._changed_s, len(self._calendar.events), tuple(troubles))

    async def history(self, now_s: float, since_s: float) -> Listing:
        """All that was booked since then; raises OSError."""
        listing = await self._source.read(now_s, since_s)
        if listing is None:
            raise OSError("the bookings are being written; ask again")
        return listing

    @property
    def model(self) -> EventModel:
        """How its events become load."""
        return self._model

    async def close(self) -> None:
        """Let go of the source."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._keeping is not None:
            await asyncio.gather(self._keeping, return_exceptions=True)
        await self._source.close()

    def _take(self, task: asyncio.Task[Listing | None], now_s: float) -> None:
        try:
            listing = task.result()
        except asyncio.CancelledError:
            self._failure = "it was given up"
            return
        except Exception as error:  # whatever a library raises of a foreign source
            self._failure = str(error) or type(error).__name__
            return
        self._failure = ""
        if listing is None:
            taken = still_missing(self._calendar, now_s, self._config)
            if not self._is_put_aside:
                self._read_s = now_s
        else:
            taken = take(self._calendar, listing, now_s, self._config)
            self._complaints = taken.troubles
            self._is_put_aside = not taken.believed
            self._as_of_s = listing.as_of_s
            if taken.believed:
                self._read_s = now_s
        self._calendar = taken.calendar
        if taken.changes:
            self._changed_s = now_s
            self._is_built = self._is_kept = False

    def _keep(self) -> None:
        """Keep what is known, beside the steps: one write at a time."""
        if self._keeping is not None and self._keeping.done():
            failure = self._keeping.exception()
            self._not_kept = "" if failure is None else str(failure) or type(failure).__name__
            self._is_kept = self._is_kept and failure is None
            self._keeping = None
        if self._last_good is not None and self._keeping is None and not self._is_kept:
            write = asyncio.to_thread(self._last_good.write, self._calendar, self._read_s)
            self._keeping, self._is_kept = asyncio.create_task(write), True

    def _shown(self, now_s: float) -> Outlook:
        shown = self._outlook
        start_s = math.floor((now_s - BEFORE_S) / ROLL_S) * ROLL_S
        if shown is not None and self._is_built and self._is_of(shown, start_s):
            return shown
        until_s = min(
            start_s + BEFORE_S + ROLL_S + self._config.ahead_s,
            self._read_s + self._config.ahead_s + REACH_S,
        )
        if not self._calendar.ever or until_s <= start_s:
            start_s, until_s = start_s - ROLL_S, start_s  # it covers nothing that is to come
        grid = Grid(start_s, round((until_s - start_s) / BIN_S))
        load = event_load(self._schedule(start_s, until_s), self._model.response, grid)
        # It is as old as what it was made of, and no older than itself.
        issued_s = min(max(self._read_s, grid.start_s), now_s)
        self._outlook = outlook_of(
            load, self._model.response, self._specs, grid, issued_s=issued_s, noun=self._model.noun
        )
        self._is_built = True
        return self._outlook

    def _is_of(self, shown: Outlook, start_s: float) -> bool:
        reaches = self._calendar.ever and self._read_s + self._config.ahead_s + REACH_S > start_s
        return shown.start_s == (start_s if reaches else start_s - ROLL_S)

    def _schedule(self, from_s: float, until_s: float) -> Schedule:
        """The events that may have a part in a span (epoch seconds)."""
        margin_s = 86_400.0
        events = [
            one for one in self._calendar.events.values()
            if from_s - margin_s - self._model.length_s < one.starts_s < until_s + margin_s
        ]  # fmt: skip
        return schedule_of(events, self._model)

    def _kept(self) -> str:
        if not self._calendar.ever:
            return "nothing has been read yet"
        return f"what was known at {_clock(self._read_s)} stays in force"


def schedule_of(events: Sequence[BookedEvent], model: EventModel) -> Schedule:
    """The events with phases and people; the later phases are as long as the event is booked for.

    What comes before its beginning stays as long as usual.
    """
    offsets_s = np.array(model.offsets_s)
    starts_s = np.array([one.starts_s for one in events])
    ends_s = np.array([one.ends_s for one in events])
    length = np.where(np.isnan(ends_s), 1.0, (ends_s - starts_s) / model.length_s)
    stretched = np.where(offsets_s > 0.0, offsets_s * length[:, None], offsets_s)
    people = np.array([one.people for one in events]).reshape(len(events), len(model.roles))
    return Schedule(
        phases=model.phases,
        roles=model.roles,
        phase_start_s=starts_s[:, None] + stretched.reshape(len(events), len(offsets_s)),
        participants=np.where(np.isnan(people), np.array(model.usual), people),
        major=np.array([one.major for one in events], dtype=np.bool_),
    )


Config = TypeVar("Config", bound=FeedConfig)


def configured(
    kind: type[Config], specs: Sequence[ServiceSpec], options: Mapping[str, Any]
) -> tuple[Config, EventModel, RowReader]:
    """The options as a `kind`, the model that they name, and what reads rows by it.

    `options` may hold besides what of the tree the model is made of.  Raises ConfigError.
    """
    own = {key: value for key, value in options.items() if key not in TREE}
    missing = [key for key, value in own.items() if value == "???"]
    if missing:
        raise ConfigError("\n".join(f"bookings.options.{key}: is missing" for key in missing))
    config = validated(kind, own, "bookings.options")
    model = _model(config, specs, {key: options[key] for key in TREE if key in options})
    return config, model, RowReader(config, model)


TREE = ("seed", "population", "demand", "schedule", "trace")
"""Keys of the tree that whoever makes the usual model may be handed."""


def _model(config: FeedConfig, specs: Sequence[ServiceSpec], tree: Mapping[str, Any]) -> EventModel:
    names = [spec.name for spec in specs]
    if config.model is not None:
        try:
            return event_model.read(Path(config.model), names)
        except ConfigError as error:
            raise ConfigError(f"bookings.options.model: {error}") from None
    if config.usual is None:
        raise ConfigError("bookings.options.model: is missing; python -m engine learn makes one")
    made: object = build(
        config.usual, names, key="bookings.options.usual", options=tree, options_key="bookings.keys"
    )
    if not isinstance(made, EventModel):
        raise ConfigError(
            f"bookings.options.usual: {config.usual} makes a {type(made).__name__}, no EventModel"
        )
    return made


def _clock(time_s: float) -> str:
    """A time in words that stay the same."""
    return dt.datetime.fromtimestamp(time_s, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
