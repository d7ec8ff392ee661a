"""What a load test will send: the realised day of a scenario, cut, scaled and compressed.

The day is realised by the very functions, and from the very random streams, that `twin run` uses,
so with the same seed both have the same weddings and the same rates.  Only the arrivals themselves
are drawn anew, because `scale` times as many are wanted.  `speed` compresses time: phases get
shorter, yet a moment's rate stays `scale` times the real one, since it is the rate that loads a
platform.

A plan is plain arrays, so that a master can send it to workers that have no copy of the scenario.
How it is made: `locustfiles.realising`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.config.composition import composed

FloatArray = NDArray[np.float64]

MINUTE_S = 60


class PlanError(ValueError):
    """No load can be made of what was asked for; the message names the option or key."""


@dataclass(frozen=True, slots=True)
class Client:
    """What users of one service put up with; as in the scenario's platform."""

    slo_p95_s: float
    timeout_s: float
    max_retries: int
    retry_share: float
    backoff_s: float


@dataclass(frozen=True, slots=True)
class WantedExcerpt:
    """What of the day is wanted: as given on the command line, empty for the default.

    `start` is "peak", "ramp" (with an offset in seconds), seconds or "HH:MM" (UTC); `window` is
    that long around the peak.
    """

    start: str = ""
    duration: str = ""
    window: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class LoadPlan:
    """A realised load: S services, N scenario seconds in M minutes, K kinds of people, W weddings.

    `rates` (S, N) are requests/s on the wall clock in each second of the scenario.  `shares`
    (S, M, K) are cumulative over `kinds`, pairs of role and phase; `stage` (W, M) is the index of
    the phase a wedding is in, -1 for none; `people` (M,) are at a wedding, scaled; `crowd`
    are people of each role at the mean wedding.  `start_s` is
    the scenario's time of the beginning, epoch seconds.
    """

    scenario: str
    description: str
    seed: int
    scale: float
    speed: float
    start_s: float
    services: tuple[str, ...]
    phases: tuple[str, ...]
    kinds: tuple[tuple[str, str], ...]
    clients: tuple[Client, ...]
    limits: tuple[tuple[str, str], ...]
    left_out: tuple[str, ...]
    crowd: Mapping[str, float]
    rates: FloatArray
    shares: FloatArray
    people: FloatArray
    stage: NDArray[np.int8]

    @property
    def seconds(self) -> int:
        """Length in scenario seconds."""
        return self.rates.shape[1]

    @property
    def wall_s(self) -> float:
        """Length on the clock, seconds."""
        return self.seconds / self.speed

    @property
    def longest_s(self) -> float:
        """When the last request must have ended: held for its time-out, then sent and timed out."""
        return self.wall_s + 2.0 * max(client.timeout_s for client in self.clients) + 1.0

    @property
    def peak_rate(self) -> float:
        """Most requests/s, all services together."""
        return float(self.rates.sum(axis=0).max())

    @property
    def expected(self) -> float:
        """Requests expected in all."""
        return float(self.rates.sum()) / self.speed

    def people_at(self, elapsed_s: float) -> float:
        """People at weddings, scaled, so long after the start (wall seconds)."""
        minute = int(elapsed_s * self.speed) // MINUTE_S
        return float(self.people[min(max(minute, 0), len(self.people) - 1)])

    def to_bytes(self) -> bytes:
        """The plan as one message; `from_bytes` reads it."""
        words = {name: getattr(self, name) for name in _WORDS}
        words["clients"] = [asdict(client) for client in self.clients]
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        file = io.BytesIO()
        np.savez(file, words=np.frombuffer(json.dumps(words).encode(), dtype=np.uint8), **arrays)
        return file.getvalue()


_ARRAYS = ("rates", "shares", "people", "stage")
_WORDS = (
    "scenario", "description", "seed", "scale", "speed", "start_s", "services", "phases", "kinds",
    "limits", "left_out", "crowd",
)  # fmt: skip


def from_bytes(message: bytes) -> LoadPlan:
    """The plan that `LoadPlan.to_bytes` packed."""
    with np.load(io.BytesIO(message), allow_pickle=False) as held:
        words: dict[str, Any] = json.loads(held["words"].tobytes())
        arrays = {name: held[name] for name in _ARRAYS}
    words["clients"] = tuple(Client(**client) for client in words["clients"])
    words["kinds"] = tuple((role, phase) for role, phase in words["kinds"])
    words["limits"] = tuple((name, text) for name, text in words["limits"])
    for name in ("services", "phases", "left_out"):
        words[name] = tuple(words[name])
    return LoadPlan(**words, **arrays)


def make(
    scenario: str,
    *,
    scale: float,
    speed: float,
    seed: int | None = None,
    part: WantedExcerpt | None = None,
    overrides: tuple[str, ...] = (),
    config_dirs: tuple[str, ...] = (),
) -> LoadPlan:
    """Realise `scenario` and cut out `part`; raises PlanError naming the option or key."""
    wanted = [f"scenario={scenario}", *overrides]
    if seed is not None:
        wanted.append(f"seed={seed}")
    try:
        configuration = composed(wanted, config_dirs)
    except ValueError as error:
        raise PlanError(str(error)) from error
    from locustfiles import realising  # what compiles: not for whom a word was wrong, nor a worker

    return realising.realised(configuration, part or WantedExcerpt(), scale=scale, speed=speed)
