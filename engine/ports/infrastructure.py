"""The port to whatever runs the instances: look at the counts, ask for other ones.

Small on purpose, so that another infrastructure is one file: an adapter is found by the
configuration (`factory: module:callable`) as a controller is.  The simulated cloud implements the
same port, so a shell that works against the twin works against the world.

Instances that are held warm (`Quantity.WARM`) are asked for as any count is, of an adapter that
says `holds_warm = True`; the others, which is most of them, are never asked, and refuse.

Three rules that every adapter keeps, because an engine may be killed, started again or replaced at
any moment: a decision counts once, however often it is sent (its decision id is the idempotency
key); only if the count that it wants to change is still the one that it was decided on; and only
under a fence that is not older than the newest one seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from engine.config.load import build
from engine.model import Action, ActionResult, Quantity, ServiceSpec, Status, VowLocks
from engine.ports.lease import NO_FENCE, Fence


class Unreachable(RuntimeError):
    """The infrastructure cannot be seen now; the message says why."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Instances of one service: asked for, serving, on their way, and on their way out.

    What people keep requests from by hand is none of those that are asked for, and on its way out.
    Where instances can be held warm, `warm` of them could be launched now and `warm_desired` were
    asked for; they are none of the others.
    """

    desired: int
    ready: int
    booting: int
    draining: int
    warm: int = 0
    warm_desired: int = 0


@dataclass(frozen=True, slots=True)
class Sighting:
    """What there is now, by service, and what became of actions since the last look.

    `fence` is the newest one that a command came under.  `notices` are words for what somebody has
    to know, such as what people changed by hand; each is a trouble for as long as it is there.
    """

    services: Mapping[str, Counts]
    results: tuple[ActionResult, ...] = ()
    fence: Fence = NO_FENCE
    notices: tuple[str, ...] = ()
    fences: Mapping[str, Fence] = field(default_factory=dict)
    """The newest one by service, where each has its own."""
    ages_s: Mapping[str, float] = field(default_factory=dict)
    """Since when the counts are known to be so, by service, where the infrastructure can tell."""
    locks: Mapping[str, VowLocks] = field(default_factory=dict)
    """Ceremonies on the ready instances, by service; a service is missing where it cannot tell.

    Who tells takes away what is free of ceremonies first."""


class Infrastructure(Protocol):
    """Carries actions out and says what there is.

    No method waits for instances: they boot and drain on their own afterwards.
    """

    async def observe(self) -> Sighting:
        """The counts now, and the results since this was last asked for.

        Raises Unreachable, and loses no result by it.
        """
        ...

    async def apply(self, actions: Sequence[Action], fence: Fence) -> tuple[ActionResult, ...]:
        """Ask for each action; returns the results that are known at once, `observe` the others.

        Trouble with the infrastructure is a result (`failed`, with the cause as its detail), not
        an exception; so is a `fence` that is over.
        """
        ...

    async def close(self) -> None:
        """Let go of it.  The instances stay as they are."""
        ...


@runtime_checkable
class TellsAdvice(Protocol):
    """An infrastructure where people see what an engine that only recommends would do."""

    async def advise(self, actions: Sequence[Action]) -> None:
        """Show it, and change nothing; the same advice comes again in each cycle that gives it."""
        ...


@runtime_checkable
class HearsOfSteps(Protocol):
    """An infrastructure with parts that go by what the engine wants for as long as it is there."""

    async def affirm(self, fence: Fence) -> None:
        """The engine under `fence` has just decided, and may act: what it last wanted holds."""
        ...


def seen_there(sighting: object, services: Sequence[str]) -> Sighting:
    """`sighting`, if it is one that can be acted on: an adapter may say anything.

    Raises TypeError or ValueError for what says nothing of one of the `services`, or is no count.
    """
    if not isinstance(sighting, Sighting) or not isinstance(sighting.services, Mapping):
        raise TypeError(f"it answered with a {type(sighting).__name__} that is no sighting")
    results_of(sighting.results)
    if notices_of(sighting) != sighting.notices:
        raise TypeError(f"{sighting.notices!r:.80} are no notices")
    missing = [name for name in services if name not in sighting.services]
    if missing:
        raise ValueError(f"it says nothing of {', '.join(missing)}")
    for name in services:
        counts: object = sighting.services[name]
        if not isinstance(counts, Counts) or not all(
            type(count) is int and count >= 0 for count in astuple(counts)
        ):
            raise ValueError(f"{name}: {counts!r:.80} are no counts")
    if not isinstance(sighting.ages_s, Mapping) or not all(
        isinstance(age_s, (int, float)) and 0.0 <= age_s < math.inf
        for age_s in sighting.ages_s.values()
    ):
        raise ValueError(f"{sighting.ages_s!r:.80} are no ages")
    if not isinstance(sighting.locks, Mapping) or not all(
        name in sighting.services and _are_locks(locks, sighting.services[name].ready)
        for name, locks in sighting.locks.items()
    ):
        raise ValueError(f"{sighting.locks!r:.80} are no vow locks")
    return sighting


def _are_locks(locks: object, ready: int) -> bool:
    """Whether it is an entry for each of some of the ready instances; inf is a time, NaN is not."""
    if not isinstance(locks, VowLocks) or type(locks.waits) is not bool:
        return False
    times = (locks.since_s, locks.until_s)
    if not all(isinstance(given, np.ndarray) and given.dtype == np.float64 for given in times):
        return False
    since_s, until_s = times
    return since_s.ndim == 1 and bool(
        since_s.shape == until_s.shape
        and len(since_s) <= ready
        and not np.isnan(since_s).any()
        and not np.isnan(until_s).any()
    )


def notices_of(answer: object) -> tuple[str, ...]:
    """The notices in an adapter's answer, whatever it is, that are words."""
    notices: object = answer.notices if isinstance(answer, Sighting) else ()
    if not isinstance(notices, tuple):
        return ()
    return tuple(words for words in notices if isinstance(words, str) and words)


def refused_warm(action: Action, now_s: float) -> ActionResult | None:
    """What an adapter that holds nothing warm says to `action`, if that is what it asks for."""
    if action.quantity is not Quantity.WARM:
        return None
    return ActionResult(
        action.decision_id, Status.FAILED, now_s, "it holds no instances warm", sent=False
    )


def results_of(answer: object) -> tuple[ActionResult, ...]:
    """The results in an adapter's answer; raises TypeError for anything else."""
    if not isinstance(answer, Sequence) or not all(isinstance(r, ActionResult) for r in answer):
        raise TypeError(f"{answer!r:.80} are no results")
    return tuple(answer)


def connect(
    factory: str, specs: Sequence[ServiceSpec], options: Mapping[str, Any]
) -> Infrastructure:
    """The infrastructure that `factory` (`module:callable`) makes of the specs and options.

    Raises ValueError naming the configuration's key that is wrong: also a minimum of 0 where the
    infrastructure has no attribute `scales_to_zero` that is true, and instances held warm where it
    has no `holds_warm`.
    """
    infrastructure: Infrastructure = build(
        factory,
        specs,
        key="infrastructure.factory",
        options=options,
        options_key="infrastructure.options",
        methods=("observe", "apply", "close"),
    )
    asleep = [spec.name for spec in specs if spec.min_instances == 0]
    if asleep and getattr(infrastructure, "scales_to_zero", False) is not True:
        raise ValueError(
            f"platform.services.{asleep[0]}.min_instances: 0 is not allowed (1 or more) with "
            f"{factory}, which does not say (scales_to_zero = True) that requests wait, and are "
            "counted, while no instance is there"
        )
    warm = [spec.name for spec in specs if spec.warm is not None]
    if warm and getattr(infrastructure, "holds_warm", False) is not True:
        raise ValueError(
            f"platform.services.{warm[0]}.warm: is not allowed (leave it out) with {factory}, "
            "which does not say (holds_warm = True) that it can hold instances warm"
        )
    return infrastructure
