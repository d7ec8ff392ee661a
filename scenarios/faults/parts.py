"""The parts of a world that faults spoil, as far as faults touch them.

Whoever plays a scenario has one of each (`twin.effects` puts them together); a fault's effect gets
the one that its kind names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.model import FloatArray, Schedule

if TYPE_CHECKING:  # what checks a configuration need not wait for what draws the demand
    from scenarios.weddings.demand import Demand


@dataclass(frozen=True, slots=True, eq=False)
class LoadPart:
    """The demand of the run without faults and with them; the flash crowds are in it already."""

    plain: Demand
    faulted: Demand


class LaunchPart(Protocol):
    """A launch about to begin, for faults to change in place; arrays of shape (instances,)."""

    @property
    def wait_s(self) -> FloatArray:
        """Until it is ready; infinite for a boot that hangs."""
        ...

    @property
    def given_up_s(self) -> FloatArray:
        """After which one that hangs is replaced."""
        ...

    @property
    def crashes(self) -> NDArray[np.int64]:
        """How often it is still to crash."""
        ...

    @property
    def up_s(self) -> FloatArray:
        """How long after getting ready it does so."""
        ...


LaunchFault = Callable[[LaunchPart], None]
"""Changes a launch in place before it begins."""


class FleetPart(Protocol):
    """The instances of one service."""

    boot_factor: float
    """How many times as long as specified boots take."""

    @property
    def launch_faults(self) -> list[LaunchFault]:
        """What is wrong with its launches now."""
        ...

    @property
    def shortages(self) -> list[Callable[[int], int]]:
        """Each is asked how many of so many instances the provider has."""
        ...

    @property
    def ready(self) -> int:
        """Instances that serve."""
        ...

    def lose_zone(self, zone: int) -> int:
        """Take a zone away with all its instances; returns how many these are."""
        ...

    def close_zone(self, zone: int) -> None:
        """Let no new instance be placed in `zone`; may be called several times."""
        ...

    def restore_zone(self, zone: int) -> None:
        """Take back one `close_zone` or `lose_zone`."""
        ...

    def reclaim(
        self, share: float, zones: Sequence[int], notice_s: float, rng: np.random.Generator
    ) -> int:
        """Take a share of what boots or serves in `zones` (empty: all); returns how many."""
        ...


class FleetsPart(Protocol):
    """All instances of the platform."""

    @property
    def zones(self) -> Sequence[str]:
        """Names of the zones."""
        ...

    def of(self, services: Sequence[str]) -> Mapping[str, FleetPart]:
        """The fleets of `services`, by name; empty: all of them."""
        ...

    def replace_lost(self) -> None:
        """Let what was lost be launched anew once the loss has been noticed."""
        ...


class SlownessPart(Protocol):
    """How many times as long as specified requests take, by service, zone and instance."""

    @property
    def zones(self) -> Sequence[str]:
        """Names of the zones."""
        ...

    def slow_service(self, service: str, factor: float) -> Callable[[], None]:
        """Slow all of a service; what is returned ends it."""
        ...

    def slow_zone(self, zone: int, factor: float) -> Callable[[], None]:
        """Slow all instances in a zone; what is returned ends it."""
        ...

    def slow_instances(
        self, service: str, count: int, factor: float, *, rng: np.random.Generator
    ) -> tuple[tuple[str, ...], Callable[[], None]]:
        """Slow `count` ready instances that are not slow yet: their names, and what ends it."""
        ...

    def ready_in(self, zone: int) -> int:
        """Instances that serve in the zone."""
        ...

    def served(self, service: str) -> float:
        """Requests to the service that have been answered so far."""
        ...


class CallsPart(Protocol):
    """The calls that services make to others."""

    def multiply(self, service: str, factor: float) -> None:
        """From now on each request makes `factor` times as many synchronous calls as specified."""
        ...

    def served(self, service: str) -> float:
        """Requests to the service that have been answered so far."""
        ...

    def per_request(self, service: str) -> float:
        """Synchronous calls that each of its requests makes as specified."""
        ...


@dataclass(frozen=True, slots=True)
class LostCommand:
    """It changes nothing and nobody ever answers."""


@dataclass(frozen=True, slots=True)
class RefusedCommand:
    """It changes nothing and is answered with `why`."""

    why: str


@dataclass(frozen=True, slots=True)
class UnansweredCommand:
    """No answer within `timeout_s`, which reads as a failure; carried out `late_s` after it."""

    timeout_s: float
    late_s: float


@dataclass(frozen=True, slots=True)
class RepeatedCommand:
    """It arrives, and once more `delay_s` later."""

    delay_s: float


CommandFate = LostCommand | RefusedCommand | UnansweredCommand | RepeatedCommand
CommandFault = Callable[[str], CommandFate | None]
"""Given the service that a command is for: what becomes of it; None: nothing unusual."""


class CommandsPart(Protocol):
    """The interface of the infrastructure that commands go through."""

    @property
    def services(self) -> Sequence[str]:
        """The services that it scales."""
        ...

    @property
    def faults(self) -> list[CommandFault]:
        """What is wrong with it now; asked in this order."""
        ...


class TelemetryPart(Protocol):
    """The samples of one service on their way to the engine; each method returns how many it hit.

    `chosen` (samples,) says which.
    """

    @property
    def sampled_s(self) -> FloatArray:
        """When each sample is taken, seconds into the run."""
        ...

    def black_out(self, begin_s: float, end_s: float, late_s: float) -> int:
        """Hold back what is due in between and deliver it up to `late_s` after the end."""
        ...

    def delay(self, chosen: NDArray[np.bool_], late_s: FloatArray) -> int:
        """Let them arrive `late_s` (samples,) later."""
        ...

    def lose(self, chosen: NDArray[np.bool_]) -> int:
        """Let them never arrive."""
        ...

    def punch(self, chosen: NDArray[np.bool_]) -> int:
        """Leave one figure of each out."""
        ...

    def repeat(self, chosen: NDArray[np.bool_]) -> int:
        """Let them arrive once more."""
        ...

    def misread(self, chosen: NDArray[np.bool_], figure: str, factor: float) -> int:
        """Show `figure` of them `factor` times too large."""
        ...


@dataclass(frozen=True, slots=True)
class Death:
    """How the engine dies: after so many actions, for how long, and with what it remembers."""

    acted: int
    down_s: float
    snapshot_age_s: float


class EnginePart(Protocol):
    """The process of the engine that is under test."""

    clock_error_s: float
    """By how much its clock is wrong."""

    @property
    def steps(self) -> int:
        """Steps of the engine that leads so far."""
        ...

    @property
    def deposed_steps(self) -> int:
        """Steps so far of engines that do not lead any more."""
        ...

    def kill(self, death: Death, at_s: float, until_s: float, died: Callable[[str], None]) -> None:
        """Arrange for its death between `at_s` and `until_s`; before the run."""
        ...

    def depose(self, behind_s: float) -> Callable[[], None]:
        """Let a second one lead while it goes on `behind_s` ago; what is returned ends it."""
        ...


class FeedPart(Protocol):
    """The booked schedule on its way to the engine."""

    stale: int
    """How many faults stop its refresh now."""
    delay_s: float
    missed: int
    """Refreshes that were due and did not come."""

    def distort(self, change: Callable[[Schedule], Schedule]) -> None:
        """From now on show the schedule as `change` makes it."""
        ...

    def put_right(self, change: Callable[[Schedule], Schedule]) -> None:
        """Take a distortion back."""
        ...

    def catch_up(self) -> None:
        """Let the next look refresh it."""
        ...


class SamplesPart(Protocol):
    """The samples of all services."""

    def of(self, services: Sequence[str]) -> Iterator[tuple[str, TelemetryPart]]:
        """Those of `services`, by name; empty: all of them."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """One of each."""

    load: LoadPart
    fleets: FleetsPart
    slowness: SlownessPart
    calls: CallsPart
    commands: CommandsPart
    samples: SamplesPart
    engine: EnginePart
    feed: FeedPart
