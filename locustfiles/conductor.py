"""Runs the load in Locust's life cycle: alone, with a web UI, or as a master with its workers.

A master realises the scenario once and sends each worker the plan with its share of it.  When all
of them are ready it names the moment at which to begin.  Each second a worker reports what is new;
the end of the load is when all have said that they are done.  Alone, the same happens in one
process and without messages.

It is long because alone, master and worker are three parts of one life cycle, read side by side.
"""

from __future__ import annotations

import datetime as dt
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gevent
from locust import User
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from engine.config.secrets import masked
from engine.record.schema.load import LoadSummary
from engine.record.schema.summary import MARKS
from locustfiles import options, results
from locustfiles.arrivals import ArrivalSchedule
from locustfiles.client import PlatformUnderTest, TargetError, is_loopback
from locustfiles.options import Wishes
from locustfiles.plan import LoadPlan, PlanError, from_bytes
from locustfiles.tally import Tally, unpacked
from locustfiles.turnstile import Requester, Turnstile
from locustfiles.verdict import Generator, LimitError, check, judge, summarise

LEAD_S = 0.5
"""From the word to begin to the first moment of the schedule."""

GET_READY_S = 60.0
REPORT_S = 1.0
OVERTIME_S = 10.0
CLOCKS_APART_S = 5.0

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130

MakePerson = Callable[[str, PlatformUnderTest], Requester]
"""A person of a role, who makes requests of the target."""


@dataclass(slots=True)
class Report:
    """What the one process, or all workers together, have told so far."""

    tally: Tally = field(default_factory=Tally)
    cpu: list[float] = field(default_factory=list)
    peak_in_flight: int = 0
    done: set[int] = field(default_factory=set)

    def take(self, worker: int, message: Mapping[str, Any]) -> None:
        """Add what is new from one worker."""
        self.tally.add(unpacked(message["tally"]))
        if message["cpu"] is not None:
            self.cpu.append(float(message["cpu"]))
        self.peak_in_flight += int(message["more_in_flight"])
        if message["done"]:
            self.done.add(worker)


class Sender:
    """The part that sends: one in each process that has users."""

    def __init__(
        self,
        schedule: ArrivalSchedule,
        target: PlatformUnderTest,
        make_person: MakePerson,
        max_in_flight: int,
        *,
        report: Callable[[dict[str, Any]], None],
    ) -> None:
        roles = {role for role, _ in schedule.plan.kinds}
        self.target = target
        self.turnstile = Turnstile(
            schedule, {role: make_person(role, target) for role in roles}, max_in_flight
        )
        self._report = report
        self._told_peak = 0
        self._stopped = False

    def begin(self, in_s: float) -> None:
        """Start sending, and reporting."""
        sending = gevent.spawn(self.turnstile.run, in_s)
        gevent.spawn(self._keep_reporting, sending)

    def stop(self) -> None:
        """End it now, and tell the last."""
        if not self._stopped:
            self._stopped = True
            self.turnstile.close()
            self._tell(None, done=True)
            self.target.close()

    def _keep_reporting(self, sending: gevent.Greenlet) -> None:
        cpu_s, at_s = time.process_time(), time.perf_counter()
        while not self._stopped:
            sending.join(timeout=REPORT_S)
            was_cpu_s, was_at_s = cpu_s, at_s
            cpu_s, at_s = time.process_time(), time.perf_counter()
            long_enough = at_s - was_at_s > REPORT_S / 2
            cpu = (cpu_s - was_cpu_s) / (at_s - was_at_s) if long_enough else None
            if sending.dead:
                self.stop()
            else:
                self._tell(cpu, done=False)

    def _tell(self, cpu: float | None, *, done: bool) -> None:
        peak = self.turnstile.peak_in_flight
        message = {
            "tally": self.turnstile.news().packed(),
            "cpu": cpu,
            "more_in_flight": peak - self._told_peak,
            "done": done,
        }
        self._told_peak = peak
        self._report(message)


class Conductor:
    """One for each Locust process; `environment` is Locust's."""

    def __init__(self, environment: Environment, make_person: MakePerson) -> None:
        self.environment = environment
        self.sender: Sender | None = None
        self.error = ""
        self._make_person = make_person
        self._user_classes = list(environment.user_classes)
        self._last_exception: BaseException | None = None
        self._early = Tally()
        self._wishes: Wishes | None = None
        self._report = Report()
        self._workers: dict[str, int] = {}
        self._ready: set[str] = set()
        self._lost = 0
        self._running = False
        self._interrupted = False
        self._concluded = True
        self._began_s = 0.0
        self._began_at_s = 0.0
        self._stopped_s: float | None = None
        self._folder = ""
        runner = environment.runner
        if isinstance(runner, WorkerRunner):
            runner.register_message("load_plan", self._on_plan, concurrent=True)
            runner.register_message("load_begin", self._on_begin)
        elif isinstance(runner, MasterRunner):
            runner.register_message("load_ready", self._on_ready)
            runner.register_message("load_news", self._on_news)

    # --- before the load

    def prepare(self) -> Wishes:
        """What the options ask for now; raises PlanError, LimitError, TargetError, RecordError."""
        assert self.environment.parsed_options is not None
        wanted = options.wishes(self.environment.parsed_options)
        host = self.environment.host or ""
        if not host:
            raise TargetError(
                "--host: is missing; name the platform under test, such as http://127.0.0.1:8080"
            )
        PlatformUnderTest(host, wanted.photo_bytes)
        check(wanted.limits, wanted.plan.services)
        if wanted.record is not None:
            results.check_writable(wanted.record)
        self._wishes = wanted
        self.environment.user_classes[:] = self._with_something_to_do(wanted.plan)
        for kind in self.environment.user_classes:
            kind.weight = max(wanted.plan.crowd.get(getattr(kind, "role", ""), 1.0), 0.01)
        return wanted

    def _with_something_to_do(self, plan: LoadPlan) -> list[type[User]]:
        """The user classes whose role the plan has requests for, and those that have no role.

        A trace knows guests alone: couples, vendors and planners do not exist then.
        """
        roles = {role for role, _ in plan.kinds}
        kinds = [k for k in self._user_classes if getattr(k, "role", None) in (None, *roles)]
        return kinds or self._user_classes

    def announce(self, wanted: Wishes) -> None:
        """Say what is going to be sent, and where it leaves this machine."""
        plan = wanted.plan
        host = str(self.environment.host)
        _say(
            f"{plan.scenario}, seed {plan.seed}: {plan.seconds / 3600:.3g} h in "
            f"{plan.wall_s:.0f} s, about {plan.expected:,.0f} requests, "
            f"up to {plan.peak_rate:,.0f} a second"
        )
        if plan.left_out:
            _say(f"left out, as no load can make it: {', '.join(plan.left_out)}")
        if not is_loopback(host):
            _say(
                f"WARNING: {masked(host)} is not on this machine; it is going to get up to "
                f"{plan.peak_rate:,.0f} requests a second"
            )

    # --- what the shape asks

    def users(self) -> int | None:
        """Users wanted now: the people at weddings; None when the load is over."""
        if self._wishes is None:
            try:
                self.announce(self.prepare())
            except (PlanError, LimitError, TargetError, results.ResultsError) as error:
                self._refuse(str(error))
                return None
        assert self._wishes is not None
        if self.error or (self._running and (self._interrupted or self._is_over())):
            return None
        plan = self._wishes.plan
        elapsed_s = self._elapsed_s() if self._began_s else 0.0
        each = max(float(plan.people.max()) / self._wishes.max_users, 1.0)
        step = max(self._wishes.max_users // 100, 1)  # Locust need not be told of each person
        return max(math.ceil(plan.people_at(elapsed_s) / each / step) * step, 1)

    # --- Locust's events

    def test_started(self) -> None:
        """Begin, or let the workers begin."""
        if isinstance(self.environment.runner, WorkerRunner):
            return
        assert self._wishes is not None
        self._report = Report()
        self._workers, self._ready, self._lost = {}, set(), 0
        self._running, self._concluded = True, False
        self._began_s, self._stopped_s, self._folder = 0.0, None, ""
        runner = self.environment.runner
        if not isinstance(runner, MasterRunner):
            self._workers = {"local": 0}
            self.sender = self._sender(
                ArrivalSchedule(self._wishes.plan), self._wishes.max_in_flight
            )
            self.sender.begin(self._begin())
            return
        self._workers = {client.id: i for i, client in enumerate(runner.clients.ready)}
        message = self._wishes.plan.to_bytes()
        for client_id, worker in self._workers.items():
            share = {
                "plan": message,
                "host": self.environment.host,
                "worker": worker,
                "workers": len(self._workers),
                "max_in_flight": math.ceil(self._wishes.max_in_flight / len(self._workers)),
                "photo_bytes": self._wishes.photo_bytes,
            }
            runner.send_message("load_plan", share, client_id)
        gevent.spawn_later(GET_READY_S, self._give_up_waiting)

    def test_stopped(self) -> None:
        """The load is over, or somebody stopped it."""
        if self.sender is not None:
            self.sender.stop()
            self.sender = None
        if isinstance(self.environment.runner, WorkerRunner):
            return
        if self._running and self._stopped_s is None:
            self._stopped_s = self._elapsed_s() if self._began_s else 0.0
        options_ = self.environment.parsed_options
        # A headless master hears the last of its workers only after this event.
        if self._all_done() or not (options_ and options_.headless):
            self._conclude()

    def interrupt(self) -> None:
        """Ctrl-C: end the load at the shape's next tick, so that what there is gets recorded.

        Raised anywhere else, as Python does it, the exception may hit Locust while it starts
        users, which then never ends.  A second Ctrl-C, or one before the load, is Python's own.
        """
        if not self._running or self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True

    def quitting(self) -> None:
        """Say how it went by the exit code."""
        if isinstance(self.environment.runner, WorkerRunner):
            return
        self._conclude()
        if self.error:
            self.environment.process_exit_code = BAD_INPUT

    def last_word(self) -> None:
        """The folder of the results, as the last line on stdout."""
        if self._folder:
            sys.stdout.write(f"{self._folder}\n")
            sys.stdout.flush()

    def user_failed(self, person: object, error: BaseException) -> None:
        """A user class raised an exception: the test fails by it."""
        if error is self._last_exception:
            return  # Locust tells of it, and lets it pass as well
        self._last_exception = error
        if not isinstance(self.environment.runner, WorkerRunner):
            self._report.tally.note_exception(person, error)
        elif self.sender is not None:
            self.sender.turnstile.note_exception(person, error)
        else:
            self._early.note_exception(person, error)

    # --- messages between master and workers

    def _on_plan(self, environment: Environment, msg: Any, **_: Any) -> None:
        """A worker gets its share of the plan."""
        share = msg.data
        if self.sender is not None:
            self.sender.stop()
        environment.host = share["host"]
        plan = from_bytes(share["plan"])
        target = PlatformUnderTest(share["host"], int(share["photo_bytes"]))
        schedule = ArrivalSchedule(plan, int(share["worker"]), int(share["workers"]))
        runner = environment.runner
        assert runner is not None
        self.sender = Sender(
            schedule, target, self._make_person, int(share["max_in_flight"]),
            report=lambda message: runner.send_message("load_news", message),
        )  # fmt: skip
        self.sender.turnstile.note_early(self._early)
        self._early = Tally()
        runner.send_message("load_ready")

    def _on_begin(self, msg: Any, **_: Any) -> None:
        """A worker begins, at the moment that the master named."""
        in_s = float(msg.data["at_s"]) - time.time()
        told_in_s = float(msg.data["in_s"])
        if abs(in_s - told_in_s) > CLOCKS_APART_S:
            in_s = told_in_s  # the clocks of the two machines differ: better a bit apart than late
        if self.sender is not None:
            self.sender.begin(max(in_s, 0.0))

    def _on_ready(self, environment: Environment, msg: Any, **_: Any) -> None:
        """The master hears that a worker has its share; the last of them lets all begin."""
        if msg.node_id in self._workers:
            self._ready.add(msg.node_id)
        if len(self._ready) == len(self._workers) and not self._began_s:
            in_s = self._begin()
            assert environment.runner is not None
            for client_id in self._workers:
                begin = {"at_s": self._began_at_s, "in_s": in_s}
                environment.runner.send_message("load_begin", begin, client_id)

    def _on_news(self, msg: Any, **_: Any) -> None:
        worker = self._workers.get(msg.node_id)
        if worker is not None and not self._concluded:
            self._report.take(worker, msg.data)

    def _give_up_waiting(self) -> None:
        if self._running and not self._began_s:
            missing = len(self._workers) - len(self._ready)
            self._refuse(f"{missing} of {len(self._workers)} workers did not get ready")

    # --- inside

    def _sender(self, schedule: ArrivalSchedule, max_in_flight: int) -> Sender:
        assert self._wishes is not None
        target = PlatformUnderTest(str(self.environment.host), self._wishes.photo_bytes)
        return Sender(
            schedule, target, self._make_person, max_in_flight,
            report=lambda message: self._report.take(0, message),
        )  # fmt: skip

    def _begin(self) -> float:
        """Fix the first moment of the schedule; returns in how many seconds it is."""
        assert self._wishes is not None
        in_s = max(self._wishes.begin_at_s - time.time(), LEAD_S)
        self._began_s = time.perf_counter() + in_s
        self._began_at_s = time.time() + in_s
        return in_s

    def _elapsed_s(self) -> float:
        return max(time.perf_counter() - self._began_s, 0.0)

    def _all_done(self) -> bool:
        return bool(self._workers) and len(self._report.done) + self._lost >= len(self._workers)

    def _is_over(self) -> bool:
        """All have said so, or it takes far longer than it may."""
        if not self._began_s:
            return False
        runner = self.environment.runner
        if isinstance(runner, MasterRunner):
            alive = {client.id for client in runner.clients.all if client.state != "missing"}
            gone = [w for name, w in self._workers.items() if name not in alive]
            self._lost = len([worker for worker in gone if worker not in self._report.done])
        assert self._wishes is not None
        longest_s = self._wishes.plan.longest_s + OVERTIME_S
        return self._all_done() or self._elapsed_s() > longest_s

    def _refuse(self, message: str) -> None:
        self.error = message
        _say(f"error: {message}")
        self._wishes = None

    def _conclude(self) -> None:
        """Work out the figures and the verdict, write and show them."""
        if self._concluded or self._wishes is None or not self._began_s:
            if self._running and not self._concluded and not self._began_s:
                self._concluded = True
                self.environment.process_exit_code = INTERRUPTED
            return
        self._concluded, self._running = True, False
        wanted, plan = self._wishes, self._wishes.plan
        elapsed_s = self._elapsed_s() if self._stopped_s is None else self._stopped_s
        partial = elapsed_s < plan.wall_s
        intended = ArrivalSchedule(plan).intended(elapsed_s)
        report = self._report
        figures = summarise(
            plan, report.tally, intended,
            Generator(len(self._workers), self._lost, report.peak_in_flight,
                      wanted.max_in_flight, report.cpu),
            host=masked(str(self.environment.host)),
            started=dt.datetime.fromtimestamp(self._began_at_s, dt.UTC),
            lasted_s=min(elapsed_s, plan.wall_s),
            partial=partial,
        )  # fmt: skip
        summary = judge(figures, wanted.limits)
        _show(summary)
        code = 0 if summary.verdict == "passed" or summary.nothing_to_judge else FAILED
        if partial:
            _say("interrupted: the figures are those of the part that was sent")
            code = INTERRUPTED
        if wanted.record is not None:
            try:
                results.write(
                    wanted.record,
                    plan,
                    report.tally,
                    intended,
                    summary=summary,
                    began_s=self._began_at_s,
                )
                self._folder = str(wanted.record)
            except results.ResultsError as error:
                _say(f"error: {error}")
                code = BAD_INPUT
        self.environment.process_exit_code = code
        # From a web UI, the next test may ask for something else.
        self._wishes = None


def _show(summary: LoadSummary) -> None:
    for one in summary.thresholds:
        value = "none" if one.value is None else f"{one.value:.4g}"
        _say(f"{MARKS[one.outcome]}  {one.metric} = {value} ({one.operator} {one.limit:g})")
    generator, requests = summary.generator, summary.requests
    _say(
        f"{requests.intended:,} due, {requests.sent:,} sent ({requests.retried:,} of them "
        f"again), {requests.ok:,} ok; generator: {generator.late_ratio:.2%} late, "
        f"{generator.held_ratio:.2%} held, {generator.unsent:,} not sent"
    )
    _say(f"{summary.verdict}: {results.sentence(summary)}")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
