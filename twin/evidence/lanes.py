"""What is measured at the same time: claims that wait for real parts, and those that only compute.

A live measurement mostly waits, for boots, for load to pass, so a core would be idle.  A second
lane, a process of the lowest priority, computes meanwhile and gets what the first leaves.  Where a
claim plays a record, that of its control is played beside it, on a stack of its own.  What little
they take from each other makes a live measurement worse and never better, and of what is simulated
each row is the same whoever makes it and when.  Only what says how fast something is has the
machine to itself.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

from twin.evidence import measuring
from twin.evidence.bundle import ROLES, Role
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


def has_the_machine(claim: Claim) -> bool:
    """Whether nothing else may be measured while `claim` is."""
    return claim.measure is not None and claim.measure.alone


def plays(claim: Claim) -> bool:
    """Whether the rows of `claim` are made of a record that is played for it."""
    return claim.measure is not None and claim.measure.record is not None


def of_two_worlds(claim: Claim) -> bool:
    """Whether a part of `claim` only computes, and another part needs live parts."""
    return claim.measure is not None and claim.measure.of_record is not None


def measure_all(
    folder: Path,
    claims: Sequence[Claim],
    *,
    level: Level,
    seed: int,
    advance: measuring.Advance,
) -> None:
    """Measure `claims` and their controls at the same time where they may be.

    `advance` is told the minutes that are done.
    """
    alone = [claim for claim in claims if has_the_machine(claim)]
    others = [claim for claim in claims if claim not in alone]
    waiting = [claim for claim in others if not may_go_beside(claim)]
    computing = [claim for claim in others if may_go_beside(claim) or of_two_worlds(claim)]
    played = [claim for claim in waiting if plays(claim)]
    live = [claim for claim in waiting if claim not in played]
    of_records = [claim for claim in played if not of_two_worlds(claim)]
    parts = (alone, live, of_records)
    before = [sum(claim.level(level).minutes for part in parts[:at] for claim in part)
              for at in range(len(parts) + 1)]  # fmt: skip

    measure(folder, alone, level=level, seed=seed, advance=advance)
    if waiting:
        with beside(folder, computing, level=level, seed=seed) as second:
            measure(
                folder, live, level=level, seed=seed,
                advance=lambda done: advance(before[1] + done + second.minutes),
            )  # fmt: skip
            with controls_beside(folder, played, level=level, seed=seed) as third:
                play(folder, played, "measured", level=level, seed=seed)
                third.wait(lambda _: advance(before[2] + second.minutes))
            measure(
                folder, of_records, level=level, seed=seed,
                advance=lambda done: advance(before[2] + done + second.minutes),
            )  # fmt: skip
            second.wait(lambda done: advance(before[3] + done))
    # All of it, or what the lanes have left: what failed, and claims of two worlds.
    measure(folder, claims, level=level, seed=seed, advance=advance)


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


def play(folder: Path, claims: Sequence[Claim], role: Role, *, level: Level, seed: int) -> None:
    """Play the records that `claims`, or their controls, are made of."""
    for claim in claims:
        measuring.play(folder, claim, role, level=level, seed=seed)


class Beside:
    """A process that measures beside this one."""

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
    with _process(_second, folder, tuple(claims), level, seed) as process:
        yield process


@contextlib.contextmanager
def controls_beside(
    folder: Path, claims: Sequence[Claim], *, level: Level, seed: int
) -> Iterator[Beside]:
    """Play the records of the controls of `claims` while the block runs, and no longer.

    A control that goes by the record of a measurement has none of its own to be played.
    """
    measured = {measuring.played_in(claim, "measured", level, seed) for claim in claims}
    own = [
        claim for claim in claims
        if measuring.played_in(claim, "control", level, seed) not in measured
    ]  # fmt: skip
    with _process(_controls, folder, tuple(own), level, seed) as process:
        yield process


@contextlib.contextmanager
def _process(work: Callable[..., None], *args: Any) -> Iterator[Beside]:
    """`work` in a process of its own, which is told to end when the block does."""
    context = multiprocessing.get_context(lifetimes.START_METHOD)
    minutes = context.Value("d", 0.0)
    process = context.Process(target=_run, args=(work, args, minutes), name="evidence")
    process.start()
    try:
        yield Beside(process, minutes)
    finally:
        if process.is_alive():
            process.terminate()
        process.join()


def _run(work: Callable[..., None], args: Sequence[Any], minutes: Synchronized[float]) -> None:
    """In the other process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first lane's
    lifetimes.interrupt_on_sigterm()
    lifetimes.end_with_parent()
    with contextlib.suppress(KeyboardInterrupt):
        work(*args, minutes=minutes)


def _second(
    folder: Path, claims: Sequence[Claim], level: Level, seed: int, *, minutes: Synchronized[float]
) -> None:
    os.nice(LOWEST)

    def advance(done: float) -> None:
        minutes.value = done

    measure(folder, claims, level=level, seed=seed, advance=advance, of_two=measuring.compute)


def _controls(
    folder: Path, claims: Sequence[Claim], level: Level, seed: int, *, minutes: Synchronized[float]
) -> None:
    del minutes  # nobody is shown how far it is
    play(folder, claims, "control", level=level, seed=seed)
