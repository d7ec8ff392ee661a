"""Two lanes: claims that wait for real parts, and beside them those that only compute.

A live measurement mostly waits, for boots, for load to pass, so the other core would be idle.  The
second lane is a process of the lowest priority: it gets what the first leaves.  What little it
takes away makes a live measurement worse and never better, and of what is simulated each row is the
same whoever makes it and when.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from twin.evidence import measuring
from twin.evidence.bundle import ROLES
from twin.evidence.claims import Claim, Level
from twin.runs import lifetimes

LOWEST = 19
LOOK_S = 0.2


def may_go_beside(claim: Claim) -> bool:
    """Whether no live part takes part in measuring `claim`, or it may be measured beside others.

    As far as it says itself.
    """
    measure = claim.measure
    return (
        measure is not None
        and (claim.source != "staging" or measure.beside)
        and measure.record is None
        and measure.command is None
    )


def of_two_worlds(claim: Claim) -> bool:
    """Whether a part of `claim` only computes, and another part needs live parts."""
    return claim.measure is not None and claim.measure.of_record is not None


def measure(
    folder: Path,
    claims: Sequence[Claim],
    *,
    level: Level,
    seed: int,
    advance: measuring.Advance,
    of_two: measuring.Measure = measuring.measure,
) -> None:
    """Measure `claims` and their controls one after the other; `advance` is told the minutes.

    Of a claim of two worlds what `of_two` says: all, or what one lane can do.
    """
    done = 0.0
    for at, claim in enumerate(claims):
        minutes = claim.level(level).minutes / len(ROLES)
        for role in ROLES:

            def part(share: float, done: float = done, minutes: float = minutes) -> None:
                advance(done + share * minutes)

            one = of_two if of_two_worlds(claim) else measuring.measure
            one(folder, claim, role, level=level, seed=seed, advance=part, earlier=claims[:at])
            done += minutes


class Beside:
    """The second lane."""

    def __init__(self, process: BaseProcess, minutes: Synchronized[float]) -> None:
        self._process = process
        self._minutes = minutes

    @property
    def minutes(self) -> float:
        """Of what it has to do, so much is done."""
        return float(self._minutes.value)

    def wait(self, advance: measuring.Advance) -> None:
        """Wait for its end, whatever that is; `advance` is told its minutes."""
        while self._process.is_alive():
            self._process.join(LOOK_S)
            advance(self.minutes)


@contextlib.contextmanager
def beside(folder: Path, claims: Sequence[Claim], *, level: Level, seed: int) -> Iterator[Beside]:
    """Measure `claims` in the second lane while the block runs, and no longer.

    What is not done when the block ends is for the first lane: rows that are there are kept.
    """
    context = multiprocessing.get_context(lifetimes.START_METHOD)
    minutes = context.Value("d", 0.0)
    process = context.Process(
        target=_lane, args=(folder, tuple(claims), level, seed, minutes), name="evidence"
    )
    process.start()
    try:
        yield Beside(process, minutes)
    finally:
        if process.is_alive():
            process.terminate()
        process.join()


def _lane(
    folder: Path, claims: Sequence[Claim], level: Level, seed: int, minutes: Synchronized[float]
) -> None:
    """In the other process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first lane's
    lifetimes.interrupt_on_sigterm()
    lifetimes.end_with_parent()
    os.nice(LOWEST)

    def advance(done: float) -> None:
        minutes.value = done

    with contextlib.suppress(KeyboardInterrupt):
        measure(folder, claims, level=level, seed=seed, advance=advance, of_two=measuring.compute)
