"""An API over real parts (desk, tokens, audit log), and steps that the test makes up."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from engine.adapters.cabinet_files import FOLDER, FileCabinet
from engine.adapters.store.aside import Aside
from engine.adapters.store.credentials import SqlCredentials
from engine.adapters.store.halves import SqlDesk
from engine.adapters.store.sqlite import local_desk
from engine.api.application import application
from engine.api.assembly import Offered, Office, assembled
from engine.api.context import ApiContext
from engine.config.api import ApiConfig
from engine.config.security import SecurityConfig
from engine.model import (
    SAMPLE_DTYPE,
    Action,
    ActionResult,
    BootTime,
    Budget,
    Call,
    Category,
    Forecast,
    ManualFloor,
    ManualScale,
    Observation,
    Outlook,
    Pause,
    Plan,
    Reason,
    Recommendation,
    Rollback,
    ServiceObservation,
    ServiceSpec,
    WeddingContext,
)
from engine.ports.metrics import Reading
from engine.security.audit.courier import Courier
from engine.security.audit.log import AuditLog, opened
from engine.security.roles import Role
from engine.security.tokens import Tokens
from engine.settings import EngineSettings

QUICK = "quick_predictions:connect"
"""Predictions that cost nothing; its folder has to be on the path."""
NOW_S = 1_781_870_400.0
"""2026-06-19 12:00 UTC."""


@pytest.fixture(scope="session")
def factories_on_path() -> Iterator[None]:
    """`quick_predictions` and `quick_trials` can be imported, by processes that are started too."""
    folder = str(Path(__file__).parent)
    sys.path.insert(0, folder)
    yield
    sys.path.remove(folder)


def spec(name: str, **changes: Any) -> ServiceSpec:
    usual = ServiceSpec(
        name=name, min_instances=2, max_instances=100, slots=10, service_s=0.1, service_scv=1.0,
        boot=BootTime(10.0, 20.0), warmup_s=2.0, slo_p95_s=0.5, price_per_hour=1.0,
    )  # fmt: skip
    return replace(usual, **changes)


SPECS = (
    spec("api", calls=(Call("database", 1.5),)),
    spec("database", stateful=True, user_facing=False, price_per_hour=4.0),
)


NOTHING = Plan()


@dataclass
class Notebook:
    """Notes of the shell that nobody reads."""

    failing: bool = False
    count: int = 0

    def _note(self) -> None:
        self.count += 1
        if self.failing:
            raise OSError("the disk is full")

    def step(self, *given: Any, **_: object) -> None:
        self._note()

    def without_store(self, actions: Sequence[Action], time_s: float) -> None:
        self._note()

    def result(self, result: ActionResult) -> None:
        self._note()

    def event(self, time_s: float, kind: str, name: str, what: str, *, detail: str) -> None:
        self._note()

    def status(self, status: Mapping[str, Any]) -> None:
        self._note()


def action(
    decision_id: str, service: str = "api", before: int = 4, after: int = 6, **other: Any
) -> Action:
    usual = Action(
        decision_id=decision_id, service=service, from_instances=before, to_instances=after,
        reason=Reason.CPU, category=Category.AUTOMATIC, confidence=0.9,
        cost_per_hour=float(after - before), rollback=Rollback(before), weddings=WeddingContext(),
        evidence={"cpu": 0.9, "unknown": math.nan}, trigger_s=NOW_S - 3.0, decided_s=NOW_S,
        explanation=f"{service}: {before} → {after}",
    )  # fmt: skip
    return replace(usual, **other)


def recommendation(service: str = "api", target: int = 6, scale_id: str = "") -> Recommendation:
    return Recommendation(service, target, Reason.CPU, {"cpu": 0.9}, 0.9, NOW_S - 3.0, scale_id)


@dataclass
class Engine:
    """Stands in for the shell: each `step` notes what a step would."""

    context: ApiContext
    tokens: Tokens
    notes: Notebook
    state: Path
    audit: AuditLog
    now_s: float = NOW_S
    counts: dict[str, int] = field(default_factory=lambda: {"api": 4, "database": 3})
    rate: float = 200.0
    major: bool = False
    budget: Budget = field(default_factory=Budget)

    def step(
        self,
        plan: Plan = NOTHING,
        *,
        scales: Sequence[ManualScale] = (),
        floors: Sequence[ManualFloor] = (),
        pauses: Sequence[Pause] = (),
        awaiting: Sequence[str] = (),
        troubles: Mapping[str, Sequence[str]] | None = None,
        samples: int = 12,
        counted_s: Mapping[str, float] | None = None,
    ) -> None:
        self.now_s += 5.0
        windows = {one.name: self._window(samples) for one in SPECS}
        load = np.full((2, 2000), self.rate)
        events = np.full(2000, 12.0)
        major = np.full(2000, 1.0 if self.major else 0.0)
        outlook = Outlook(
            self.now_s, NOW_S - 3600.0, 60.0, {"api": 0, "database": 1}, load, 0.0 * load, events,
            major, 0.05,
        )  # fmt: skip
        seen = tuple(
            ServiceObservation(one, count, count, 0, 0, windows[one.name])
            for one in SPECS
            for count in (self.counts[one.name],)
        )
        observation = Observation(
            now_s=self.now_s, services=seen, outlook=outlook, floors=tuple(floors),
            pauses=tuple(pauses), budget=self.budget, scales=tuple(scales),
        )  # fmt: skip
        board = self.context.board
        board.step(self.now_s, observation, plan, 0.001, reading=Reading(windows))
        board.status(
            {
                "time_s": self.now_s, "acts": True, "lead": 1, "steps": 1, "skipped": 0,
                "troubles": troubles or {}, "awaiting": list(awaiting),
                "counted_s": counted_s or {},
            }
        )  # fmt: skip

    def _window(self, samples: int) -> np.ndarray[Any, np.dtype[np.void]]:
        window = np.zeros(samples, SAMPLE_DTYPE)
        window["time_s"] = self.now_s - 1.0 - 5.0 * np.arange(samples)[::-1]
        window["request_rate"] = self.rate
        window["cpu"] = np.linspace(0.3, 0.6, samples)
        window["p95_s"] = math.nan
        return window

    def token(
        self, name: str, *roles: Role, services: Sequence[str] | None = None
    ) -> dict[str, str]:
        """Headers of somebody with these roles."""
        shown, _ = self.tokens.create(
            name, roles, services, now_s=time.time(), for_s=3600.0, made_by="test"
        )
        return {"authorization": f"Bearer {shown}"}

    def rows(self) -> list[dict[str, Any]]:
        """The audit log."""
        text = (self.state / "audit" / "rows.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]


def engine_in(folder: Path, config: ApiConfig, desk: SqlDesk | None = None) -> Engine:
    state = folder / "state"
    state.mkdir(exist_ok=True)
    audit = opened(state / "audit")
    notes = Notebook()
    engine: list[Engine] = []
    desk = desk or local_desk(state)
    context = assembled(
        notes,
        SPECS,
        EngineSettings(),
        config,
        office=Office(
            state=state,
            desk=desk,
            courier=Courier(desk, audit),
            credentials=SqlCredentials(desk.database.apart()),
            security=SecurityConfig(),
        ),
        tree={},
        offered=Offered(aside=Aside(state)),
        clock_s=lambda: engine[0].now_s,
    )
    tokens = Tokens(SqlCredentials(desk.database.apart()), FileCabinet(state / FOLDER))
    made = Engine(context, tokens, notes, state, audit)
    engine.append(made)
    return made


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """An engine that has made a step."""
    made = engine_in(tmp_path, ApiConfig())
    made.step(Plan(forecasts=(Forecast("api", 900.0, 150.0, 220.0, 300.0),), floors={"api": 3}))
    return made


@pytest.fixture
def client(engine: Engine) -> Iterator[TestClient]:
    """Whoever asks, without a token."""
    with TestClient(application(engine.context), raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def everybody(engine: Engine) -> dict[str, str]:
    """Headers of somebody with every role."""
    return engine.token("pat", *Role)
