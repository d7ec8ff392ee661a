"""The shell around a controller in wall time: look, decide, act, keep, every 5 s.

It is what `twin.world.shell` is in simulated time, and all that is meant by it is in the one
`engine.runtime.cycle.Cycle` that both drive.  In here is what waits and what may fail.  Everything
around the engine can:

- The *metrics* may be late or gone.  The controller then sees old samples or none, and knows what
  to do about it; nothing here makes up for them.
- The *infrastructure* may not be seen.  Counts cannot be guessed, so there is no step then.
- The *bookings* and the *requests* of people may be out of reach: those last known stay in force.
- The *store* may take nothing.  A command is given when it is kept that it will be; while that
  cannot be, what protects is given all the same, and steps in and those of people wait.
- The *lease* may be lost.  Then nothing is done until it is had again, and the memory is read anew,
  as another engine may have led meanwhile.  A lease that cannot be asked is no lost one: what is
  written carries the fence, so an engine that leads no longer is refused.
- The *engine* may be killed at any moment.  What it remembers is kept after each cycle, and before
  and after each action; a command counts once however often it is sent, and only on top of the
  count that it was decided on.  So whatever was lost, the next step finds out from what is there.
- The *monitor* may fail.  It looks beside the engine, and a failure of it changes no decision.
- The *clock* may be set.  The next sample is never further away than one interval.

Each of these is a trouble that begins and ends, whatever was raised; none ends the engine.

It is long because each port has its way to fail here, and what follows from it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypeVar

import structlog

from engine.model import Action, ActionResult, Observation, Outlook, Plan, ServiceSpec
from engine.ports.bookings import booked, feed_of
from engine.ports.clock import Clock
from engine.ports.infrastructure import (
    HearsOfSteps,
    Sighting,
    TellsAdvice,
    notices_of,
    results_of,
    seen_there,
)
from engine.ports.lease import (
    NO_FENCE,
    EndsByItself,
    Fence,
    FencedOffError,
    NotLeadingError,
)
from engine.ports.metrics import NO_SAMPLES, Reading, checked
from engine.ports.notifier import Alert
from engine.ports.store import Kept, Requests
from engine.runtime.cycle import INFRASTRUCTURE, METRICS, Cycle, Gathered, Safety
from engine.runtime.own_load import OwnLoad, left_out
from engine.runtime.patience import Patience, PortError, words
from engine.runtime.ports import Ports
from engine.runtime.settings import LiveSettings
from engine.runtime.watch import LiveMonitor

BOOKINGS, LEASE, NOTIFIER, RECORD = "schedule", "lease", "notifier", "record"
REQUESTS, MEMORY, STORE, STATUS = "requests", "memory", "store", "status"
ADVICE, PULSE = "advice", "pulse"
CLOCK, ENGINE = "clock", "engine"
"""Sources of troubles, beside those of the cycle."""

MEMORY_TRIES = 3
"""Steps for which a memory that cannot be read is waited for, before the engine does without."""

SILENT_S = 15.0
"""An instance may be ready for so long before there are samples of it."""

ALERTS_KEPT = 100
"""Alerts that wait for a notifier that is in trouble; the oldest go first."""

_Result = TypeVar("_Result")

log = structlog.stdlib.get_logger(__name__)


class Notes(Protocol):
    """Keeps what happens, for the run record.  Not a port: it must neither block nor wait."""

    def step(
        self,
        time_s: float,
        observation: Observation,
        plan: Plan,
        compute_s: float,
        *,
        reading: Reading,
    ) -> None:
        """Note a step that was decided at `time_s`; counts are those before its actions."""
        ...

    def without_store(self, actions: Sequence[Action], time_s: float) -> None:
        """Note commands that are given at `time_s` though the store could not take them."""
        ...

    def result(self, result: ActionResult) -> None:
        """Note what became of an action."""
        ...

    def event(self, time_s: float, kind: str, name: str, what: str, *, detail: str) -> None:
        """Note something that is no decision."""
        ...

    def status(self, status: Mapping[str, Any]) -> None:
        """Note how the engine is after a step, made or not, as it shows it to whoever asks."""
        ...


class LiveShell:
    """Drives one cycle over its ports."""

    def __init__(
        self,
        cycle: Cycle,
        specs: Sequence[ServiceSpec],
        ports: Ports,
        *,
        notes: Notes,
        clock: Clock,
        settings: LiveSettings,
        sample_s: float,
        watch: LiveMonitor | None = None,
    ) -> None:
        self.cycle = cycle
        self.watch = watch
        self.fence = NO_FENCE
        """Of the lead under which it acts; NO_FENCE while it does not lead."""
        self.load = OwnLoad()
        """How busy the engine is; the same for all shells of one engine."""
        self._names = tuple(spec.name for spec in specs)
        self._metrics = ports.metrics
        self._infrastructure = ports.infrastructure
        self._bookings = ports.bookings
        self._store = ports.store
        self._lease = ports.lease
        self._notifier = ports.notifier
        self._notes = notes
        self._clock = clock
        self._settings = settings
        self._sample_s = sample_s
        self._stop = asyncio.Event()
        look_s, write_s = settings.observe_timeout_s, settings.apply_timeout_s
        self._reading = Patience[Reading](look_s)
        self._looking = Patience[Sighting](look_s)
        self._booking = Patience[Outlook](look_s)
        self._asking = Patience[Requests](look_s)
        self._holding = Patience[Fence](look_s)
        self._remembering = Patience[str](look_s)
        self._applying = Patience[tuple[ActionResult, ...]](write_s)
        self._newest = Patience[Fence](look_s)
        self._setting_aside = Patience[str](look_s)
        # Commands wait for it.
        self._keeping = Patience[None](look_s)
        self._showing = Patience[None](look_s)
        self._notifying = Patience[None](look_s)
        self._advising = Patience[None](look_s)
        self._affirming = Patience[None](look_s)
        self._last_reading = Reading({})
        self._ready_since: dict[str, float] = {}
        """Since when each service has had an instance that is ready."""
        self._counted_s: dict[str, float] = {}
        """When each service's counts were true, where the infrastructure says so."""
        self._begun = False
        """Whether the cycle has what the engine before this one remembered."""
        self._tries = 0
        self._blind = False
        """Whether it has begun afresh because the store could not say what was remembered."""
        self._takes = False
        """Whether the store has taken something since."""
        self._unseen = True
        """Whether the infrastructure has not been seen under this lead."""
        self._timed = (0.0, 0.0)
        """The last time that the clock said, and the loop's then."""
        self._notes_failed = ""
        self._alerts: list[Alert] = []
        self._tried_to_keep = False
        """Whether the store was asked to keep something in this step."""

    def stop(self) -> None:
        """Finish the step in progress, keep the memory and end; at any time, also twice."""
        self._stop.set()

    async def run(self) -> None:
        """Step at each full interval until `stop`, or until the duration is over."""
        while not await self._has_time():
            if self._stop.is_set():
                return
        until_s = math.inf
        if self._settings.duration_s is not None:
            until_s = self._now_s() + self._settings.duration_s
        await self._lead(self._now_s())
        try:
            stepped = -1
            while not self._stop.is_set():
                now_s = self._now_s()
                if now_s >= until_s:
                    return
                # From now, not from the last one: a clock that is set must not stop the engine.
                due = math.floor(now_s / self._sample_s) + 1
                due += due == stepped
                due_s = due * self._sample_s
                await self._wait(min(due_s, until_s) - now_s)
                if self._stop.is_set() or self._now_s() < due_s:
                    continue  # a timer may be early
                missed, stepped = left_out(stepped, due), due
                await self.step(due_s)
                self.load.stepped(due_s, self._now_s(), left_out=missed, sample_s=self._sample_s)
        finally:
            await self.finish(self._now_s())

    async def step(self, now_s: float) -> None:
        """One look at everything, one decision, and its actions.

        `now_s` is when the step is due: the controller's time, so that its cycles keep their
        beat however long looking takes.
        """
        self._tried_to_keep = False
        try:
            if await self._lead(now_s):
                await self._turn(now_s)
            else:
                self.cycle.skipped += 1
                shown = self._status(now_s, None, None)
                self._note(partial(self._notes.status, {**shown, "leads": False}))
            self.cycle.troubles.are(now_s, ENGINE, ())
        except Exception as error:
            # What nobody thought of must not leave the platform to itself either.
            log.exception("a step came to nothing")
            self.cycle.skipped += 1
            self.cycle.troubles.are(now_s, ENGINE, [words(error)])
        await self._tell(now_s)

    async def finish(self, now_s: float) -> None:
        """After the last step: keep what is remembered, and what an answer under way says."""
        await self._applying.finished()
        if self.fence != NO_FENCE and self._begun:
            await self._keep(now_s)
        self._tried_to_keep = False
        await self._tell(now_s)

    async def close(self) -> None:
        """Let go of every port; one that fails or hangs does not keep the others."""
        calls = (
            self._reading, self._looking, self._booking, self._asking, self._holding,
            self._newest, self._remembering, self._setting_aside, self._applying, self._keeping,
            self._showing, self._notifying, self._advising, self._affirming,
        )  # fmt: skip
        for call in calls:
            call.abandon()
        ends: dict[str, Callable[[], Awaitable[None]]] = {
            METRICS: self._metrics.close,
            INFRASTRUCTURE: self._infrastructure.close,
            BOOKINGS: self._bookings.close,
            "store": self._store.close,
            NOTIFIER: self._notifier.close,
            LEASE: self._lease.release,  # last: nobody else leads before all is let go of
        }
        for name, end in ends.items():
            try:
                await Patience[None](self._settings.apply_timeout_s).call(end, _nothing)
            except PortError as error:
                log.warning(f"{name} could not be closed: {error}")

    # --- the time

    async def _has_time(self) -> bool:
        """Whether the clock has ever said a time; waits a little if not."""
        with contextlib.suppress(Exception):
            self._timed = (self._clock.now_s(), asyncio.get_running_loop().time())
            return True
        await asyncio.sleep(1.0)
        return False

    def _now_s(self) -> float:
        """The time of day; from the last one that was had on, if the clock cannot be asked."""
        passed_s = asyncio.get_running_loop().time()
        try:
            self._timed = (self._clock.now_s(), passed_s)
            self.cycle.troubles.are(self._timed[0], CLOCK, ())
        except Exception as error:
            now_s = self._timed[0] + passed_s - self._timed[1]
            self.cycle.troubles.are(now_s, CLOCK, [words(error)])
            return now_s
        return self._timed[0]

    async def _wait(self, duration_s: float) -> None:
        try:
            await self._clock.wait(duration_s, self._stop)
        except Exception as error:
            self.cycle.troubles.are(self._timed[0], CLOCK, [words(error)])
            await asyncio.sleep(min(duration_s, 1.0))

    # --- leading

    async def _lead(self, now_s: float) -> bool:
        """Whether this engine leads, with its memory at hand."""
        fence, trouble = self.fence, ""
        try:
            fence = await self._holding.call(lambda: self._lease.hold(now_s), _nothing)
        except PortError as error:
            trouble = str(error)
            if isinstance(error.cause, NotLeadingError):
                fence = NO_FENCE
            elif fence == NO_FENCE:
                trouble += "; until it says who leads, no count is changed"
        self.cycle.troubles.are(now_s, LEASE, [trouble] if trouble else ())
        if fence != self.fence:
            # Somebody else may have led meanwhile, and knows better.
            self.fence, self._begun, self._tries, self._unseen = fence, False, 0, True
        if fence == NO_FENCE:
            return False
        if not self._begun or self._blind:
            await self._begin(now_s)
        return self._begun

    async def _begin(self, now_s: float) -> None:
        """Take over what the engine before this one knew; without it, begin afresh.

        What could not be read is not written over: it is taken over once the store gives it.
        """
        try:
            text = await self._remembering.call(self._store.memory, _nothing)
        except PortError as error:
            self._tries += 1
            self.cycle.troubles.are(now_s, MEMORY, [f"it cannot be read: {error}"])
            if self._tries < MEMORY_TRIES:
                return
            if self._begun:
                # A store that takes what is new and gives nothing has lost what it had.
                self._blind = not self._takes
                return
            text, self._blind, self._takes = "", True, False
        else:
            self.cycle.troubles.are(now_s, MEMORY, ())
            self._blind = False
            if self._begun and not text:
                return
        self._begun = True
        begun = self.cycle.begin(now_s, text)
        if self.watch is not None:
            self.watch.begin(now_s, self.cycle)
        if not begun:
            try:
                await self._setting_aside.call(
                    lambda: self._store.put_memory_aside(self.fence), _nothing
                )
            except PortError as error:
                self.cycle.troubles.are(now_s, MEMORY, [f"it cannot be put aside: {error}"])

    # --- a turn

    async def _turn(self, now_s: float) -> None:
        reading, sighting, outlook, requests = await asyncio.gather(
            self._read(now_s), self._observe(now_s), self._look_ahead(now_s), self._asked(now_s)
        )
        if self._unseen and sighting is not None:
            # One that the store has seen is this lead's own, or a newer one.
            kept = Fence(await self._newest_kept(now_s) - 1)
            await self._above(max(sighting.fence, kept), now_s)
        if sighting is not None:
            self._ready_since = {
                name: min(self._ready_since.get(name, now_s), now_s)
                for name in self._names
                if sighting.services[name].ready > 0
            }
            self._counted_s = {name: now_s - age_s for name, age_s in sighting.ages_s.items()}
        gathered = Gathered(sighting, outlook, reading.windows, requests)
        observation = self.cycle.observe(now_s, gathered)
        if self.watch is not None:
            self.watch.turn(now_s, observation, requests, self.cycle, instances=reading.instances)
        if observation is None:
            await self._show(now_s, None, None)
            return
        self.load.take_up(reading.windows)
        began = time.perf_counter()
        plan = self.cycle.decide(observation)
        compute_s = time.perf_counter() - began
        if plan is None:
            await self._show(now_s, observation, None)
            return
        noted = self._note(
            partial(self._notes.step, self._now_s(), observation, plan, compute_s, reading=reading)
        )
        if plan.actions:
            await self._act(plan, noted)
        elif self.cycle.is_worth_keeping(plan) or (self.watch is not None and self.watch.has_news):
            await self._keep(now_s)
        if self.cycle.acts:
            await self._affirm(now_s)
        else:
            await self._advise(plan.dry, now_s)
        await self._show(now_s, observation, plan)

    async def _act(self, plan: Plan, noted: bool) -> None:
        """Keep what is going to be done, do it, and keep what became of it."""
        self.cycle.intend(plan, self._now_s())
        safety = await self._keep(self._now_s())
        if safety is Safety.KEPT and not noted:
            safety = Safety.NOT_KEPT  # who did it, and why, is not on record
        actions, left_out = self.cycle.sendable(plan, self._now_s(), safety)
        self._note_results(left_out)
        if actions:
            if safety is not Safety.KEPT:
                self._note(partial(self._notes.without_store, actions, self._now_s()))
            await self._apply(actions)
        await self._keep(self._now_s())

    async def _advise(self, actions: Sequence[Action], now_s: float) -> None:
        """Show what would be done, where the infrastructure can; no step depends on it."""
        infrastructure = self._infrastructure
        if not actions:
            self.cycle.troubles.are(now_s, ADVICE, ())
        elif isinstance(infrastructure, TellsAdvice):
            await self._ask(
                ADVICE, now_s, self._advising, lambda: infrastructure.advise(actions), take=_nothing
            )

    async def _affirm(self, now_s: float) -> None:
        """Say that there was a step, where somebody goes by that; no step depends on it."""
        infrastructure, fence = self._infrastructure, self.fence
        if isinstance(infrastructure, HearsOfSteps):
            await self._ask(
                PULSE, now_s, self._affirming, lambda: infrastructure.affirm(fence), take=_nothing
            )

    async def _newest_kept(self, now_s: float) -> Fence:
        """The newest fence that the store has seen."""
        seen = [NO_FENCE]
        await self._ask(STORE, now_s, self._newest, self._store.newest, take=seen.append)
        return seen[-1]

    async def _above(self, fence: Fence, now_s: float) -> None:
        """Lead under a newer fence than any that infrastructure and store have seen; once a lead.

        They may have been led from another folder.  Only once: who is overtaken later leads no
        more.
        """
        self._unseen = False
        if fence >= self.fence:
            await self._ask(
                LEASE,
                now_s,
                self._holding,
                lambda: self._lease.hold(now_s, fence),
                take=self._raised,
            )

    def _raised(self, fence: Fence) -> None:
        self.fence = fence

    async def _read(self, now_s: float) -> Reading:
        """What there is of samples; the last ones, older by now, if the source cannot be asked."""
        try:
            reading = await self._reading.call(lambda: self._metrics.read(now_s), _nothing)
            windows, complaints = checked(reading.windows, self._names)
            troubles = (*self._of_some_instance(reading, now_s), *complaints)
            # What it says nothing of now it said something of before.
            self._last_reading = Reading(
                {**self._last_reading.windows, **windows}, troubles, instances=reading.instances
            )
        except PortError as error:
            troubles = (str(error),)
        except (AttributeError, TypeError) as error:  # it answered with something else
            troubles = (words(error),)
        self.cycle.troubles.are(now_s, METRICS, troubles)
        empty = dict.fromkeys(self._names, NO_SAMPLES)
        last = self._last_reading
        return Reading({**empty, **last.windows}, troubles, instances=last.instances)

    def _of_some_instance(self, reading: Reading, now_s: float) -> list[str]:
        """The troubles, without the silence of services that have had nothing to speak for long."""
        since_s = now_s - SILENT_S
        excused = {
            str(words)
            for service, words in reading.silent.items()
            if not self._ready_since.get(service, math.inf) <= since_s
        }
        return [text for text in map(str, reading.troubles) if text not in excused]

    async def _observe(self, now_s: float) -> Sighting | None:
        """What there is; None, with the trouble noted, if that cannot be found out."""
        seen: list[Sighting] = []
        await self._ask(
            INFRASTRUCTURE, now_s, self._looking, self._infrastructure.observe,
            take=lambda sighting: seen.append(self._seen(sighting)),
            late=lambda answer: self._late(getattr(answer, "results", ())),
            complaints=notices_of,
        )  # fmt: skip
        return seen[0] if seen else None

    async def _look_ahead(self, now_s: float) -> Outlook | None:
        seen: list[Outlook] = []
        await self._ask(
            BOOKINGS, now_s, self._booking,
            lambda: self._bookings.outlook(now_s),
            take=lambda outlook: seen.append(booked(outlook, self._names)),
            complaints=lambda _: self._feed_troubles(),
        )  # fmt: skip
        return seen[0] if seen else None

    def _feed_troubles(self) -> Sequence[str]:
        """What the bookings find wrong with their source, though there is an outlook."""
        feed = feed_of(self._bookings)
        return () if feed is None else feed.troubles

    async def _asked(self, now_s: float) -> Requests | None:
        seen: list[Requests] = []
        await self._ask(
            REQUESTS, now_s, self._asking, lambda: self._store.requests(now_s), take=seen.append,
            complaints=lambda requests: requests.complaints,
        )  # fmt: skip
        return seen[0] if seen else None

    async def _apply(self, actions: Sequence[Action]) -> None:
        fence = self.fence
        if isinstance(self._lease, EndsByItself) and not self._lease.holds(fence):
            why = f"the lead {fence} was over before it was sent"
            self._note_results(self.cycle.fail(actions, self._now_s(), why, sent=False))
            return
        try:
            results = await self._applying.call(
                lambda: self._infrastructure.apply(actions, fence), self._late
            )
        except PortError as error:
            # It may be carried out yet; the engine can live with either.
            failed = self.cycle.fail(actions, self._now_s(), str(error))
            self._note_results(failed)
        else:
            self._late(results)

    def _late(self, results: Sequence[ActionResult]) -> None:
        """Results of commands, also of those that nobody waits for any more."""
        try:
            results = results_of(results)
        except TypeError as error:
            self._note_failed(words(error))
            return
        self.cycle.take(results)
        self._note_results(results)

    def _seen(self, answer: Sighting) -> Sighting:
        """The sighting, if it is one; raises TypeError or ValueError, and loses no result."""
        try:
            sighting = seen_there(answer, self._names)
        except (TypeError, ValueError):
            self._late(getattr(answer, "results", ()))
            raise
        self._note_results(sighting.results)
        return sighting

    # --- keeping

    async def _keep(self, now_s: float) -> Safety:
        """Keep all that is to last, in one piece."""
        carried = ""
        if self.watch is not None:
            carried = self.watch.remember(now_s, self.cycle)
        safety = await self._put(self.cycle.to_keep(now_s, self.fence), now_s)
        if self.watch is not None and safety is Safety.KEPT:
            self.watch.kept(carried)
        return safety

    async def _put(self, kept: Kept, now_s: float) -> Safety:
        """Whether the store has taken it; what it has not taken goes with the next one."""
        self._tried_to_keep = True
        if self._blind:
            kept = replace(kept, memory=None, taken=())
        fence, safety, trouble = self.fence, Safety.KEPT, ""
        try:
            await self._keeping.call(lambda: self._store.keep(kept, fence), _nothing)
        except PortError as error:
            trouble, safety = str(error), Safety.NOT_KEPT
            if isinstance(error.cause, FencedOffError):
                safety = Safety.OVERTAKEN
            self.cycle.outbox.not_kept(now_s, trouble)
        else:
            self.cycle.outbox.kept(kept.rows)
            if not self._takes:
                self._takes, self._tries = True, 0
            if kept.memory is not None:
                self.cycle.troubles.are(now_s, MEMORY, ())  # there is one that can be read
        self.cycle.troubles.are(now_s, STORE, [trouble] if trouble else ())
        return safety

    async def _show(self, now_s: float, observation: Observation | None, plan: Plan | None) -> None:
        """What people and `python -m engine status` read."""
        status = self._status(now_s, observation, plan)
        self._note(partial(self._notes.status, status))
        fence = self.fence
        await self._ask(
            STATUS, now_s, self._showing,
            lambda: self._store.show_status(json.dumps(status), fence), take=_nothing,
        )  # fmt: skip

    def _status(
        self, now_s: float, observation: Observation | None, plan: Plan | None
    ) -> dict[str, Any]:
        services: dict[str, Any] = {}
        for seen in observation.services if observation is not None else ():
            newest_s = float(seen.window["time_s"][-1]) if len(seen.window) else None
            services[seen.spec.name] = {
                "desired": seen.desired,
                "ready": seen.ready,
                "booting": seen.booting,
                "draining": seen.draining,
                "newest_sample_s": newest_s,
            }
        status: dict[str, Any] = {
            "time_s": now_s,
            "pid": os.getpid(),
            "lead": self.fence,
            "acts": self.cycle.acts,
            "steps": self.cycle.steps,
            "skipped": self.cycle.skipped,
            "troubles": self.cycle.troubles.all,
            "services": services,
            "counted_s": self._counted_s,
            "floors": dict(plan.floors) if plan is not None else {},
            "awaiting": self.cycle.awaiting(),
            "standing": self.cycle.standing.model_dump(mode="json"),
            "load": self.load.shown(),
        }
        feed = feed_of(self._bookings)
        if feed is not None:
            status["bookings"] = {
                "events": feed.events,
                "read_s": _known_time(feed.read_s),
                "changed_s": _known_time(feed.changed_s),
            }
        if self.watch is not None:
            status["monitor"] = self.watch.shown()
        return status

    # --- calling and noting

    async def _ask(
        self,
        source: str,
        now_s: float,
        patience: Patience[_Result],
        ask: Callable[[], Awaitable[_Result]],
        *,
        take: Callable[[_Result], object],
        late: Callable[[_Result], object] | None = None,
        complaints: Callable[[_Result], Sequence[str]] = lambda _: (),
    ) -> None:
        """Ask a port and `take` what it says; whatever goes wrong is a trouble of `source`."""
        try:
            answer = await patience.call(ask, late or _nothing)
            troubles = tuple(complaints(answer))
            take(answer)
        except PortError as error:
            troubles = (str(error),)
        except (AttributeError, TypeError, ValueError) as error:  # it answered with nonsense
            troubles = (words(error),)
        self.cycle.troubles.are(now_s, source, troubles)

    def _note_results(self, results: Sequence[ActionResult]) -> None:
        for result in results:
            self._note(partial(self._notes.result, result))

    def _note(self, note: Callable[[], None]) -> bool:
        """Whether it is noted; what cannot be is a trouble."""
        try:
            note()
        except Exception as error:
            self._note_failed(words(error))
            return False
        return True

    def _note_failed(self, why: str) -> None:
        self._notes_failed = self._notes_failed or why

    async def _tell(self, now_s: float) -> None:
        """Note what happened, and alert whom it concerns."""
        failed, self._notes_failed = self._notes_failed, ""
        self.cycle.troubles.are(now_s, RECORD, [failed] if failed else ())
        for event in self.cycle.events():
            self._note(
                partial(
                    self._notes.event,
                    event.time_s, event.kind, event.name, event.what, detail=event.detail,
                )
            )  # fmt: skip
        alerts = self.cycle.alerts()
        for alert in alerts:
            self._note(
                partial(
                    self._notes.event,
                    alert.time_s, f"trouble_{alert.state.value}", alert.source, alert.source,
                    detail=alert.detail,
                )
            )  # fmt: skip
        if len(self.cycle.outbox) and self._begun and not self._tried_to_keep:
            await self._put(Kept(rows=self.cycle.outbox.rows(now_s)), now_s)
        # Of its own troubles the notifier cannot alert anybody.
        new = [alert for alert in alerts if alert.source != NOTIFIER]
        self._alerts = [*self._alerts, *new][-ALERTS_KEPT:]
        await self._alert(now_s)

    async def _alert(self, now_s: float) -> None:
        """Send what waits, in its order; what cannot be sent is a trouble, and is tried again."""
        trouble = ""
        while self._alerts and not trouble:
            alert = self._alerts[0]
            try:
                await self._notifying.call(
                    partial(self._notifier.notify, alert), partial(self._sent, alert)
                )
            except PortError as error:
                trouble = str(error)
            else:
                self._sent(alert)
        self.cycle.troubles.are(now_s, NOTIFIER, [trouble] if trouble else ())

    def _sent(self, alert: Alert, _: None = None) -> None:
        if alert in self._alerts:
            self._alerts.remove(alert)


def _known_time(time_s: float) -> float | None:
    return time_s if math.isfinite(time_s) else None


def _nothing(_: object) -> None:
    """What came too late is of no use."""
