"""The port to whatever runs the instances: look at the counts, ask for other ones.

Small on purpose, so that another infrastructure is one file: an adapter is found by the
configuration (`factory: module:callable`) as a controller is.  The simulated cloud implements the
same port, so a shell that works against the twin works against the world.

Two rules that every adapter keeps, because a shell may be killed and started again at any moment:
a decision counts once, however often it is sent (its decision id is the idempotency key), and only
if the count that it wants to change is still the one that it was decided on.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from engine.model import Action, ActionResult, ServiceSpec


class Unreachable(RuntimeError):
    """The infrastructure cannot be seen now; the message says why."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Instances of one service: asked for, serving, on their way, and on their way out."""

    desired: int
    ready: int
    booting: int
    draining: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """What there is now, by service, and what became of actions since the last look."""

    services: Mapping[str, Counts]
    results: tuple[ActionResult, ...] = ()


class Infrastructure(Protocol):
    """Carries actions out and says what there is.

    Neither method waits for instances: they boot and drain on their own afterwards.
    """

    def observe(self) -> Sighting:
        """The counts now, and the results since this was last asked for.

        Raises Unreachable, and loses no result by it.
        """
        ...

    def apply(self, actions: Sequence[Action]) -> tuple[ActionResult, ...]:
        """Ask for each action; returns the results that are known at once, `observe` the others.

        Trouble with the infrastructure is a result (`failed`, with the cause as its detail), not
        an exception.
        """
        ...

    def close(self) -> None:
        """Let go of it.  The instances stay as they are."""
        ...


def connect(
    factory: str, specs: Sequence[ServiceSpec], options: Mapping[str, Any]
) -> Infrastructure:
    """The infrastructure that `factory` (`module:callable`) makes of the specs and options.

    Raises ValueError naming the configuration's key that is wrong.
    """
    module_name, _, attribute = factory.partition(":")
    try:
        make = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"infrastructure.factory: {factory} cannot be loaded ({error})") from None
    try:
        infrastructure: Infrastructure = make(specs, **options)
    except TypeError as error:
        raise ValueError(f"infrastructure.options: {error}") from None
    for method in ("observe", "apply", "close"):
        if not callable(getattr(infrastructure, method, None)):
            raise ValueError(
                f"infrastructure.factory: {factory} makes no infrastructure: no {method}()"
            )
    return infrastructure
