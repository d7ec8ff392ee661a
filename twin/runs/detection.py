"""What the monitor said of a run, beside the faults that the run had.

Here a fault counts from its beginning to its end as the record has them, whatever it changed; what
it really changed is found by comparing with the same world without it (`twin.detect`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from engine.monitoring.findings import Finding, Severity
from engine.record.schema.summary import Detection, NoticedFault
from scenarios.faults.base import Fault
from twin.world.world import World

AFTER_S = 180.0
"""An alarm that begins so long after a fault's end may still be of it: windows are that long."""
WEARS_OFF_S = 1800.0
"""For so long after a fault an alarm is no false one: queues, boots and retries go on."""
FIRST_S = 60.0
"""Whoever is alarmed looks at what came within the first minute."""
WEEK_S = 604_800.0


def detection(world: World) -> Detection | None:
    """The section of the summary; None without a monitor."""
    if world.watch is None:
        return None
    all_findings = world.watch.notes.all
    alarms = alarms_of(all_findings)
    spans = spans_s(world)
    faults = {}
    for fault in world.config.faults.values():
        if not world.recorder.fired.get(fault.name, 0) or fault.name not in spans:
            continue
        begin_s, end_s = spans[fault.name]
        own = [a for a in alarms if begin_s <= a.noticed_s <= end_s + AFTER_S]
        faults[fault.name] = NoticedFault(
            kind=fault.kind,
            noticed=bool(own),
            after_s=own[0].noticed_s - begin_s if own else None,
            blamed_right=blamed_right(fault, own) if own else None,
        )
    false = [
        alarm
        for alarm in alarms
        if not any(b <= alarm.noticed_s <= e + WEARS_OFF_S for b, e in spans.values())
    ]
    weeks = len(world.specs) * world.now_s / WEEK_S
    return Detection(
        findings=len(all_findings),
        alarms=len(alarms),
        false_alarms=len(false),
        false_alarms_per_service_week=len(false) / weeks if weeks > 0.0 else None,
        precision=1.0 - len(false) / len(alarms) if alarms else None,
        recall=sum(f.noticed for f in faults.values()) / len(faults) if faults else None,
        faults_seen=len(faults),
        faults=faults,
    )


def alarms_of(findings: Iterable[Finding]) -> list[Finding]:
    """Those that are a warning or worse."""
    return [f for f in findings if f.severity.rank >= Severity.WARNING.rank]


def blamed_right(fault: Fault, alarms: Sequence[Finding]) -> bool:
    """Whether the likeliest cause of the worst of the first alarms is the fault, and its place.

    A fault that hits several services, or none by name, is blamed right by its kind alone.
    """
    if not fault.cause or not alarms:
        return False
    soon = [alarm for alarm in alarms if alarm.noticed_s <= alarms[0].noticed_s + FIRST_S]
    worst = max(soon, key=lambda alarm: (alarm.severity.rank, alarm.causes[0].weight))
    likeliest = worst.causes[0]
    service = getattr(fault, "service", None)
    services = (service,) if service is not None else tuple(getattr(fault, "services", ()))
    return likeliest.kind == fault.cause and (not services or likeliest.service in services)


def spans_s(world: World) -> dict[str, tuple[float, float]]:
    """From when to when each fault went on (epoch seconds), as far as it began."""
    last_s = world.start_s + world.now_s
    spans: dict[str, tuple[float, float]] = {}
    for event in world.recorder.events:
        name, time_s = str(event["name"]), float(event["time_s"])
        begin_s, _ = spans.get(name, (math.inf, -math.inf))
        match event["kind"]:
            case "fault_started":
                spans[name] = (min(begin_s, time_s), last_s)
            case "fault_ended" | "fault_fired":
                spans[name] = (min(begin_s, time_s), time_s)
    return spans
