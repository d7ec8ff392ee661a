"""Services one by one, what they cost, and the same figures over other seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.record.schema.summary import Interval, Service, Summary
from reports import wording
from reports.run.occasions import cost_of_each, drawn_events
from reports.run.reading import Record
from reports.tables import TextTable, table
from reports.wording import NOTHING, count, percent, plural, roughly, seconds, usd


@dataclass(frozen=True, slots=True)
class ServiceStory:
    """One service in one line."""

    name: str
    line: str


def service_line(service: Service) -> str:
    """A service in one line."""
    short = service.under_provisioned_share
    line = (
        f"p95 {seconds(service.p95_s)} (SLO {seconds(service.slo_p95_s)}), up to "
        f"{plural(service.instances_max, 'instance')}, {usd(service.cost_usd)}"
    )
    return line if short is None else f"{line}, short of need {percent(short)} of the time"


def service_table(record: Record) -> TextTable:
    """All services; columns that no service fills are left out."""
    headings = (
        "service", "users wait", "p50", "p95", "p99", "SLO p95", "missed SLO", "cpu mean",
        "cpu max", "most instances", "instance-hours", "cost", "short of need", "above need",
    )  # fmt: skip
    # An hour of a test stack is no whole number of instance-hours.
    hours = wording.figure if record.summary.live is not None else count
    rows = [
        (
            name, _user_facing(record.config, name), seconds(s.p50_s), seconds(s.p95_s),
            seconds(s.p99_s), seconds(s.slo_p95_s), percent(s.violation_ratio),
            roughly(s.cpu_mean), roughly(s.cpu_max), count(s.instances_max),
            hours(s.instance_hours), usd(s.cost_usd), percent(s.under_provisioned_share),
            roughly(s.over_provisioned_share),
        )
        for name, s in record.summary.services.items()
    ]  # fmt: skip
    filled = [k for k in range(len(headings)) if k < 2 or any(row[k] != NOTHING for row in rows)]
    return table(
        tuple(headings[k] for k in filled),
        "".join("  ############"[k] for k in filled),
        [tuple(row[k] for k in filled) for row in rows],
    )


def _user_facing(config: dict[str, Any], name: str) -> str:
    """Whether the configuration says that users wait for this service."""
    value: Any = config
    for key in ("platform", "services", name, "user_facing"):
        if not isinstance(value, dict) or key not in value:
            return wording.NOTHING
        value = value[key]
    return "yes" if value else "no"


def cost_line(summary: Summary) -> str:
    """What the run cost, and the three dearest services."""
    services = sorted(summary.services.items(), key=lambda item: -item[1].cost_usd)
    total = summary.cost.total_usd
    shares = [
        f"{name} {usd(service.cost_usd)} ({roughly(service.cost_usd / total)})"
        for name, service in services[:3]
        if total > 0.0
    ]
    text = (
        f"{usd(total)} in all, {cost_of_each(summary)}"
        if cost_of_each(summary)
        else f"{usd(total)} in all"
    )
    text = f"{text}. Most of it: {', '.join(shares)}." if shares else f"{text}."
    return text + _warm_words(summary)


def _warm_words(summary: Summary) -> str:
    """What was paid for instances held warm, where any can be."""
    warm_usd = summary.cost.warm_usd
    if warm_usd is None:
        return ""
    names = [name for name, service in summary.services.items() if service.warm_usd is not None]
    share = f" ({percent(warm_usd / summary.cost.total_usd)})" if summary.cost.total_usd else ""
    return f" Of it {usd(warm_usd)}{share} is for instances of {', '.join(names)} held warm."


def replications_table(summary: Summary) -> TextTable | None:
    """This run beside other seeds; None for a single run."""
    replications = summary.replications
    if replications is None:
        return None
    lines: list[tuple[str, float | None, Interval, Callable[[float | None], str]]] = [
        ("requests that missed the SLO", summary.slo.violation_ratio,
         replications.slo["violation_ratio"], percent),
        ("minutes that missed the SLO", summary.slo.violation_minutes,
         replications.slo["violation_minutes"], wording.figure),
        ("availability", summary.slo.availability, replications.slo["availability"], percent),
        ("cost", summary.cost.total_usd, replications.cost["total_usd"], usd),
        ("most requests a second", summary.requests.peak_rate_per_s,
         replications.requests["peak_rate_per_s"], count),
    ]  # fmt: skip
    lines += [
        (f"{name}: p95", summary.services[name].p95_s, figures["p95_s"], seconds)
        for name, figures in replications.services.items()
        if "p95_s" in figures and name in summary.services
    ]
    rows = [
        (
            label,
            show(value),
            show(interval.mean),
            "–" if interval.low is None else f"{show(interval.low)} … {show(interval.high)}",
            f"{show(interval.min)} … {show(interval.max)}",
        )
        for label, value, interval, show in lines
    ]
    level = f"{replications.confidence:.0%}"
    headings = ("", "this run", "mean", f"{level} interval of the mean", "range")
    return table(headings, " ####", rows)


def replications_note(summary: Summary) -> str:
    """What the other seeds are; empty for a single run."""
    replications = summary.replications
    if replications is None:
        return ""
    return (
        f"{plural(replications.count, 'replication')} of this run, the first of them this one, "
        f"each with a seed of its own: other {drawn_events(summary)}arrivals and draws, the same "
        "scenario. The interval is "
        "Student's, for the mean; a single day can lie anywhere in the range and beyond."
    )
