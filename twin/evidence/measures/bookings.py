"""Rows that are changes and faults of a feed of bookings, through the live shell, step by step.

The feed is a real one: a CSV file, an iCalendar file, or pages over loopback HTTP, read by the
engine's own adapters; the shell and the engine are the live ones.  Only the time is simulated: a
step follows the one before it without waiting for the beat, so that a minute costs what its twelve
steps do.  Beside it goes an engine that is told the truth without a feed.  A change has reached the
outlook when the two are the same, and capacity follows when the two hold the same for the major
events of the coming two hours.
"""

from __future__ import annotations

import asyncio
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from engine import Autoscaler
from engine.adapters.bookings.feed import BEFORE_S, ROLL_S, Feed, schedule_of
from engine.adapters.bookings.rows import BookedEvent
from engine.forecast.outlook import BIN_S, Grid, event_load
from engine.forecast.outlook import outlook as outlook_of
from engine.model import SAMPLE_DTYPE, Action, ActionResult, Outlook, ServiceSpec, Status
from engine.ports.bookings import FeedState
from engine.ports.infrastructure import Counts, Sighting
from engine.ports.lease import NO_FENCE, Fence
from engine.ports.metrics import Reading
from engine.ports.notifier import Alert
from engine.ports.store import Kept, Requests
from engine.runtime.cycle import Cycle, Gathered
from engine.runtime.ports import Ports
from engine.runtime.settings import LiveSettings
from engine.runtime.shell import BOOKINGS, LiveShell
from scenarios.streams import Streams
from twin.evidence.measures.booking_owners import (
    AHEAD_S,
    BEGIN_S,
    Booked,
    BookingsOwner,
    OwnedBooking,
    wedsync,
)
from twin.evidence.measures.ingest import SilentNotes

SAMPLE_S = 5.0
LIMIT_S = 60.0
"""A change has to be there within so long ..."""
WATCHED_S = 75.0
"""... and is waited for so long."""
SETTLES_S = 300.0
"""What was known first stands for so long before anything changes."""
SOURCES = ("csv", "ics", "http")
CHANGES = ("new", "guests", "moved", "cancelled", "new", "dropped")
FAULTS = ("poisoned", "endless", "never", "half", "gone", "shrunk", "late")
WEDDINGS, FESTIVALS = 40, 12

Row = dict[str, Any]


def changes(
    *, rows: int, seed: int, frozen: Sequence[int] = (), shifted: Sequence[int] = ()
) -> list[Row]:
    """The rows of `rows` stories; the feeds of those in `frozen` stop, those in `shifted` lie.

    A row is a change or a fault.  Of a change `reached` is 1 if it was in the outlook within a
    minute, `late_s` says when, `follows` is 1 if what is held for the next two hours is what an
    engine without a feed holds.  Of a fault `told` is 1 if it was a trouble within a minute while
    the last good outlook stayed, and was over within a minute after it was mended.
    """
    made: list[Row] = []
    for number in range(rows):
        rng = Streams(seed)(f"evidence.bookings.{number}")
        for source in SOURCES:
            with tempfile.TemporaryDirectory(prefix="wt-bookings-") as name:
                owner = BookingsOwner(
                    source,
                    Path(name),
                    frozen=number in frozen,
                    shift_s=3600.0 * (number in shifted),
                )
                with owner.serving():
                    story = asyncio.run(_Story(owner, rng).played())
                made += [{"story": number, "source": source, **row} for row in story]
    return made


@dataclass
class _Machines:
    """Instances that are ready at once, and samples of the load that there is in truth."""

    specs: tuple[ServiceSpec, ...]
    truth: Outlook
    desired: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.desired = {spec.name: spec.min_instances for spec in self.specs}

    def counts(self) -> Sighting:
        return Sighting({name: Counts(n, n, 0, 0) for name, n in self.desired.items()})

    def windows(self, now_s: float) -> dict[str, np.ndarray]:
        made = {}
        for spec in self.specs:
            window = np.zeros(12, SAMPLE_DTYPE)
            window["time_s"] = now_s // SAMPLE_S * SAMPLE_S - SAMPLE_S * np.arange(12)[::-1]
            row = self.truth.services[spec.name]
            rates = [self.truth.rate(row, float(at_s)) for at_s in window["time_s"]]
            window["request_rate"] = np.nan_to_num(rates)
            busy = window["request_rate"] / (self.desired[spec.name] * spec.rate_per_instance)
            window["cpu"], window["memory"] = np.minimum(busy, 1.0), 0.4
            window["p50_s"] = window["p95_s"] = window["p99_s"] = spec.service_s
            made[spec.name] = window
        return made

    def take(self, actions: Sequence[Action]) -> tuple[ActionResult, ...]:
        for action in actions:
            self.desired[action.service] = action.to_instances
        return tuple(
            ActionResult(one.decision_id, Status.ACCEPTED, one.decided_s) for one in actions
        )


class _Ports:
    """Every port of the shell but the feed; nothing of them is measured."""

    def __init__(self, machines: _Machines) -> None:
        self.machines = machines
        self.time_s = BEGIN_S
        self._memory = ""

    def now_s(self) -> float:
        return self.time_s

    async def wait(self, duration_s: float, stop: asyncio.Event) -> None:
        del duration_s, stop
        raise AssertionError("the story makes the steps")

    async def read(self, now_s: float) -> Reading:
        return Reading(self.machines.windows(now_s))

    async def observe(self) -> Sighting:
        return self.machines.counts()

    async def apply(self, actions: Sequence[Action], fence: Fence) -> tuple[ActionResult, ...]:
        del fence
        return self.machines.take(actions)

    async def totals(self, begin_s: float, end_s: float) -> Mapping[str, Mapping[str, float]]:
        del begin_s, end_s
        return {}

    async def first_served(self, begin_s: float, end_s: float) -> Mapping[str, Sequence[float]]:
        del begin_s, end_s
        return {}

    async def requests(self, now_s: float) -> Requests:
        del now_s
        return Requests()

    async def newest(self) -> Fence:
        return NO_FENCE

    async def memory(self) -> str:
        return self._memory

    async def keep(self, kept: Kept, fence: Fence) -> None:
        del fence
        self._memory = self._memory if kept.memory is None else kept.memory

    async def put_memory_aside(self, fence: Fence) -> str:
        del fence
        return ""

    async def show_status(self, text: str, fence: Fence) -> None:
        del text, fence

    async def hold(self, now_s: float, above: Fence = NO_FENCE) -> Fence:
        del now_s
        return Fence(max(1, above + 1))

    async def release(self) -> None:
        """Nobody else leads."""

    async def notify(self, alert: Alert) -> None:
        """Troubles are read where they are."""

    async def close(self) -> None:
        """Nothing is held."""


class _Seen:
    """The feed, with what it showed last."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.shown: Outlook | None = None

    async def outlook(self, now_s: float) -> Outlook:
        self.shown = await self._feed.outlook(now_s)
        return self.shown

    def feed(self) -> FeedState:
        return self._feed.feed()

    async def close(self) -> None:
        await self._feed.close()


class _Floors(SilentNotes):
    """The wedding floors of the newest cycle."""

    def __init__(self) -> None:
        self.floors: Mapping[str, int] = {}

    def step(self, *noted: Any, **_: object) -> None:
        if noted[2].cycle:
            self.floors = dict(noted[2].floors)


class _Story:
    """One feed, from its first listing through all changes and faults."""

    def __init__(self, owner: BookingsOwner, rng: np.random.Generator) -> None:
        specs, model, settings = wedsync()
        self._owner = owner
        self._rng = rng
        self._specs, self._model = specs, model
        self._booked: Booked = {}
        for k in range(WEDDINGS):
            starts_s = BEGIN_S + 900.0 * float(rng.integers(1, 28))
            self._add(f"w{k}", starts_s, float(rng.integers(40, 250)), "large")
        self._truth = self._true_outlook(BEGIN_S)
        self._ports = _Ports(_Machines(specs, self._truth))
        self._beside = _Machines(specs, self._truth)
        self._reference = Cycle(Autoscaler(settings), specs)
        self._reference_floors: Mapping[str, int] = {}
        self._notes = _Floors()
        self._seen = _Seen(owner.feed())
        self._shell = LiveShell(
            Cycle(Autoscaler(settings), specs),
            specs,
            Ports(
                metrics=self._ports,
                infrastructure=self._ports,
                bookings=self._seen,
                store=self._ports,
                lease=self._ports,
                notifier=self._ports,
            ),
            notes=self._notes,
            clock=self._ports,
            settings=LiveSettings(),
            sample_s=SAMPLE_S,
        )

    async def played(self) -> list[Row]:
        """All rows."""
        self._publish()
        await self._pass(SETTLES_S)
        rows = [await self._change(kind) for kind in CHANGES]
        rows += [await self._fault(fault) for fault in FAULTS]
        await self._shell.close()
        return rows

    async def _change(self, kind: str) -> Row:
        before = dict(self._reference_floors)
        self._make(kind)
        # It is made between two steps.
        made_s = self._ports.time_s + float(self._rng.uniform(0.0, SAMPLE_S))
        self._truth = self._true_outlook(self._ports.time_s)
        already = self._is_true()  # a feed that stands still may be right by chance
        self._publish()
        late_s = math.nan
        for _ in range(round(WATCHED_S / SAMPLE_S)):
            await self._step()
            if math.isnan(late_s) and not already and self._is_true():
                late_s = self._ports.time_s - made_s
        matters = before != dict(self._reference_floors)
        has_come = not math.isnan(late_s)
        follows = has_come and matters and self._is_true() and self._same_floors()
        return {
            "what": kind, "reached": int(has_come and late_s <= LIMIT_S),
            "late_s": late_s if has_come else None, "follows": int(follows), "told": None,
        }  # fmt: skip

    async def _fault(self, fault: str) -> Row:
        self._publish(fault)
        is_told = await self._until(troubled=True)
        kept = self._is_true()
        self._publish()
        over = await self._until(troubled=False)
        return {
            "what": fault, "reached": None, "late_s": None, "follows": None,
            "told": int(is_told and kept and over and self._is_true()),
        }  # fmt: skip

    async def _until(self, *, troubled: bool) -> bool:
        """Whether it comes within the limit, and stays to its end."""
        for _ in range(round(LIMIT_S / SAMPLE_S)):
            await self._step()
        return (BOOKINGS in self._shell.cycle.troubles.all) is troubled

    def _make(self, kind: str) -> None:
        """A change of the festivals: the first of them begin within two hours."""
        now_s = self._ports.time_s
        names = [f"f{k}" for k in range(FESTIVALS)]
        match kind:
            case "new":
                for name in names:
                    starts_s = now_s + 300.0 * float(self._rng.integers(16, 22))
                    self._add(name, starts_s, float(self._rng.integers(12_000, 20_000)), "luxury")
            case "guests":
                for name in names:
                    one = self._booked[name]
                    self._booked[name] = replace(one, guests=round(1.6 * one.guests))
            case "moved":
                for name in names:
                    one = self._booked[name]
                    self._booked[name] = replace(one, starts_s=one.starts_s + 5400.0)
            case "cancelled":
                for name in names:
                    self._booked[name] = replace(self._booked[name], state="cancelled")
            case "dropped":
                for name in names:
                    del self._booked[name]

    def _add(self, name: str, starts_s: float, guests: float, kind: str) -> None:
        self._booked[name] = OwnedBooking(name, starts_s, guests, kind)

    def _publish(self, fault: str = "") -> None:
        self._owner.publish(self._booked, self._ports.time_s, fault)

    async def _pass(self, duration_s: float) -> None:
        for _ in range(round(duration_s / SAMPLE_S)):
            await self._step()

    async def _step(self) -> None:
        """One step of both engines."""
        self._ports.time_s += SAMPLE_S
        now_s = self._ports.time_s
        if self._truth.start_s != _start_s(now_s):
            self._truth = self._true_outlook(now_s)
        self._ports.machines.truth = self._beside.truth = self._truth
        await self._shell.step(now_s)
        gathered = Gathered(self._beside.counts(), self._truth, self._beside.windows(now_s))
        observation = self._reference.observe(now_s, gathered)
        assert observation is not None
        plan = self._reference.decide(observation)
        assert plan is not None, self._reference.troubles.all
        self._reference.take(self._beside.take(plan.actions))
        if plan.cycle:
            self._reference_floors = dict(plan.floors)

    def _true_outlook(self, now_s: float) -> Outlook:
        """The outlook of what is booked in truth."""
        start_s = _start_s(now_s)
        bins = round((BEFORE_S + ROLL_S + AHEAD_S) / BIN_S)
        grid = Grid(start_s, bins)
        unknown = (math.nan,) * (len(self._model.roles) - 1)
        guest = self._model.roles.index("guest")
        events = [
            BookedEvent(
                one.id, one.starts_s, math.nan,
                (*unknown[:guest], one.guests, *unknown[guest:]), one.kind == "luxury",
            )
            for one in self._booked.values() if one.state == "booked"
        ]  # fmt: skip
        load = event_load(schedule_of(events, self._model), self._model.response, grid)
        return outlook_of(load, self._model.response, self._specs, grid, issued_s=now_s)

    def _is_true(self) -> bool:
        """Whether the engine's outlook is that of the truth."""
        shown = self._seen.shown
        return (
            shown is not None
            and shown.start_s == self._truth.start_s
            and np.allclose(shown.load, self._truth.load, rtol=1e-6, atol=1e-6)
            and np.allclose(shown.major_load, self._truth.major_load, rtol=1e-6, atol=1e-6)
        )

    def _same_floors(self) -> bool:
        return dict(self._notes.floors) == dict(self._reference_floors)


def _start_s(now_s: float) -> float:
    return math.floor((now_s - BEFORE_S) / ROLL_S) * ROLL_S
