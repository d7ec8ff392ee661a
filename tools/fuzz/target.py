"""What is fuzzed, and how: one reader of foreign bytes, with what it promises.

A target is one file in `tools/fuzz/targets` with a `TARGET`.  Its reader may take an input or
refuse it with one of the errors that it promises; anything else is a crash.  It may take so much
processor time, and the process may not grow beyond a limit meanwhile.
"""

from __future__ import annotations

import gc
import re
import resource
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from tools.fuzz.mutate import spoilt

RESET_PEAK, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
MOST_KEPT = 400
"""Spoilt inputs that were answered as none before; they are spoilt further."""


class TooLongError(BaseException):
    """A reader that takes longer than it may: none that it could catch."""


@dataclass(frozen=True, slots=True)
class FuzzTarget:
    """One reader, made anew by `make`; `promised` are the errors that it may raise."""

    name: str
    corpus: tuple[bytes, ...]
    """Valid inputs."""
    make: Callable[[], Callable[[bytes], object]]
    promised: tuple[type[BaseException], ...]
    limit_s: float = 2.0
    """Of processor time, for one input."""
    grown_mib: float = 256.0
    """So much more memory may the process take, over all inputs."""
    spoil: Callable[[np.random.Generator, bytes, Sequence[bytes]], bytes] = spoilt


@dataclass(slots=True)
class FuzzCrash:
    """The smallest input so far that ended in one place, and how."""

    where: str
    words: str
    given: bytes
    times: int = 1


@dataclass(slots=True)
class FuzzOutcome:
    """What became of all inputs of a target."""

    name: str
    inputs: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    grown_mib: float = 0.0
    seconds: float = 0.0
    crashes: dict[str, FuzzCrash] = field(default_factory=dict)

    def crash(self, where: str, words: str, given: bytes) -> None:
        """Note one; of those in one place the smallest input stays."""
        there = self.crashes.setdefault(where, FuzzCrash(where, words, given, 0))
        there.times += 1
        if len(given) < len(there.given):
            there.given, there.words = given, words


def fuzz(target: FuzzTarget, inputs: int, seed: int, seconds: float | None = None) -> FuzzOutcome:
    """Try so many inputs, or for so long; the same inputs for the same seed."""
    rng = np.random.default_rng([seed, *target.name.encode()])
    read, outcome = target.make(), FuzzOutcome(target.name)
    answers: set[str] = set()
    kept = list(target.corpus)
    began_s = time.process_time()
    for whole in target.corpus:
        _try(target, read, whole, outcome)
    before_mib = _new_peak_mib()
    while outcome.inputs < inputs:
        outcome.seconds = time.process_time() - began_s
        if seconds is not None and outcome.seconds > seconds:
            break
        chosen = target.corpus if rng.random() < 0.5 else kept
        given = target.spoil(rng, chosen[int(rng.integers(len(chosen)))], target.corpus)
        answer = _try(target, read, given, outcome)
        if answer not in answers and len(answers) < MOST_KEPT:
            answers.add(answer)
            kept.append(given)
    gc.collect()
    outcome.grown_mib = _peak_mib() - before_mib
    outcome.seconds = time.process_time() - began_s
    if outcome.grown_mib > target.grown_mib:
        words = f"{outcome.grown_mib:.0f} MiB; {target.grown_mib:.0f} are allowed"
        outcome.crash("memory", words, b"")
    return outcome


def _new_peak_mib() -> float:
    """What the process takes now; from here on the peak counts anew where Linux lets it.

    Otherwise a process that was once larger, because of another target, hides what this one takes.
    Source: proc_pid_clear_refs(5), value 5.
    """
    gc.collect()
    with suppress(OSError):
        RESET_PEAK.write_text("5")
    return _peak_mib()


def _peak_mib() -> float:
    with suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) / 1024.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def _try(
    target: FuzzTarget, read: Callable[[bytes], object], given: bytes, outcome: FuzzOutcome
) -> str:
    """How the reader answered, without figures."""
    outcome.inputs += 1
    before_s = time.process_time()
    handler = signal.signal(signal.SIGVTALRM, _too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, 2.0 * target.limit_s)
    try:
        read(given)
        answer = "read"
    except target.promised as error:
        outcome.refused += 1
        answer = f"{type(error).__name__} {re.sub(r'[0-9]+', '#', str(error))[:60]}"
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        where = _where(error)
        outcome.crash(f"{type(error).__name__} at {where}", f"{error!r:.200}", given)
        answer = where
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, handler)
    took_s = time.process_time() - before_s
    outcome.slowest_s = max(outcome.slowest_s, took_s)
    if took_s > target.limit_s:
        outcome.crash("time", f"{took_s:.1f} s; {target.limit_s:g} are allowed", given)
    return answer


def _too_long(_: int, __: FrameType | None) -> None:
    raise TooLongError


def _where(error: BaseException) -> str:
    """The innermost place in the product's own code."""
    frames: list[Any] = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if re.search(r"/(engine|twin|scenarios|reports)/", f.filename)]
    frame = (own or frames)[-1]
    path = re.sub(r"^.*/(engine|twin|scenarios|reports)/", r"\1/", frame.filename)
    return f"{path}:{frame.lineno} {frame.name}"
