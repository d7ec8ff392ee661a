"""Tokens: shown once, kept as a hash, limited, and over when they are revoked.

It is long because it is one table after the other about one module.
"""

from __future__ import annotations

import asyncio
import json
import math
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.adapters.cabinet_files import FOLDER, FileCabinet
from engine.adapters.store.sealed import local_credentials
from engine.commands import token as command
from engine.config.security import MachineConfig
from engine.ports.cabinet import CabinetError
from engine.ports.credentials import Glimpse, Texts
from engine.security import exposure, local
from engine.security.audit.log import FOLDER as AUDIT
from engine.security.audit.log import ROWS
from engine.security.exposure import ExposureError
from engine.security.gate import Gate
from engine.security.identity import (
    IdentityUnreadableError,
    NotAuthenticatedError,
    authenticated,
)
from engine.security.roles import Method, Principal, Role
from engine.security.token_texts import DOCUMENT
from engine.security.tokens import (
    BOOTSTRAP_S,
    DAY_S,
    KEPT_S,
    LONGEST_S,
    TokenError,
    Tokens,
    digest,
)

NOW_S = 1_813_437_000.0


def tokens_in(state: Path, *, loopback: bool = False) -> Tokens:
    """Those of the engine of a state folder."""
    return Tokens(local_credentials(state), FileCabinet(state / FOLDER), loopback=loopback)


def seen(tokens: Tokens, shown: str, now_s: float) -> Principal:
    """Who shows a token, as it stands now."""
    tokens.look()
    return tokens.who(shown, now_s)


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return tokens_in(tmp_path)


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
        seen(tokens, shown, now_s)
    assert shown not in str(caught.value) and secret_of(shown) not in str(caught.value)
    return str(caught.value)


def test_a_token_says_whose_it_is_and_what_it_is_limited_to(tokens: Tokens) -> None:
    shown = made(tokens, "pat", Role.OPERATOR, Role.APPROVER, services=("api",))
    who = seen(tokens, shown, NOW_S)
    assert (who.name, who.roles) == ("pat", {Role.OPERATOR, Role.APPROVER})
    assert (who.services, who.method) == ({"api"}, Method.TOKEN)
    assert who.expires_s == NOW_S + DAY_S
    assert who.token_id in shown


def test_what_is_kept_of_a_token_is_none(tokens: Tokens, tmp_path: Path) -> None:
    shown = made(tokens)
    secret = secret_of(shown)
    assert len(secret) >= 32
    there = tmp_path.rglob("*")
    assert all(secret.encode() not in path.read_bytes() for path in there if path.is_file())
    glimpse = local_credentials(tmp_path).glimpse(None)
    assert glimpse is not None
    [(name, text)] = glimpse.texts.items()
    entry = json.loads(text)
    refused(tokens, entry["sha256"])
    refused(tokens, f"wt_{name}_{entry['sha256']}")


def test_the_bootstrap_token_lies_where_its_owner_alone_reads_it(tmp_path: Path) -> None:
    shown = tokens_in(tmp_path, loopback=True).bootstrap(NOW_S)
    kept = tmp_path / FOLDER / DOCUMENT
    assert secret_of(shown) not in kept.read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


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
    assert seen(tokens, shown, NOW_S + DAY_S - 0.001).name == "pat"
    assert "expired" in refused(tokens, shown, NOW_S + DAY_S)
    tokens.revoke("pat", NOW_S + 10.0)
    assert "revoked" in refused(tokens, shown, NOW_S + 10.0)
    assert seen(tokens, other, NOW_S + 10.0).name == "sam"


def test_another_process_sees_a_revocation_at_its_next_look(tokens: Tokens, tmp_path: Path) -> None:
    elsewhere = tokens_in(tmp_path)
    for _ in range(5):
        shown = made(tokens)
        who = seen(elsewhere, shown, NOW_S)
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
    here = tokens_in(tmp_path, loopback=True)
    shown = here.bootstrap(NOW_S)
    assert seen(here, shown, NOW_S).roles == set(Role)
    assert here.bootstrap(NOW_S + 1.0) == ""
    assert not here.usable(NOW_S)
    assert "own machine" in refused(tokens_in(tmp_path), shown)
    assert here.bootstrap(NOW_S + BOOTSTRAP_S) != ""  # the first one is over by then
    made(here)
    assert here.usable(NOW_S)


def test_what_an_identity_provider_issued_before_is_revoked_by_name(tokens: Tokens) -> None:
    def too_early(name: str, issued_s: float) -> bool:
        tokens.look()
        return tokens.issued_too_early(name, issued_s)

    tokens.refuse_earlier("pat", NOW_S)
    assert too_early("PAT", NOW_S - 1.0)
    assert not too_early("pat", NOW_S + 1.0)
    assert not too_early("sam", NOW_S - 1.0)
    tokens.refuse_earlier("Pat", NOW_S + 60.0)
    assert too_early("pat", NOW_S + 1.0)
    assert len(tokens.book().not_before) == 1


def test_the_list_does_not_grow_for_ever(tokens: Tokens) -> None:
    made(tokens)
    later_s = NOW_S + DAY_S + KEPT_S + 1.0
    tokens.create("sam", [Role.VIEWER], None, now_s=later_s, for_s=DAY_S, made_by="pat")
    assert [token.name for token in tokens.book().tokens] == ["sam"]


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"version": 2}', '{"version":1,"tokens":[{}],"not_before":[]}',
             "\xff"]
)  # fmt: skip
def test_a_document_of_an_earlier_release_that_cannot_be_read_lets_nobody_in(
    tokens: Tokens, tmp_path: Path, text: str
) -> None:
    shown = made(tokens)
    document = tmp_path / FOLDER / DOCUMENT
    document.parent.mkdir(exist_ok=True)
    document.write_bytes(text.encode("latin-1"))
    with pytest.raises(IdentityUnreadableError):
        seen(tokens, shown, NOW_S)
    with pytest.raises(CabinetError):
        tokens.revoke("pat", NOW_S)  # and puts no other book in its place
    assert document.read_bytes() == text.encode("latin-1")


@pytest.mark.parametrize("text", ["{", "[]", "{}", "null", '{"id": "other"}'])
def test_who_cannot_read_one_of_the_tokens_lets_nobody_in(
    tokens: Tokens, tmp_path: Path, text: str
) -> None:
    shown = made(tokens)
    kept = local_credentials(tmp_path)
    before = kept.glimpse(None)
    assert before is not None
    for name in ("0123456789ab", "refused-0123456789abcdef"):
        broken = {**before.texts, name: text}
        kept.change(lambda _, broken=broken: broken)  # type: ignore[misc]
        with pytest.raises(IdentityUnreadableError):
            seen(tokens, shown, NOW_S)
        with pytest.raises(IdentityUnreadableError):
            tokens.issued_too_early("sam", NOW_S)
        with pytest.raises(CabinetError, match=name):
            tokens.revoke("pat", NOW_S)
        kept.change(lambda _: before.texts)
        assert seen(tokens, shown, NOW_S).name == "pat"


def of_an_earlier_release(state: Path, *, revoked_s: float | None = None) -> str:
    """A document as earlier releases wrote it, with three tokens; returns what pat shows."""
    shown = f"wt_{'a1' * 6}_{'s' * 43}"
    tokens = [
        {
            "id": number * 6, "name": name, "roles": ["viewer"], "services": None,
            "created_s": NOW_S - 9.0, "expires_s": NOW_S + DAY_S, "revoked_s": ended_s,
            "made_by": "sam", "sha256": digest(shown),
        }
        for number, name, ended_s in (
            ("a1", "pat", revoked_s), ("b2", "kim", NOW_S - 5.0), ("c3", "bootstrap", None),
        )
    ]  # fmt: skip
    book = {"version": 1, "tokens": tokens, "not_before": [["lee", NOW_S - 3.0]]}
    FileCabinet(state / FOLDER).change(DOCUMENT, lambda _: json.dumps(book))
    return shown


def test_the_tokens_of_an_earlier_release_are_carried_over_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = of_an_earlier_release(tmp_path)
    tokens = tokens_in(tmp_path, loopback=True)
    # Killed before the document was changed: none of it is there twice, and who was revoked in
    # between stays so.
    with monkeypatch.context() as patched:

        def killed(*_: object) -> None:
            raise OSError("killed")

        patched.setattr(FileCabinet, "change", killed)
        for _ in range(2):
            with pytest.raises(OSError, match="killed"):
                tokens.book()
    local_credentials(tmp_path).change(
        lambda texts: {
            name: text.replace('"revoked_s": null', f'"revoked_s": {NOW_S - 1.0}')
            for name, text in texts.items()
        }
    )
    assert "revoked" in refused(tokens, shown)
    book = tokens.book()
    assert [(token.name, token.revoked_s) for token in book.tokens] == [
        ("bootstrap", math.inf), ("pat", NOW_S - 1.0), ("kim", NOW_S - 5.0),
    ]  # fmt: skip
    assert book.not_before == (("lee", NOW_S - 3.0),)
    document = json.loads(FileCabinet(tmp_path / FOLDER).read(DOCUMENT))
    assert [entry["name"] for entry in document["tokens"]] == ["bootstrap"]
    assert document["not_before"] == []
    # And once: what is taken out of the store does not come back.
    local_credentials(tmp_path).change(lambda _: {})
    assert [token.name for token in tokens.book().tokens] == ["bootstrap"]


def test_what_an_earlier_release_revokes_meanwhile_is_revoked(tmp_path: Path) -> None:
    shown = of_an_earlier_release(tmp_path)
    tokens = tokens_in(tmp_path)
    assert seen(tokens, shown, NOW_S).name == "pat"
    of_an_earlier_release(tmp_path, revoked_s=NOW_S - 2.0)
    assert "revoked" in refused(tokens, shown)
    of_an_earlier_release(tmp_path)
    assert "revoked" in refused(tokens, shown)


class Gone:
    """Credentials that cannot be reached."""

    def is_unchanged(self) -> bool:
        return False

    def glimpse(self, mark: str | None) -> Glimpse | None:
        raise OSError(111, "Connection refused", "the database")

    def change(self, edit: Callable[[Texts], Texts]) -> None:
        raise OSError(111, "Connection refused", "the database")

    def close(self) -> None:
        pass


def test_without_the_store_the_bootstrap_token_alone_goes_on(tmp_path: Path) -> None:
    here = tokens_in(tmp_path, loopback=True)
    shown = here.bootstrap(NOW_S)
    kept = made(here)
    gone = Tokens(Gone(), FileCabinet(tmp_path / FOLDER), loopback=True)
    gate = Gate(gone, machines={"robot": MachineConfig(roles=(Role.VIEWER,))})

    def who(authorization: str, peer: dict[str, Any] | None = None) -> Principal:
        return asyncio.run(authenticated(gate, authorization, NOW_S, peer))

    assert who(f"Bearer {shown}").roles == set(Role)
    with pytest.raises(NotAuthenticatedError):
        who(f"Bearer {shown[:-1]}")
    for one in (kept, f"wt_{'0' * 12}_x"):
        with pytest.raises(IdentityUnreadableError):
            who(f"Bearer {one}")
    peer = {
        "subjectAltName": (("DNS", "robot"),), "notBefore": "Jan  1 00:00:00 2026 GMT",
        "notAfter": "Jan  1 00:00:00 2036 GMT",
    }  # fmt: skip
    with pytest.raises(IdentityUnreadableError):
        who("", peer)
    # Nobody can say whether a token is there, so none is made for whoever starts the engine.
    assert Tokens(Gone(), FileCabinet(tmp_path / "new"), loopback=True).bootstrap(NOW_S) == ""
    assert gate.has_others(NOW_S)
    with pytest.raises(OSError, match="refused"):
        made(gone)
    assert gone.revoke("bootstrap", NOW_S)[0].name == "bootstrap"
    with pytest.raises(NotAuthenticatedError, match="revoked"):
        who(f"Bearer {shown}")


def test_what_several_make_at_once_is_all_kept(tmp_path: Path) -> None:
    def make(number: int) -> None:
        made(tokens_in(tmp_path), f"person{number}")

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens_in(tmp_path).book().tokens) == 8


def test_the_command_prints_a_token_once_and_lists_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ["--state", str(tmp_path)]
    assert command.run(["create", "pat", "--role", "operator", "--service", "api", *state]) == 0
    said = capsys.readouterr()
    shown = said.out.strip()
    assert tokens_in(tmp_path).book().tokens[0].id in shown
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
