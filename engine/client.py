"""A client of the engine's API, typed: each method is one operation of its OpenAPI document.

    with EngineClient("http://127.0.0.1:8700", token) as engine:
        now = engine.collect_realtime_metrics(["api"])
        print(now.services["api"].ready)

Answers are the models of `engine.api.*_documents`; what a newer engine adds to them is left out.
What the engine refuses is an `ApiProblemError`, which holds its problem.  Requests that change
something carry an `Idempotency-Key` of their own, so one whose answer was lost is sent again.

It is long because the API is: a method an operation, and nothing else.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from engine.api.alert_documents import FindingList, IncidentAnswerDocument, IncidentList
from engine.api.decision_documents import (
    AnswerDocument,
    AwaitingList,
    DecisionDocument,
    DecisionPage,
)
from engine.api.documents import (
    HealthDocument,
    ProblemDocument,
    ReadinessDocument,
    TroublesDocument,
)
from engine.api.emergency_documents import EmergencyDocument
from engine.api.kept_documents import KeptRangeDocument
from engine.api.metrics_documents import (
    AnalysisDocument,
    BottlenecksDocument,
    CapacityDocument,
    RealtimeDocument,
)
from engine.api.monitoring_documents import SessionDocument, SessionList
from engine.api.occasion_documents import OccasionDocument, OccasionList
from engine.api.overview_documents import BackgroundDocument, OverviewDocument, WhoDocument
from engine.api.planning_documents import (
    OptimisationDocument,
    PlanDocument,
    PreparationDocument,
    RecommendationsDocument,
    SeasonDocument,
    WeddingDayDocument,
)
from engine.api.record_documents import RecordHour, RecordList
from engine.api.scale_documents import (
    ManualDocument,
    ScaleDocument,
    ScalingResult,
    WithdrawnDocument,
)
from engine.api.service_documents import (
    ServiceDocument,
    ServiceList,
    StandingDocument,
    StandingList,
)
from engine.api.what_if_documents import WhatIfChoices, WhatIfDocument
from engine.config.recurrence import Recurrence
from engine.config.security import is_safe
from engine.model import Direction
from engine.security.foreign_json import ForeignJsonError, parsed, parsed_object
from engine.security.tls import client_context

BASE = "/api/scalability"
TRIES = 2
"""A request whose connection broke is sent so often."""
STREAM_S = 60.0
"""Without a word for longer the stream is taken for dead; the engine sends one every 15 s."""

OPERATIONS = {
    "execute_scaling_decision": "scale",
    "analyse_metrics": "analysis",
    "predict_capacity_needs": "capacity",
    "orchestrate_infrastructure_change": "orchestrate",
    "prepare_wedding_day": "prepareWeddingDay",
    "execute_wedding_aware_scaling": "weddingAware",
    "optimise_season_capacity": "seasonOptimisation",
    "collect_realtime_metrics": "realtime",
    "analyse_performance_bottlenecks": "bottlenecks",
    "generate_capacity_recommendations": "recommendations",
    "predict_wedding_season": "weddingSeason",
    "predict_wedding_day": "weddingDay",
    "capacity_plan": "plan",
    "what_if_choices": "whatIfChoices",
    "what_if": "whatIf",
    "manual_action": "action",
    "roll_back": "rollback",
    "overview": "overview",
    "who_am_i": "me",
    "records": "records",
    "record_hour": "recordHour",
    "open_emergency_access": "breakGlass",
    "services": "services",
    "service": "service",
    "decisions": "decisions",
    "decision": "decision",
    "decision_background": "decisionBackground",
    "approvals": "approvals",
    "approve": "approve",
    "reject": "reject",
    "floors": "floors",
    "keep_floor": "floor",
    "drop_floor": "dropFloor",
    "pauses": "pauses",
    "pause": "pause",
    "resume": "resume",
    "findings": "findings",
    "alerts": "alerts",
    "acknowledge": "acknowledge",
    "escalate": "escalate",
    "kept_samples": "metricsRange",
    "monitoring_sessions": "monitoringSessions",
    "start_monitoring": "startMonitoring",
    "end_monitoring": "endMonitoring",
    "occasions": "occasions",
    "propose_occasion": "proposeOccasion",
    "approve_occasion": "approveOccasion",
    "drop_occasion": "dropOccasion",
    "troubles": "troubles",
    "health": "health",
    "readiness": "readiness",
    "prometheus": "metrics",
    "events": "events",
}
"""Which operation of the OpenAPI document each method is."""

_Answer = TypeVar("_Answer", bound=BaseModel)


class ApiProblemError(Exception):
    """The engine did not do it; `problem` says why (RFC 9457)."""

    def __init__(self, problem: ProblemDocument) -> None:
        super().__init__(problem.detail or problem.title)
        self.problem = problem


class ApiUnreachableError(OSError):
    """The engine cannot be reached, or answers with what is not of its API."""


@dataclass(frozen=True, slots=True)
class ClientEvent:
    """One event of the stream; `id` is what goes on from it."""

    id: str
    kind: str
    content: Mapping[str, Any]


class EngineClient:
    """Asks the engine at `url`; `ca` is a file of the certificates that it is trusted by."""

    def __init__(
        self, url: str, token: str, *, timeout_s: float = 90.0, ca: Path | None = None
    ) -> None:
        """Raises ValueError for a URL that is none, or certificates that cannot be used.

        A token goes over TLS, or to this very machine: an engine for others is asked over TLS.
        """
        if not url.startswith(("http://", "https://")):
            raise ValueError(f'"{url}" is not allowed (http://… or https://…)')
        if token and not is_safe(url):
            raise ValueError(
                "the address is not allowed with a token (https://… without a user or a fragment, "
                "or http:// to this machine itself, such as http://127.0.0.1:8700)"
            )
        self._http = httpx.Client(
            base_url=url.rstrip("/").removesuffix(BASE),
            headers={"authorization": f"Bearer {token}"} if token else {},
            timeout=timeout_s,
            verify=client_context(ca) if url.startswith("https") else False,
            follow_redirects=False,
            trust_env=False,
        )

    def __enter__(self) -> EngineClient:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the connections."""
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    # --- the ten operations of the product

    def execute_scaling_decision(
        self,
        service: str,
        instances: int,
        *,
        why: str = "",
        for_s: float = 3600.0,
        dry_run: bool = False,
        override: bool = False,
        version: str = "",
        key: str = "",
    ) -> ScaleDocument:
        """Take a service to a count; `version` is the service's when it was looked at.

        `override`: in an emergency, at once, past steps, rests, quota and budget.
        """
        body = {
            "service": service, "instances": instances, "why": why, "for_s": for_s,
            "dry_run": dry_run, "override": override,
        }  # fmt: skip
        headers = {"if-match": f'"{version}"'} if version else {}
        return self._post(ScaleDocument, "/actions/scale", body, key, headers=headers)

    def analyse_metrics(
        self, services: Sequence[str] = (), time_range: str = "15m"
    ) -> AnalysisDocument:
        """Each figure beside its threshold, and where it is going."""
        return self._get(AnalysisDocument, "/metrics/analysis", _seen(services, time_range))

    def predict_capacity_needs(self, services: Sequence[str] = ()) -> CapacityDocument:
        """The instances that the next hours need."""
        return self._get(CapacityDocument, "/predictions/capacity", _seen(services))

    def orchestrate_infrastructure_change(
        self,
        changes: Mapping[str, int],
        *,
        why: str = "",
        for_s: float = 3600.0,
        dry_run: bool = False,
        override: bool = False,
        key: str = "",
    ) -> ScalingResult:
        """Several services at once, all or none."""
        body = {
            "changes": [{"service": name, "instances": n} for name, n in changes.items()],
            "why": why, "for_s": for_s, "dry_run": dry_run, "override": override,
        }  # fmt: skip
        return self._post(ScalingResult, "/actions/orchestrate", body, key)

    def prepare_wedding_day(
        self, date: str, *, why: str = "", dry_run: bool = False
    ) -> PreparationDocument:
        """Let the capacity of a day (YYYY-MM-DD) stand ready."""
        path = f"/wedding-days/{quote(date, safe='')}/preparation"
        return self._post(PreparationDocument, path, {"why": why, "dry_run": dry_run})

    def execute_wedding_aware_scaling(
        self,
        services: Sequence[str] = (),
        *,
        why: str = "",
        for_s: float = 7200.0,
        dry_run: bool = False,
        key: str = "",
    ) -> ScalingResult:
        """What the booked weddings and the next hours ask for."""
        body = {"services": list(services), "why": why, "for_s": for_s, "dry_run": dry_run}
        return self._post(ScalingResult, "/actions/wedding-aware", body, key)

    def optimise_season_capacity(
        self, date: str = "", *, months: int = 6, risk: float = 0.02
    ) -> OptimisationDocument:
        """The cheapest capacity of the months from `date` on."""
        return self._get(OptimisationDocument, "/season-optimisation", _planned(date, months, risk))

    def collect_realtime_metrics(
        self, services: Sequence[str] = (), time_range: str = "15m"
    ) -> RealtimeDocument:
        """Everything that is seen now."""
        return self._get(RealtimeDocument, "/metrics/realtime", _seen(services, time_range))

    def analyse_performance_bottlenecks(self, services: Sequence[str] = ()) -> BottlenecksDocument:
        """Which service gives way first."""
        return self._get(BottlenecksDocument, "/bottlenecks", _seen(services))

    def generate_capacity_recommendations(
        self, horizon: str = "now", *, date: str = "", months: int = 6, risk: float = 0.02
    ) -> RecommendationsDocument:
        """What should be done now, or in a season."""
        query = {"horizon": horizon, **_planned(date, months, risk)}
        return self._get(RecommendationsDocument, "/recommendations", query)

    # --- predictions

    def predict_wedding_season(
        self, year: int | None = None, season: str = "all"
    ) -> SeasonDocument:
        """A season, week by week."""
        query = {"season": season, **({} if year is None else {"year": str(year)})}
        return self._get(SeasonDocument, "/predictions/wedding-season", query)

    def predict_wedding_day(
        self,
        date: str = "",
        *,
        kind: str = "",
        guests: int = 100,
        vendors: int = 13,
        time: str = "16:00",
        zone: str = "America/New_York",
    ) -> WeddingDayDocument:
        """A day, or one wedding of a `kind`, hour by hour."""
        query: dict[str, str] = {"date": date} if date else {}
        if kind:
            query |= {"type": kind, "guests": str(guests), "vendors": str(vendors), "time": time,
                      "zone": zone}  # fmt: skip
        return self._get(WeddingDayDocument, "/predictions/wedding-day", query)

    def capacity_plan(
        self, date: str = "", *, months: int = 12, risk: float = 0.02
    ) -> PlanDocument:
        """What the months from `date` on need, and what to buy."""
        return self._get(PlanDocument, "/plan", _planned(date, months, risk))

    # --- what if

    def what_if_choices(self) -> WhatIfChoices:
        """What can be tried out."""
        return self._get(WhatIfChoices, "/what-if")

    def what_if(
        self,
        *,
        zone: str = "",
        load: tuple[str, float] | None = None,
        pause: tuple[str, Direction] | None = None,
        floor: tuple[str, int] | None = None,
        controller: str = "",
        for_s: float = 7200.0,
    ) -> WhatIfDocument:
        """The next hours as planned, and with a change; `load` is (service, times)."""
        body: dict[str, Any] = {"zone": zone, "controller": controller, "for_s": for_s}
        if load is not None:
            body["load"] = {"service": load[0], "factor": load[1]}
        if pause is not None:
            body["pause"] = {"service": pause[0], "direction": pause[1]}
        if floor is not None:
            body["floor"] = {"service": floor[0], "instances": floor[1]}
        return self._post(WhatIfDocument, "/what-if", body)

    # --- manual actions

    def manual_action(self, action_id: str) -> ManualDocument:
        """How far it is."""
        return self._get(ManualDocument, f"/actions/{quote(action_id, safe='')}")

    def roll_back(self, action_id: str, *, why: str = "", key: str = "") -> ManualDocument:
        """Take it back."""
        path = f"/actions/{quote(action_id, safe='')}/rollback"
        return self._post(ManualDocument, path, {"why": why}, key)

    # --- what there is

    def overview(self, *, at_s: int = 0) -> OverviewDocument:
        """How it stands with everything, on one page; with `at_s`, how it stood then."""
        return self._get(OverviewDocument, "/overview", {"at": str(at_s)} if at_s else {})

    def who_am_i(self) -> WhoDocument:
        """Whom the token shows, and what he may do."""
        return self._get(WhoDocument, "/me")

    def open_emergency_access(
        self, code: str, reason: str, *, for_s: float = 3600.0
    ) -> EmergencyDocument:
        """A token for a code that was sealed beforehand; everybody is told."""
        return self._post(
            EmergencyDocument, "/break-glass", {"code": code, "reason": reason, "for_s": for_s}
        )

    def records(self) -> RecordList:
        """What earlier runs came to, the newest first."""
        return self._get(RecordList, "/records")

    def record_hour(
        self, scenario: str, run: str, *, at_s: int = 0, service: str = ""
    ) -> RecordHour:
        """A moment of an earlier run and its hour; `scenario/run` is the id of its record."""
        asked = ({"at": str(at_s)} if at_s else {}) | ({"service": service} if service else {})
        place = f"/records/{quote(scenario, safe='')}/{quote(run, safe='')}/hour"
        return self._get(RecordHour, place, asked)

    def services(self) -> ServiceList:
        """All services."""
        return self._get(ServiceList, "/services")

    def service(self, name: str) -> ServiceDocument:
        """One service; its `version` goes into a scaling decision."""
        return self._get(ServiceDocument, f"/services/{quote(name, safe='')}")

    def decisions(
        self, *, limit: int = 50, cursor: str = "", service: str = "", kind: str = ""
    ) -> DecisionPage:
        """A page of the newest decisions."""
        query = {"limit": str(limit), "cursor": cursor, "service": service, "kind": kind}
        return self._get(DecisionPage, "/decisions", {k: v for k, v in query.items() if v})

    def decision(self, decision_id: str) -> DecisionDocument:
        """One of them."""
        return self._get(DecisionDocument, f"/decisions/{quote(decision_id, safe='')}")

    def decision_background(self, decision_id: str) -> BackgroundDocument:
        """What was declined beside it, how it would be taken back, and whether it helped."""
        return self._get(BackgroundDocument, f"/decisions/{quote(decision_id, safe='')}/background")

    def troubles(self) -> TroublesDocument:
        """What does not work now."""
        return self._get(TroublesDocument, "/troubles")

    def findings(self) -> FindingList:
        """What the monitor finds wrong now."""
        return self._get(FindingList, "/findings")

    def alerts(self) -> IncidentList:
        """The incidents that people are told of."""
        return self._get(IncidentList, "/alerts")

    def acknowledge(self, incident: str, *, why: str = "") -> IncidentAnswerDocument:
        """Take it on."""
        path = f"/alerts/{quote(incident, safe='')}/acknowledge"
        return self._post(IncidentAnswerDocument, path, {"why": why})

    def escalate(self, incident: str, *, why: str = "") -> IncidentAnswerDocument:
        """Have the next people told of it now."""
        path = f"/alerts/{quote(incident, safe='')}/escalate"
        return self._post(IncidentAnswerDocument, path, {"why": why})

    def kept_samples(
        self,
        service: str,
        figure: str,
        *,
        from_s: int = 0,
        to_s: int = 0,
        step: str = "1m",
        limit: int = 100,
        cursor: str = "",
    ) -> KeptRangeDocument:
        """Kept samples of the series that a figure is made of; 0: until now, an hour of it."""
        query = {"service": service, "figure": figure, "step": step, "limit": str(limit)}
        query |= {"from": str(from_s)} if from_s else {}
        query |= {"to": str(to_s)} if to_s else {}
        query |= {"cursor": cursor} if cursor else {}
        return self._get(KeptRangeDocument, "/metrics/range", query)

    def monitoring_sessions(self) -> SessionList:
        """What is watched, how often and since when."""
        return self._get(SessionList, "/monitoring/sessions")

    def start_monitoring(
        self,
        services: Sequence[str] = (),
        *,
        every_s: float = 5.0,
        kinds: Sequence[str] = (),
        for_s: float | None = None,
        why: str = "",
    ) -> SessionDocument:
        """Watch these services, for these kinds of findings; without names all of them."""
        body = {"services": list(services), "every_s": every_s, "kinds": list(kinds),
                "for_s": for_s, "why": why}  # fmt: skip
        return self._post(SessionDocument, "/monitoring/sessions", body)

    def end_monitoring(self, session: str, *, why: str = "") -> SessionDocument:
        """End a session, by its id."""
        path = f"/monitoring/sessions/{quote(session, safe='')}"
        return self._delete(SessionDocument, path, why)

    def occasions(self) -> OccasionList:
        """What is expected that no calendar knows."""
        return self._get(OccasionList, "/occasions")

    def propose_occasion(
        self,
        name: str,
        times: Mapping[str, float],
        starts_s: float,
        ends_s: float,
        *,
        sure: float = 1.0,
        ramp_s: float = 300.0,
        dry_run: bool = False,
        why: str = "",
    ) -> OccasionDocument:
        """Expect `times` the usual load at some services between two times (epoch seconds)."""
        body = {"name": name, "times": dict(times), "starts_s": starts_s, "ends_s": ends_s,
                "sure": sure, "ramp_s": ramp_s, "dry_run": dry_run, "why": why}  # fmt: skip
        return self._post(OccasionDocument, "/occasions", body)

    def approve_occasion(self, occasion: str, *, why: str = "") -> OccasionDocument:
        """Let the engine expect it, by its id."""
        path = f"/occasions/{quote(occasion, safe='')}/approve"
        return self._post(OccasionDocument, path, {"why": why})

    def drop_occasion(self, occasion: str, *, why: str = "") -> OccasionDocument:
        """Take it back, by its id."""
        return self._delete(OccasionDocument, f"/occasions/{quote(occasion, safe='')}", why)

    def health(self) -> HealthDocument:
        """Whether it answers."""
        return self._get(HealthDocument, "/health")

    def readiness(self) -> ReadinessDocument:
        """Whether it leads and steps."""
        answer = self._send("GET", f"{BASE}/readiness")
        if answer.status_code not in (200, 503):
            raise _problem(answer)
        return _parsed(ReadinessDocument, answer)

    def prometheus(self) -> str:
        """Figures of the engine itself, as Prometheus reads them."""
        answer = self._send("GET", "/metrics")
        if answer.status_code != 200:
            raise _problem(answer)
        return answer.text

    # --- people

    def approvals(self) -> AwaitingList:
        """What waits for people."""
        return self._get(AwaitingList, "/approvals")

    def approve(self, decision_id: str, *, why: str = "") -> AnswerDocument:
        """Let it pass."""
        path = f"/approvals/{quote(decision_id, safe='')}/approve"
        return self._post(AnswerDocument, path, {"why": why})

    def reject(self, decision_id: str, why: str) -> AnswerDocument:
        """Refuse it, which is final."""
        path = f"/approvals/{quote(decision_id, safe='')}/reject"
        return self._post(AnswerDocument, path, {"why": why})

    def floors(self) -> StandingList:
        """The floors that people let stand."""
        return self._get(StandingList, "/floors")

    def keep_floor(
        self,
        service: str,
        instances: int,
        *,
        for_s: float | None = None,
        schedule: Recurrence | None = None,
        why: str = "",
    ) -> StandingDocument:
        """At least so many instances."""
        body = {"service": service, "instances": instances, "for_s": for_s, "why": why,
                "schedule": None if schedule is None else schedule.model_dump()}  # fmt: skip
        return self._post(StandingDocument, "/floors", body)

    def drop_floor(self, service: str, *, why: str = "") -> WithdrawnDocument:
        """Take the floors of a service back."""
        return self._delete(WithdrawnDocument, f"/floors/{quote(service, safe='')}", why)

    def pauses(self) -> StandingList:
        """The pauses that people let stand."""
        return self._get(StandingList, "/pauses")

    def pause(
        self,
        service: str = "",
        *,
        direction: Direction = Direction.ALL,
        pinned: int | None = None,
        for_s: float | None = None,
        schedule: Recurrence | None = None,
        why: str = "",
    ) -> StandingDocument:
        """Do not scale a service, "": any."""
        body = {"service": service, "direction": direction.value, "pinned": pinned, "for_s": for_s,
                "why": why,
                "schedule": None if schedule is None else schedule.model_dump()}  # fmt: skip
        return self._post(StandingDocument, "/pauses", body)

    def resume(self, service: str = "", *, why: str = "") -> WithdrawnDocument:
        """Take the pauses of a service back, "": the one of all."""
        return self._delete(
            WithdrawnDocument, f"/pauses/{quote(service or 'all-services', safe='')}", why
        )

    # --- events

    def events(self, last_event_id: str = "", *, once: bool = False) -> Iterator[ClientEvent]:
        """What happens, from `last_event_id` on; ends when the engine ends it.

        Raises ApiProblemError, ApiUnreachableError; whoever goes on does so with the last id.
        """
        headers = {"last-event-id": last_event_id} if last_event_id else {}
        path = f"{BASE}/events{'?once=true' if once else ''}"
        try:
            with self._http.stream("GET", path, headers=headers, timeout=STREAM_S) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise _problem(answer)
                yield from _events(answer.iter_lines())
        except (httpx.HTTPError, ForeignJsonError) as error:
            raise ApiUnreachableError(f"{self._http.base_url}: {error}") from error

    # --- inside

    def _get(
        self, kind: type[_Answer], path: str, query: Mapping[str, str] | None = None
    ) -> _Answer:
        answer = self._send("GET", BASE + path, params=query or {})
        if answer.status_code != 200:
            raise _problem(answer)
        return _parsed(kind, answer)

    def _post(
        self,
        kind: type[_Answer],
        path: str,
        body: Mapping[str, Any],
        key: str = "",
        *,
        headers: Mapping[str, str] | None = None,
    ) -> _Answer:
        sent = {"idempotency-key": key or uuid.uuid4().hex, **(headers or {})}
        answer = self._send("POST", BASE + path, json=body, headers=sent)
        if not 200 <= answer.status_code < 300:
            raise _problem(answer)
        return _parsed(kind, answer)

    def _delete(self, kind: type[_Answer], path: str, why: str) -> _Answer:
        answer = self._send("DELETE", BASE + path, params={"why": why} if why else {})
        if answer.status_code != 200:
            raise _problem(answer)
        return _parsed(kind, answer)

    def _send(self, method: str, path: str, **given: Any) -> httpx.Response:
        for attempt in range(1, TRIES + 1):
            try:
                return self._http.request(method, path, **given)
            except httpx.HTTPError as error:
                lost = isinstance(error, httpx.RemoteProtocolError | httpx.ReadError)
                if not lost or attempt == TRIES:
                    raise ApiUnreachableError(f"{self._http.base_url}: {error}") from error
        raise AssertionError("unreachable")


def _seen(services: Sequence[str], time_range: str = "") -> dict[str, str]:
    query = {"services": ",".join(services)} if services else {}
    return query | ({"timeRange": time_range} if time_range else {})


def _planned(date: str, months: int, risk: float) -> dict[str, str]:
    return {"months": str(months), "risk": repr(risk), **({"date": date} if date else {})}


def _parsed(kind: type[_Answer], answer: httpx.Response) -> _Answer:
    try:
        return kind.model_validate(parsed(answer.content), extra="ignore")
    except (ForeignJsonError, ValidationError) as error:
        raise ApiUnreachableError(f"{answer.url}: it is no engine's answer: {error}") from error


def _problem(answer: httpx.Response) -> Exception:
    try:
        return ApiProblemError(
            ProblemDocument.model_validate(parsed(answer.content), extra="ignore")
        )
    except (ForeignJsonError, ValidationError):
        return ApiUnreachableError(f"{answer.url}: answers with {answer.status_code}")


def _events(lines: Iterator[str]) -> Iterator[ClientEvent]:
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if line and name:
            fields[name] = value.removeprefix(" ") if colon else ""
        elif not line and "data" in fields:
            content = parsed_object(fields["data"])
            yield ClientEvent(fields.get("id", ""), fields.get("event", "message"), content)
            fields = {}
