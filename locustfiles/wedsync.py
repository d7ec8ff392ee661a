r"""A scenario's day as real load on a real address: couples, guests, vendors and planners.

    locust -f locustfiles/wedsync.py --headless --host http://127.0.0.1:8080 \
        --scenario june_peak --scale 0.0005 --speed 60 --window 5h

plays the five hours around the peak of the day that `twin run scenario=june_peak` simulates, with
its weddings and its rates, in five minutes and at a two-thousandth of its size.  What is due when
is drawn beforehand (`locustfiles.arrivals`) and sent whatever became of the requests before
(`locustfiles.turnstile`); the users seen in Locust are the people at weddings.
docs/guides/load.md has more.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

import gevent.event
from gevent import GreenletExit
from locust import LoadTestShape, User, constant, events, runners, task
from locust.env import Environment
from locust.exception import StopTest, StopUser
from locust.runners import WorkerRunner

from locustfiles import options
from locustfiles.arrivals import Arrival
from locustfiles.client import PlatformUnderTest, RequestOutcome, TargetError
from locustfiles.conductor import BAD_INPUT, Conductor
from locustfiles.plan import PlanError
from locustfiles.results import ResultsError
from locustfiles.verdict import LimitError

# A worker on a machine with other work is heard of late.  Locust would give it up after three
# seconds, and the load with the last of them.
runners.HEARTBEAT_LIVENESS = 20

__all__ = ["Couple", "Guest", "Planner", "ScenarioShape", "Vendor", "options"]


class Person(User):
    """One person: there as long as Locust wants, and given the requests of its role when due."""

    abstract = True
    wait_time = constant(1)  # before it comes again, should `be_there` ever raise
    role: ClassVar[str]
    target: PlatformUnderTest

    @task
    def be_there(self) -> None:
        """Come, and make requests as the turnstile hands them out, until Locust ends this user."""
        while (sender := CONDUCTORS[id(self.environment)].sender) is None:
            gevent.sleep(0.1)
        self.target = sender.target
        sender.turnstile.come(self.role, self)
        try:
            gevent.event.Event().wait()
        finally:
            sender.turnstile.leave(self.role, self)

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        # Locust lets these two end the greenlet, whose exception gevent prints, for each user anew.
        self.__dict__.update(
            on_start=self._noted(self.on_start, StopUser), on_stop=self._noted(self.on_stop, None)
        )

    def _noted(
        self, step: Callable[[], object], ends_with: type[Exception] | None
    ) -> Callable[[], None]:
        """A step of Locust's that counts what it raises, and raises `ends_with` instead."""

        def noted() -> None:
            try:
                step()
            except LOCUSTS_OWN:
                raise
            except Exception as error:
                CONDUCTORS[id(self.environment)].user_failed(self, error)
                if ends_with is not None:
                    raise ends_with from error

        return noted

    def request(self, arrival: Arrival, timeout_s: float) -> RequestOutcome:
        """Make one request.  Override it for a journey of your own."""
        return self.target.send(arrival.step, arrival.wedding, timeout_s)

    def tell(self, arrival: Arrival, felt_s: float, outcome: RequestOutcome) -> None:
        """Tell Locust's own statistics, which count from when a request was due as well."""
        self.environment.events.request.fire(
            request_type=arrival.step.method,
            name=arrival.step.path,
            response_time=1000.0 * felt_s,
            response_length=outcome.body_bytes,
            exception=None if outcome.ending == "ok" else FailedRequestError(outcome.detail),
            context={"role": self.role, "attempt": arrival.attempt},
        )


class FailedRequestError(Exception):
    """A request that did not end well."""


class Couple(Person):
    """One of the two who marry, today or another day."""

    role = "couple"


class Guest(Person):
    """A guest who came."""

    role = "guest"


class Vendor(Person):
    """Somebody at work: the caterer, the photographer, the band."""

    role = "vendor"


class Planner(Person):
    """The professional who runs the day."""

    role = "planner"


LOCUSTS_OWN = (StopUser, StopTest, GreenletExit)
"""What ends a user on purpose."""


class FirstOfEach(logging.Filter):
    """Lets a few of the same messages pass: a user that fails does so each second, for ever."""

    MOST_SAME, MOST = 3, 30

    def __init__(self) -> None:
        super().__init__()
        self._seen: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a message is one of the first of its kind, and of all."""
        text = record.getMessage().partition("\n")[0]
        self._seen[text if len(self._seen) < self.MOST else ""] += 1
        return 0 < self._seen[text] <= self.MOST_SAME


ROLES: dict[str, type[Person]] = {kind.role: kind for kind in (Couple, Guest, Vendor, Planner)}

CONDUCTORS: dict[int, Conductor] = {}


class ScenarioShape(LoadTestShape):
    """As many users as people are at weddings at that moment of the scenario; ends with it."""

    def tick(self) -> tuple[int, float] | None:
        """Users wanted now and how many to start or stop per second; None ends the load."""
        assert self.runner is not None  # set by Locust before the first tick
        users = CONDUCTORS[id(self.runner.environment)].users()
        # No more than 100 a second: Locust warns of more, and nobody's requests wait for users.
        return None if users is None else (users, 100.0)


@events.init.add_listener
def prepare(environment: Environment, **_: Any) -> None:
    """Check the options before any load is made; a wrong one ends the process with exit code 2."""
    conductor = CONDUCTORS[id(environment)] = Conductor(
        environment, lambda role, target: _stand_in(environment, role, target)
    )
    chosen = environment.parsed_options
    for name in ("locust.user.task", "locust.user.users"):
        logging.getLogger(name).addFilter(FirstOfEach())
    # A worker is told by its master; with a web UI the address may still be typed in.
    if isinstance(environment.runner, WorkerRunner) or chosen is None:
        return
    if not chosen.headless and not environment.host:
        return
    if chosen.headless:
        gevent.signal_handler(signal.SIGINT, conductor.interrupt)
    try:
        conductor.announce(conductor.prepare())
    except (PlanError, LimitError, TargetError, ResultsError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(BAD_INPUT)


def _stand_in(environment: Environment, role: str, target: PlatformUnderTest) -> Person:
    person = ROLES[role](environment)
    person.target = target
    return person


@events.user_error.add_listener
def note_exception(user_instance: Any, exception: BaseException, **_: Any) -> None:
    """A task or an `on_start` of a user class raised an exception."""
    person = getattr(user_instance, "user", user_instance)
    CONDUCTORS[id(person.environment)].user_failed(person, exception)


@events.test_start.add_listener
def begin(environment: Environment, **_: Any) -> None:
    """Locust's test begins."""
    CONDUCTORS[id(environment)].test_started()


@events.test_stop.add_listener
def end(environment: Environment, **_: Any) -> None:
    """Locust's test ended."""
    CONDUCTORS[id(environment)].test_stopped()


@events.quitting.add_listener
def leave(environment: Environment, **_: Any) -> None:
    """Locust is about to end."""
    CONDUCTORS[id(environment)].quitting()


@events.quit.add_listener
def last_word(**_: Any) -> None:
    """Locust has said all that it has to say."""
    for conductor in CONDUCTORS.values():
        conductor.last_word()
