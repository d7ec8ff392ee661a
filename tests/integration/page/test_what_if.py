"""What if, on the page, while what tries it out is not there yet."""

from __future__ import annotations

from typing import Any

import pytest

from engine.api.problems import Problem, ProblemError
from engine.api.what_if import Trials
from engine.config.api import WhatIfConfig
from engine.security.roles import Role
from tests.integration.page.browser import Browser
from tests.integration.page.conftest import Stage, enter


@pytest.fixture
def what_if(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> WhatIfConfig:
    monkeypatch.syspath_prepend(request.config.rootpath / "tests/unit/engine/api")
    return WhatIfConfig(factory="quick_trials:connect")


async def _refuses(*_: Any) -> Any:
    raise ProblemError(Problem.BUSY, "what tries it out is still being started")


def test_what_is_still_being_started_is_asked_again_until_it_is_there(
    browser: Browser, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as early:
        early.setattr(Trials, "ask", _refuses)
        enter(browser, stage, stage.token("pat", Role.OPERATOR), "if")
        browser.reads("what tries it out is still being started")
    browser.choose("#if-zone", "b")
    assert "still being started" not in browser.text()
