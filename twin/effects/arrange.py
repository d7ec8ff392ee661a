"""Let the faults of a run happen: each is one SimPy process, or a change made before the run.

What a fault does to its part of the world is its own (`scenarios.faults`); here is when.  Each
draws from streams of its own, named after it and the service, so that taking one out of a scenario
leaves the demand and the draws of all others as they were.  Each says in the record when it began
and ended, and counts what it really did: requests, instances, launches, commands or samples that
would have fared otherwise without it.  One that met nothing to spoil has fired 0 times.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import simpy

from scenarios.faults.base import AwaitedEffect, Effect, Fault, Happening
from scenarios.faults.parts import Parts
from scenarios.streams import Streams
from twin.world.recorder import Recorder

Process = Generator[simpy.Event, None, None]


@dataclass(frozen=True, slots=True)
class Stage:
    """What faults happen in: its time, its parts, its chances, and who writes it down."""

    env: simpy.Environment
    duration_s: float
    parts: Parts
    streams: Streams
    recorder: Recorder
    catch_up: Callable[[], None]
    """Brings the simulated services to the time of the environment."""

    def arrange(self, fault: Fault, at_s: float) -> None:
        """Let `fault` happen, which begins `at_s` seconds into the run; before the run."""
        end_s = min(at_s + fault.lasts_s, self.duration_s)
        happening = Happening(
            at_s,
            end_s,
            lambda purpose: self.streams(f"fault.{fault.name}.{purpose}"),
            lambda times: self.recorder.fire(fault.name, times),
        )
        effect = fault.effect(getattr(self.parts, fault.spoils), happening)
        if isinstance(effect, Effect):
            self.env.process(self._lasting(fault, effect, happening))
        else:
            self._awaited(fault, effect)

    def _lasting(self, fault: Fault, effect: Effect, happening: Happening) -> Process:
        env, end_s = self.env, happening.end_s
        yield env.timeout(max(happening.begin_s - env.now, 0.0))
        self.catch_up()
        self._note(fault, "fault_started", effect.begin())
        while True:
            yield env.timeout(max(min(effect.every_s, end_s - env.now), 0.0))
            self.catch_up()
            if env.now >= end_s:
                break
            effect.renew(env.now - happening.begin_s)
        detail = effect.end()
        if not detail:
            detail = f"fired {self.recorder.fired.get(fault.name, 0):,} times"
        self._note(fault, "fault_ended", detail)

    def _awaited(self, fault: Fault, effect: AwaitedEffect) -> None:
        def over() -> Process:
            yield self.env.timeout(effect.lasts_s)
            self._note(fault, "fault_ended", "")

        def begun(detail: str) -> None:
            self._note(fault, "fault_started", detail)
            self.env.process(over())

        effect.await_begin(begun)

    def _note(self, fault: Fault, what: str, detail: str) -> None:
        self.recorder.event(self.env.now, what, fault.name, fault.kind, detail=detail)
