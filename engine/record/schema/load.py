"""`load_summary.json`: what a load test is in figures, as its users felt it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from engine.record.schema.parts import About, Figure, Part
from engine.record.schema.summary import Threshold, Version, from_file

FILE = "load_summary.json"
VERSION: Version = 1

Verdict = Literal["passed", "failed", "not judged"]


class Quantiles(Part):
    """Times in four figures, each to 1 %; null without any."""

    p50_s: Annotated[Figure, About("median, s")]
    p95_s: Annotated[Figure, About("95 % are at most this, s")]
    p99_s: Annotated[Figure, About("99 % are at most this, s")]
    max_s: Annotated[Figure, About("largest, s")]


class RequestCounts(Part):
    """Requests by what became of them."""

    intended: Annotated[int, About("due by the schedule, retries not counted")]
    sent: Annotated[int, About("attempts that went out")]
    retried: Annotated[int, About("of them, those that were not the first")]
    ok: Annotated[int, About("answered")]
    failed: Annotated[int, About("answered with an error, or not at all")]
    shed: Annotated[int, About("turned away")]
    timed_out: Annotated[int, About("given up on")]
    slow: Annotated[int, About("answered, and felt longer than the SLO")]
    late: Annotated[int, About("sent too late because the generator was busy")]
    held: Annotated[int, About("had to wait until fewer were in flight")]
    dropped: Annotated[int, About("never sent: waited in vain for fewer in flight")]
    unfinished: Annotated[int, About("in flight when the load was stopped")]


class AllRequests(RequestCounts):
    """The requests of all services."""

    peak_rate_per_s: Annotated[float, About("most requests due in a second")]


class Felt(Part):
    """What users noticed."""

    violation_ratio: Annotated[float, About("share of all attempts that failed or felt too slow")]
    availability: Annotated[float, About("share of all attempts that were answered")]


class _Slo(Part):
    """What was promised."""

    slo_p95_s: Annotated[float, About("what p95_s is to keep, s")]


class LoadedService(Quantiles, _Slo, Felt, RequestCounts):
    """One service; its times count from the moment at which a request was due."""

    answered: Annotated[Quantiles, About("the same from the moment at which it was sent")]


class Omission(Part):
    """What a closed-loop test would have said of a service, and what it would have hidden."""

    felt_p95_s: Annotated[Figure, About("from the moment at which requests were due")]
    answered_p95_s: Annotated[Figure, About("from the moment at which they were sent")]
    hidden_p95_s: Annotated[Figure, About("the difference")]


class GeneratorFigures(Part):
    """How the load was made."""

    workers: Annotated[int, About("processes that sent")]
    lost_workers: Annotated[int, About("of them, those that were lost")]
    unsent: Annotated[int, About("requests that were due and not sent")]
    unsent_ratio: Annotated[float, About("their share")]
    late_after_s: Annotated[float, About("what counts as late, s")]
    late_ratio: Annotated[float, About("share of the requests sent late")]
    busy_ratio: Annotated[float, About("share of the time in which the generator was late")]
    held_ratio: Annotated[float, About("share of the requests held back")]
    lateness: Annotated[Quantiles, About("how late", of="/requests.intended")]
    peak_in_flight: Annotated[int, About("most requests under way")]
    max_in_flight: Annotated[int, About("most that may be")]
    cpu_mean: Annotated[Figure, About("mean share of a core of each process")]
    cpu_max: Annotated[Figure, About("largest share of a core of a process")]
    saturated: Annotated[bool, About("whether the generator was too late to be believed")]


class LoadFigures(Part):
    """What follows from a load test alone."""

    schema_version: Annotated[Version, About("version of this schema")] = Field(alias="schema")
    scenario: Annotated[str, About("the scenario's name")]
    seed: Annotated[int, About("of the day")]
    scale: Annotated[float, About("factor on the load")]
    speed: Annotated[float, About("scenario seconds in one second")]
    host: Annotated[str, About("where the load went, without secrets")]
    begins: Annotated[str, About("first moment in the scenario, ISO time (UTC)")] = Field(
        alias="from"
    )
    scenario_s: Annotated[int, About("length in the scenario, s")]
    started_at: Annotated[str, About("when it began, ISO time (UTC)")]
    wall_s: Annotated[float, About("seconds on the clock")]
    partial: Annotated[bool, About("whether it ended before its time")]
    requests: Annotated[AllRequests, About("the requests of all services")]
    slo: Annotated[Felt, About("what users noticed")]
    services: Annotated[
        dict[str, LoadedService], About("each service", keys="services", of="./intended")
    ]
    roles: Annotated[dict[str, int], About("requests by the role of who made them")]
    reasons: Annotated[dict[str, int], About("what went wrong, the most frequent reasons")]
    exceptions: Annotated[
        dict[str, int], About("what user classes raised, which fails the test, by how often")
    ] = Field(default_factory=dict)
    left_out: Annotated[tuple[str, ...], About("faults of the scenario that no load can make")]
    coordinated_omission: Annotated[
        dict[str, Omission],
        About("what a closed-loop test would have hidden", keys="services"),
    ]
    generator: Annotated[GeneratorFigures, About("how the load was made")]


class LoadSummary(LoadFigures):
    """`load_summary.json`."""

    verdict: Annotated[Verdict, About("passed, failed or not judged")]
    thresholds: Annotated[tuple[Threshold, ...], About("the limits, and whether they were kept")]

    @property
    def nothing_to_judge(self) -> bool:
        """Whether it is not judged for want of what its limits speak of, not of a generator."""
        return (
            self.verdict == "not judged"
            and not self.generator.saturated
            and all(one.outcome == "not judged" for one in self.thresholds)
        )

    def text(self) -> str:
        """The file's text."""
        written = self.model_dump(mode="json", by_alias=True)
        return json.dumps(written, indent=2, allow_nan=False) + "\n"


def read(folder: Path) -> LoadSummary | None:
    """The load test whose summary lies in `folder`, None without any; raises SchemaError."""
    path = folder / FILE
    return from_file(LoadSummary, path) if path.is_file() else None
