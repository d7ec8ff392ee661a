"""What was sent and how it felt, second by second and service by service.

A tally adds up: each worker keeps one of what is new, sends it to the master each second, and the
master adds it to its own.  Times are counted in buckets that are 1 % wide, so any quantile of any
number of requests is right to 1 % and costs no memory per request.

Two times are kept for each request.  *Felt* counts from the moment at which it was due: it is what
the person waits, also while the generator could not send.  *Answered* counts from the moment at
which it was really sent: what a closed-loop load test reports.  Where the second is shorter, it
leaves something out (coordinated omission), and the difference says how much.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.record.response_times import Buckets, log_spaced

BUCKETS = Buckets(log_spaced(1e-4, 1e4, 1853))
"""Buckets of all times; a cell has counts in few of them, and keeps those alone."""

LATE_S = 0.05
"""A request that its generator sends so long after it was due, for want of CPU, is late."""

MOST_EXCEPTIONS, MOST_LETTERS = 100, 200
OTHERS = "others"
"""Different exceptions beyond so many are counted together: some name what they fail at."""

COUNTS = (
    "intended",  # due by the schedule, retries not counted
    "sent",  # attempts that went out
    "retried",  # of them, those that were not the first
    "ok",
    "failed",
    "shed",
    "timed_out",
    "slow",  # of those ok: felt longer than the SLO
    "late",  # sent too late because the generator was busy
    "held",  # had to wait until fewer were in flight
    "dropped",  # never sent: waited in vain for fewer in flight
    "unfinished",  # in flight when the load was stopped
)


@dataclass(slots=True)
class ServiceSecond:
    """One service in one second (of the moment at which requests were due)."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    felt: Counter[int] = field(default_factory=Counter)
    answered: Counter[int] = field(default_factory=Counter)
    lateness: Counter[int] = field(default_factory=Counter)

    def add(self, other: ServiceSecond) -> None:
        """Add what `other` counted."""
        for name, count in other.counts.items():
            self.counts[name] += count
        self.felt.update(other.felt)
        self.answered.update(other.answered)
        self.lateness.update(other.lateness)


@dataclass(slots=True)
class Tally:
    """Cells by (second, service), requests by role, failures by reason, exceptions of user classes.

    Times are counts by bucket of `BUCKETS`.  `pulse` are the delays of a timer in the generator:
    how long anything there waits for the CPU.
    """

    cells: dict[tuple[int, int], ServiceSecond] = field(default_factory=dict)
    roles: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    exceptions: dict[str, int] = field(default_factory=dict)
    pulse: Counter[int] = field(default_factory=Counter)

    def cell(self, second: int, service: int) -> ServiceSecond:
        """The cell, made if it is new."""
        key = (second, service)
        cell = self.cells.get(key)
        if cell is None:
            cell = self.cells[key] = ServiceSecond()
        return cell

    def add(self, other: Tally) -> None:
        """Add what `other` counted."""
        for (second, service), cell in other.cells.items():
            self.cell(second, service).add(cell)
        for mine, more in (
            (self.roles, other.roles),
            (self.reasons, other.reasons),
            (self.exceptions, other.exceptions),
        ):
            for name, count in more.items():
                mine[name] = mine.get(name, 0) + count
        self.pulse.update(other.pulse)

    def note_exception(self, person: object, error: BaseException) -> None:
        """Count an exception that a user class raised: a fault of the test itself."""
        what = f"{type(person).__name__}: {type(error).__name__}: {error}"[:MOST_LETTERS]
        if what not in self.exceptions and len(self.exceptions) >= MOST_EXCEPTIONS:
            what = OTHERS
        self.exceptions[what] = self.exceptions.get(what, 0) + 1

    def of(self, services: Iterable[int]) -> ServiceSecond:
        """All seconds of these services together."""
        wanted, total = set(services), ServiceSecond()
        for (_, service), cell in self.cells.items():
            if service in wanted:
                total.add(cell)
        return total

    def packed(self) -> dict[str, Any]:
        """As plain data for a message; `unpacked` reads it."""
        return {
            "cells": [
                [*key, list(cell.counts.values()), *map(_pairs, _times(cell))]
                for key, cell in self.cells.items()
            ],
            "roles": self.roles,
            "reasons": self.reasons,
            "exceptions": self.exceptions,
            "pulse": _pairs(self.pulse),
        }


def unpacked(message: Mapping[str, Any]) -> Tally:
    """The tally that `Tally.packed` packed."""
    tally = Tally(
        roles=dict(message["roles"]),
        reasons=dict(message["reasons"]),
        exceptions=dict(message["exceptions"]),
        pulse=Counter(dict(message["pulse"])),
    )
    for second, service, counts, felt, answered, lateness in message["cells"]:
        tally.cells[int(second), int(service)] = ServiceSecond(
            dict(zip(COUNTS, counts, strict=True)),
            *(Counter(dict(pairs)) for pairs in (felt, answered, lateness)),
        )
    return tally


def note(counts: Counter[int], time_s: float) -> None:
    """Count one time."""
    counts[BUCKETS.bucket(time_s)] += 1


def quantiles(counts: Mapping[int, int], shares: Sequence[float]) -> list[float | None]:
    """The times (s) that `shares` of those counted do not exceed; None without any."""
    times_s = BUCKETS.quantiles(BUCKETS.dense(counts), shares).tolist()
    return [None if math.isnan(time_s) else time_s for time_s in times_s]


def share_above(counts: Mapping[int, int], time_s: float) -> float:
    """The share of those counted that took longer; 0 without any."""
    total = sum(counts.values())
    return 1.0 - float(BUCKETS.up_to(BUCKETS.dense(counts), time_s)) / total if total else 0.0


def figures(counts: Mapping[int, int]) -> dict[str, float | None]:
    """p50, p95, p99 and max in seconds, each to 1 %."""
    names = ("p50_s", "p95_s", "p99_s", "max_s")
    return dict(zip(names, quantiles(counts, (0.5, 0.95, 0.99, 1.0)), strict=True))


def _times(cell: ServiceSecond) -> tuple[Counter[int], Counter[int], Counter[int]]:
    return cell.felt, cell.answered, cell.lateness


def _pairs(counts: Counter[int]) -> list[tuple[int, int]]:
    return list(counts.items())
