"""The shell around a controller in wall time: observe, step, act, save, every 5 s.

It is what `twin.world.shell` is in simulated time, and means the same: the controller sees late
samples and the booked schedule, is told once of each result, and its actions are handed on as they
are.  There is no policy in here.  What is different is that everything around it can fail:

- The *metrics* may be late or gone.  The controller then sees old samples or none, and knows what
  to do about it; nothing here makes up for them.
- The *infrastructure* may not be seen.  Counts cannot be guessed, so there is no step then.
- The *engine* may be killed at any moment.  What it remembers is on the disk after each cycle and
  after each action; a command counts once however often it is sent, and only on top of the count
  that it was decided on.  So whatever was lost, the next step finds out from what is there.
- The *clock* may be set.  The next sample is never further away than one interval.
- The *controller* may raise.  Its memory is put back to what it last saved, and it is asked again.

Clock, metrics, infrastructure, schedule and notes are passed in, so a test brings its own clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar, cast

from pydantic import Field

from engine.adapters import request_files as standing
from engine.config.run import Approver
from engine.config.strict import Strict
from engine.model import (
    Action,
    ActionResult,
    Approval,
    Budget,
    Controller,
    Observation,
    Outlook,
    Plan,
    ServiceObservation,
    ServiceSpec,
    Status,
)
from engine.ports.infrastructure import Counts, Infrastructure, Sighting
from engine.ports.metrics import MetricsSource, Reading
from engine.record.files import write_atomically
from engine.runtime.ask import ControllerError, decide

MEMORY, STATUS = "memory.json", "status.json"

_Result = TypeVar("_Result")


class LiveSettings(Strict):
    """How the shell runs."""

    state: str = Field(default="state/engine", min_length=1)
    """Folder of everything that survives a restart."""
    duration_s: Annotated[float, Field(gt=0.0, le=1e9)] | None = None
    """When to end by itself; null: never."""
    wait_for_lead: bool = False
    """Wait, if another engine leads, instead of giving up."""
    observe_timeout_s: Annotated[float, Field(gt=0.0, le=600.0)] = 4.0
    """For the infrastructure to say what there is."""
    apply_timeout_s: Annotated[float, Field(gt=0.0, le=600.0)] = 10.0
    """For the infrastructure to take commands."""


class Clock(Protocol):
    """Wall time."""

    def now_s(self) -> float:
        """Epoch seconds (UTC)."""
        ...

    async def wait(self, duration_s: float, stop: asyncio.Event) -> None:
        """Wait for `duration_s`, or until `stop` is set."""
        ...


class ScheduleSource(Protocol):
    """The booked schedule as it becomes known."""

    def outlook(self, now_s: float) -> Outlook:
        """The outlook as known at `now_s`."""
        ...


class Notes(Protocol):
    """Keeps what happens, for the run record."""

    def step(
        self,
        time_s: float,
        observation: Observation,
        plan: Plan,
        compute_s: float,
        reading: Reading,
    ) -> None:
        """Note a step that was decided at `time_s`; counts are those before its actions."""
        ...

    def result(self, result: ActionResult) -> None:
        """Note what became of an action."""
        ...

    def event(self, time_s: float, kind: str, name: str, what: str, detail: str) -> None:
        """Note something that is no decision."""
        ...


class WallClock:
    """The machine's clock."""

    def now_s(self) -> float:
        """Epoch seconds (UTC)."""
        return time.time()

    async def wait(self, duration_s: float, stop: asyncio.Event) -> None:
        """Wait for `duration_s`, or until `stop` is set."""
        try:
            async with asyncio.timeout(duration_s):
                await stop.wait()
        except TimeoutError:
            pass


@dataclass(slots=True)
class Troubles:
    """What is wrong now; each trouble is told of when it begins and when it ends, not meanwhile."""

    tell: Callable[[float, str, str, str, str], None]
    _now: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def are(self, now_s: float, source: str, found: Sequence[str]) -> None:
        """These are all the troubles of `source` at `now_s`."""
        before, self._now[source] = self._now.get(source, ()), tuple(found)
        if found and not before:
            self.tell(now_s, "trouble_started", source, source, "; ".join(found))
        elif found and set(found) != set(before):
            self.tell(now_s, "trouble_changed", source, source, "; ".join(found))
        elif before and not found:
            self.tell(now_s, "trouble_ended", source, source, "; ".join(before))

    @property
    def all(self) -> dict[str, tuple[str, ...]]:
        """All that is wrong, by source."""
        return {source: found for source, found in self._now.items() if found}


class Shell:
    """Drives one controller over one infrastructure.  Whoever makes it has taken the lead."""

    def __init__(
        self,
        controller: Controller,
        specs: Sequence[ServiceSpec],
        *,
        metrics: MetricsSource,
        infrastructure: Infrastructure,
        schedule: ScheduleSource,
        notes: Notes,
        clock: Clock,
        settings: LiveSettings,
        sample_s: float,
        acts: bool = True,
        approver: Approver = "automatic",
        budget: Budget = Budget(),  # noqa: B008 (frozen)
        lead: int = 1,
    ) -> None:
        self.controller = controller
        self.state = Path(settings.state)
        self.steps = 0
        self.skipped = 0
        """Steps that could not be made."""
        self.troubles = Troubles(notes.event)
        self._specs = tuple(specs)
        self._by_name = {spec.name: spec for spec in specs}
        self._metrics = metrics
        self._infrastructure = infrastructure
        self._schedule = schedule
        self._notes = notes
        self._clock = clock
        self._settings = settings
        self._sample_s = sample_s
        self._acts = acts
        self._approver = approver
        self._budget = budget
        self._lead = lead
        self._stop = asyncio.Event()
        # One thread each: what hangs must not be asked again before it has come back.
        self._looking, self._asking = _Thread("observe"), _Thread("apply")
        self._results: list[ActionResult] = []
        self._questions: dict[str, float] = {}
        """When each action that waits for approval is answered by itself; inf: never."""
        self._outlook: Outlook | None = None
        self._saved = controller.snapshot()

    def stop(self) -> None:
        """Finish the step in progress, save and end; may be called at any time, also twice."""
        self._stop.set()

    async def run(self) -> None:
        """Step at each full interval until `stop`, or until the duration is over."""
        self._remember()
        until_s = math.inf
        if self._settings.duration_s is not None:
            until_s = self._clock.now_s() + self._settings.duration_s
        try:
            stepped = -1
            while not self._stop.is_set():
                now_s = self._clock.now_s()
                if now_s >= until_s:
                    return
                # From now, not from the last one: a clock that is set must not stop the engine.
                due = math.floor(now_s / self._sample_s) + 1
                due += due == stepped
                due_s = due * self._sample_s
                await self._clock.wait(min(due_s, until_s) - now_s, self._stop)
                if self._stop.is_set() or self._clock.now_s() < due_s:
                    continue  # a timer may be early
                stepped = due
                await self.step(due_s)
        finally:
            self._save(self._clock.now_s())

    async def step(self, now_s: float) -> None:
        """One look at everything, one decision, and its actions.

        `now_s` is when the step is due: the controller's time, so that its cycles keep their
        beat however long looking takes.
        """
        reading, sighting = await asyncio.gather(self._read(now_s), self._observe(now_s))
        asked = standing.read(self.state, now_s)
        self.troubles.are(now_s, "requests", asked.complaints)
        outlook = self._look_ahead(now_s)
        if sighting is None or outlook is None:
            self.skipped += 1
            self._write_status(now_s, None, None)
            return
        answers = self._answers(asked.answers, now_s)
        observation = Observation(
            now_s=now_s,
            services=self._services(sighting.services, reading),
            outlook=outlook,
            results=tuple(self._results),
            approvals=answers,
            floors=asked.floors,
            pauses=asked.pauses,
            budget=self._budget,
        )
        began = time.perf_counter()
        try:
            plan = decide(self.controller, observation, self._by_name, "in its step")
        except ControllerError as error:
            # Whatever it had begun to remember is not to be trusted.
            self.controller.restore(self._saved)
            self.skipped += 1
            self.troubles.are(now_s, "controller", [str(error)])
            return
        compute_s = time.perf_counter() - began
        self.troubles.are(now_s, "controller", [])
        self.steps += 1
        self._results.clear()
        if not self._acts:
            plan = _only_recommended(plan)
        self._notes.step(self._clock.now_s(), observation, plan, compute_s, reading)
        await self._act(plan, now_s)
        if plan.cycle or plan.actions or plan.awaiting or answers:
            self._save(now_s)
            # Only now: had the engine been killed before, it would have to be answered again.
            standing.forget(self.state, asked.answers)
        self._write_status(now_s, observation, plan)

    async def _read(self, now_s: float) -> Reading:
        reading = await self._metrics.read(now_s)
        self.troubles.are(self._clock.now_s(), "metrics", reading.troubles)
        return reading

    async def _observe(self, now_s: float) -> Sighting | None:
        """What there is; None, with the trouble noted, if that cannot be found out."""
        sighting, trouble = None, ""
        try:
            sighting = await self._looking.call(
                self._infrastructure.observe,
                self._settings.observe_timeout_s,
                late=lambda sighting: self._take(*sighting.results),
            )
        except _StillBusyError:
            trouble = f"no answer within {self._settings.observe_timeout_s:g} s"
        except Exception as error:  # an adapter's own kinds
            trouble = str(error) or type(error).__name__
        if sighting is not None:
            missing = [spec.name for spec in self._specs if spec.name not in sighting.services]
            self._take(*sighting.results)
            if missing:
                sighting, trouble = None, f"it says nothing of {', '.join(missing)}"
        self.troubles.are(now_s, "infrastructure", [trouble] if trouble else [])
        return sighting

    def _look_ahead(self, now_s: float) -> Outlook | None:
        """The outlook; the last one if the schedule is in trouble, None before there was one."""
        try:
            self._outlook = self._schedule.outlook(now_s)
        except (OSError, ValueError) as error:
            self.troubles.are(now_s, "schedule", [str(error)])
        else:
            self.troubles.are(now_s, "schedule", [])
        return self._outlook

    def _services(
        self, counts: Mapping[str, Counts], reading: Reading
    ) -> tuple[ServiceObservation, ...]:
        return tuple(
            ServiceObservation(
                spec, seen.desired, seen.ready, seen.booting, seen.draining,
                reading.windows[spec.name],
            )
            for spec in self._specs
            for seen in (counts[spec.name],)
        )  # fmt: skip

    async def _act(self, plan: Plan, now_s: float) -> None:
        for action in plan.awaiting:
            delays = {"automatic": 0.0, "never": math.inf}
            delay_s = self._approver
            delay_s = delays[delay_s] if isinstance(delay_s, str) else delay_s
            self._questions[action.decision_id] = now_s + delay_s
        if not plan.actions:
            return
        try:
            results = await self._asking.call(
                lambda: self._infrastructure.apply(plan.actions),
                self._settings.apply_timeout_s,
                late=lambda results: self._take(*results),
            )
        except _StillBusyError:
            # It may be carried out yet; the engine can live with either.
            self._fail(plan.actions, f"no answer within {self._settings.apply_timeout_s:g} s")
        except Exception as error:  # an adapter's own kinds
            self._fail(plan.actions, str(error) or type(error).__name__)
        else:
            self._take(*results)

    def _take(self, *results: ActionResult) -> None:
        """Results for the controller's next step, and for the record."""
        for result in results:
            self._results.append(result)
            self._notes.result(result)

    def _fail(self, actions: Sequence[Action], why: str) -> None:
        now_s = self._clock.now_s()
        self._take(*(ActionResult(a.decision_id, Status.FAILED, now_s, why) for a in actions))

    def _answers(self, given: Sequence[Approval], now_s: float) -> tuple[Approval, ...]:
        """What people answered, and what is due to be answered by itself."""
        for answer in given:
            self._questions.pop(answer.decision_id, None)
        due = [decision for decision, at_s in self._questions.items() if at_s <= now_s]
        for decision in due:
            del self._questions[decision]
        return (*given, *(Approval(decision, True, now_s, "automatic") for decision in due))

    def _remember(self) -> None:
        """Take over what the engine before this one knew; without it, begin afresh."""
        now_s, path = self._clock.now_s(), self.state / MEMORY
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        try:
            kept = json.loads(text)
            self.controller.restore(kept["snapshot"])
            if kept["controller"] != type(self.controller).__name__:
                raise ValueError(f"it is the memory of {kept['controller']}")
            questions = {str(name): float(at_s) for name, at_s in kept["questions"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            aside = path.with_suffix(".unreadable.json")
            path.replace(aside)
            self.controller.restore(self._saved)
            self._notes.event(now_s, "memory_lost", MEMORY, f"kept as {aside.name}", str(error))
            return
        self._questions = questions
        self._saved = kept["snapshot"]
        self._notes.event(
            now_s, "memory_restored", MEMORY, "goes on with what was remembered",
            f"{now_s - kept['saved_s']:.0f} s old",
        )  # fmt: skip

    def _save(self, now_s: float) -> None:
        """Put the memory on the disk; what cannot be written is trouble, not the end."""
        self._saved = self.controller.snapshot()
        kept = {
            "saved_s": now_s,
            "lead": self._lead,
            "controller": type(self.controller).__name__,
            "questions": self._questions,
            "snapshot": self._saved,
        }
        self._write(MEMORY, kept, now_s)

    def _write_status(
        self, now_s: float, observation: Observation | None, plan: Plan | None
    ) -> None:
        """What people and `python -m engine status` read."""
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
        status = {
            "time_s": now_s,
            "pid": os.getpid(),
            "lead": self._lead,
            "acts": self._acts,
            "steps": self.steps,
            "skipped": self.skipped,
            "troubles": self.troubles.all,
            "services": services,
            "floors": dict(plan.floors) if plan is not None else {},
            "awaiting": sorted(self._questions),
        }
        self._write(STATUS, status, now_s)

    def _write(self, name: str, content: Mapping[str, Any], now_s: float) -> None:
        try:
            write_atomically(self.state / name, json.dumps(content) + "\n")
        except OSError as error:
            self.troubles.are(now_s, name, [f"{error.filename or self.state}: {error.strerror}"])
        else:
            self.troubles.are(now_s, name, [])


class _StillBusyError(Exception):
    """The call, or the one before it, has not come back in time."""


class _Thread:
    """Makes blocking calls in a thread, one at a time; one that hangs is left to itself."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._busy: asyncio.Future[Any] | None = None

    async def call(
        self,
        function: Callable[[], _Result],
        timeout_s: float,
        late: Callable[[_Result], None],
    ) -> _Result:
        """The function's result; `late` is given one that comes after the time is over.

        Raises _StillBusyError then, and whatever the function raises.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        if self._busy is not None and not self._busy.done():
            await asyncio.wait([self._busy], timeout=timeout_s)
            if not self._busy.done():
                raise _StillBusyError
        future: asyncio.Future[_Result] = loop.create_future()
        self._busy = future
        # A daemon: a call that never comes back must not keep the process from ending.
        threading.Thread(
            target=_work, args=(loop, future, function), name=self._name, daemon=True
        ).start()
        await asyncio.wait([future], timeout=max(deadline_s - loop.time(), 0.0))
        if future.done():
            return future.result()

        def over(future: asyncio.Future[_Result]) -> None:
            if not future.cancelled() and future.exception() is None:
                late(future.result())

        future.add_done_callback(over)
        raise _StillBusyError


def _work(
    loop: asyncio.AbstractEventLoop,
    future: asyncio.Future[_Result],
    function: Callable[[], _Result],
) -> None:
    result: _Result | None = None
    failure: Exception | None = None
    try:
        result = function()
    except Exception as error:
        failure = error

    def settle() -> None:
        if future.done():
            return
        if failure is not None:
            future.set_exception(failure)
        else:
            future.set_result(cast(_Result, result))

    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(settle)


def _only_recommended(plan: Plan) -> Plan:
    """The plan of a shell that may not act, whatever the controller thinks of that."""
    dry = (*plan.dry, *plan.actions, *plan.awaiting)
    return replace(plan, actions=(), awaiting=(), dry=dry)
