"""The command line with `--api`: the same requests to an engine elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.api.serving import serving
from engine.commands import requests
from engine.config.api import ApiConfig, ApiLimits
from engine.model import ManualFloor, Pause, Plan
from engine.security.roles import Role
from tests.unit.engine.api.conftest import Engine, action, engine_in


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    made = engine_in(tmp_path, ApiConfig(port=0, limits=ApiLimits(drain_s=0.0)))
    made.step(Plan(awaiting=(action("d1"),)), awaiting=["d1"])
    return made


@pytest.fixture
def url(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    token = engine.token("pat", *Role)["authorization"].removeprefix("Bearer ")
    monkeypatch.setenv("WEDTWIN_TOKEN", token)
    (tmp_path / "token").write_text(f"{token}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with serving(engine.context) as at:
        yield at


def test_what_is_asked_for_stands_and_is_taken_back(
    engine: Engine, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--api", url, "--why", "a rehearsal"]
    assert requests.floor(["api", "5", "--for", "2h", *given]) == 0
    assert requests.pause(["--direction", "in", *given]) == 0
    assert requests.pause(["api", "--cron", "0 8 * * MON", "--for", "1h", *given]) == 0
    stand = [one.request for one in engine.context.desk.asked()[0]]
    assert [one.instances for one in stand if isinstance(one, ManualFloor)] == [5]
    assert sorted(one.service for one in stand if isinstance(one, Pause)) == ["", "api"]
    assert {row["actor"] for row in engine.rows()} == {"pat"}
    assert requests.floor(["api", "0", *given]) == 0
    assert requests.resume(["api", *given]) == 0
    assert requests.resume(given) == 0
    assert engine.context.desk.asked()[0] == []
    assert "api: at least 5 instances" in capsys.readouterr().err


def test_questions_are_answered(engine: Engine, url: str) -> None:
    assert requests.reject(["d1", "--api", url]) == 2  # without a reason
    assert requests.reject(["d1", "--api", url, "--why", "a test's load"]) == 0
    assert requests.approve(["d1", "--api", url]) == 2  # a refusal is final


def test_what_goes_wrong_is_said_and_no_token_is(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert requests.floor(["apj", "5", "--api", url]) == 2
    assert 'service: "apj" is not allowed (api, database)' in capsys.readouterr().err
    assert requests.floor(["api", "5", "--api", "http://127.0.0.1:9"]) == 2
    assert "--api: " in capsys.readouterr().err
    assert requests.floor(["api", "5", "--api", "engine.example"]) == 2
    assert '"engine.example" is not allowed (http://… or https://…)' in capsys.readouterr().err
    monkeypatch.delenv("WEDTWIN_TOKEN")
    assert requests.floor(["api", "5", "--api", url]) == 2
    assert "a token is missing" in capsys.readouterr().err
    assert requests.floor(["api", "5", "--api", url, "--token-file", "token"]) == 0
    monkeypatch.setenv("WEDTWIN_TOKEN", "wt_000000000000_nobody-knows-this")
    assert requests.floor(["api", "5", "--api", url]) == 2
    said = capsys.readouterr().err
    assert "no such token" in said
    assert "nobody-knows-this" not in said
