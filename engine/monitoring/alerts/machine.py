"""The state machine of alerts: findings in, notices out; pure, like the monitor before it.

Findings with the same likely cause are one *incident*, with one key for all its time, by which
receivers recognise what they have already (deduplication).  An incident whose service waits for one
that is itself the place of a critical incident, of which people have been told, is held back
(inhibition): a dead database silences its callers.  An incident is told of at the first level, then
level by level until somebody acknowledges, and again after a while; an acknowledgement lapses, and
ends when things get worse.  It is resolved when all of its findings have *ended*: a service that is
silent, and a monitor that says nothing, resolve nothing.

It is long because all transitions stand together: each is only right beside the others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from engine.model import ServiceSpec
from engine.monitoring.alerts.settings import AlertSettings
from engine.monitoring.causes import CallGraph
from engine.monitoring.findings import CauseKind, Finding, FindingKind, Findings, Severity

VERSION = 1
NEVER = -math.inf


class NoticeKind(StrEnum):
    """What a notice says of its incident."""

    TRIGGERED = "triggered"
    WORSE = "worse"
    ESCALATED = "escalated"
    REMINDED = "reminded"
    ACKNOWLEDGED = "acknowledged"
    """Somebody has taken it on: nobody else has to."""
    RESOLVED = "resolved"


class AlertNotice(NamedTuple):
    """Something to send to `receivers`.

    `id` is the same however often it is sent, `key` that of the incident: receivers that know both
    tell nobody twice.
    """

    id: str
    key: str
    kind: NoticeKind
    severity: Severity
    receivers: tuple[str, ...]
    time_s: float
    words: str
    opened_s: float
    """When the incident began."""


class Acknowledgement(NamedTuple):
    """Somebody has taken an incident on."""

    key: str
    by: str


class Member(NamedTuple):
    """A finding of an incident; `absent_s` since when it was not seen any longer, never: it is."""

    service: str
    severity: Severity
    words: str
    absent_s: float = NEVER


class Incident(NamedTuple):
    """What people are told of as one thing.

    `service` is where its cause sits.  `level` counts the levels that were told, `level_s` says
    when the last of them was, `told_s` when anybody was.  `empty_s` is since when nothing of it is
    there, `told_as` what severity it was last told with.
    """

    key: str
    service: str
    opened_s: float
    severity: Severity
    members: Mapping[str, Member]
    level: int = 0
    level_s: float = NEVER
    told_s: float = NEVER
    told_as: Severity = Severity.INFO
    acknowledged_by: str = ""
    acknowledged_s: float = NEVER
    empty_s: float = NEVER
    notices: int = 0


class Alerts:
    """Follows incidents over the call graph of `specs`."""

    def __init__(self, specs: Sequence[ServiceSpec], settings: AlertSettings) -> None:
        self.settings = settings
        self._graph = CallGraph(specs)
        self.incidents: Mapping[str, Incident] = {}
        """All that are not resolved, by key; replaced at the end of a step, never changed."""
        self._opened = 0

    def step(
        self,
        findings: Findings | None,
        now_s: float,
        acknowledgements: Iterable[Acknowledgement] = (),
        major_events: float = 0.0,
        *,
        escalations: Iterable[str] = (),
    ) -> tuple[AlertNotice, ...]:
        """What has to be sent at `now_s` (epoch seconds), which is not before the last step's.

        `findings` are the monitor's; None where it said nothing.  `major_events` are in progress
        now.  An acknowledgement of an incident that is not there is nothing.  `escalations` are
        keys of incidents of which people want the next level told now.
        """
        day = self.settings.wedding_day
        wedding_day = major_events >= day.major_events
        incidents = dict(self.incidents)
        opened = self._opened
        if findings is not None:
            opened = self._assigned(incidents, findings, now_s, opened)
        notices: list[AlertNotice] = []
        for key, by in acknowledgements:
            incident = incidents.get(key)
            if incident is not None and incident.level:
                incidents[key], said = self._taken_on(incident, by, now_s)
                notices += said
        for key in escalations:
            incident = incidents.get(key)
            if incident is not None and incident.members:
                incident = incident._replace(acknowledged_by="", acknowledged_s=NEVER)
                level = min(incident.level + 1, len(self.settings.levels))
                incidents[key], said = self._next(
                    incident, NoticeKind.ESCALATED, incident.severity, now_s, level=level
                )
                notices += said
        critical: set[str] = set()
        # Who is waited for comes before those who wait: it may silence them in the same step.
        for key in sorted(incidents, key=lambda key: (self._below(incidents[key].service), key)):
            after, said = self._spoken_of(incidents[key], now_s, wedding_day, critical)
            if after is None:
                del incidents[key]
            else:
                incidents[key] = after
                if after.level and after.told_as is Severity.CRITICAL:
                    critical.add(after.service)
            notices += said
        self.incidents, self._opened = incidents, opened
        return tuple(notices)

    def inhibited(self, service: str, critical: Iterable[str]) -> bool:
        """Whether `service` waits for one of `critical`, and is none of them itself."""
        return any(service in self._graph.callers_of(other) for other in critical)

    def _below(self, service: str) -> int:
        """How many services `service` waits for."""
        names = self._graph.names
        return int(self._graph.below[names.index(service)].sum()) if service in names else 0

    def snapshot(self) -> str:
        """Everything it remembers, as strict JSON."""
        document = {
            "version": VERSION,
            "opened": self._opened,
            "incidents": [_document(own) for own in self.incidents.values()],
        }
        return json.dumps(document, sort_keys=True, allow_nan=False)

    def restore(self, snapshot: str) -> None:
        """Take over a memory that `snapshot` wrote; raises ValueError for any other text."""
        try:
            document = json.loads(snapshot)
            if document["version"] != VERSION:
                raise ValueError(f"alerts: version {document['version']!r} is not known")
            incidents = {raw["key"]: _incident(raw) for raw in document["incidents"]}
            opened = int(document["opened"])
        except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"alerts: not a snapshot of them ({error!r})") from error
        self.incidents, self._opened = incidents, opened

    def _assigned(
        self, incidents: dict[str, Incident], findings: Findings, now_s: float, opened: int
    ) -> int:
        """Each finding to its incident, and out of it when it has ended; how many were opened."""
        lasting = {f.id: f for f in findings.lasting if f.severity.rank >= Severity.WARNING.rank}
        placed: set[str] = set()
        for key, incident in incidents.items():
            placed.update(id_ for id_ in incident.members if id_ in lasting)
            members = self._gone_on(incident, lasting, findings, now_s)
            incidents[key] = incident._replace(members=members)
        for id_, finding in lasting.items():
            if id_ in placed:
                continue
            base = _key(finding)
            key = next((k for k in incidents if k.rpartition("#")[0] == base), "")
            if not key:
                key = _of_the_same(incidents, finding)
            if not key:
                opened += 1
                key = f"{base}#{opened}"
                incidents[key] = Incident(key, _where(finding), now_s, finding.severity, {})
            own = incidents[key]
            incidents[key] = own._replace(members={**own.members, id_: _member(finding)})
        for key, incident in incidents.items():
            empty_s = NEVER
            if not incident.members:
                empty_s = now_s if incident.empty_s == NEVER else incident.empty_s
            worst = max(
                (m.severity for m in incident.members.values()),
                key=lambda severity: severity.rank,
                default=incident.severity,
            )
            severity = max(worst, incident.severity, key=lambda severity: severity.rank)
            incidents[key] = incident._replace(empty_s=empty_s, severity=severity)
        return opened

    def _gone_on(
        self,
        incident: Incident,
        lasting: Mapping[str, Finding],
        findings: Findings,
        now_s: float,
    ) -> dict[str, Member]:
        """What is left of an incident's findings, and as what."""
        ended = {finding.id for finding in findings.ended}
        members = {}
        for id_, member in incident.members.items():
            if id_ in lasting:
                members[id_] = _member(lasting[id_])
                continue
            if id_ in ended:
                continue
            # Neither there nor ended: of a silent service, or of a monitor that began anew.
            since_s = now_s if member.absent_s == NEVER else member.absent_s
            if member.service in findings.silent:
                since_s = now_s
            if now_s - since_s <= self.settings.resolve_after_s:
                members[id_] = member._replace(absent_s=since_s)
        return members

    def _spoken_of(
        self, incident: Incident, now_s: float, wedding_day: bool, critical: set[str]
    ) -> tuple[Incident | None, list[AlertNotice]]:
        """The incident after this step (None: it is over), and what is to be sent of it."""
        own = self.settings
        severity = incident.severity
        if wedding_day and own.wedding_day.warnings_page:
            severity = Severity.CRITICAL
        pace = own.wedding_day.faster if wedding_day else 1.0
        if not incident.members:
            if now_s - incident.empty_s < own.resolve_after_s:
                return incident, []
            if not incident.level:
                return None, []
            receivers = self._receivers(incident.level)
            return None, [_notice(incident, NoticeKind.RESOLVED, severity, receivers, now_s=now_s)]
        pages = severity is Severity.CRITICAL
        quiet = own.quiet is not None and own.quiet.at(now_s) and not wedding_day
        if not incident.level:
            waits = now_s - incident.opened_s < own.group_wait_s * pace
            if not pages and (quiet or waits):
                return incident, []
            others = critical - {incident.service}
            if self.inhibited(incident.service, others):
                return incident, []
            return self._next(incident, NoticeKind.TRIGGERED, severity, now_s, level=1)
        return self._spoken_of_again(incident, severity, now_s, pace=pace, quiet=quiet)

    def _spoken_of_again(
        self, incident: Incident, severity: Severity, now_s: float, *, pace: float, quiet: bool
    ) -> tuple[Incident, list[AlertNotice]]:
        """The same of one that somebody was told of and that goes on."""
        own, pages = self.settings, severity is Severity.CRITICAL
        if severity.rank > incident.told_as.rank:
            # What got worse is nobody's yet, whoever took on what it was before.
            incident = incident._replace(acknowledged_by="", acknowledged_s=NEVER)
            return self._next(incident, NoticeKind.WORSE, severity, now_s, level=incident.level)
        if incident.acknowledged_s > NEVER:
            if now_s - incident.acknowledged_s < own.acknowledged_s * pace:
                return incident, []
            incident = incident._replace(
                acknowledged_by="", acknowledged_s=NEVER, level_s=now_s
            )  # whoever took it on has as long again before the next level is told
            return self._next(incident, NoticeKind.REMINDED, severity, now_s, level=incident.level)
        if quiet and not pages:
            return incident, []
        if incident.level < len(own.levels):
            after_s = own.levels[incident.level].after_s * pace
            if pages and now_s - incident.level_s >= after_s:
                return self._next(
                    incident, NoticeKind.ESCALATED, severity, now_s, level=incident.level + 1
                )
        if now_s - incident.told_s >= own.repeat_s * pace:
            return self._next(incident, NoticeKind.REMINDED, severity, now_s, level=incident.level)
        return incident, []

    def _next(
        self, incident: Incident, kind: NoticeKind, severity: Severity, now_s: float, *, level: int
    ) -> tuple[Incident, list[AlertNotice]]:
        """The incident told of at `level`, and the notice."""
        receivers = (
            self.settings.levels[level - 1].receivers
            if kind is NoticeKind.ESCALATED
            else self._receivers(level)
        )
        notice = _notice(incident, kind, severity, receivers, now_s=now_s)
        return incident._replace(
            level=level,
            level_s=incident.level_s if kind is NoticeKind.REMINDED else now_s,
            told_s=now_s,
            told_as=severity,
            notices=incident.notices + 1,
        ), [notice]

    def _taken_on(
        self, incident: Incident, by: str, now_s: float
    ) -> tuple[Incident, list[AlertNotice]]:
        """The incident that `by` has taken on, and what everybody is told who was told of it."""
        taken = incident._replace(acknowledged_by=by, acknowledged_s=now_s)
        if by == incident.acknowledged_by:
            return taken, []
        receivers = self._receivers(incident.level)
        notice = _notice(taken, NoticeKind.ACKNOWLEDGED, incident.told_as, receivers, now_s=now_s)
        words = f"taken on by {by}; {notice.words}" if notice.words else f"taken on by {by}"
        return taken._replace(notices=taken.notices + 1), [notice._replace(words=words)]

    def _receivers(self, level: int) -> tuple[str, ...]:
        """Everybody who was told up to `level`."""
        everybody = [r for one in self.settings.levels[:level] for r in one.receivers]
        return tuple(dict.fromkeys(everybody))


def _where(finding: Finding) -> str:
    cause = finding.causes[0]
    return finding.service if cause.kind is CauseKind.UNKNOWN else cause.service


def _key(finding: Finding) -> str:
    """What findings of one incident have in common.

    A budget that burns has one of its own: it does so for as long as its windows remember, hours
    after what burned it, and would keep an incident open that is over.
    """
    cause = finding.causes[0]
    if finding.kind is FindingKind.BURN_RATE:
        return f"{finding.service}/{finding.kind}"
    if cause.kind is CauseKind.UNKNOWN:
        return f"{finding.service}/{cause.kind}"
    return f"{cause.service}/{cause.kind}"


def _of_the_same(incidents: Mapping[str, Incident], finding: Finding) -> str:
    """The incident that a finding without a cause of its own belongs to, "": there is none.

    What nothing in the figures explains is of the incident that its service has already.
    """
    if finding.kind is FindingKind.BURN_RATE:
        return ""
    burning = f"{finding.service}/{FindingKind.BURN_RATE}"
    unexplained = f"{finding.service}/{CauseKind.UNKNOWN}"
    follows = finding.causes[0].kind is CauseKind.UNKNOWN
    return next(
        (
            key
            for key, incident in reversed(list(incidents.items()))
            for base in (key.rpartition("#")[0],)
            if any(member.service == finding.service for member in incident.members.values())
            and base != burning
            and (follows or base == unexplained)
        ),
        "",
    )


def _member(finding: Finding) -> Member:
    return Member(
        finding.service,
        finding.severity,
        f"{finding.service}: {finding.kind}, {finding.recommendation}",
    )


def _notice(
    incident: Incident,
    kind: NoticeKind,
    severity: Severity,
    receivers: tuple[str, ...],
    *,
    now_s: float,
) -> AlertNotice:
    words = "; ".join(dict.fromkeys(member.words for member in incident.members.values()))
    return AlertNotice(
        id=f"{incident.key}.{incident.notices + 1}",
        key=incident.key,
        kind=kind,
        severity=severity,
        receivers=receivers,
        time_s=now_s,
        words=words,
        opened_s=incident.opened_s,
    )


def _time(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _document(incident: Incident) -> dict[str, Any]:
    return incident._asdict() | {
        "severity": incident.severity.value,
        "told_as": incident.told_as.value,
        **{
            name: _time(getattr(incident, name))
            for name in ("level_s", "told_s", "acknowledged_s", "empty_s")
        },
        "members": {
            id_: member._asdict()
            | {"severity": member.severity.value, "absent_s": _time(member.absent_s)}
            for id_, member in incident.members.items()
        },
    }


def _incident(raw: Mapping[str, Any]) -> Incident:
    def time(value: float | None) -> float:
        return NEVER if value is None else float(value)

    return Incident(
        key=str(raw["key"]),
        service=str(raw["service"]),
        opened_s=float(raw["opened_s"]),
        severity=Severity(raw["severity"]),
        members={
            str(id_): Member(
                str(member["service"]),
                Severity(member["severity"]),
                str(member["words"]),
                time(member["absent_s"]),
            )
            for id_, member in raw["members"].items()
        },
        level=int(raw["level"]),
        level_s=time(raw["level_s"]),
        told_s=time(raw["told_s"]),
        told_as=Severity(raw["told_as"]),
        acknowledged_by=str(raw["acknowledged_by"]),
        acknowledged_s=time(raw["acknowledged_s"]),
        empty_s=time(raw["empty_s"]),
        notices=int(raw["notices"]),
    )
