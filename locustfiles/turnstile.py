"""The turnstile: hands out requests when they are due, whatever became of those before.

An ordinary load test waits for an answer before it sends the next request, so a slow system slows
its own test down.  Here the schedule was drawn beforehand and one greenlet goes through it.  A
request goes to an idle user of its role; where all are busy somebody stands in, so the load does
not depend on how many users there are.

The one limit is how many may be in flight.  What is due beyond it is held and sent as soon as
another one ends, late, and felt from the moment at which it was due; what has been held for longer
than its client would have waited is dropped and counted.  Both are in the report, as is how late
the generator itself was: a generator that cannot keep up must not pass for a slow system.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

import gevent
from gevent.pool import Group

from locustfiles.arrivals import Arrival, ArrivalSchedule
from locustfiles.client import RequestOutcome
from locustfiles.plan import LoadPlan
from locustfiles.tally import LATE_S, Tally, note
from scenarios.streams import Streams

MOST_HELD = 200_000
PULSE_S = 0.05


class Requester(Protocol):
    """Who makes requests; whoever stands in may make several at once."""

    def request(self, arrival: Arrival, timeout_s: float) -> RequestOutcome:
        """Make the request and wait for its end, at most so long."""
        ...

    def tell(self, arrival: Arrival, felt_s: float, outcome: RequestOutcome) -> None:
        """Hear how long it took, felt from the moment at which it was due."""
        ...


class Turnstile:
    """Hands the arrivals of `schedule` to people; `stand_ins` has one person for each role."""

    def __init__(
        self,
        schedule: ArrivalSchedule,
        stand_ins: Mapping[str, Requester],
        max_in_flight: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.plan: LoadPlan = schedule.plan
        self.in_flight = 0
        self.peak_in_flight = 0
        self.over = False
        self._schedule = schedule
        self._stand_ins = stand_ins
        self._max_in_flight = max_in_flight
        self._clock = clock
        self._fresh = Tally()
        self._present: set[int] = set()
        self._idle: dict[str, list[Requester]] = {role: [] for role in stand_ins}
        self._held: deque[Arrival] = deque()
        self._under_way: dict[int, Arrival] = {}
        self._greenlets = Group()
        self._rng = Streams(self.plan.seed)(f"load.retries.{schedule.worker}")
        self._began_s = 0.0

    def run(self, in_s: float) -> None:
        """Begin `in_s` seconds from now; returns when all has been sent and answered."""
        self._began_s = self._clock() + in_s
        self._greenlets.spawn(self._feel_pulse)
        ahead = self._schedule.block(0)
        for second in range(self._schedule.blocks):
            arrivals, upcoming = ahead, None
            for arrival in arrivals:
                wait_s = arrival.due_s - self.now_s
                if wait_s > 0.0:
                    if upcoming is None and second + 1 < self._schedule.blocks:
                        upcoming = self._schedule.block(second + 1)  # while there is time anyway
                        wait_s = arrival.due_s - self.now_s
                    if wait_s > 0.0:
                        gevent.sleep(wait_s)
                self.submit(arrival)
            if upcoming is None and second + 1 < self._schedule.blocks:
                upcoming = self._schedule.block(second + 1)
            ahead = upcoming or []
        last_s = self.plan.longest_s
        while self.now_s < self.plan.wall_s or (
            (self.in_flight or self._held) and self.now_s < last_s
        ):
            gevent.sleep(0.02)
        self.close()

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._began_s

    def submit(self, arrival: Arrival) -> None:
        """Send it now if it may be, else hold it; nothing after the end of the load."""
        if self.over:
            return
        if not arrival.attempt:
            self._count(arrival, "intended")
        if self.in_flight < self._max_in_flight:
            self._send(arrival)
        elif len(self._held) < MOST_HELD:
            self._count(arrival, "held")
            self._held.append(arrival)
        else:
            self._count(arrival, "dropped")

    def come(self, role: str, person: Requester) -> None:
        """`person` is there, with nothing to do; for ever, if the plan has nothing for the role."""
        self._present.add(id(person))
        self._idle.setdefault(role, []).append(person)

    def leave(self, role: str, person: Requester) -> None:
        """`person` goes; a request under way goes on without minding that."""
        self._present.discard(id(person))
        if person in self._idle.get(role, ()):
            self._idle[role].remove(person)

    def news(self) -> Tally:
        """What was counted since the last call."""
        fresh, self._fresh = self._fresh, Tally()
        return fresh

    def note_exception(self, person: object, error: BaseException) -> None:
        """Count an exception that a user class raised."""
        self._fresh.note_exception(person, error)

    def note_early(self, tally: Tally) -> None:
        """Count what there was before there was a turnstile."""
        self._fresh.add(tally)

    def close(self) -> None:
        """No more of it: what is held is dropped, what is in flight stays unanswered."""
        if self.over:
            return
        self.over = True
        for arrival in self._held:
            self._count(arrival, "dropped")
        self._held.clear()
        for arrival in self._under_way.values():
            self._count(arrival, "unfinished")
        self._under_way.clear()

    def _feel_pulse(self) -> None:
        """How late a timer fires: then answers that are there wait as well, and seem slow."""
        while not self.over:
            due_s = self._clock() + PULSE_S
            gevent.sleep(PULSE_S)
            note(self._fresh.pulse, self._clock() - due_s)

    def _send(self, arrival: Arrival, was_held: bool = False) -> None:
        if not was_held:
            late_s = self.now_s - arrival.due_s
            cell = self._fresh.cell(int(arrival.due_s), arrival.service)
            note(cell.lateness, late_s)
            cell.counts["late"] += late_s > LATE_S
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        idle = self._idle[arrival.role]
        person = idle.pop() if idle else self._stand_ins[arrival.role]
        # Under way from here on: a greenlet that is spawned may start only later.
        self._under_way[id(arrival)] = arrival
        self._greenlets.spawn(self._through, person, arrival)

    def _through(self, person: Requester, arrival: Arrival) -> None:
        """One request from its sending to its end."""
        if self.over:
            return  # counted as unfinished before it could be sent
        sent_s = self.now_s
        try:
            outcome = person.request(arrival, self.plan.clients[arrival.service].timeout_s)
        except Exception as error:  # a journey of a user's own may have any bug
            self.note_exception(person, error)
            outcome = RequestOutcome("failed", f"{type(error).__name__}: {error}")
        finally:
            self.in_flight -= 1
            if id(person) in self._present:
                self._idle[arrival.role].append(person)
        if self._under_way.pop(id(arrival), None) is None:
            return  # the load was stopped meanwhile, and this one counted as unfinished
        felt_s = self._note(arrival, sent_s, outcome)
        try:
            person.tell(arrival, felt_s, outcome)
        except Exception as error:
            self.note_exception(person, error)
        self._release()

    def _note(self, arrival: Arrival, sent_s: float, outcome: RequestOutcome) -> float:
        """Count how it ended; returns what was felt, seconds."""
        now_s = self.now_s
        felt_s = now_s - arrival.due_s
        cell = self._fresh.cell(int(arrival.due_s), arrival.service)
        cell.counts["sent"] += 1
        cell.counts["retried"] += arrival.attempt > 0
        cell.counts[outcome.ending] += 1
        if outcome.ending in ("ok", "timed_out"):
            note(cell.felt, felt_s)
            note(cell.answered, now_s - sent_s)
        if outcome.ending == "ok":
            cell.counts["slow"] += felt_s > self.plan.clients[arrival.service].slo_p95_s
        else:
            reason = f"{self.plan.services[arrival.service]}: {outcome.detail}"
            self._fresh.reasons[reason] = self._fresh.reasons.get(reason, 0) + 1
            self._try_again(arrival)
        roles = self._fresh.roles
        roles[arrival.role] = roles.get(arrival.role, 0) + 1
        return felt_s

    def _release(self) -> None:
        """Send what is held, as far as it is still wanted."""
        while self._held and self.in_flight < self._max_in_flight:
            arrival = self._held.popleft()
            if self.now_s - arrival.due_s > self.plan.clients[arrival.service].timeout_s:
                self._count(arrival, "dropped")
            else:
                self._send(arrival, was_held=True)

    def _try_again(self, arrival: Arrival) -> None:
        """As the twin's clients do: some come again, after a pause that doubles (port.py there)."""
        client = self.plan.clients[arrival.service]
        if (
            self.over
            or arrival.attempt >= client.max_retries
            or self._rng.random() >= client.retry_share
        ):
            return
        pause_s = client.backoff_s * 2.0**arrival.attempt * (0.5 + self._rng.random())
        due_s = self.now_s + pause_s
        if due_s >= self.plan.wall_s:
            return
        again = replace(arrival, due_s=due_s, attempt=arrival.attempt + 1)
        gevent.spawn_later(pause_s, self._retry, again)

    def _retry(self, arrival: Arrival) -> None:
        if not self.over:
            self.submit(arrival)

    def _count(self, arrival: Arrival, what: str) -> None:
        self._fresh.cell(int(arrival.due_s), arrival.service).counts[what] += 1
