"""What was sent and how it felt, second by second and service by service.

A tally adds up: each worker keeps one of what is new, sends it to the master each second, and the
master adds it to its own.  Times are kept as histograms in buckets that are 2 % wide, so any
quantile of any number of requests is known to 1 % and costs no memory per request.

Two times are kept for each request.  *Felt* counts from the moment at which it was due: it is what
the person waits, also while the generator could not send.  *Answered* counts from the moment at
which it was really sent: what a closed-loop load test reports.  Where the second is shorter, it
leaves something out (coordinated omission), and the difference says how much.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

SMALLEST_S = 1e-4
WIDTH = math.log(1.02)
LATE_S = 0.05
"""A request that its generator sends so long after it was due, for want of CPU, is late."""

Histogram = dict[int, int]

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
    felt: Histogram = field(default_factory=dict)
    answered: Histogram = field(default_factory=dict)
    lateness: Histogram = field(default_factory=dict)

    def add(self, other: ServiceSecond) -> None:
        """Add what `other` counted."""
        for name, count in other.counts.items():
            self.counts[name] += count
        for mine, more in (
            (self.felt, other.felt),
            (self.answered, other.answered),
            (self.lateness, other.lateness),
        ):
            for bucket, count in more.items():
                mine[bucket] = mine.get(bucket, 0) + count


@dataclass(slots=True)
class Tally:
    """Cells by (second, service), requests by role, failures by reason.

    `pulse` are the delays of a timer in the generator: how long anything there waits for the CPU.
    """

    cells: dict[tuple[int, int], ServiceSecond] = field(default_factory=dict)
    roles: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    pulse: Histogram = field(default_factory=dict)

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
        for mine, more in ((self.roles, other.roles), (self.reasons, other.reasons)):
            for name, count in more.items():
                mine[name] = mine.get(name, 0) + count
        for bucket, count in other.pulse.items():
            self.pulse[bucket] = self.pulse.get(bucket, 0) + count

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
                [*key, list(cell.counts.values()), *map(_pairs, _histograms(cell))]
                for key, cell in self.cells.items()
            ],
            "roles": self.roles,
            "reasons": self.reasons,
            "pulse": _pairs(self.pulse),
        }


def unpacked(message: Mapping[str, Any]) -> Tally:
    """The tally that `Tally.packed` packed."""
    tally = Tally(
        roles=dict(message["roles"]),
        reasons=dict(message["reasons"]),
        pulse=dict(message["pulse"]),
    )
    for second, service, counts, felt, answered, lateness in message["cells"]:
        tally.cells[int(second), int(service)] = ServiceSecond(
            dict(zip(COUNTS, counts, strict=True)), dict(felt), dict(answered), dict(lateness)
        )
    return tally


def note(histogram: Histogram, time_s: float) -> None:
    """Count one time."""
    bucket = 0 if time_s <= SMALLEST_S else math.ceil(math.log(time_s / SMALLEST_S) / WIDTH)
    histogram[bucket] = histogram.get(bucket, 0) + 1


def quantile(histogram: Histogram, share: float) -> float | None:
    """The time (s) that `share` of those counted do not exceed; None without any."""
    total = sum(histogram.values())
    if not total:
        return None
    wanted, seen = max(math.ceil(share * total), 1), 0
    for bucket in sorted(histogram):
        seen += histogram[bucket]
        if seen >= wanted:
            break
    return SMALLEST_S if bucket == 0 else SMALLEST_S * math.exp(WIDTH * (bucket - 0.5))


def share_above(histogram: Histogram, time_s: float) -> float:
    """The share of those counted that took longer."""
    total = sum(histogram.values())
    limit = math.log(time_s / SMALLEST_S) / WIDTH
    return sum(n for bucket, n in histogram.items() if bucket > limit) / total if total else 0.0


def quantiles(histogram: Histogram) -> dict[str, float | None]:
    """p50, p95, p99 and max in seconds, each to 1 %."""
    return {f"p{round(100 * q)}_s": quantile(histogram, q) for q in (0.5, 0.95, 0.99)} | {
        "max_s": quantile(histogram, 1.0)
    }


def _histograms(cell: ServiceSecond) -> tuple[Histogram, Histogram, Histogram]:
    return cell.felt, cell.answered, cell.lateness


def _pairs(histogram: Histogram) -> list[tuple[int, int]]:
    return list(histogram.items())
