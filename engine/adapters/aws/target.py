"""A thing in AWS that has a count, and what one look at it shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from engine.adapters.aws.tags import INSTANCES, WARM, TagKeys, TagRecord
from engine.model import Quantity

KEYS: Mapping[Quantity, TagKeys] = {Quantity.INSTANCES: INSTANCES, Quantity.WARM: WARM}
"""Which tags are beside which count."""


class TargetKind(StrEnum):
    """What has the count."""

    GROUP = "Auto Scaling group"
    ECS = "ECS service"


@dataclass(frozen=True, slots=True)
class AwsTarget:
    """An Auto Scaling group, or a service of an ECS cluster."""

    kind: TargetKind
    name: str
    cluster: str = ""

    @property
    def title(self) -> str:
        """The target, for people."""
        return f"{self.kind} {self.cluster}/{self.name}" if self.cluster else (
            f"{self.kind} {self.name}"
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class SeenPool:
    """A warm pool that is the engine's to size: how many it is to hold, and what is beside that.

    Where there is no pool yet it holds none.  `refusal` is why there can be none, `words` what
    somebody has to know of it.
    """

    desired: int
    record: TagRecord
    words: tuple[str, ...] = ()
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class SeenTarget:
    """One look: what is asked for, what there is of it, and what is written beside it.

    `least` and `most` are the target's own limits.  `warm` instances are prepared and stopped or
    hibernated: they serve nobody, cost little and boot sooner; `pool` is None where how many there
    are is none of the engine's business.  `set_aside` are those that somebody
    put on stand-by, `ill` those that run and are not healthy.  `spans` is in how many zones
    instances may be.  `words` are what somebody has to know of it, `refusal` is why no count of it
    can be set, `seen_s` when this was asked for (monotonic).
    """

    desired: int
    ready: int
    booting: int
    draining: int
    record: TagRecord
    least: int
    most: int
    seen_s: float
    warm: int = 0
    pool: SeenPool | None = None
    ill: int = 0
    set_aside: int = 0
    zones: Mapping[str, int] = field(default_factory=dict)
    spans: int = 1
    words: tuple[str, ...] = ()
    refusal: str = ""

    @property
    def is_short(self) -> bool:
        """Whether there are fewer that serve than are asked for."""
        return self.ready < self.desired

    @property
    def is_whole(self) -> bool:
        """Whether there are as many as are asked for, and nothing is on its way."""
        return self.ready == self.desired and not self.booting and not self.draining

    def lacks(self, quantity: Quantity) -> bool:
        """Whether there are fewer than are asked for, of those that serve or are held warm."""
        if quantity is Quantity.WARM:
            return self.pool is not None and self.warm < self.pool.desired
        return self.is_short

    def is_done(self, quantity: Quantity) -> bool:
        """Whether there are as many as are asked for, of those that serve or are held warm."""
        if quantity is Quantity.WARM:
            return self.pool is not None and self.warm == self.pool.desired
        return self.is_whole

    def asked(self, quantity: Quantity) -> tuple[int, TagRecord]:
        """What is asked for of one of its counts, and what is written beside that."""
        if quantity is Quantity.WARM:
            return (0, TagRecord()) if self.pool is None else (self.pool.desired, self.pool.record)
        return self.desired, self.record


@dataclass(frozen=True, slots=True)
class AwsEvent:
    """What AWS says that it did or could not do; `mark` tells it from others and from earlier ones.

    `by` is what made it do so, in AWS's words, "" if it does not say.  `of` is the count that it is
    about.
    """

    time_s: float
    mark: str
    failed: bool
    words: str
    by: str = ""
    of: Quantity = Quantity.INSTANCES


@dataclass(frozen=True, slots=True)
class OtherHands:
    """Who else has a hand in a target's count: `refusal` is why the engine must leave it alone.

    `least` and `most` are limits that are not the target's own, None where there are none.
    """

    refusal: str = ""
    words: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None


class AwsTargets(Protocol):
    """The targets of one kind, as AWS has them; every method raises AwsError."""

    async def look(self, targets: Mapping[str, AwsTarget]) -> dict[str, SeenTarget]:
        """Those that are there, by the same keys."""
        ...

    async def hands(self, target: AwsTarget) -> OtherHands:
        """Who else sets its count, and what else is being done to it."""
        ...

    async def events(self, target: AwsTarget) -> list[AwsEvent]:
        """What was done or failed last, the newest first."""
        ...

    async def set(self, target: AwsTarget, count: int) -> None:
        """Ask for a count, whatever it was."""
        ...

    async def hold(self, target: AwsTarget, count: int) -> None:
        """Ask for so many to be held warm, whatever was; refused where there is no such thing."""
        ...

    async def tag(self, target: AwsTarget, tags: Mapping[str, str]) -> None:
        """Write tags, and leave the others."""
        ...

    async def names(self, target: AwsTarget) -> list[str]:
        """Some names of what there is where the target should be, for people."""
        ...


def limits(one: SeenTarget, hands: OtherHands) -> tuple[int, int]:
    """The least and the most instances that may be asked for."""
    least = one.least if hands.least is None else max(one.least, hands.least)
    most = one.most if hands.most is None else min(one.most, hands.most)
    return least, most
