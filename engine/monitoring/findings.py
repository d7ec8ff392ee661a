"""What a look at the platform yields: symptoms of one service, and findings that last.

A rule or a detector looks at the figures of one moment and returns *symptoms*.  The monitor follows
each of them over time: as long as it lasts it is one *finding*, which says since when, how bad it
was at worst, whom it hurts, what the likely cause is and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class FindingKind(StrEnum):
    """What is wrong (closed: every finding is of one of these)."""

    CPU = "cpu"
    MEMORY = "memory"
    RESPONSE_TIME = "response_time"
    ERRORS = "errors"
    QUEUE_GROWTH = "queue_growth"
    SATURATION_AHEAD = "saturation_ahead"
    SILENCE = "silence"
    NO_SAMPLES = "no_samples"
    BURN_RATE = "burn_rate"
    INSTANCES_LOST = "instances_lost"
    CAPACITY_MISSING = "capacity_missing"
    RESTARTING = "restarting"
    INSTANCE_DIFFERS = "instance_differs"
    WILD_SAMPLES = "wild_samples"
    PROMISE_BROKEN = "promise_broken"
    LIVE_UPDATES_STALLED = "live_updates_stalled"
    UPLOADS_FAILING = "uploads_failing"
    OUTLIER = "outlier"
    SEASONAL_OUTLIER = "seasonal_outlier"
    CHANGE = "change"
    UNUSUAL_TOGETHER = "unusual_together"
    ISOLATED = "isolated"
    OWN = "own"
    """What a rule or a detector of somebody's own says."""


class Severity(StrEnum):
    """How bad it is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0, 1 or 2: the higher, the worse."""
        return _RANKS[self]


_RANKS = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}


class CauseKind(StrEnum):
    """What may be behind a finding."""

    LOAD = "load"
    SLOWNESS = "slowness"
    CALLS = "calls"
    INSTANCES = "instances"
    INSTANCE = "instance"
    STARTS = "starts"
    METRICS = "metrics"
    UNKNOWN = "unknown"


class Cause(NamedTuple):
    """A likely cause: `weight` 0-1 is its share of the evidence, `service` where it sits."""

    service: str
    kind: CauseKind
    weight: float
    words: str


@dataclass(frozen=True, slots=True)
class Symptom:
    """What one rule or detector sees in one service at one moment.

    `figure` names what was looked at, `value` is what it is, `limit` the threshold that it passed
    (NaN: none) or `low` and `high` the band that it left (NaN: no such edge).  `since_s` is the
    time of the earliest sample that shows it, `confidence` 0-1, `watcher` the rule or detector.
    """

    service: str
    kind: FindingKind
    severity: Severity
    watcher: str
    figure: str
    value: float
    since_s: float
    confidence: float
    limit: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    words: str = ""
    """What cannot be said by the figures alone, such as "full in 12 min at this slope"."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A symptom as long as it lasts, with everything that a person needs to act.

    `id` is the same from the first step to the last.  `noticed_s` is when the monitor first said
    it, `symptom` what was seen last, `severity` the worst so far.  `weddings` counts the booked
    events in progress, `guests` about how many people they have (NaN: no calendar for this time).
    `causes` are ranked, the likeliest first.
    """

    id: str
    service: str
    kind: FindingKind
    severity: Severity
    symptom: Symptom
    since_s: float
    noticed_s: float
    weddings: float
    guests: float
    causes: tuple[Cause, ...]
    recommendation: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What a step yields: all findings that last, and which of them began or ended with it.

    Those that ended are not among `lasting`.  `silent` are services without a fresh sample: nothing
    that was said of them can have ended.
    """

    now_s: float
    lasting: tuple[Finding, ...] = ()
    began: tuple[Finding, ...] = ()
    ended: tuple[Finding, ...] = ()
    silent: frozenset[str] = frozenset()


class CatalogueEntry(NamedTuple):
    """What people have to know of a kind: when it is said, and what to do about it."""

    means: str
    advice: str


CATALOGUE: Mapping[FindingKind, CatalogueEntry] = {
    FindingKind.CPU: CatalogueEntry(
        "The busy share of the slots is above `limits.cpu`.",
        "Let the service scale out; if it is at its maximum, raise that or shed load.",
    ),
    FindingKind.MEMORY: CatalogueEntry(
        "The used share of the memory is above `limits.memory`.",
        "Add instances, or restart those that leak one after the other.",
    ),
    FindingKind.RESPONSE_TIME: CatalogueEntry(
        "95 % of the answers take longer than `limits.p95_s`.",
        "Look at the likely cause first: a slow callee makes its callers slow.",
    ),
    FindingKind.ERRORS: CatalogueEntry(
        "The failed share of the requests is above `limits.error_rate`.",
        "Look for a deployment or a lost dependency; roll the last change back.",
    ),
    FindingKind.QUEUE_GROWTH: CatalogueEntry(
        "More requests wait for a slot than `queue.per_slot`, and they become more.",
        "Add instances at once; a queue that grows does not heal by itself.",
    ),
    FindingKind.SATURATION_AHEAD: CatalogueEntry(
        "At the present slope the slots, or the memory, are full within `saturation.within_s`.",
        "Scale out now: boots take longer than what is left if nothing is on its way.",
    ),
    FindingKind.SILENCE: CatalogueEntry(
        "Booked events let expect load, and hardly any request arrives.",
        "Check the entry: DNS, certificates, load balancer, the release of the apps.",
    ),
    FindingKind.NO_SAMPLES: CatalogueEntry(
        "No sample came for longer than `stale_after_s`; nothing can be said of the service.",
        "Check the exporter and the metrics source; do not take it for calm.",
    ),
    FindingKind.BURN_RATE: CatalogueEntry(
        "The error budget burns faster than `slo.windows` allow, in a long and a short window, "
        "with at least `slo.least_events` bad requests.",
        "Page whoever is on call: at this rate the budget of the month does not last.",
    ),
    FindingKind.INSTANCES_LOST: CatalogueEntry(
        "Instances that were ready are gone, and nobody asked for that.",
        "Check the zone and the provider; the engine replaces what is lost.",
    ),
    FindingKind.CAPACITY_MISSING: CatalogueEntry(
        "Instances that were asked for are not ready although their time has passed.",
        "Check quota, stock and images; take another zone or size.",
    ),
    FindingKind.RESTARTING: CatalogueEntry(
        "Instances that were ready fall back to booting again and again: `restarts.falls` times "
        "within `restarts.within_s`.",
        "Look at what they last wrote before they ended; roll the last change back.",
    ),
    FindingKind.INSTANCE_DIFFERS: CatalogueEntry(
        "One instance, or a few of many, has another cpu, memory, response time or error rate than "
        "the others of its service, or gets hardly any requests.",
        "Take the instance that is named out and let another take its place; keep it to look at.",
    ),
    FindingKind.WILD_SAMPLES: CatalogueEntry(
        "Samples hold figures that cannot be, or jump to hundreds of times what they were: "
        "`wild.samples` of them within `wild.within_s`.",
        "Check units, counters and the exporter; do not act on these figures.",
    ),
    FindingKind.PROMISE_BROKEN: CatalogueEntry(
        "What is ready cannot carry what the events in progress are booked for.",
        "Raise the floor by hand until the capacity is back.",
    ),
    FindingKind.LIVE_UPDATES_STALLED: CatalogueEntry(
        "While events are in progress, live updates fail or hardly any arrives.",
        "Restart the connections of real-time; tell the planners on site.",
    ),
    FindingKind.UPLOADS_FAILING: CatalogueEntry(
        "While events are in progress, uploads fail.",
        "Check storage and its limits; the apps try again, so nothing is lost yet.",
    ),
    FindingKind.OUTLIER: CatalogueEntry(
        "A figure is far from its own recent median, and, where load is booked, from what that "
        "lets expect.",
        "Compare with the likely cause; a surge that nobody booked needs capacity.",
    ),
    FindingKind.SEASONAL_OUTLIER: CatalogueEntry(
        "A figure is far from what it is at this hour of other days.",
        "See what differs from the days before: a release, a campaign, a missing job.",
    ),
    FindingKind.CHANGE: CatalogueEntry(
        "A figure has moved and stays where it is: its level changed.",
        "Look for what changed at that time: a release, a configuration, a provider.",
    ),
    FindingKind.UNUSUAL_TOGETHER: CatalogueEntry(
        "The course of a figure is unusual in several ways at once (`tails`), or beside its last "
        "values and beside other days (`departures`).",
        "Look at the likely cause; often the first sign of a slow dependency.",
    ),
    FindingKind.ISOLATED: CatalogueEntry(
        "The figures lie together where they hardly ever lay before (isolation forest).",
        "Look at the figures of the finding; by itself this is no reason to act.",
    ),
    FindingKind.OWN: CatalogueEntry(
        "A rule or a detector of your own says so.", "What its author wrote down for it."
    ),
}
"""Every kind; the alert catalogue in the documentation is made of it."""
