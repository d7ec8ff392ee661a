"""A fault: data with a name, what it does to the part of a world that it spoils, how to draw it.

Each kind is one file in `scenarios/faults/kinds/`, and is there because the file is.  A kind of
one's own is a class like these in any module that Python finds; a scenario names it as
`kind: module:Class`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol

import numpy as np
from pydantic import Field

from engine.config.strict import Strict
from scenarios.faults.draw import Draw
from scenarios.faults.times import MAX_OFFSET_S, At

Duration = Annotated[float, Field(gt=0, le=MAX_OFFSET_S, description="seconds")]
Ramp = Annotated[float, Field(ge=0, le=MAX_OFFSET_S, description="seconds")]
Factor = Annotated[float, Field(gt=0, le=1_000)]
Services = Annotated[tuple[str, ...], Field(description="services it hits; empty: all")]
Share = Annotated[float, Field(gt=0, le=1, description="share of what is concerned, 0-1")]
Zones = Annotated[
    tuple[Annotated[int, Field(ge=0, le=99)], ...],
    Field(description="indices of the zones it hits; empty: all"),
]
Zone = Annotated[int, Field(ge=0, le=99, description="index of the zone, from 0")]


@dataclass(frozen=True, slots=True)
class Happening:
    """A fault that is going to happen in a run: when, with which chances, and who counts it."""

    begin_s: float
    """Seconds into the run, as `end_s` is."""
    end_s: float
    rng: Callable[[str], np.random.Generator]
    """The fault's own random stream for a purpose, such as a service's name."""
    fire: Callable[[int], None]
    """Adds so many requests, instances, launches, commands or samples that were really hit."""


class Effect:
    """What a fault does to its part while it lasts; whoever plays the world calls it in time."""

    every_s: float = float("inf")
    """How often `renew` is called between beginning and end."""

    def begin(self) -> str:
        """Spoil the part; returns what happens, for the record."""
        return ""

    def renew(self, since_s: float) -> None:
        """Go on, `since_s` seconds after the beginning."""

    def end(self) -> str:
        """Put right what can be; returns what the record is to say, or "" for how often it hit."""
        return ""


class AwaitedEffect(Protocol):
    """An effect whose beginning the part itself chooses, such as the death of a process."""

    lasts_s: float
    """Seconds from its beginning until it is over."""

    def await_begin(self, begun: Callable[[str], None]) -> None:
        """Arrange it before the run; the part calls `begun` once, with what happens."""


class Victim(NamedTuple):
    """What is drawn for each fault of a random world, whatever of it its kind uses."""

    entered: str
    """The service at which users enter first."""
    service: str
    zone: int
    share: float
    longest_s: int
    """How long it may last at most."""


class Fault(Strict):
    """What all faults have; `name` is by default the fault's key in the configuration."""

    kind: str
    name: str = Field(
        default_factory=lambda values: values["kind"], min_length=1, max_length=100,
        description="name in the record",
    )  # fmt: skip
    at: At | None = None
    """When it begins; None: with the run."""

    spoils: ClassVar[str] = ""
    """The part of the world that its effect is given: a field of `scenarios.faults.parts.Parts`."""
    needs_scaling: ClassVar[bool] = False
    """Whether it meets nothing unless the engine scales while it goes on."""
    cause: ClassVar[str] = ""
    """The cause that a monitor is right to name (`CauseKind`); "": none that figures can show."""
    example: ClassVar[Mapping[str, Any]] = {}
    """Figures with which it can be tried on a platform of some dozens of instances for an hour."""

    @property
    @abstractmethod
    def lasts_s(self) -> float:
        """Seconds from its beginning until it is over."""

    @abstractmethod
    def effect(self, part: Any, happening: Happening) -> Effect | AwaitedEffect:
        """What it does to `part`, the one that `spoils` names."""

    def check(self, entered: Sequence[str]) -> None:
        """Raise ValueError beginning with the wrong key; `entered`: services where users enter."""

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """Its own figures in a random world, besides times and `services`."""
        return {}


class During(Fault):
    """A fault with a beginning and a length."""

    at: At
    duration_s: Duration

    @property
    def lasts_s(self) -> float:
        """Seconds from its beginning until it is over."""
        return self.duration_s
