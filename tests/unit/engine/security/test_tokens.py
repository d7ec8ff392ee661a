"""Tokens: shown once, kept as a hash, limited, and over when they are revoked."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path

import pytest

from engine.adapters.cabinet_files import FOLDER, FileCabinet
from engine.commands import token as command
from engine.ports.cabinet import CabinetError
from engine.security import exposure, local
from engine.security.audit.log import FOLDER as AUDIT
from engine.security.audit.log import ROWS
from engine.security.exposure import ExposureError
from engine.security.identity import NotAuthenticatedError
from engine.security.roles import Method, Role
from engine.security.tokens import (
    BOOTSTRAP_S,
    DAY_S,
    DOCUMENT,
    KEPT_S,
    LONGEST_S,
    TokenError,
    Tokens,
)

NOW_S = 1_813_437_000.0


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(FileCabinet(tmp_path / FOLDER))


def secret_of(shown: str) -> str:
    """The random part; of what is no token, something that nobody says."""
    return shown.split("_", 2)[2] if shown.count("_") > 1 and len(shown) > 20 else "\0"


def made(tokens: Tokens, name: str = "pat", *roles: Role, services: tuple[str, ...] | None = None,
         for_s: float = DAY_S) -> str:  # fmt: skip
    return tokens.create(
        name, roles or [Role.VIEWER], services, now_s=NOW_S, for_s=for_s, made_by="sam"
    )[0]


def refused(tokens: Tokens, shown: str, now_s: float = NOW_S) -> str:
    with pytest.raises(NotAuthenticatedError) as caught:
        tokens.who(shown, now_s)
    assert shown not in str(caught.value) and secret_of(shown) not in str(caught.value)
    return str(caught.value)


def test_a_token_says_whose_it_is_and_what_it_is_limited_to(tokens: Tokens) -> None:
    shown = made(tokens, "pat", Role.OPERATOR, Role.APPROVER, services=("api",))
    who = tokens.who(shown, NOW_S)
    assert (who.name, who.roles) == ("pat", {Role.OPERATOR, Role.APPROVER})
    assert (who.services, who.method) == ({"api"}, Method.TOKEN)
    assert who.expires_s == NOW_S + DAY_S
    assert who.token_id in shown


def test_what_is_kept_of_a_token_is_none(tokens: Tokens, tmp_path: Path) -> None:
    shown = made(tokens)
    kept = tmp_path / FOLDER / DOCUMENT
    secret = secret_of(shown)
    assert len(secret) >= 32
    assert secret not in kept.read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    entry = json.loads(kept.read_text())["tokens"][0]
    refused(tokens, entry["sha256"])
    refused(tokens, f"wt_{entry['id']}_{entry['sha256']}")


def test_no_two_tokens_are_alike(tokens: Tokens) -> None:
    shown = [made(tokens) for _ in range(20)]
    assert len({secret_of(one) for one in shown}) == len(set(shown)) == 20


def test_a_token_that_is_touched_is_none(tokens: Tokens) -> None:
    shown = made(tokens)
    other = made(tokens, "sam", *Role)
    for wrong in (
        shown[:-1], shown + "A", shown.upper(), shown[1:], shown.replace("wt_", "wx_"),
        f"{shown[:16]}{other[16:]}", "wt__", "wt_", "_", "wt_../../x_y",
        shown[:-1] + ("A" if shown[-1] != "A" else "B"),
    ):  # fmt: skip
        assert refused(tokens, wrong) == "no such token"


def test_a_token_ends_when_it_expires_or_is_revoked(tokens: Tokens) -> None:
    shown, other = made(tokens), made(tokens, "sam")
    assert tokens.who(shown, NOW_S + DAY_S - 0.001).name == "pat"
    assert "expired" in refused(tokens, shown, NOW_S + DAY_S)
    tokens.revoke("pat", NOW_S + 10.0)
    assert "revoked" in refused(tokens, shown, NOW_S + 10.0)
    assert tokens.who(other, NOW_S + 10.0).name == "sam"


def test_another_process_sees_a_revocation_at_its_next_look(tokens: Tokens, tmp_path: Path) -> None:
    elsewhere = Tokens(FileCabinet(tmp_path / FOLDER))
    for _ in range(5):
        shown = made(tokens)
        who = elsewhere.who(shown, NOW_S)
        tokens.revoke(who.token_id, NOW_S)
        refused(elsewhere, shown)


def test_all_tokens_of_a_name_are_revoked_however_it_is_spelled(tokens: Tokens) -> None:
    shown = [made(tokens), made(tokens, "Pat")]
    assert len(tokens.revoke("PAT", NOW_S)) == 2
    for one in shown:
        assert "revoked" in refused(tokens, one)
    with pytest.raises(TokenError, match="neither the id nor the name"):
        tokens.revoke("pat", NOW_S)


@pytest.mark.parametrize(
    "name",
    ["", " ", "a\nb", "a\x00b", "engine", "Engine", "bootstrap", "ｅｎｇｉｎｅ", "-a", "a" * 101,
     "../x", "a\u202eb", "x\r\n2026 admin"],
)  # fmt: skip
def test_a_name_that_would_mislead_a_reader_of_the_log_is_not_given(
    tokens: Tokens, name: str
) -> None:
    with pytest.raises(TokenError, match="name: "):
        made(tokens, name)


@pytest.mark.parametrize("for_s", [0.0, -1.0, LONGEST_S + 1.0, float("nan"), float("inf")])
def test_no_token_is_for_ever(tokens: Tokens, for_s: float) -> None:
    with pytest.raises(TokenError, match="for: "):
        made(tokens, for_s=for_s)


def test_a_token_without_a_role_or_with_an_empty_limit_is_not_made(tokens: Tokens) -> None:
    with pytest.raises(TokenError, match="role: "):
        tokens.create("pat", [], None, now_s=NOW_S, for_s=DAY_S, made_by="sam")
    with pytest.raises(TokenError, match="service: "):
        made(tokens, services=())
    with pytest.raises(TokenError, match="service: "):
        made(tokens, services=("a\nb",))


def test_the_bootstrap_token_is_given_once_and_holds_on_this_machine_alone(
    tmp_path: Path,
) -> None:
    here = Tokens(FileCabinet(tmp_path), loopback=True)
    shown = here.bootstrap(NOW_S)
    assert here.who(shown, NOW_S).roles == set(Role)
    assert here.bootstrap(NOW_S + 1.0) == ""
    assert not here.usable(NOW_S)
    assert "own machine" in refused(Tokens(FileCabinet(tmp_path)), shown)
    assert here.bootstrap(NOW_S + BOOTSTRAP_S) != ""  # the first one is over by then
    made(here)
    assert here.usable(NOW_S)


def test_what_an_identity_provider_issued_before_is_revoked_by_name(tokens: Tokens) -> None:
    tokens.refuse_earlier("pat", NOW_S)
    assert tokens.issued_too_early("PAT", NOW_S - 1.0)
    assert not tokens.issued_too_early("pat", NOW_S + 1.0)
    assert not tokens.issued_too_early("sam", NOW_S - 1.0)
    tokens.refuse_earlier("Pat", NOW_S + 60.0)
    assert tokens.issued_too_early("pat", NOW_S + 1.0)


def test_the_list_does_not_grow_for_ever(tokens: Tokens) -> None:
    made(tokens)
    later_s = NOW_S + DAY_S + KEPT_S + 1.0
    tokens.create("sam", [Role.VIEWER], None, now_s=later_s, for_s=DAY_S, made_by="pat")
    assert [token.name for token in tokens.book().tokens] == ["sam"]


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"version": 2}', '{"version":1,"tokens":[{}],"not_before":[]}',
             "\xff"]
)  # fmt: skip
def test_who_cannot_read_the_book_lets_nobody_in(tokens: Tokens, tmp_path: Path, text: str) -> None:
    shown = made(tokens)
    (tmp_path / FOLDER / DOCUMENT).write_bytes(text.encode("latin-1"))
    assert "cannot be read" in refused(tokens, shown)
    with pytest.raises(CabinetError):
        tokens.revoke("pat", NOW_S)  # and puts no other book in its place
    assert (tmp_path / FOLDER / DOCUMENT).read_bytes() == text.encode("latin-1")


def test_what_several_make_at_once_is_all_kept(tmp_path: Path) -> None:
    def make(number: int) -> None:
        made(Tokens(FileCabinet(tmp_path)), f"person{number}")

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Tokens(FileCabinet(tmp_path)).book().tokens) == 8


def test_the_command_prints_a_token_once_and_lists_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ["--state", str(tmp_path)]
    assert command.run(["create", "pat", "--role", "operator", "--service", "api", *state]) == 0
    said = capsys.readouterr()
    shown = said.out.strip()
    assert Tokens(FileCabinet(tmp_path / FOLDER)).book().tokens[0].id in shown
    assert shown not in said.err
    for arguments in (["list"], ["list", "--json"], ["revoke", "pat"], ["list"]):
        assert command.run([*arguments, *state]) == 0
    said = capsys.readouterr()
    assert "pat" in said.out and "revoked" in said.out
    secret = secret_of(shown)
    assert secret not in said.out + said.err + (tmp_path / AUDIT / ROWS).read_text()


def test_each_token_that_is_made_or_revoked_is_in_the_audit_log(tmp_path: Path) -> None:
    state = ["--state", str(tmp_path)]
    command.run(["create", "pat", "--role", "auditor", "--why", "the yearly audit", *state])
    command.run(["revoke", "pat", *state])
    assert command.run(["revoke", "pat", *state]) == 2
    assert command.run(["revoke", "pat", "--issued-elsewhere", *state]) == 0
    rows = [json.loads(line) for line in (tmp_path / AUDIT / ROWS).read_text().splitlines()]
    assert [(row["action"], row["outcome"]) for row in rows] == [
        ("create token", "accepted"), ("revoke token", "accepted"), ("revoke token", "accepted"),
        ("revoke token", "failed"), ("revoke token", "accepted"),
    ]  # fmt: skip
    assert rows[0]["after"]["roles"] == "auditor"
    assert rows[0]["why"] == "the yearly audit"


def test_who_does_not_own_the_state_has_no_role_on_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert local.principal(tmp_path).roles == set(Role)
    monkeypatch.setattr(local.os, "getuid", lambda: tmp_path.stat().st_uid + 4711)
    assert local.principal(tmp_path).roles == set()
    assert local.principal(tmp_path).name.startswith("user ")
    assert command.run(["create", "pat", "--role", "viewer", "--state", str(tmp_path)]) == 2
    assert "may not issue tokens" in capsys.readouterr().err
    row = json.loads((tmp_path / AUDIT / ROWS).read_text())
    assert row["outcome"] == "refused"


def test_a_name_in_the_environment_is_nobodys_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = local.principal(tmp_path).name
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, "somebody-else")
    assert local.principal(tmp_path).name == before != "somebody-else"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "::ffff:127.0.0.1"])
def test_on_its_own_machine_the_engine_needs_neither(host: str) -> None:
    exposure.check(host, tls=False, identity=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "::ffff:192.0.2.1"])
@pytest.mark.parametrize(("tls", "identity"), [(False, False), (True, False), (False, True)])
def test_elsewhere_it_refuses_to_start_and_names_what_is_missing(
    host: str, tls: bool, identity: bool
) -> None:
    with pytest.raises(ExposureError) as caught:
        exposure.check(host, tls=tls, identity=identity)
    assert ("api.tls.certificate" in str(caught.value)) == (not tls)
    assert ("security.oidc" in str(caught.value)) == (not identity)
    exposure.check(host, tls=True, identity=True)


def test_a_host_that_is_none_is_named() -> None:
    with pytest.raises(ExposureError, match=r'address: "no such host" is no address'):
        exposure.check("no such host", tls=True, identity=True)
