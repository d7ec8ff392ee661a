"""The monitor and its alerts as one stage beside the engine's step: what a shell has to do with it.

Like both it is without I/O: a shell gives what the engine saw and what people answered, and gets
what is new; it keeps `snapshot` with the engine's own memory, in one transaction, and sends what
`due` says.  Notices that nobody has taken yet are part of that memory (an outbox): what was kept is
sent until its receiver has taken it, by whichever engine leads, under the same id each time.  So
none is lost, and a receiver that knows the id tells nobody twice.  A notice goes out once it is
kept; if nothing can be kept for `UNKEPT_S` it goes out all the same, as people have to know.

A turn that raises has changed nothing.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from engine.model import AlertAnswer, InstanceFigures, MonitoringSession, Observation
from engine.monitoring.alerts.machine import Acknowledgement, AlertNotice, Alerts, NoticeKind
from engine.monitoring.findings import Finding, Findings, Severity
from engine.monitoring.monitor import Monitor
from engine.monitoring.sessions import (
    OWN,
    Beats,
    LookScope,
    Watching,
    is_everything,
    running,
    watching,
)

VERSION = 1
UNKEPT_S = 30.0
SNAPSHOT_S = 60.0
"""What the monitor has learned may be so much older than the incidents, after a restart."""
MOST_WAITING = 10_000
"""Notices that may wait for one receiver; the oldest go first, and are counted."""


class Delivery(NamedTuple):
    """A notice for one receiver; `made_s` is when it was made."""

    receiver: str
    notice: AlertNotice
    made_s: float


class News(NamedTuple):
    """What a turn has brought."""

    began: tuple[Finding, ...] = ()
    ended: tuple[Finding, ...] = ()
    notices: tuple[AlertNotice, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.began or self.ended or self.notices)


class MonitorStage:
    """One monitor and its alerts."""

    def __init__(
        self,
        monitor: Monitor,
        alerts: Alerts,
        heard: Callable[[Findings], object] = lambda _: None,
    ) -> None:
        """`heard` is given what each look yields."""
        self._heard = heard
        self.monitor = monitor
        self.alerts = alerts
        self.findings = Findings(-math.inf)
        """Those of the newest look."""
        self.since_s: float | None = None
        """Since when it watches (epoch seconds), over restarts."""
        self.looks = 0
        self.lost = 0
        """Deliveries that were given up, as too many waited."""
        self._waiting: tuple[Delivery, ...] = ()
        self._kept: frozenset[tuple[str, str]] = frozenset()
        """Deliveries that are on the disk, by receiver and notice."""
        self._answered: frozenset[str] = frozenset()
        """Ids of answers of people that were taken and stand yet."""
        self._asked: tuple[MonitoringSession, ...] = ()
        """Sessions that people asked for, as they were known last."""
        self._runs: tuple[MonitoringSession, ...] = (self._own(0.0),)
        """Those that ran at the last turn."""
        self._beats = Beats()
        self._names = tuple(spec.name for spec in monitor.specs)
        self._turned_s = 0.0
        self._single_s = -math.inf
        """When single instances are to be looked at again."""
        self._watching: Watching = watching(self._runs, self._names)
        self._learned: tuple[float, str] = (-math.inf, "")

    # --- a turn

    def turn(
        self,
        observation: Observation | None,
        now_s: float,
        answers: Sequence[AlertAnswer] | None = (),
        sessions: Sequence[MonitoringSession] | None = None,
        *,
        instances: Mapping[str, InstanceFigures] | None = None,
    ) -> News:
        """Look, if it is time, and see what people have to be told; what is new.

        Without an observation nothing is looked at, and nothing ends.  `answers` and `sessions` are
        all that stand (None: they could not be asked for; the sessions known last hold then).
        `instances` are the newest figures of single ones, and are looked at when they are due.
        """
        asked = self._asked if sessions is None else tuple(sessions)
        runs = running(asked, self._own(now_s), now_s)
        due = self._beats.due(runs, now_s)
        watched = self._watching if runs == self._runs else watching(runs, self._names)
        findings: Findings | None = None
        if observation is not None and (due or self._has_unwatched(watched)):
            scope = LookScope(watched, watched if due == runs else watching(due, self._names))
            seen = [one for one in observation.services if one.spec.name in watched]
            every_s = self.monitor.settings.instances.every_s
            single = not self._single_s - every_s <= now_s < self._single_s
            findings = self.monitor.step(
                seen, observation.outlook, now_s,
                None if is_everything(scope.due, self._names) else scope,
                instances=instances if single else None,
            )  # fmt: skip
            if single and instances:
                self._single_s = now_s + every_s
        new = [a for a in answers or () if a.id not in self._answered and now_s < a.expires_s]
        notices = self.alerts.step(
            findings,
            now_s,
            [
                Acknowledgement(self.key_of(a.incident), a.requested_by)
                for a in new
                if not a.escalates
            ],
            _major(observation, now_s),
            escalations=[self.key_of(a.incident) for a in new if a.escalates],
        )
        # Nothing raises from here on.
        if answers is not None:
            self._answered = frozenset(a.id for a in answers)
        self._asked, self._runs, self._turned_s = asked, runs, now_s
        self._watching = watched
        if findings is not None:
            self.findings = findings
            self._beats.looked(due, now_s)
            self._heard(findings)
            self.looks += 1
            self.since_s = now_s if self.since_s is None else min(self.since_s, now_s)
        if notices:
            more = [Delivery(r, notice, now_s) for notice in notices for r in notice.receivers]
            waiting = [*self._waiting, *more]
            self.lost += max(len(waiting) - MOST_WAITING, 0)
            self._waiting = tuple(waiting[-MOST_WAITING:])
        if findings is None:
            return News(notices=notices)
        return News(findings.began, findings.ended, notices)

    def _own(self, now_s: float) -> MonitoringSession:
        """The session that begins by itself."""
        since_s = now_s if self.since_s is None else self.since_s
        return MonitoringSession(
            OWN, (), self.monitor.settings.every_s, (), since_s, requested_by=OWN
        )

    def _has_unwatched(self, watched: Watching) -> bool:
        """Whether something lasts that nobody watches any more."""
        return any(one.kind not in watched.get(one.service, ()) for one in self.findings.lasting)

    def unwatched(self) -> tuple[str, ...]:
        """Services that no session watches."""
        return tuple(name for name in self._names if name not in self._watching)

    # --- sending

    def due(self, now_s: float) -> tuple[Delivery, ...]:
        """What is to be sent: the oldest of each receiver that may go out at `now_s`."""
        first: dict[str, Delivery] = {}
        for delivery in self._waiting:
            first.setdefault(delivery.receiver, delivery)
        return tuple(
            one
            for one in first.values()
            if (one.receiver, one.notice.id) in self._kept or now_s - one.made_s >= UNKEPT_S
        )

    def taken(self, delivery: Delivery) -> None:
        """Its receiver has it."""
        self._waiting = tuple(one for one in self._waiting if one != delivery)
        self._kept -= {(delivery.receiver, delivery.notice.id)}

    @property
    def waiting(self) -> tuple[Delivery, ...]:
        """Everything that no receiver has taken yet."""
        return self._waiting

    # --- remembering

    def snapshot(self, now_s: float) -> str:
        """Everything it remembers, as JSON; what was learned is packed, and renewed each minute."""
        at_s, text = self._learned
        if not text or not 0.0 <= now_s - at_s < SNAPSHOT_S:
            packed = zlib.compress(self.monitor.snapshot().encode(), 1)
            self._learned = now_s, base64.b64encode(packed).decode()
        document = {
            "version": VERSION,
            "since_s": self.since_s,
            "looks": self.looks,
            "lost": self.lost,
            "monitor": self._learned[1],
            "alerts": self.alerts.snapshot(),
            "answered": sorted(self._answered),
            "waiting": [
                [one.receiver, one.made_s, _notice_document(one.notice)] for one in self._waiting
            ],
        }
        return json.dumps(document, allow_nan=False)

    def kept(self, snapshot: str) -> None:
        """The store has what `snapshot` wrote."""
        names = {(raw[0], raw[2]["id"]) for raw in json.loads(snapshot)["waiting"]}
        self._kept = frozenset(
            (one.receiver, one.notice.id)
            for one in self._waiting
            if (one.receiver, one.notice.id) in names
        )

    def restore(self, snapshot: str) -> None:
        """Take over what `snapshot` wrote; raises ValueError for any other text.

        It is then as it was made, but for what could be read.
        """
        try:
            raw = json.loads(snapshot)
            if raw["version"] != VERSION:
                raise ValueError(f"version {raw['version']!r} is not known ({VERSION})")
            waiting = tuple(
                Delivery(str(receiver), _notice(notice), float(made_s))
                for receiver, made_s, notice in raw["waiting"]
            )
            answered = frozenset(map(str, raw["answered"]))
            since_s, looks, lost = raw["since_s"], int(raw["looks"]), int(raw["lost"])
            learned = zlib.decompress(base64.b64decode(raw["monitor"])).decode()
            self.alerts.restore(raw["alerts"])
        except (KeyError, TypeError, AttributeError, zlib.error) as error:
            raise ValueError(f"not a memory of the monitor ({error!r})") from error
        self._waiting, self._answered = waiting, answered
        self._kept = frozenset((one.receiver, one.notice.id) for one in waiting)
        self.since_s = None if since_s is None else float(since_s)
        self.looks, self.lost = looks, lost
        self.monitor.restore(learned)

    def shown(self) -> dict[str, Any]:
        """What whoever asks is shown, as JSON has it."""
        now_s = self._turned_s
        sessions = {OWN: self._own(now_s)} | {one.id: one for one in self._asked}
        every_s = [one.every_s for one in sessions.values() if one.runs(now_s)]
        return {
            "since_s": self.since_s,
            "every_s": min(every_s, default=None),
            "looks": self.looks,
            "sessions": [self._beats.shown(one, now_s) for one in sessions.values()],
            "services": [name for name in self._names if name in self._watching],
            "unwatched": list(self.unwatched()),
            "watchers": sorted(self.monitor.settings.detectors),
            "silent": sorted(self.findings.silent),
            "findings": [finding_document(finding) for finding in self.findings.lasting],
            "alerts": [
                {
                    "id": incident_id(own.key),
                    "service": own.service,
                    "severity": own.severity.value,
                    "opened_s": own.opened_s,
                    "level": own.level,
                    "levels": len(self.alerts.settings.levels),
                    "acknowledged_by": own.acknowledged_by,
                    "acknowledged_s": _finite(own.acknowledged_s),
                    "told_s": _finite(own.told_s),
                    "notices": own.notices,
                    "findings": sorted(own.members),
                    "words": sorted({member.words for member in own.members.values()}),
                }
                for own in self.alerts.incidents.values()
            ],
            "undelivered": len(self._waiting),
            "given_up": self.lost,
        }

    def key_of(self, name: str) -> str:
        """The key of the incident with an id; "" if there is none."""
        return next((key for key in self.alerts.incidents if incident_id(key) == name), "")


def incident_id(key: str) -> str:
    """The key of an incident as it can stand in an address."""
    return key.replace("/", ".").replace("#", "-")


def finding_document(finding: Finding) -> dict[str, Any]:
    """A finding as JSON has it; null where a figure is not known."""
    symptom = finding.symptom
    return {
        "id": finding.id,
        "service": finding.service,
        "kind": finding.kind.value,
        "severity": finding.severity.value,
        "watcher": symptom.watcher,
        "figure": symptom.figure,
        "value": _finite(symptom.value),
        "limit": _finite(symptom.limit),
        "low": _finite(symptom.low),
        "high": _finite(symptom.high),
        "confidence": symptom.confidence,
        "since_s": _finite(finding.since_s),
        "noticed_s": finding.noticed_s,
        "weddings": _finite(finding.weddings),
        "guests": _finite(finding.guests),
        "causes": [
            {"service": c.service, "kind": c.kind.value, "weight": c.weight, "words": c.words}
            for c in finding.causes
        ],
        "words": symptom.words,
        "recommendation": finding.recommendation,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _major(observation: Observation | None, now_s: float) -> float:
    """Major events in progress."""
    if observation is None or not observation.outlook.covers(now_s):
        return 0.0
    outlook = observation.outlook
    return float(outlook.major_events[int((now_s - outlook.start_s) / outlook.bin_s)])


def _notice_document(notice: AlertNotice) -> dict[str, Any]:
    return {
        **notice._asdict(),
        "kind": notice.kind.value,
        "severity": notice.severity.value,
        "receivers": list(notice.receivers),
    }


def _notice(raw: Mapping[str, Any]) -> AlertNotice:
    return AlertNotice(
        id=str(raw["id"]),
        key=str(raw["key"]),
        kind=NoticeKind(raw["kind"]),
        severity=Severity(raw["severity"]),
        receivers=tuple(map(str, raw["receivers"])),
        time_s=float(raw["time_s"]),
        words=str(raw["words"]),
        opened_s=float(raw["opened_s"]),
    )
