"""`summary.json`: what a run is in figures.

It is long because the summary is: each key stands here once, with its type and what it says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError, computed_field, model_validator

from engine.record.schema.parts import About, Figure, Part, WorldName

FILE = "summary.json"
SEALED = "sealed.json"
"""The one file in plain of a record that is sealed."""

Version = Literal[1]
VERSION: Version = 1
Kind = TypeVar("Kind", bound=Part)


class SchemaError(ValueError):
    """A file that is not what the schema says; the message names the file and the key."""


class Percentiles(Part):
    """A distribution in four figures; null for each where nothing was measured."""

    p50: Annotated[Figure, About("median, s")]
    p95: Annotated[Figure, About("95 % are below, s")]
    p99: Annotated[Figure, About("99 % are below, s")]
    max: Annotated[Figure, About("largest, s")]


class Counted(Part):
    """How many there are."""

    count: Annotated[int, About("how many there were")]


class CountedPercentiles(Percentiles, Counted):
    """The same for `count` of them."""


class Noun(Part):
    """What one event is called, and several."""

    one: Annotated[str, About("one of them")] = "wedding"
    many: Annotated[str, About("several")] = "weddings"


class Weddings(Part):
    """The events of the calendar (`noun`), as they took place or, live, as they were booked."""

    total: Annotated[int | None, About("events in all; live, those booked for its time")]
    peak_simultaneous: Annotated[int, About("most in progress at once")]
    peak_at: Annotated[str, About("when that was, ISO time (UTC)")]


class UserRequests(Part):
    """User-facing requests (attempts, retries included) by what became of them."""

    total: Annotated[int, About("requests that came")]
    peak_rate_per_s: Annotated[float, About("most requests/s in a sample")]
    served: Annotated[int | None, About("answered")]
    failed: Annotated[int | None, About("answered with an error")]
    shed: Annotated[int | None, About("turned away at a full queue")]
    timed_out: Annotated[int | None, About("given up on by the client")]
    retried: Annotated[int | None, About("of all, those that were not the first try")] = None


class Slo(Part):
    """What users noticed of all services together."""

    violation_ratio: Annotated[
        Figure, About("share of user-facing requests that failed or were slower than their SLO")
    ]
    violation_minutes: Annotated[
        int | None, About("minutes in which that share was above 1 %", only="twin")
    ]
    longest_violation_s: Annotated[Figure, About("longest run of such minutes, s", only="twin")] = (
        None
    )
    availability: Annotated[Figure, About("share of user-facing requests that were answered")]


class Service(Part):
    """One service over the whole run; shares are 0-1."""

    p50_s: Annotated[Figure, About("median response time, s", of="requests")]
    p95_s: Annotated[Figure, About("95 % of the answers took at most this, s", of="requests")]
    p99_s: Annotated[Figure, About("99 % of the answers took at most this, s", of="requests")]
    slo_p95_s: Annotated[float, About("what p95_s is to keep, s")]
    cpu_mean: Annotated[Figure, About("mean utilisation of the ready instances, 0-1")]
    cpu_max: Annotated[Figure, About("largest utilisation in a sample, 0-1")]
    instances_max: Annotated[int, About("most instances at once, in any state")]
    instance_hours: Annotated[float, About("hours of instances from launch to end")]
    cost_usd: Annotated[float, About("what they cost, USD")]
    warm_usd: Annotated[
        Figure, About("of it, what those held warm cost, USD; where any can be", optional=True)
    ] = None
    violation_ratio: Annotated[
        Figure,
        About("share of its requests that failed or were slower than its SLO", of="requests"),
    ]
    under_provisioned_share: Annotated[
        Figure, About("share of the time with fewer instances ready than needed", only="twin")
    ]
    over_provisioned_share: Annotated[
        Figure, About("share of the time with more instances ready than needed", only="twin")
    ]
    reversals: Annotated[int | None, About("its steps one way and, within half an hour, back")] = (
        None
    )
    unverified_share: Annotated[
        Figure,
        About(
            "share of the samples beyond what the fluid resolution is verified for",
            only="twin",
            never_at="request",
        ),
    ] = 0.0


class Cost(Part):
    """What the instances cost."""

    total_usd: Annotated[float, About("all instances from launch to end, USD")]
    per_wedding_usd: Annotated[Figure, About("the same for each event, USD", of="/weddings.total")]
    warm_usd: Annotated[
        Figure, About("of it, what those held warm cost, USD; where any can be", optional=True)
    ] = None


class Ceremonies(Part):
    """What became of the ceremonies on instances, over all services that carry any."""

    carried: Annotated[int, About("ceremonies that began on an instance, once for each service")]
    cut: Annotated[int, About("of them, those whose instance a step in took away meanwhile")]
    lost: Annotated[int, About("and those whose instance crashed, or the provider took")]
    held_hours: Annotated[float, About("hours that instances drained for the sake of them")]
    held_usd: Annotated[float, About("what those hours cost, USD")]


class Elasticity(Part):
    """SPEC's elasticity metrics, means over the services."""

    accuracy_under: Annotated[Figure, About("mean of what was short, relative to the need")]
    accuracy_over: Annotated[Figure, About("mean of what was too much, relative to the need")]
    timeshare_under: Annotated[Figure, About("share of the time with too few ready")]
    timeshare_over: Annotated[Figure, About("share of the time with too many ready")]
    instability: Annotated[Figure, About("share of the minutes in which both moved differently")]


class Stages(Part):
    """Where the time of an action went."""

    sample_to_decision_s: Annotated[
        Percentiles, About("from the sample behind it to the decision", of="/decision.actions")
    ]
    decision_to_accepted_s: Annotated[
        Percentiles, About("until the infrastructure accepted it", of="/decision.actions")
    ]
    accepted_to_served_s: Annotated[
        CountedPercentiles,
        About("until a new instance served a request", of="accepted_to_served_s.count"),
    ]


class Decision(Part):
    """How often and how fast the controller decided."""

    steps: Annotated[int | None, About("steps, the quick looks between cycles included")] = None
    cycles: Annotated[int, About("full cycles")]
    actions: Annotated[int, About("actions that were accepted")]
    flaps: Annotated[
        int | None, About("steps of a service one way and, within ten minutes, back")
    ] = None
    reversals: Annotated[
        int | None, About("steps of a service one way and, within half an hour, back")
    ] = None
    by_reason: Annotated[dict[str, int], About("actions by their reason", keys="reasons")]
    trigger_to_execution_s: Annotated[
        Percentiles,
        About("from the sample that triggered an action to its acceptance", of="actions"),
    ]
    emergency_s: Annotated[
        CountedPercentiles, About("the same of emergencies", of="emergency_s.count")
    ]
    compute_s: Annotated[Percentiles, About("what a full cycle took to compute", of="cycles")]
    stages: Annotated[
        Stages | None, About("where the time of an action went", only="live", optional=True)
    ] = None


class Prediction(Part):
    """Accuracy of the forecasts for one horizon, means over the services."""

    wape: Annotated[Figure, About("sum of the errors over the sum of what came")]
    coverage_80: Annotated[Figure, About("share of what came that the 80 % interval held")]
    pinball: Annotated[Figure, About("mean pinball loss of three quantiles, relative to the mean")]


class NoticedFault(Part):
    """How the monitor fared with one fault."""

    kind: Annotated[str, About("the kind of fault")]
    noticed: Annotated[bool, About("whether an alarm began while it went on, or just after")]
    after_s: Annotated[Figure, About("from its beginning to that alarm, s")]
    blamed_right: Annotated[
        bool | None, About("whether the likeliest cause is the fault; null: no alarm")
    ]


class Detection(Part):
    """What the monitor said, beside the faults that there were; an alarm is a warning or worse."""

    findings: Annotated[int, About("findings of the monitor")]
    alarms: Annotated[int, About("of them, warnings and worse")]
    false_alarms: Annotated[int, About("alarms that began while no fault went on or wore off")]
    false_alarms_per_service_week: Annotated[Figure, About("the same for each service and week")]
    precision: Annotated[Figure, About("share of the alarms that are no false ones", of="alarms")]
    recall: Annotated[
        Figure, About("share of the faults that did something that were noticed", of="faults_seen")
    ]
    faults_seen: Annotated[int, About("faults that did something")]
    faults: Annotated[dict[str, NoticedFault], About("each of those faults", keys="faults")]


class PrescaledService(Part):
    """How ready one service was when major events began; shares of the events, 0-1."""

    ready_share: Annotated[Figure, About("share of the events that found enough ready")]
    lead_ready_share: Annotated[Figure, About("share for which the floor stood a lead time before")]
    worst_ready_ratio: Annotated[Figure, About("smallest ready / needed")]
    excess_share: Annotated[Figure, About("cost of what was ready above the need, mean")]


class _Groups(Part):
    """What was judged."""

    lead_s: Annotated[float, About("lead time of the engine's promise, s")]
    events: Annotated[int, About("major events that began")]
    groups: Annotated[int, About("groups of them, by the half hour")]


class Prescaling(PrescaledService, _Groups):
    """The same for all services that users wait for together, `excess_share` for all services."""

    services: Annotated[
        dict[str, PrescaledService], About("each service by itself", keys="services")
    ]


class UsedForecaster(Part):
    """What the engine forecast with."""

    kind: Annotated[str, About('"schedule", or "learned" with a model besides')] = "schedule"
    artefact: Annotated[str | None, About("the model's file, if one was asked for")] = None
    refused: Annotated[str, About("why a model that was asked for is not used")] = ""


class Conservation(Part):
    """Whether all requests were accounted for."""

    checked: Annotated[bool, About("whether that could be checked")]
    worst_relative_error: Annotated[Figure, About("largest imbalance of a service", only="twin")]


class Fired(Part):
    """How often a fault really did something."""

    kind: Annotated[str, About("the kind of fault")]
    fired: Annotated[int, About("how often it did something")]


Outcome = Literal["passed", "failed", "not judged"]
"""What becomes of a limit: where there was nothing to judge, it is neither kept nor broken."""
MARKS: Mapping[Outcome, str] = {
    "passed": "passed", "failed": "FAILED", "not judged": "not judged",
}  # fmt: skip
"""How an outcome is said in a line of text."""


class Threshold(Part):
    """One limit of the run, and whether it was kept."""

    name: Annotated[str, About("its name in the configuration")]
    metric: Annotated[str, About("path of the figure")]
    operator: Annotated[str, About("<=, <, >=, > or ==")]
    limit: Annotated[float, About("what it is compared with")]
    value: Annotated[int | float | None, About("the figure; null where there is none")]
    outcome: Annotated[
        Outcome,
        About("passed, failed, or not judged; `passed` beside it is true, false or null"),
    ]
    reason: Annotated[str | None, About("why it was not judged", optional=True)] = None

    @model_validator(mode="before")
    @classmethod
    def _of_an_older_record(cls, given: object) -> object:
        """Before there were three outcomes, a limit with nothing to judge counted as kept.

        Where a file was changed by hand and says both, what was not kept is not kept.
        """
        if not isinstance(given, Mapping) or given.get("passed", "") == "":
            return given
        if given["passed"] is False:
            return {**given, "outcome": "failed"}
        if "outcome" in given:
            return given
        kept = given["passed"] is True and given.get("value") is not None
        return {**given, "outcome": "passed" if kept else "not judged"}

    @computed_field  # type: ignore[prop-decorator]
    @property
    def passed(self) -> bool | None:
        """The outcome for readers of records that knew two; None is neither."""
        return None if self.outcome == "not judged" else self.outcome == "passed"


class Simulation(Part):
    """What the run itself took."""

    wall_s: Annotated[Figure, About("seconds on the clock")]
    compile_s: Annotated[Figure, About("seconds to load the kernels before", only="twin")] = None
    simulated_s: Annotated[Figure, About("seconds of the world")]
    speedup: Annotated[Figure, About("simulated over clock", only="twin")]
    peak_rss_mib: Annotated[Figure, About("largest resident memory, MiB")]


class PlayedDay(Part):
    """What of the calendar a live run went through."""

    events: Annotated[int, About("booked to be in progress during the run, times the scale")]
    booked: Annotated[int, About("booked in all, in full size")]
    from_at: Annotated[str, About("time of the calendar at the beginning, ISO (UTC)")]
    to_at: Annotated[str, About("time of the calendar at the end, ISO (UTC)")]
    speed: Annotated[float, About("seconds of the calendar that passed in one")]
    scale: Annotated[float, About("share of the calendar's load")]


class Live(Part):
    """How the engine itself fared in a live run."""

    restarts: Annotated[int, About("how often another engine went on with the run")]
    sample_age_s: Annotated[Percentiles, About("age of the newest sample at a step")]
    troubles: Annotated[dict[str, int], About("troubles that began, by port")]
    played: Annotated[
        PlayedDay | None,
        About("what of the calendar was gone through, if it can say", optional=True),
    ] = None


class Interval(Part):
    """A figure over the replications; null bounds with a single one."""

    mean: Annotated[float, About("mean")]
    sd: Annotated[Figure, About("standard deviation")]
    low: Annotated[Figure, About("lower end of the 95 % interval of the mean")]
    high: Annotated[Figure, About("upper end of it")]
    min: Annotated[float, About("smallest")]
    max: Annotated[float, About("largest")]


Intervals = dict[str, Interval]


class Replications(Part):
    """Headline figures over replications with different seeds, nested as in the summary."""

    count: Annotated[int, About("replications, the run itself included")]
    confidence: Annotated[float, About("of the intervals")]
    slo: Intervals = Field(default_factory=dict)
    cost: Intervals = Field(default_factory=dict)
    requests: Intervals = Field(default_factory=dict)
    weddings: Intervals = Field(default_factory=dict)
    decision: dict[str, Interval | Intervals] = Field(default_factory=dict)
    services: dict[str, Intervals] = Field(default_factory=dict)
    prediction: dict[str, Intervals] = Field(default_factory=dict)


class ReplayedTrace(Part):
    """The file that the load of the run was recorded in, and how it was understood."""

    file: Annotated[str, About("the trace's file, as it was given")]
    time_zone: Annotated[str, About("of times that name none, of trace and calendar alike")]
    read_as: Annotated[tuple[str, ...], About("how the file was understood, in words")]
    calendar: Annotated[str | None, About("the calendar's file, if there is one")] = None
    calendar_read_as: Annotated[str, About("and how its starts were understood")] = ""


class Heading(Part):
    """What was run."""

    schema_version: Annotated[Version, About("version of this schema")] = Field(alias="schema")
    scenario: Annotated[str, About("the scenario's name")]
    description: Annotated[str, About("and what it says of itself")] = ""
    noun: Annotated[Noun, About("what its events are called")] = Noun()
    controller: Annotated[str, About("the controller's name")]
    foresight: Annotated[bool, About("whether it was told what is to come")] = False
    seed: Annotated[int, About("of all random numbers")]
    resolution: Annotated[str, About("fluid, request or hybrid; requests of a live run")]
    world: Annotated[WorldName, About("twin or live")]
    started_at: Annotated[str, About("when it began, ISO time (UTC)")]
    partial: Annotated[bool, About("whether it ended before its time")]
    versions: Annotated[dict[str, str], About("of Python and what results may depend on")]
    command: Annotated[str, About("the command line, without secrets")]
    trace: Annotated[
        ReplayedTrace | None,
        About("the recorded load that was replayed", only="twin", optional=True),
    ] = None


class Figures(Part):
    """What follows from the run alone."""

    weddings: Annotated[Weddings, About("the events of the calendar")]
    requests: Annotated[UserRequests, About("user-facing requests")]
    slo: Annotated[Slo, About("what users noticed")]
    services: Annotated[dict[str, Service], About("each service", keys="services")]
    cost: Annotated[Cost, About("what the instances cost")]
    elasticity: Annotated[
        Elasticity | None, About("how well capacity followed the need", only="twin", optional=True)
    ] = None
    ceremonies: Annotated[
        Ceremonies | None,
        About(
            "ceremonies on instances, where the platform can tell",
            of="ceremonies.carried",
            only="twin",
            optional=True,
        ),
    ] = None
    decision: Annotated[Decision, About("how often and how fast it was decided")]
    prediction: Annotated[
        dict[str, Prediction], About("accuracy of the forecasts by horizon (s)", keys="horizons")
    ]
    forecaster: Annotated[UsedForecaster, About("what the engine forecast with")] = UsedForecaster()
    prescaling: Annotated[
        Prescaling | None,
        About("how ready major events found the capacity", of="prescaling.events", optional=True),
    ] = None
    faults: Annotated[
        dict[str, Fired], About("what each fault did", only="twin", keys="faults")
    ] = Field(default_factory=dict)
    detection: Annotated[
        Detection | None,
        About("what the monitor said of the faults", only="twin", optional=True),
    ] = None
    conservation: Annotated[Conservation, About("the balance of requests")]


class Summary(Figures, Heading):
    """`summary.json`."""

    replications: Annotated[
        Replications | None,
        About("the same over several seeds (`replications=N`)", only="twin", optional=True),
    ] = None
    live: Annotated[
        Live | None, About("how the engine itself fared", only="live", optional=True)
    ] = None
    thresholds: Annotated[tuple[Threshold, ...], About("the limits, and whether they were kept")]
    simulation: Annotated[Simulation, About("what the run itself took")]

    def text(self) -> str:
        """The file's text."""
        written = self.model_dump(by_alias=True)
        return json.dumps(written, indent=2, allow_nan=False) + "\n"


def read(folder: Path) -> Summary:
    """The summary in the record `folder`; raises SchemaError naming the file and the key."""
    return from_file(Summary, folder / FILE)


def from_file(kind: type[Kind], path: Path) -> Kind:
    """A part of the schema that is a file of its own; raises SchemaError."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if (path.parent / SEALED).is_file():
            raise SchemaError(
                f"{path.parent}: is sealed; python -m engine record open {path.parent} FOLDER"
            ) from error
        raise SchemaError(f"{path}: is missing; give the folder of a run record") from error
    except UnicodeDecodeError as error:
        raise SchemaError(f"{path}: cannot be read: it is not UTF-8 text") from error
    except OSError as error:
        raise SchemaError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"{path}: is not JSON: {error}") from error
    return checked(kind, raw, str(path))


def checked(kind: type[Kind], raw: Any, where: str) -> Kind:
    """`raw` as a part of the schema; raises SchemaError naming `where` and the key."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "(all of it)"
        problem = "is missing" if first["type"] == "missing" else first["msg"]
        raise SchemaError(f"{where}: {field}: {problem}") from error
