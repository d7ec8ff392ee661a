"""Monitoring sessions: what is watched, how often, and of what the monitor speaks.

The monitor's *own* session begins with the engine: all services, all kinds of findings, every
`monitor.every_s`.  People start others beside it and end any of them, the own one too.  What is
watched is what some session watches: a service that none names is not looked at, and a finding that
nobody watches any more ends.  Each session has its own beat, so a look speaks of what is due in it
and leaves the rest as it was.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from engine.config.complaints import close
from engine.model import MonitoringSession
from engine.monitoring.findings import FindingKind

OWN = "engine"
"""The id of the session that begins by itself."""
STEP_S, LEAST_S, MOST_S = 5.0, 5.0, 3600.0
"""Samples come every 5 s: a look between two of them would see nothing new."""
MOST_SESSIONS = 100
"""That run at one time."""
SHOWN_S = 86_400.0
"""A session that is over is listed for so long."""
ALL_KINDS = frozenset(FindingKind)

Watching = Mapping[str, frozenset[FindingKind]]
"""The kinds of findings that are watched for in each service."""


class LookScope(NamedTuple):
    """What a look may speak of: `due` of it now, and `watched` whenever its time has come."""

    watched: Watching
    due: Watching

    def is_due(self, service: str, kind: FindingKind) -> bool:
        """Whether this look speaks of it."""
        return kind in self.due.get(service, ())

    def is_watched(self, service: str, kind: FindingKind) -> bool:
        """Whether any look does."""
        return kind in self.watched.get(service, ())


class SessionFault(NamedTuple):
    """What is wrong with what was asked for: the field, what was given, what is allowed."""

    field: str
    given: object
    allowed: str
    hint: str = ""

    def __str__(self) -> str:
        """As an error says it."""
        shown = f'"{self.given}"' if isinstance(self.given, str) else f"{self.given:g}"
        return f"{self.field}: {shown} is not allowed ({self.allowed}){self.hint}"


def wrong_with(
    services: Sequence[str], every_s: float, kinds: Sequence[str], there_are: Sequence[str]
) -> SessionFault | None:
    """What is wrong with such a session, None: nothing; `there_are` is of the services."""
    for name in services:
        if name not in there_are:
            allowed = ", ".join(there_are) or "there is none"
            return SessionFault("services", name, allowed, close(name, there_are))
    if not (LEAST_S <= every_s <= MOST_S and every_s % STEP_S == 0.0):
        allowed = f"{LEAST_S:g} … {MOST_S:g} seconds in steps of {STEP_S:g}"
        return SessionFault("every_s", every_s, allowed)
    all_kinds = [kind.value for kind in FindingKind]
    for kind in kinds:
        if kind not in all_kinds:
            return SessionFault("kinds", kind, ", ".join(all_kinds), close(kind, all_kinds))
    return None


def running(
    asked: Iterable[MonitoringSession], own: MonitoringSession, now_s: float
) -> tuple[MonitoringSession, ...]:
    """All that run at `now_s`: the `own` one too, unless something else was asked of it."""
    by_id = {OWN: own} | {one.id: one for one in asked}
    return tuple(one for one in by_id.values() if one.runs(now_s))


def watching(sessions: Iterable[MonitoringSession], services: Sequence[str]) -> Watching:
    """What they watch together, of these `services`."""
    watched: dict[str, frozenset[FindingKind]] = {}
    for one in sessions:
        kinds = ALL_KINDS
        if one.kinds:  # another release may have had others
            kinds = frozenset(kind for kind in FindingKind if kind.value in one.kinds)
        for name in one.services or services:
            if name in services:
                watched[name] = watched.get(name, frozenset()) | kinds
    return watched


def is_everything(watched: Watching, services: Collection[str]) -> bool:
    """Whether nothing is left out."""
    return all(watched.get(name) == ALL_KINDS for name in services)


class Beats:
    """When each session is due."""

    def __init__(self) -> None:
        self._looked_s: dict[str, float] = {}
        self._looks: dict[str, int] = {}

    def due(
        self, sessions: Iterable[MonitoringSession], now_s: float
    ) -> tuple[MonitoringSession, ...]:
        """Those whose interval is over at `now_s`; a clock that was set back makes no gap."""
        return tuple(
            one
            for one in sessions
            if not 0.0 <= now_s - self._looked_s.get(one.id, -math.inf) < one.every_s
        )

    def looked(self, sessions: Iterable[MonitoringSession], now_s: float) -> None:
        """A look was theirs."""
        for one in sessions:
            self._looked_s[one.id] = now_s
            self._looks[one.id] = self._looks.get(one.id, 0) + 1

    def shown(self, session: MonitoringSession, now_s: float) -> dict[str, Any]:
        """A session as whoever asks is shown it."""
        return session_document(session, now_s) | {
            "looks": self._looks.get(session.id, 0),
            "looked_s": self._looked_s.get(session.id),
        }


def ended(session: MonitoringSession, by: str, now_s: float) -> MonitoringSession:
    """The same, over from `now_s` on; of the own one it is kept for good that it is."""
    expires_s = math.inf if session.id == OWN else now_s + SHOWN_S
    return replace(session, until_s=now_s, expires_s=expires_s, ended_by=by)


def said(session: MonitoringSession) -> dict[str, str | float]:
    """What the audit log has of a session."""
    until = "until it is ended" if math.isinf(session.until_s) else f"until {session.until_s:.3f}"
    return {
        "session": session.id,
        "services": ", ".join(session.services) or "all",
        "every_s": session.every_s,
        "kinds": ", ".join(session.kinds) or "all",
        "until": until,
    }


def session_of(document: Mapping[str, Any]) -> MonitoringSession:
    """The session that `session_document` showed."""
    until_s = math.inf if document["until_s"] is None else float(document["until_s"])
    return MonitoringSession(
        str(document["id"]), tuple(document["services"]), float(document["every_s"]),
        tuple(document["kinds"]), float(document["since_s"]), until_s,
        requested_by=str(document["requested_by"]), why=str(document["why"]),
        ended_by=str(document["ended_by"]),
    )  # fmt: skip


def session_document(session: MonitoringSession, now_s: float) -> dict[str, Any]:
    """A session as JSON has it; nothing is known here of its looks."""
    return {
        "id": session.id,
        "services": list(session.services),
        "every_s": session.every_s,
        "kinds": list(session.kinds),
        "since_s": session.since_s,
        "until_s": session.until_s if math.isfinite(session.until_s) else None,
        "status": "running" if session.runs(now_s) else "ended",
        "requested_by": session.requested_by,
        "ended_by": session.ended_by,
        "why": session.why,
        "looks": 0,
        "looked_s": None,
    }
