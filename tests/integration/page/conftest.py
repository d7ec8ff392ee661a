"""An engine's API over real parts, with steps that the test makes up, and a browser to see it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.api.assembly import assembled
from engine.api.context import ApiContext
from engine.api.local_office import local_office, local_tokens
from engine.api.serving import serving
from engine.config.api import ApiConfig, ApiLimits, WhatIfConfig
from engine.model import (
    SAMPLE_DTYPE,
    Action,
    ActionResult,
    BootTime,
    Category,
    Forecast,
    Observation,
    Outlook,
    Plan,
    Reason,
    Rollback,
    ServiceObservation,
    ServiceSpec,
    WeddingContext,
)
from engine.ports.metrics import Reading
from engine.security.roles import Role
from engine.security.tokens import Tokens
from engine.settings import EngineSettings
from tests.integration.page.browser import INSTALL, PROGRAM, Browser, browsing

PHASES = ("getting_ready", "ceremony", "dinner", "party")
KEPT = "WEDTWIN_PICTURES"
"""The folder in which pictures of the page are kept; without it they go with the test."""


class Silent:
    """Notes that nobody keeps."""

    def step(self, *_: object, **__: object) -> None:
        pass

    def result(self, result: ActionResult) -> None:
        pass

    def event(self, time_s: float, kind: str, name: str, what: str, *, detail: str) -> None:
        pass

    def status(self, status: Mapping[str, Any]) -> None:
        pass


def spec(name: str) -> ServiceSpec:
    return ServiceSpec(
        name=name, min_instances=2, max_instances=100, slots=10, service_s=0.1, service_scv=1.0,
        boot=BootTime(10.0, 20.0), warmup_s=2.0, slo_p95_s=0.5, price_per_hour=1.0,
    )  # fmt: skip


@dataclass
class Stage:
    """Stands in for the shell: each `step` shows what a step would."""

    context: ApiContext
    tokens: Tokens
    url: str
    rate: float = 200.0
    p95_s: float = 0.2
    noun: str = "weddings"
    ready: dict[str, int] = field(default_factory=dict)
    steps: int = 0
    troubles: Mapping[str, Sequence[str]] = field(default_factory=dict)
    last: Mapping[str, Any] = field(default_factory=dict)
    """What the last step was told, but for its actions."""

    def again(self) -> None:
        """The next step, at which all is as it was: without one the page says that it is stale."""
        self.step(**self.last)

    def step(
        self, *, actions: Sequence[Action] = (), awaiting: Sequence[Action] = (),
        troubles: Mapping[str, Sequence[str]] | None = None,
        incidents: Sequence[Mapping[str, Any]] | None = None, later_s: float = 0.0,
    ) -> None:  # fmt: skip
        self.steps += 1
        self.last = {"awaiting": awaiting, "troubles": troubles, "incidents": incidents,
                     "later_s": later_s}  # fmt: skip
        now_s, specs = time.time() + later_s, tuple(self.context.board.specs.values())
        flat = np.ones((len(specs), 360))
        starts = np.zeros(360)
        starts[150] = 3.0
        outlook = Outlook(
            now_s, now_s - 3600.0, 60.0, {one.name: i for i, one in enumerate(specs)},
            self.rate * flat, 0.1 * flat, 812.0 * flat[0], 5.0 * flat[0], 0.05, self.noun, PHASES,
            np.outer((200.0, 300.0, 212.0, 100.0), flat[0]), starts,
        )  # fmt: skip
        window = np.zeros(1, SAMPLE_DTYPE)
        window["time_s"], window["request_rate"], window["p95_s"] = now_s, self.rate, self.p95_s
        window["cpu"] = 0.5
        windows = {one.name: window for one in specs}
        seen = tuple(
            ServiceObservation(one, max(6, self.ready.get(one.name, 6)),
                               self.ready.get(one.name, 6), 0, 0, window)
            for one in specs
        )  # fmt: skip
        forecasts = tuple(
            Forecast(one.name, horizon_s, 0.9 * self.rate, self.rate, 1.2 * self.rate)
            for one in specs[:50] for horizon_s in (300.0, 900.0, 3600.0, 7200.0)
        )  # fmt: skip
        plan = Plan(
            actions=tuple(actions), awaiting=tuple(awaiting), forecasts=forecasts,
            floors={specs[0].name: 4},
        )  # fmt: skip
        board = self.context.board
        board.step(now_s, Observation(now_s, seen, outlook), plan, 0.001, reading=Reading(windows))
        board.status({
            "time_s": now_s, "acts": True, "lead": 7, "steps": self.steps, "skipped": 0,
            "troubles": troubles or {}, "awaiting": [one.decision_id for one in awaiting],
            "monitor": None if incidents is None else {
                "since_s": now_s, "looks": 1, "services": [one.name for one in specs], "silent": [],
                "findings": [], "undelivered": 0, "alerts": list(incidents),
            },
        })  # fmt: skip
        if (troubles or {}) != self.troubles:
            self.troubles = troubles or {}
            board.event(now_s, "trouble_changed", "engine", "", detail="")

    def token(self, name: str, *roles: Role, services: Sequence[str] | None = None) -> str:
        """A token of somebody with these roles."""
        return self.tokens.create(
            name, roles, services, now_s=time.time(), for_s=3600.0, made_by="test"
        )[0]


def action(decision_id: str, service: str, **other: Any) -> Action:
    usual: dict[str, Any] = {
        "decision_id": decision_id, "service": service, "from_instances": 6, "to_instances": 9,
        "reason": Reason.FORECAST, "category": Category.NEEDS_APPROVAL, "confidence": 0.9,
        "cost_per_hour": 3.0, "rollback": Rollback(6), "weddings": WeddingContext(812.0, 5.0),
        "evidence": {"rate": 250.0}, "trigger_s": time.time(), "decided_s": time.time(),
        "explanation": f"{service}: scale out 6 → 9 because 250 requests/s are expected in 4 min.",
    }  # fmt: skip
    return Action(**(usual | other))


def incident(service: str, **other: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "id": f"i-{service}", "service": service, "severity": "critical", "opened_s": time.time(),
        "level": 1, "levels": 3, "acknowledged_by": "", "acknowledged_s": None,
        "told_s": time.time(), "notices": 2, "findings": ["f"],
        "words": [f"{service} answers in 900 ms (p95)"],
    }  # fmt: skip
    return usual | other


@pytest.fixture
def names() -> tuple[str, ...]:
    """The services; a test may have others."""
    return ("api", "database", "payments")


@pytest.fixture
def what_if() -> WhatIfConfig | None:
    """What tries the next hours out; a test may have something."""
    return None


@pytest.fixture
def stage(tmp_path: Path, names: tuple[str, ...], what_if: WhatIfConfig | None) -> Iterator[Stage]:
    """An engine that is served and has made a step."""
    state = tmp_path / "state"
    state.mkdir()
    context = assembled(
        Silent(),
        tuple(map(spec, names)),
        EngineSettings(),
        ApiConfig(port=0, limits=ApiLimits(drain_s=0.0, request_s=600.0), what_if=what_if),
        office=local_office(state),
        tree={},
    )
    made = Stage(context, local_tokens(state), "")
    made.step()
    with serving(context) as url:
        made.url = url
        yield made
    context.trials.close()


@pytest.fixture(scope="session")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chromium")


@pytest.fixture(scope="session")
def opened_browser(profile: Path) -> Iterator[Browser]:
    if PROGRAM is None:
        pytest.skip(INSTALL)
    with browsing(profile) as browser:
        yield browser


@pytest.fixture
def browser(opened_browser: Browser) -> Iterator[Browser]:
    """A browser in which nobody is logged in; whatever a page complains of fails the test."""
    opened_browser.complaints.clear()
    opened_browser.addresses.clear()
    opened_browser.screen(1440)
    yield opened_browser
    opened_browser.offline(False)
    said = list(opened_browser.complaints)
    opened_browser.value("origin.startsWith('http') && sessionStorage.clear()")
    opened_browser.command("Page.navigate", url="about:blank")
    assert said == []


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the page are kept."""
    folder = Path(os.environ[KEPT]) if KEPT in os.environ else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def show(browser: Browser, stage: Stage, token: str, view: str = "now") -> None:
    """Come to a view, and show a token."""
    browser.open(f"{stage.url}/#/{view}")
    browser.type("#token", token)
    browser.press("Enter")


def sees(browser: Browser, stage: Stage, text: str, selector: str = "main") -> None:
    """Wait until somebody reads what holds only while the engine is heard of: it is, each moment.

    A busy machine takes longer to show it than the page takes the engine for alive.
    """
    browser.reads(text, selector, stage.again)


def enter(browser: Browser, stage: Stage, token: str, view: str = "now") -> None:
    """The same, and get in."""
    show(browser, stage, token, view)
    browser.until("document.querySelector('header.top') !== null")
