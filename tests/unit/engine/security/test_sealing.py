"""What is kept is sealed, opens with its owner's keys alone, and a rotation stops nothing."""

from __future__ import annotations

import base64
import json
import stat
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.adapters import cabinet_files
from engine.adapters.audit_place import row_sealer_of
from engine.adapters.cabinet_files import FOLDER, PLACE, FileCabinet
from engine.adapters.store.sealed import tokens_of
from engine.adapters.store.sqlite import SqliteFile
from engine.commands import break_glass, keys
from engine.commands import token as tokens_command
from engine.config import secrets
from engine.ports.cabinet import CabinetError
from engine.security.audit.log import FOLDER as AUDIT
from engine.security.audit.log import ROWS
from engine.security.audit.reading import rows_in
from engine.security.identity import IdentityUnreadableError
from engine.security.roles import Principal
from engine.security.sealing import (
    ARMOUR,
    KeyPlace,
    SealedCabinet,
    Sealer,
    SealError,
    keys_in,
    made,
    place_in,
    place_text,
)
from engine.security.tokens import Tokens, digest

KEY = made()
SEALER = Sealer(lambda: keys_in(KEY, "here"))


@given(st.binary(max_size=300), st.text(max_size=20))
def test_what_is_sealed_opens_again_and_as_nothing_else(plain: bytes, context: str) -> None:
    sealed = SEALER.seal(plain, context)
    assert SEALER.open(sealed, context) == plain
    with pytest.raises(SealError, match="touched, or is something else"):
        SEALER.open(sealed, context + "x")


@given(st.text(max_size=100), st.data())
def test_each_bit_of_an_envelope_counts(text: str, draw: st.DataObject) -> None:
    sealed = bytearray(SEALER.seal(text.encode(), "memory"))
    sealed[draw.draw(st.integers(0, len(sealed) - 1))] ^= 1 << draw.draw(st.integers(0, 7))
    with pytest.raises(SealError):
        SEALER.open(bytes(sealed), "memory")


def test_an_envelope_that_is_cut_off_or_no_envelope_is_refused() -> None:
    sealed = SEALER.seal(b"plain", "memory")
    for cut in (b"", sealed[:4], sealed[:-1], sealed[1:], sealed + b"x", b"plain"):
        with pytest.raises(SealError):
            SEALER.open(cut, "memory")
    for text in ("plain", ARMOUR, f"{ARMOUR}!", f"{ARMOUR}AAAA"):
        with pytest.raises(SealError):
            SEALER.open_text(text, "memory")


def test_no_two_envelopes_of_one_text_are_alike() -> None:
    assert len({SEALER.seal(b"same", "memory") for _ in range(100)}) == 100
    assert b"same" not in SEALER.seal(b"same", "memory")


def test_another_owner_opens_nothing_and_is_told_which_key_it_takes() -> None:
    other = Sealer(lambda: keys_in(made(), "there"))
    with pytest.raises(SealError, match=rf"with the key {SEALER.key_id}, which is not here"):
        other.open(SEALER.seal(b"plain", "memory"), "memory")


def test_after_a_rotation_old_envelopes_open_and_new_ones_are_under_the_new_key() -> None:
    held = [KEY]
    rotated = Sealer(lambda: keys_in("\n".join(held), "here"))
    elsewhere = Sealer(lambda: keys_in("\n".join(held), "here"))
    old = rotated.seal(b"old", "memory")
    held.insert(0, made())
    rotated.renew()
    fresh = rotated.seal(b"new", "memory")
    assert rotated.open(old, "memory") == b"old"
    assert elsewhere.open(fresh, "memory") == b"new"  # asked for the keys by itself
    assert fresh[4:10] != old[4:10]
    del held[1]
    rotated.renew()
    with pytest.raises(SealError, match="not here"):
        rotated.open(old, "memory")


@pytest.mark.parametrize("text", [
    "", "# nothing", "wtk_abc", "CUT", "KEYx", "KEY KEY", "KEY\nKEY", "\x00",
])  # fmt: skip
def test_a_text_that_holds_no_keys_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(SealError, match="here: ") as caught:
        keys_in(text.replace("CUT", KEY[:-1]).replace("KEY", KEY), "here")
    assert KEY[20:] not in str(caught.value)


def test_a_key_is_never_written_anywhere() -> None:
    [key] = keys_in(f"# of June\n {KEY} # the first\n", "here")
    assert KEY[17:] not in repr(key) and str(key.secret) not in repr(key)
    assert KEY not in secrets.redacted(f"it was {KEY}")
    assert KEY[17:] not in secrets.redacted(f"it was {KEY[17:]}")


def test_keys_come_from_a_file_a_variable_or_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys"
    file.write_text(KEY)
    file.chmod(0o600)
    monkeypatch.setenv("WT_TEST_KEYS", KEY)
    for place in (
        KeyPlace(file=str(file)), KeyPlace(variable="WT_TEST_KEYS"),
        KeyPlace(command=("cat", str(file))),
    ):  # fmt: skip
        assert place_in(place_text(place)) == place
        assert Sealer(place.read).open(SEALER.seal(b"x", "y"), "y") == b"x"


@pytest.mark.parametrize(("place", "reason"), [
    (KeyPlace(file="/no/such/file"), "cannot be read"),
    (KeyPlace(variable="WT_NO_SUCH"), "there is no key"),
    (KeyPlace(command=("false",)), "ended with 1"),
    (KeyPlace(command=("no-such-program",)), "cannot be run"),
    (KeyPlace(command=("echo", "hunter2")), "line 1 is no key"),
])  # fmt: skip
def test_a_place_without_keys_says_why(place: KeyPlace, reason: str) -> None:
    with pytest.raises(SealError, match=reason) as caught:
        place.read()
    assert "hunter2" not in str(caught.value)


def test_a_file_of_keys_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(KEY)
    for mode in (0o640, 0o604, 0o622):
        file.chmod(mode)
        with pytest.raises(SealError, match="chmod 600"):
            KeyPlace(file=str(file)).read()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"file": "a", "variable": "b", "command": []}',
                                  '{"file": "", "variable": "", "command": []}'])  # fmt: skip
def test_a_place_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SealError, match="the place of the keys"):
        place_in(text)


def test_a_document_that_somebody_put_there_in_plain_is_refused(tmp_path: Path) -> None:
    plain = FileCabinet(tmp_path)
    sealed = SealedCabinet(plain, SEALER, ["open.json"])
    sealed.change("a", lambda text: text + "secret")
    sealed.change("open.json", lambda text: text + "for all")
    assert sealed.read("a") == "secret" and sealed.read("none") == ""
    assert "secret" not in plain.read("a") and plain.read("open.json") == "for all"
    plain.change("b", lambda _: plain.read("a"))  # one document in the place of another
    plain.change("c", lambda _: "secret")
    for name in ("b", "c"):
        with pytest.raises(CabinetError):
            sealed.read(name)
        with pytest.raises(CabinetError):
            sealed.change(name, lambda text: text)


def test_the_commands_seal_rotate_and_retire_while_tokens_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state, file = ["--state", str(tmp_path)], tmp_path / "keys"
    tokens_command.run(["create", "night-desk", "--role", "viewer", *state])
    shown = capsys.readouterr().out.strip()
    assert keys.run(["list", *state]) == 2  # nothing is sealed yet
    assert keys.run(["make", str(file)]) == 0
    assert keys.run(["make", str(file)]) == 2
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert keys.run(["use", "--file", str(file), *state]) == 0

    running = tokens_of(tmp_path)  # an engine that goes on all the while
    now_s = tokens_now(tmp_path)
    with closing(SqliteFile(tmp_path)) as store:
        [(text,)] = store.read(lambda at: at.execute("SELECT content FROM credentials"))
    assert text.startswith(ARMOUR)
    assert b"night-desk" not in b"".join(path.read_bytes() for path in tmp_path.glob("store.db*"))
    assert seen(running, shown, now_s).name == "night-desk"

    capsys.readouterr()
    old = file.read_text().split("_")[1]
    assert keys.run(["retire", old, *state]) == 2
    assert keys.run(["rotate", *state]) == 0
    assert keys.run(["list", *state]) == 0
    newest, before = capsys.readouterr().out.splitlines()
    # The keys of the audit log, and the token.
    assert newest.endswith("  1 documents, 1 texts of the store")
    assert before == f"{old}  0 documents, 0 texts of the store"
    assert seen(running, shown, now_s).name == "night-desk"
    assert keys.run(["retire", old, *state]) == 0
    assert keys.run(["retire", old, *state]) == 2
    running.revoke("night-desk", now_s + 1.0)
    assert tokens_of(tmp_path).book().tokens[0].revoked_s == now_s + 1.0

    monkeypatch.setenv("WT_TEST_KEYS", KEY)
    assert keys.run(["use", "--variable", "WT_TEST_KEYS", *state]) == 0
    assert keys.run(["use", "--variable", "WT_NO_SUCH", *state]) == 2
    assert tokens_of(tmp_path).book().tokens[0].name == "night-desk"
    audited = (tmp_path / AUDIT / ROWS).read_text()
    opened = list(rows_in(audited.splitlines(), row_sealer_of(tmp_path)))
    verbs = [row["action"] for _, row in opened]
    audited += str(opened)
    assert {"use keys", "rotate keys", "retire key"} <= set(verbs)
    said = capsys.readouterr()
    for secret in (*file.read_text().split(), KEY):
        assert secret not in audited + said.out + said.err
        assert secret[17:] not in audited + said.out + said.err


def seen(tokens: Tokens, shown: str, now_s: float) -> Principal:
    """Who shows a token, as it stands now."""
    tokens.look()
    return tokens.who(shown, now_s)


def tokens_now(state: Path) -> float:
    return tokens_of(state).book().tokens[0].created_s + 1.0


def test_a_credential_that_somebody_put_into_a_sealed_store_in_plain_is_nobodys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = ["--state", str(tmp_path)]
    tokens_command.run(["create", "pat", "--role", "viewer", *state])
    shown = capsys.readouterr().out.strip()
    monkeypatch.setenv("WT_TEST_KEYS", KEY)
    assert keys.run(["use", "--variable", "WT_TEST_KEYS", *state]) == 0
    tokens, now_s = tokens_of(tmp_path), tokens_now(tmp_path)
    [token] = tokens.book().tokens
    forged = json.dumps({
        "id": "0123456789ab", "name": "eve", "roles": ["administrator"], "services": None,
        "created_s": now_s, "expires_s": now_s + 60.0, "revoked_s": None, "made_by": "eve",
        "sha256": digest(f"wt_0123456789ab_{'x' * 43}"),
    })  # fmt: skip
    with closing(SqliteFile(tmp_path)) as store:
        [(sealed,)] = store.read(lambda at: at.execute("SELECT content FROM credentials"))
        # Neither one in plain nor one in the place of another is believed, nor sealed anew.
        for mark, text in (("x", forged), ("y", sealed)):
            changed(store, "INSERT INTO credentials VALUES ('0123456789ab', ?)", text)
            changed(store, "UPDATE credentials_mark SET mark = ?", mark)
            for command in ("list", "rotate", "list"):
                with pytest.raises(IdentityUnreadableError):
                    seen(tokens, f"wt_0123456789ab_{'x' * 43}", now_s)
                assert keys.run([command, *state]) == 0
            changed(store, "DELETE FROM credentials WHERE id = ?", "0123456789ab")
    assert seen(tokens, shown, now_s).name == "pat"
    assert tokens.book().tokens == (token,)


def changed(store: SqliteFile, statement: str, value: str) -> None:
    """Change the tables behind everybody's back."""
    store.write(lambda to: to.execute(statement, value)).result()


def test_emergency_access_needs_no_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = ["--state", str(tmp_path)]
    monkeypatch.setenv("WT_TEST_KEYS", KEY)
    assert keys.run(["use", "--variable", "WT_TEST_KEYS", *state]) == 0
    assert break_glass.run(["seal", "pat", *state]) == 0
    code = capsys.readouterr().out.strip()
    monkeypatch.delenv("WT_TEST_KEYS")
    token = break_glass.exchanged(tmp_path, code, "the vault is down as well", 60.0)
    assert token.startswith("wtbs_")
    with pytest.raises(SealError):
        cabinet_files.opened(tmp_path)
    assert tokens_command.run(["list", *state]) == 2
    assert "there is no key" in capsys.readouterr().err


def test_a_command_that_was_interrupted_half_way_is_made_good_by_the_same_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cabinet = FileCabinet(tmp_path / FOLDER)
    cabinet.change("a", lambda _: SEALER.seal_text("first", "a"))
    cabinet.change("b", lambda _: "second")
    monkeypatch.setenv("WT_TEST_KEYS", KEY)
    assert keys.run(["use", "--variable", "WT_TEST_KEYS", "--state", str(tmp_path)]) == 0
    opened = cabinet_files.opened(tmp_path)
    assert (opened.read("a"), opened.read("b")) == ("first", "second")
    assert base64.b64decode(cabinet.read("a").removeprefix(ARMOUR))
    assert (tmp_path / FOLDER / PLACE).exists()
