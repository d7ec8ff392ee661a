"""People at weddings, as Locust users: couples, guests, vendors and planners.

    locust -f locustfiles/wedsync.py --host http://127.0.0.1:8080 --headless -u 200 -t 60s

Each user is one person who joins a wedding at a random moment of its day, lives through the
phases that follow at the rates of the demand table, and then joins another wedding.  The mix of
the classes is the mix of people at the mean wedding.  Add `locustfiles/shape.py` to `-f` for a
number of users that follows a curve.
"""

from __future__ import annotations

import itertools
import time
from typing import ClassVar

import numpy as np
from locust import HttpUser, task

from locustfiles import journeys, options

__all__ = ["Couple", "Guest", "Planner", "Vendor", "options"]

DAY = journeys.load()

_numbers = itertools.count()


def _weight(role: str) -> int:
    return max(1, round(DAY.people[role]))


class Person(HttpUser):
    """One person: pauses and requests are those of the role in the present phase."""

    abstract = True
    role: ClassVar[str]

    def on_start(self) -> None:
        """Join a wedding, and wait as long as somebody who was there already would."""
        chosen = self.environment.parsed_options
        worker = max(0, getattr(self.environment.runner, "worker_index", 0))
        seed = np.random.SeedSequence((chosen.journey_seed, worker, next(_numbers)))
        self.rng = np.random.Generator(np.random.Philox(seed))
        self.speed = float(chosen.speed)
        self.activity = float(chosen.activity)
        self.weddings = int(chosen.weddings)
        self.began_s = time.monotonic()
        self.joined_at_s = float(self.rng.uniform(0.0, DAY.duration_s))
        self.days = -1
        self.wait()

    def moment_s(self) -> float:
        """Seconds of wedding time since the first phase of the first wedding."""
        return self.joined_at_s + (time.monotonic() - self.began_s) * self.speed

    def wait_time(self) -> float:
        """Seconds until the next request."""
        effort = float(self.rng.exponential()) / self.activity
        return DAY.pause_s(self.role, self.moment_s(), effort, speed=self.speed)

    @task
    def make_request(self) -> None:
        """Make the one request that is due now."""
        moment_s = self.moment_s()
        if moment_s // DAY.duration_s != self.days:
            self.days = int(moment_s // DAY.duration_s)
            self.wedding = int(self.rng.integers(1, self.weddings + 1))
        step = DAY.step(self.role, moment_s, self.rng)
        self.client.request(
            step.method,
            step.path.format(id=self.wedding),
            name=step.path,
            json=step.body,
            data=journeys.PHOTO if step.photo else None,
            headers={"Content-Type": "image/jpeg"} if step.photo else None,
        )


class Couple(Person):
    """One of the two who marry."""

    role = "couple"
    weight = _weight(role)


class Guest(Person):
    """A guest who came."""

    role = "guest"
    weight = _weight(role)


class Vendor(Person):
    """Somebody at work: the caterer, the photographer, the band."""

    role = "vendor"
    weight = _weight(role)


class Planner(Person):
    """The professional who runs the day."""

    role = "planner"
    weight = _weight(role)
