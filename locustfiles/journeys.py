"""Who asks what, and when: the behaviour of one person at a wedding, without any HTTP.

How often is not decided here: `Day` takes phases and rates from the packaged configuration
(`conf/population`, `conf/demand`).  Only the choice among the requests of one service is ours; it
is even, because nothing is known about it.

The day can run faster than the clock (`speed`): phases get shorter, but a person still makes as
many requests a second as the phase asks for, because it is the rate that loads a platform.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

import numpy as np
import yaml
from numpy.typing import NDArray

from scenarios.config import DemandConfig, PopulationConfig

PHOTO = b"\xff\xd8\xff\xe0" + bytes(2044) + b"\xff\xd9"
"""Body of an upload: small on purpose (2 KiB), to load the service and not the test machine."""


@dataclass(frozen=True, slots=True)
class Step:
    """One request a person may make; `phases` empty: at any time of the day.

    `path` has a place for the wedding's id; `body` is sent as JSON, `photo` as an image.
    """

    method: str
    path: str
    phases: tuple[str, ...] = ()
    body: Mapping[str, str] | None = None
    photo: bool = False


_OVERVIEW = Step("GET", "/weddings/{id}")
_TIMELINE = Step("GET", "/weddings/{id}/timeline")
_UPDATES = Step("GET", "/weddings/{id}/updates")
_PHOTO = Step("POST", "/weddings/{id}/photos", photo=True)
_MESSAGE = Step("POST", "/weddings/{id}/messages", body={"text": "On our way"})

STEPS: Mapping[str, Mapping[str, tuple[Step, ...]]] = {
    "couple": {
        "api": (_OVERVIEW, Step("GET", "/weddings/{id}/guests")),
        "real-time": (_UPDATES, _MESSAGE),
        "file-storage": (_PHOTO,),
    },
    "guest": {
        "api": (
            _OVERVIEW,
            Step("POST", "/weddings/{id}/rsvp", ("getting_ready",), {"answer": "yes"}),
            Step("GET", "/weddings/{id}/seating", ("cocktail_hour", "dinner")),
            Step("POST", "/weddings/{id}/songs", ("dinner", "party"), {"title": "At Last"}),
        ),
        "real-time": (_UPDATES,),
        "file-storage": (_PHOTO,),
    },
    "vendor": {
        "api": (
            _TIMELINE,
            Step("POST", "/weddings/{id}/check-ins", ("getting_ready",), {"state": "arrived"}),
        ),
        "real-time": (_UPDATES,),
        "file-storage": (_PHOTO,),
    },
    "planner": {
        "api": (
            _TIMELINE,
            Step("GET", "/weddings/{id}/guests"),
            Step("POST", "/weddings/{id}/timeline", body={"shift_min": "5"}),
        ),
        "real-time": (_UPDATES, _MESSAGE),
        "file-storage": (_PHOTO,),
    },
}
"""Role -> service -> the requests that a person of that role makes there."""


@dataclass(frozen=True, slots=True, eq=False)
class Day:
    """The phases of a wedding and how busy each role is in them.

    `length_s` (P,) are the lengths of `phases`, seconds of the wedding's own time; `rates`
    (roles, services, P) are requests/s of one person; `people` is the mean number of participants
    of each role at one wedding.
    """

    phases: tuple[str, ...]
    length_s: NDArray[np.float64]
    roles: tuple[str, ...]
    services: tuple[str, ...]
    rates: NDArray[np.float64]
    people: Mapping[str, float]

    @property
    def duration_s(self) -> float:
        """From the first phase to the end of the last, seconds."""
        return float(self.length_s.sum())

    def phase_at(self, moment_s: float) -> int:
        """Index of the phase at `moment_s` after the first phase's start; days repeat."""
        ends = np.cumsum(self.length_s)
        return int(np.searchsorted(ends, moment_s % self.duration_s, side="right"))

    def pause_s(self, role: str, moment_s: float, effort: float, *, speed: float) -> float:
        """Seconds on the clock until a person's next request.

        Requests are a Poisson process whose rate changes with the phase: `effort`, drawn from the
        exponential distribution of mean 1, is used up at the rate of the phase that is passed
        through.  Correct across borders of phases, also of phases without any request.
        """
        rate = self.rates[self.roles.index(role)].sum(axis=0)
        if not np.any(rate > 0.0):
            raise ValueError(f"a {role} never makes a request: all rates are 0")
        per_day = float(rate @ self.length_s) / speed
        days = int(effort // per_day)
        effort -= days * per_day
        pause = days * self.duration_s / speed
        moment_s %= self.duration_s
        phase = self.phase_at(moment_s)
        left_s = (float(self.length_s[: phase + 1].sum()) - moment_s) / speed
        while effort > rate[phase] * left_s:
            effort -= float(rate[phase]) * left_s
            pause += left_s
            phase = (phase + 1) % len(self.phases)
            left_s = float(self.length_s[phase]) / speed
        return pause + (effort / float(rate[phase]) if effort > 0.0 else 0.0)

    def step(self, role: str, moment_s: float, rng: np.random.Generator) -> Step:
        """The request of a `role` at that moment: first the service by its rate, then which."""
        phase = self.phase_at(moment_s)
        rates = self.rates[self.roles.index(role), :, phase]
        if not np.any(rates > 0.0):
            raise ValueError(f"a {role} makes no request during {self.phases[phase]}")
        service = self.services[int(rng.choice(len(rates), p=rates / rates.sum()))]
        name = self.phases[phase]
        allowed = [s for s in STEPS[role][service] if not s.phases or name in s.phases]
        return allowed[int(rng.integers(len(allowed)))]


def load(tree: Traversable | None = None) -> Day:
    """The day as the packaged configuration describes it, or another tree of the same layout.

    Raises ValueError (pydantic's) naming the key that is wrong.
    """
    tree = resources.files("conf") if tree is None else tree
    population = PopulationConfig.model_validate(_read(tree / "population" / "us.yaml"))
    demand = DemandConfig.model_validate(_read(tree / "demand" / "wedsync.yaml"))
    starts = [60.0 * phase.start_min for phase in population.phases]
    roles, services = tuple(STEPS), tuple(demand.rates)
    phases = population.phase_names
    kinds = population.types.values()
    return Day(
        phases=phases,
        length_s=np.diff([*starts, 60.0 * population.end_min]),
        roles=roles,
        services=services,
        rates=np.array(
            [
                [[demand.rates[s][role][phase].rate for phase in phases] for s in services]
                for role in roles
            ]
        ),
        people={
            "couple": 2.0,
            "guest": population.actual.turnout.mean * sum(k.share * k.guests.mean for k in kinds),
            "vendor": sum(k.share * k.vendors.mean for k in kinds),
            "planner": sum(k.share * k.planners for k in kinds),
        },
    )


def _read(file: Traversable) -> object:
    parsed: object = yaml.safe_load(file.read_text(encoding="utf-8"))
    return parsed
