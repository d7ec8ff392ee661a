"""Rows that are requests over HTTP: each role, each operation, and those who are nobody.

The server is the engine's own, with its tokens, its audit log and its desk; what a step would show
is made up, and in which state the platform is, is set.
"""

from __future__ import annotations

import contextlib
import functools
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import numpy as np

from engine.adapters.store.sqlite import SqliteFile
from engine.api import application, assembly
from engine.api.context import ApiContext
from engine.api.local_office import local_office, local_tokens
from engine.api.serving import serving
from engine.config.api import ApiConfig
from engine.config.strict import validated
from engine.model import (
    SAMPLE_DTYPE,
    Action,
    BootTime,
    Category,
    MonitoringSession,
    Observation,
    Occasion,
    Outlook,
    Plan,
    Reason,
    Rollback,
    ServiceObservation,
    ServiceSpec,
    WeddingContext,
)
from engine.monitoring.sessions import session_document
from engine.ports.metrics import Reading
from engine.security.roles import Cell, Extent, Permission, PlatformState, Role
from engine.security.tokens import Tokens
from engine.settings import EngineSettings
from twin.evidence.measures.ingest import SilentNotes

NAMES = {Extent.STATELESS: "api", Extent.STATEFUL: "database", Extent.PLATFORM: "all-services"}
ONE = (Extent.STATELESS, Extent.STATEFUL)
WHOLE = (Extent.PLATFORM,)
AT_ONCE = {"per_s": 1e6, "burst": 1_000_000}
"""Limits that do not get in the way: rates are not what is tried."""

LET_IN = (401, 429)
"""What is answered to somebody who is nobody: neither of them lets him in."""


@dataclass(frozen=True, slots=True)
class TriedOperation:
    """What an operation of the API needs, as it was agreed: `body` is sent with it.

    `besides` is needed for every service as well.
    """

    permission: Permission
    extents: tuple[Extent, ...] = WHOLE
    body: Mapping[str, Any] | None = None
    besides: Permission | None = None


P = Permission
OPERATIONS: Mapping[str, TriedOperation] = {
    **dict.fromkeys(
        ("realtime", "analysis", "services", "service", "decisions", "decision", "troubles",
         "events", "floors", "pauses", "approvals", "metrics", "action", "overview", "me",
         "decisionBackground", "findings", "alerts", "monitoringSessions", "records",
         "recordHour", "metricsRange", "occasions"),
        TriedOperation(P.LOOK),
    ),
    "write": TriedOperation(P.SEND_SAMPLES),
    **dict.fromkeys(
        ("capacity", "bottlenecks", "weddingSeason", "weddingDay", "plan", "seasonOptimisation",
         "recommendations", "whatIfChoices"),
        TriedOperation(P.PREDICT),
    ),
    "whatIf": TriedOperation(P.PREDICT, WHOLE, {"for_s": 600.0}),
    "prepareWeddingDay": TriedOperation(P.PREDICT, WHOLE, {"dry_run": True}, P.FLOOR),
    "floor": TriedOperation(P.FLOOR, ONE, {"instances": 3, "for_s": 60.0}),
    "dropFloor": TriedOperation(P.DROP_FLOOR, ONE),
    "pause": TriedOperation(P.PAUSE, (*ONE, *WHOLE), {"for_s": 60.0}),
    "resume": TriedOperation(P.RESUME, (*ONE, *WHOLE)),
    "scale": TriedOperation(P.SCALE_OUT, ONE, {"instances": 6, "dry_run": True}),
    "scale:in": TriedOperation(P.SCALE_IN, ONE, {"instances": 3, "dry_run": True}),
    "scale:override": TriedOperation(
        P.OVERRIDE, ONE, {"instances": 6, "override": True, "why": "a try", "dry_run": True}
    ),
    "orchestrate": TriedOperation(P.SCALE_OUT, ONE, {"dry_run": True}),
    "weddingAware": TriedOperation(P.SCALE_OUT, ONE, {"dry_run": True}),
    "rollback": TriedOperation(P.ROLL_BACK, ONE, {}),
    "acknowledge": TriedOperation(P.ACKNOWLEDGE, ONE, {}),
    "escalate": TriedOperation(P.ESCALATE, ONE, {}),
    "startMonitoring": TriedOperation(P.WATCH, (*ONE, *WHOLE), {"for_s": 60.0}),
    "endMonitoring": TriedOperation(P.END_WATCH, (*ONE, *WHOLE)),
    "proposeOccasion": TriedOperation(P.FLOOR, ONE, {"name": "a try", "dry_run": True}),
    "approveOccasion": TriedOperation(P.APPROVE, ONE, {}),
    "dropOccasion": TriedOperation(P.DROP_FLOOR, ONE),
    "approve": TriedOperation(P.APPROVE, ONE, {}),
    "reject": TriedOperation(P.REJECT, ONE, {"why": "a try"}),
}  # fmt: skip
SAME = ":"
"""What comes after it tells two tries of one operation apart."""

OPEN = ("health", "readiness", "breakGlass")
"""Operations that anybody may ask for; the last one only with a code that was sealed for him."""


def over_http(
    cells: Mapping[Cell, bool], states: Sequence[PlatformState] = tuple(PlatformState)
) -> list[dict[str, Any]]:
    """Each role with each operation, extent and state; then nobody with each operation.

    Columns as of `twin.evidence.measures.roles.tries`.  Raises ValueError for an operation of the
    API of which nobody has said what it needs.
    """
    if unknown := set(_places()) - {*OPERATIONS, *OPEN}:
        raise ValueError(f"nobody has said who may ask for {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="wt-roles-") as name, served(Path(name)) as running:
        context, url, tokens = running
        rows = []
        with httpx.Client(base_url=url, trust_env=False, timeout=60.0) as client:
            actions = {NAMES[extent]: _begun(client, tokens, NAMES[extent]) for extent in ONE}
            for role in Role:
                headers = {"authorization": f"Bearer {_token(tokens, role)}"}
                for state in states:
                    # What somebody has refused before is final, and not what is tried here.
                    with contextlib.closing(SqliteFile(Path(name))) as store:
                        store.write(lambda to: to.execute("DELETE FROM said")).result()
                    with mock.patch.object(context.board, "state", lambda _, now=state: now):
                        rows += [
                            _row(
                                client,
                                headers,
                                operation,
                                extent,
                                cells=cells,
                                role=role,
                                state=state,
                                actions=actions,
                            )
                            for operation, tried in OPERATIONS.items()
                            for extent in tried.extents
                        ]
            for shown in _worthless(tokens):
                rows += [_nobody(client, shown, operation) for operation in OPERATIONS]
    return rows


def _row(
    client: httpx.Client,
    headers: Mapping[str, str],
    operation: str,
    extent: Extent,
    *,
    cells: Mapping[Cell, bool],
    role: Role,
    state: PlatformState,
    actions: Mapping[str, str],
) -> dict[str, Any]:
    tried = OPERATIONS[operation]
    may = cells[role, tried.permission, extent, state] and (
        tried.besides is None or all(cells[role, tried.besides, one, state] for one in ONE)
    )
    status = _asked(client, operation, extent, headers, actions=actions)
    if status in LET_IN:
        raise ValueError(f"{operation} by {role}: answered {status}, but the token is good")
    return {
        "roles": role.value, "permission": tried.permission.value, "extent": extent.value,
        "state": state.value, "operation": operation, "status": status,
        "opened": int(status != 403 and not may), "closed": int(status == 403 and may),
    }  # fmt: skip


def _begun(client: httpx.Client, tokens: Tokens, service: str) -> str:
    """The id of a manual action on its way, which can be rolled back."""
    answer = client.post(
        "/api/scalability/actions/scale", json={"service": service, "instances": 5},
        headers={"authorization": f"Bearer {_token(tokens, Role.OPERATOR)}"},
    )  # fmt: skip
    return str(answer.raise_for_status().json()["id"])


def _nobody(client: httpx.Client, shown: str, operation: str) -> dict[str, Any]:
    tried = OPERATIONS[operation]
    headers = {"authorization": shown} if shown else {}
    status = _asked(client, operation, tried.extents[0], headers, actions={})
    return {
        "roles": "", "permission": tried.permission.value, "extent": tried.extents[0].value,
        "state": PlatformState.CALM.value, "operation": operation, "status": status,
        "opened": int(status not in LET_IN), "closed": 0,
    }  # fmt: skip


def _asked(
    client: httpx.Client,
    operation: str,
    extent: Extent,
    headers: Mapping[str, str],
    *,
    actions: Mapping[str, str],
) -> int:
    """The status that the request is answered with."""
    place = operation.partition(SAME)[0]
    method, path = _places()[place]
    name = NAMES[extent]
    body = OPERATIONS[operation].body
    if body is not None and place in ("floor", "pause", "scale"):
        body = {**body, "service": "" if extent is Extent.PLATFORM else name}
    elif body is not None and place == "orchestrate":
        body = {**body, "changes": [{"service": name, "instances": 6}]}
    elif body is not None and place == "startMonitoring":
        body = {**body, "services": [] if extent is Extent.PLATFORM else [name]}
    elif body is not None and place == "proposeOccasion":
        now_s = time.time()
        body = {**body, "times": {name: 2.0}, "starts_s": now_s + 60.0, "ends_s": now_s + 120.0}
    elif body is not None and place == "weddingAware":
        body = {**body, "services": [name]}
    address = path.format(
        service=name, name="api", decision_id=f"d-{name}", date="2026-06-20",
        action_id=actions.get(name, "none"), incident=f"i-{name}",
        session=f"s-{name}", occasion=f"o-{name}", scenario="small", run="first",
    )  # fmt: skip
    with client.stream(method, address, headers=dict(headers), json=body) as answer:
        return answer.status_code


@functools.cache
def _places() -> dict[str, tuple[str, str]]:
    """Method and path of each operation that the API has."""
    return {
        of_method["operationId"]: (method.upper(), path)
        for path, methods in application.openapi()["paths"].items()
        for method, of_method in methods.items()
    }


def _token(tokens: Tokens, *roles: Role) -> str:
    made = {"now_s": time.time(), "for_s": 3600.0, "made_by": "evidence"}
    return tokens.create(f"a {roles[0].value}", roles, None, **made)[0]  # type: ignore[arg-type]


def _worthless(tokens: Tokens) -> list[str]:
    """What people show who must not get in."""
    revoked = _token(tokens, *Role)
    tokens.revoke(revoked.split("_")[1], time.time())
    good = _token(tokens, *Role)
    return ["", f"Bearer {revoked}", f"Bearer {good[:-1]}", f"Basic {good}", "Bearer a.b.c"]


@contextlib.contextmanager
def served(
    folder: Path, tls: Mapping[str, str] | None = None
) -> Iterator[tuple[ApiContext, str, Tokens]]:
    """The engine's API over made-up steps, on a port of its own, perhaps with certificates."""
    limits = dict.fromkeys(("reads", "writes", "predictions"), AT_ONCE)
    config = validated(ApiConfig, {"port": 0, "limits": limits, "tls": tls})
    specs = tuple(_spec(NAMES[extent], extent is Extent.STATEFUL) for extent in ONE)
    context = assembly.assembled(
        SilentNotes(),
        specs,
        EngineSettings(),
        config,
        office=local_office(folder),
        tree={},
    )
    step(context)
    with serving(context) as url:
        yield context, url, local_tokens(folder)


def _spec(name: str, stateful: bool) -> ServiceSpec:
    return ServiceSpec(
        name=name, min_instances=2, max_instances=100, slots=10, service_s=0.1, service_scv=1.0,
        boot=BootTime(10.0, 20.0), warmup_s=2.0, slo_p95_s=0.5, price_per_hour=1.0,
        stateful=stateful,
    )  # fmt: skip


def step(context: ApiContext, rate: float = 100.0) -> None:
    """One step, in which an action of each service waits for approval; `rate` requests/s came."""
    now_s, specs = time.time(), tuple(context.board.specs.values())
    windows = {spec.name: np.zeros(1, SAMPLE_DTYPE) for spec in specs}
    for window in windows.values():
        window["time_s"], window["request_rate"] = now_s, rate
    flat = np.zeros((len(specs), 2))
    outlook = Outlook(
        now_s, now_s - 60.0, 60.0, {spec.name: row for row, spec in enumerate(specs)}, flat,
        0.0 * flat, np.zeros(2), np.zeros(2), 0.1,
    )  # fmt: skip
    seen = tuple(ServiceObservation(spec, 4, 4, 0, 0, windows[spec.name]) for spec in specs)
    waiting = tuple(
        Action(
            decision_id=f"d-{spec.name}", service=spec.name, from_instances=4, to_instances=6,
            reason=Reason.CPU, category=Category.NEEDS_APPROVAL, confidence=0.9,
            cost_per_hour=2.0, rollback=Rollback(4), weddings=WeddingContext(), evidence={},
            trigger_s=now_s, decided_s=now_s, explanation="a try",
        )
        for spec in specs
    )  # fmt: skip
    plan = Plan(awaiting=waiting)
    for spec in specs:
        context.desk.ask(
            Occasion(
                f"o-{spec.name}", "a try", ((spec.name, 2.0),), now_s + 60.0, now_s + 3600.0,
                requested_by="nobody",
            )
        )  # fmt: skip
    context.board.step(
        now_s, Observation(now_s, seen, outlook), plan, 0.001, reading=Reading(windows)
    )
    context.board.status({
        "time_s": now_s, "acts": True, "lead": 1, "steps": 1, "skipped": 0, "troubles": {},
        "awaiting": [action.decision_id for action in waiting],
        "monitor": {
            "since_s": now_s, "looks": 1, "services": [spec.name for spec in specs], "silent": [],
            "findings": [], "undelivered": 0, "unwatched": [],
            "sessions": [
                session_document(
                    MonitoringSession(f"s-{NAMES[extent]}", services, 5.0, (), now_s), now_s
                )
                for extent in Extent
                for services in [() if extent is Extent.PLATFORM else (NAMES[extent],)]
            ],
            "alerts": [
                {"id": f"i-{spec.name}", "service": spec.name, "severity": "warning",
                 "opened_s": now_s, "level": 1, "levels": 3, "acknowledged_by": "",
                 "acknowledged_s": None, "told_s": now_s, "notices": 1, "findings": ["f"],
                 "words": ["a try"]}
                for spec in specs
            ],
        },
    })  # fmt: skip
