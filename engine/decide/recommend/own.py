"""Rules of one's own: found by configuration, asked in every cycle beside the built-in ones.

A rule may only ask for more.  What it wants is one recommendation among the others: the highest
counts, and steps, rests, budget, approvals and people's orders hold for it as for any.  A rule that
raises, or says what is no count, says nothing, and the explanation names it; the other rules go on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from engine.config.load import build
from engine.decide.view import View
from engine.model import Reason, Recommendation, ServiceObservation
from engine.settings import RuleSettings

PREFIX = "rule."
"""Before the name of the rule that a recommendation is of, in its evidence."""
MOST = 1_000_000
"""No rule wants more instances of a service than this."""


class Want(NamedTuple):
    """What a rule wants: so many instances, the figures that say so, and how sure it is (0-1)."""

    target: int
    evidence: Mapping[str, float] = {}
    confidence: float = 0.8


class Rule(Protocol):
    """A rule of one's own: a function of its arguments alone, for the same run gives the same."""

    def __call__(self, service: ServiceObservation, view: View, now_s: float) -> Want | None:
        """What `service` should have by its newest figures, `view`; None: nothing.

        A figure of `view` is NaN where nobody measures it; `view.stale` says that none is fresh.
        `now_s` is the time of the step, epoch seconds.
        """
        ...


class OwnRule(NamedTuple):
    """A rule with the name and the services that the configuration gives it; none: all."""

    name: str
    rule: Rule
    services: tuple[str, ...]


def loaded(rules: Mapping[str, RuleSettings]) -> tuple[OwnRule, ...]:
    """The rules of `engine.rules`; raises ConfigError naming the key of one that cannot be had."""
    return tuple(
        OwnRule(
            name,
            build(
                settings.factory, key=f"engine.rules.{name}.factory", options=settings.options,
                options_key=f"engine.rules.{name}.options", methods=("__call__",),
            ),
            settings.services,
        )
        for name, settings in rules.items()
    )  # fmt: skip


def own(
    rules: tuple[OwnRule, ...], service: ServiceObservation, view: View, now_s: float
) -> tuple[list[Recommendation], list[str]]:
    """What the rules want for one service, and a note for each that fails."""
    wanted: list[Recommendation] = []
    notes: list[str] = []
    for one in rules:
        if one.services and service.spec.name not in one.services:
            continue
        try:
            asked = one.rule(service, view, now_s)
            if asked is not None:
                wanted.append(_recommendation(one.name, asked, service, view, now_s=now_s))
        except Exception as error:  # somebody else's code: whatever it raises, the engine goes on
            notes.append(f"the rule {one.name} failed ({type(error).__name__}: {error})")
    return wanted, notes


def rule_of(evidence: Mapping[str, float]) -> str:
    """The name of the rule that the evidence is of, "" if it is of none."""
    named = [key.removeprefix(PREFIX) for key in evidence if key.startswith(PREFIX)]
    return named[0] if named else ""


def _recommendation(
    name: str, asked: Want, service: ServiceObservation, view: View, *, now_s: float
) -> Recommendation:
    """Raises ValueError or TypeError where what is asked for is no count."""
    target, evidence, confidence = asked
    if target != int(target) or not 0 <= target <= MOST:
        raise ValueError(f"it asks for {target} instances, allowed are 0 … {MOST:,}")
    if not 0.0 <= confidence <= 1.0:
        raise ValueError(f"its confidence is {confidence}, allowed are 0 … 1")
    shown = {str(key): float(value) for key, value in evidence.items()}
    return Recommendation(
        service.spec.name,
        int(target),
        Reason.RULE,
        {PREFIX + name: float(target), **shown},
        float(confidence),
        view.newest_s if math.isfinite(view.newest_s) else now_s,
    )
