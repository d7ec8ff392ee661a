"""Emergency access: opened once, with a reason, for an hour at most, told to all, and reviewed."""

from __future__ import annotations

import asyncio
import io
import json
import math
import threading
from pathlib import Path
from typing import Any

import pytest

from engine.adapters.cabinet_files import FOLDER, FileCabinet
from engine.adapters.store.sealed import local_credentials
from engine.api.serving import serving
from engine.commands import break_glass as command
from engine.commands.break_glass_drill import drilled
from engine.config.api import ApiConfig
from engine.config.security import OidcConfig, SecurityConfig
from engine.model import ManualFloor
from engine.ports.notifier import Alert, AlertState
from engine.security import gate
from engine.security.audit import verifier
from engine.security.audit.log import FOLDER as AUDIT
from engine.security.audit.log import ROWS, VERIFIER
from engine.security.break_glass import (
    DOCUMENT,
    LONGEST_S,
    NAG_S,
    SEALED_S,
    BreakGlass,
    BreakGlassError,
    watch,
)
from engine.security.gate import Gate
from engine.security.identity import NotAuthenticatedError
from engine.security.roles import Method, Permission, PlatformState, Role, Situation, refusal
from engine.security.tokens import DAY_S, TokenError, Tokens
from tests.unit.engine.api.conftest import Engine, engine_in

NOW_S = 1_813_437_000.0
REASON = "nobody can log in and the queue grows"


class Inbox:
    """Keeps alerts; fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.alerts: list[Alert] = []
        self.failures = failures

    async def notify(self, alert: Alert) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("nobody there")
        self.alerts.append(alert)

    async def close(self) -> None:
        pass


@pytest.fixture
def access(tmp_path: Path) -> BreakGlass:
    return BreakGlass(FileCabinet(tmp_path / FOLDER))


def sealed(access: BreakGlass, holder: str = "pat", for_s: float = 30 * DAY_S) -> str:
    return access.seal(holder, now_s=NOW_S, sealed_by="sam", for_s=for_s)


def test_a_sealed_code_is_exchanged_for_a_token_with_the_roles_of_an_incident_commander(
    access: BreakGlass, tmp_path: Path
) -> None:
    token = access.use(sealed(access), REASON, now_s=NOW_S + 5.0)
    tokens = Tokens(local_credentials(tmp_path), FileCabinet(tmp_path / FOLDER))
    gate = Gate(tokens, emergency=access)
    who = gate.who(f"Bearer {token}", NOW_S + 6.0)
    assert (who.name, who.method) == ("pat", Method.BREAK_GLASS)
    assert who.roles == {Role.VIEWER, Role.OPERATOR, Role.INCIDENT_COMMANDER}
    assert who.expires_s == NOW_S + 5.0 + LONGEST_S
    emergency = Situation(PlatformState.EMERGENCY)
    assert refusal(who, Permission.OVERRIDE, "api", emergency, now_s=NOW_S + 6.0) == ""
    assert refusal(who, Permission.ISSUE_TOKENS, "", emergency, now_s=NOW_S + 6.0) != ""


def test_a_code_opens_once_and_only_as_long_as_it_holds(access: BreakGlass) -> None:
    code = sealed(access)
    access.use(code, REASON, now_s=NOW_S)
    with pytest.raises(BreakGlassError, match="opened before"):
        access.use(code, REASON, now_s=NOW_S)
    old = sealed(access)
    with pytest.raises(BreakGlassError, match="lain too long"):
        access.use(old, REASON, now_s=NOW_S + 30 * DAY_S)


def test_of_many_who_open_a_code_at_once_one_gets_in(access: BreakGlass, tmp_path: Path) -> None:
    code, got = sealed(access), []

    def use() -> None:
        try:
            got.append(BreakGlass(FileCabinet(tmp_path / FOLDER)).use(code, REASON, now_s=NOW_S))
        except BreakGlassError:
            got.append("")

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 8 and len([token for token in got if token]) == 1


def test_the_access_ends_after_an_hour_or_what_was_asked_for(access: BreakGlass) -> None:
    whole = access.use(sealed(access), REASON, now_s=NOW_S)
    part = access.use(sealed(access), REASON, now_s=NOW_S, for_s=60.0)
    assert access.who(whole, NOW_S + LONGEST_S - 0.001).name == "pat"
    for token, end_s in ((whole, LONGEST_S), (part, 60.0)):
        with pytest.raises(NotAuthenticatedError, match="over"):
            access.who(token, NOW_S + end_s)


@pytest.mark.parametrize("for_s", [0.0, -1.0, LONGEST_S + 0.1, float("nan"), float("inf")])
def test_no_access_is_for_longer(access: BreakGlass, for_s: float) -> None:
    with pytest.raises(BreakGlassError, match="for: "):
        access.use(sealed(access), REASON, now_s=NOW_S, for_s=for_s)


@pytest.mark.parametrize("reason", ["", "short", " " * 40, "x" * 501, "ten or more \x1b[31m red"])
def test_without_a_reason_that_can_be_read_the_code_stays_sealed(
    access: BreakGlass, reason: str
) -> None:
    code = sealed(access)
    with pytest.raises(BreakGlassError, match="reason: "):
        access.use(code, reason, now_s=NOW_S)
    assert access.use(code, REASON, now_s=NOW_S)


def test_a_line_break_in_a_reason_begins_no_line_of_the_log(access: BreakGlass) -> None:
    access.use(sealed(access), "first line\r\n2026 root accepted", now_s=NOW_S)
    assert access.book()[0].reason == "first line 2026 root accepted"


def test_what_is_no_code_or_no_token_opens_nothing(access: BreakGlass, tmp_path: Path) -> None:
    code = sealed(access)
    kept = json.loads((tmp_path / FOLDER / DOCUMENT).read_text())["sealed"][0]
    assert code not in json.dumps(kept)
    for wrong in ("", code[:-1], f"{code}x", f"wtbg_{kept['id']}_{kept['sha256']}",
                  code.replace("wtbg_", "wtbs_"), "wtbg__", f"wtbg_{kept['id']}_"):  # fmt: skip
        with pytest.raises(BreakGlassError, match="no such sealed code"):
            access.use(wrong, REASON, now_s=NOW_S)
    with pytest.raises(NotAuthenticatedError, match="opened first"):
        access.who(code, NOW_S)
    token = access.use(code, REASON, now_s=NOW_S)
    assert token not in (tmp_path / FOLDER / DOCUMENT).read_text()
    for wrong in (token[:-1], code.replace("wtbg_", "wtbs_"), "wtbs_a_b", "wtbs_"):
        with pytest.raises(NotAuthenticatedError, match="no such token"):
            access.who(wrong, NOW_S)
    (tmp_path / FOLDER / DOCUMENT).write_text("{")
    with pytest.raises(NotAuthenticatedError, match="cannot be read"):
        access.who(token, NOW_S)


def test_who_seals_a_code_is_not_who_opens_it(access: BreakGlass) -> None:
    with pytest.raises(BreakGlassError, match="your own"):
        access.seal("SAM", now_s=NOW_S, sealed_by="sam", for_s=DAY_S)
    with pytest.raises(TokenError, match="name: "):
        access.seal("engine", now_s=NOW_S, sealed_by="sam", for_s=DAY_S)
    for for_s in (0.0, SEALED_S + 1.0):
        with pytest.raises(BreakGlassError, match="for: "):
            access.seal("pat", now_s=NOW_S, sealed_by="sam", for_s=for_s)


def test_everybody_is_told_at_once_each_day_and_when_it_was_reviewed(access: BreakGlass) -> None:
    inbox, code = Inbox(), sealed(access)

    def states(now_s: float) -> list[AlertState]:
        before = len(inbox.alerts)
        asyncio.run(access.tell(inbox, now_s))
        return [alert.state for alert in inbox.alerts[before:]]

    assert states(NOW_S) == []
    access.use(code, REASON, now_s=NOW_S)
    assert states(NOW_S + 1.0) == [AlertState.STARTED]
    assert "pat" in inbox.alerts[0].detail and REASON in inbox.alerts[0].detail
    assert states(NOW_S + NAG_S - 1.0) == []
    for day in (1, 2, 3):
        assert states(NOW_S + day * NAG_S + 2.0 * day) == [AlertState.CHANGED]
        assert states(NOW_S + day * NAG_S + 2.0 * day) == []
    access.review(access.book()[0].id, "it was needed, and well used",
                  now_s=NOW_S + 4 * DAY_S, reviewer="kim")  # fmt: skip
    assert states(NOW_S + 4 * DAY_S + 1.0) == [AlertState.ENDED]
    assert states(NOW_S + 99 * DAY_S) == []
    assert len({alert.source for alert in inbox.alerts}) == 1


def test_what_was_reviewed_before_anybody_was_told_is_told_whole(access: BreakGlass) -> None:
    access.use(sealed(access), REASON, now_s=NOW_S)
    access.review(access.book()[0].id, "nothing was done with it", now_s=NOW_S + 9.0,
                  reviewer="kim")  # fmt: skip
    inbox = Inbox()
    for _ in range(3):
        asyncio.run(access.tell(inbox, NOW_S + 10.0))
    assert [alert.state for alert in inbox.alerts] == [AlertState.STARTED, AlertState.ENDED]


def test_an_alert_that_could_not_be_sent_is_due_again(access: BreakGlass) -> None:
    access.use(sealed(access), REASON, now_s=NOW_S)
    inbox = Inbox(failures=1)
    with pytest.raises(OSError, match="nobody there"):
        asyncio.run(access.tell(inbox, NOW_S))
    assert asyncio.run(access.tell(inbox, NOW_S)) == 1


def test_the_engine_goes_on_telling_whatever_goes_wrong(access: BreakGlass) -> None:
    access.use(sealed(access), REASON, now_s=NOW_S)
    inbox, looks = Inbox(failures=2), []

    class Clock:
        def now_s(self) -> float:
            return NOW_S

        async def wait(self, duration_s: float, stop: asyncio.Event) -> None:
            looks.append(duration_s)
            if len(looks) == 4:
                raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(watch(access, inbox, Clock()))
    assert len(inbox.alerts) == 1


def test_a_review_ends_the_access_and_is_somebody_elses(access: BreakGlass) -> None:
    token = access.use(sealed(access), REASON, now_s=NOW_S)
    which = access.book()[0].id
    with pytest.raises(BreakGlassError, match="had the access"):
        access.review(which, "all was well, I swear", now_s=NOW_S, reviewer="Pat")
    with pytest.raises(BreakGlassError, match="verdict: "):
        access.review(which, "ok", now_s=NOW_S, reviewer="kim")
    access.review(which, "stopped: it was not needed", now_s=NOW_S + 5.0, reviewer="kim")
    with pytest.raises(NotAuthenticatedError, match="over"):
        access.who(token, NOW_S + 5.0)
    with pytest.raises(BreakGlassError, match="does not wait for a review"):
        access.review(which, "once more, to be sure", now_s=NOW_S + 6.0, reviewer="kim")


def test_what_was_opened_and_not_reviewed_is_never_forgotten(access: BreakGlass) -> None:
    access.use(sealed(access, for_s=DAY_S), REASON, now_s=NOW_S)
    sealed(access, "kim", for_s=DAY_S)
    access.seal("lee", now_s=NOW_S + 10 * SEALED_S, sealed_by="sam", for_s=DAY_S)
    assert [each.holder for each in access.book()] == ["pat", "lee"]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / AUDIT / ROWS).read_text().splitlines()]


def test_the_commands_seal_open_nag_and_review(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = ["--state", str(tmp_path)]
    assert command.run(["seal", "pat", *state]) == 0
    code = capsys.readouterr().out.strip()

    def used(shown: str, reason: str = REASON) -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{shown}\n"))
        return command.run(["use", "--reason", reason, *state])

    assert used("wtbg_a_b") == used(code, "short") == 2
    capsys.readouterr()
    assert used(code) == 0
    token = capsys.readouterr().out.strip()
    assert used(code) == 2
    assert command.run(["review", *state]) == 1
    which = capsys.readouterr().out.split()[0]
    assert command.run(["review", which, "--verdict", "it was needed, well used", *state]) == 0
    assert command.run(["review", *state]) == 0
    uses = [row for row in read(tmp_path) if row["action"] == "use break-glass"]
    assert [(row["actor"], row["outcome"]) for row in uses] == [
        ("", "refused"), ("pat", "accepted"), ("pat", "refused"), ("pat", "accepted"),
        ("pat", "accepted"), ("pat", "refused"),
    ]  # fmt: skip
    written = (tmp_path / AUDIT / ROWS).read_text() + capsys.readouterr().err
    assert code not in written and token not in written


def test_the_drill_gets_from_the_seal_to_an_action_without_provider_or_database(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = drilled(tmp_path)
    assert list(steps)[-1] == "first action accepted"
    assert list(steps.values()) == sorted(steps.values())
    key = (tmp_path / AUDIT / VERIFIER).read_text()
    assert verifier.verified(tmp_path / AUDIT, key) == len(read(tmp_path)) == 2
    assert "whoever is on call" in read(tmp_path)[-1]["actor"]
    assert command.run(["drill"]) == 0
    assert float(capsys.readouterr().out.splitlines()[-1]) > 0.0


def running(state: Path) -> Engine:
    """An engine with a step behind it, whose identity provider does not answer."""
    engine = engine_in(state, ApiConfig(port=0))
    engine.step()
    provider = OidcConfig(issuer="http://127.0.0.1:9", audience="drill", jwks="http://127.0.0.1:9")
    cabinet = FileCabinet(engine.state / FOLDER)
    engine.context.identity = gate.opened(SecurityConfig(oidc=provider), engine.tokens, cabinet)
    return engine


def test_the_drill_gets_an_action_accepted_by_a_running_engine_and_takes_it_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = running(tmp_path)
    kept = ManualFloor("api", 9, math.inf, "ada")
    engine.context.desk.ask(kept)
    with serving(engine.context) as url:
        assert command.run(["drill", "--api", url, "--state", str(engine.state)]) == 0
    said = capsys.readouterr()
    assert 0.0 < float(said.out) <= command.DRILL_S
    assert "first action accepted" in said.err
    assert [one.request for one in engine.context.desk.asked()[0]] == [kept]
    [opened] = BreakGlass(FileCabinet(engine.state / FOLDER)).book()
    assert opened.awaits_review
    changes = [(row["actor"], row["action"], row["target"]) for row in engine.rows()[-2:]]
    assert [change[1:] for change in changes] == [("floor", "database"), ("drop_floor", "database")]
    assert all("whoever is on call" in change[0] for change in changes)


def test_the_drill_gets_an_action_accepted_while_the_database_is_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = running(tmp_path)
    for path in engine.state.glob("store.db*"):
        path.unlink()
    (engine.state / "store.db").write_bytes(b"no database at all" * 999)
    with serving(engine.context) as url:
        assert command.run(["drill", "--api", url, "--state", str(engine.state)]) == 0
    said = capsys.readouterr()
    assert 0.0 < float(said.out) <= command.DRILL_S
    assert "first action accepted, while the store takes nothing" in said.err
    assert engine.context.aside is not None
    [entry] = engine.context.aside.waiting()
    [scale] = entry.scales
    assert (scale.instances, scale.before) == (engine.counts[scale.service],) * 2
    [row] = [
        row
        for row in engine.rows()
        if row["outcome"] == "accepted" and row["action"] == "scale_out"
    ]
    assert "whoever is on call" in row["actor"]


def test_the_drill_says_what_a_running_engine_does_not_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = running(tmp_path)
    for service in ("api", "database"):
        engine.context.desk.ask(ManualFloor(service, 9, math.inf, "ada"))
    arguments = ["drill", "--state", str(engine.state), "--api"]
    with serving(engine.context) as url:
        assert command.run([*arguments, url]) == 2
        assert "every service has a floor" in capsys.readouterr().err
    assert command.run([*arguments, url]) == 2
    assert command.run([*arguments, "nowhere"]) == 2
