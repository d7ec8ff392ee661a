"""What is held on one wedding: under a pseudonym, sealed, for a time, and erasable."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.adapters.cabinet_files import FOLDER, FileCabinet
from engine.commands import keys, privacy, requests
from engine.ports.cabinet import CabinetError
from engine.security import local
from engine.security.audit import verifier
from engine.security.audit.log import FOLDER as AUDIT
from engine.security.audit.log import ROWS, VERIFIER, AuditLog
from engine.security.audit.rows import AuditEntry
from engine.security.weddings import (
    DAY_S,
    DOCUMENT,
    PROCESSING,
    Held,
    WeddingError,
    WeddingRegister,
    keep_to_it,
    page,
)

NOW_S = 1_813_437_000.0
FIELDS = {"service": "api", "instances": 47110815}
PURPOSE = "capacity for its guests"


@pytest.fixture
def weddings(tmp_path: Path) -> WeddingRegister:
    return WeddingRegister(FileCabinet(tmp_path / FOLDER))


def kept(weddings: WeddingRegister, wedding: str = "W-1", kind: Held = Held.REQUEST,
         now_s: float = NOW_S) -> tuple[str, str]:  # fmt: skip
    return weddings.keep(wedding, kind, FIELDS, purpose=PURPOSE, now_s=now_s)


def test_a_pseudonym_is_always_the_same_and_needs_the_key(tmp_path: Path) -> None:
    here, there = (WeddingRegister(FileCabinet(tmp_path / name)) for name in "ab")
    assert here.pseudonym("W-1") == here.pseudonym("W-1") == kept(here)[0]
    assert here.pseudonym("W-1") != here.pseudonym("W-2")
    assert here.pseudonym("W-1") != there.pseudonym("W-1")


@given(st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_.:-]{8,40}\Z"))
def test_nothing_of_an_id_is_in_its_pseudonym(wedding: str) -> None:
    class Kept:
        text = ""

        def read(self, name: str) -> str:
            return self.text

        def change(self, name: str, edit: object) -> None:
            self.text = edit(self.text)  # type: ignore[operator]

    name = WeddingRegister(Kept()).pseudonym(wedding)
    assert wedding.lower() not in name and len(name) == 28


@pytest.mark.parametrize("wedding", [
    "", "Anna and Ben", "Müller", "a\nb", "x" * 65, "../x", "-x", "a@example.org", "W-1\n",
])  # fmt: skip
def test_a_name_is_no_id_and_is_not_repeated(weddings: WeddingRegister, wedding: str) -> None:
    with pytest.raises(WeddingError, match="is no id") as caught:
        weddings.keep(wedding, Held.REQUEST, FIELDS, purpose=PURPOSE, now_s=NOW_S)
    assert "Anna" not in str(caught.value)


def test_neither_ids_nor_what_is_held_can_be_read_in_the_files(
    weddings: WeddingRegister, tmp_path: Path
) -> None:
    kept(weddings, "WEDDING-4712")
    text = (tmp_path / FOLDER / DOCUMENT).read_text()
    assert not any(word in text for word in ("WEDDING-4712", "47110815", "instances"))
    assert weddings.held("WEDDING-4712")[0].fields == FIELDS
    assert weddings.held("WEDDING-4713") == ()


def test_what_is_sealed_for_one_wedding_does_not_open_for_another(
    weddings: WeddingRegister,
) -> None:
    _, sealed = kept(weddings, "W-1")
    kept(weddings, "W-2")
    assert weddings.opened("W-1", Held.REQUEST, sealed) == FIELDS
    for wedding, kind, text in (
        ("W-2", Held.REQUEST, sealed), ("W-1", Held.PREDICTION, sealed),
        ("W-1", Held.REQUEST, sealed[:-8]), ("W-1", Held.REQUEST, "!"),
    ):  # fmt: skip
        with pytest.raises(WeddingError, match="touched"):
            weddings.opened(wedding, kind, text)


def test_erasing_destroys_the_key_and_the_audit_log_still_proves_itself(
    weddings: WeddingRegister, tmp_path: Path
) -> None:
    log = AuditLog(tmp_path / AUDIT)
    name, sealed = kept(weddings)
    for number in range(3):
        log.append(AuditEntry(
            at_ms=number, actor="pat", action="floor", target="api", outcome="accepted",
            after={"wedding": name, "held": "request", "sealed": sealed},
        ))  # fmt: skip
    weddings.erase("W-1", NOW_S)
    assert sealed in (tmp_path / AUDIT / ROWS).read_text()
    key = (tmp_path / AUDIT / VERIFIER).read_text()
    assert verifier.verified(tmp_path / AUDIT, key) == 3
    with pytest.raises(WeddingError, match="nothing is held on it any more"):
        weddings.opened("W-1", Held.REQUEST, sealed)
    assert weddings.held("W-1") == ()
    with pytest.raises(WeddingError, match="was erased"):
        kept(weddings)
    assert weddings.erase("W-1", NOW_S) == name  # once more changes nothing
    kept(weddings, "W-2")


def test_a_backup_from_before_an_erasure_opens_no_more_once_its_key_is_retired(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from engine.adapters import cabinet_files

    state, file = ["--state", str(tmp_path)], tmp_path / "keys"
    assert keys.run(["make", str(file)]) == keys.run(["use", "--file", str(file), *state]) == 0
    kept(WeddingRegister(cabinet_files.opened(tmp_path)))
    document = tmp_path / FOLDER / DOCUMENT
    backup, old = document.read_text(), file.read_text().split("_")[1]
    assert privacy.run(["erase", "W-1", "--purpose", "the couple asked for it", *state]) == 0
    assert keys.run(["rotate", *state]) == keys.run(["retire", old, *state]) == 0
    document.write_text(backup)
    with pytest.raises(CabinetError, match="not here"):
        WeddingRegister(cabinet_files.opened(tmp_path)).held("W-1")


@pytest.mark.parametrize("kind", Held)
def test_each_kind_is_held_for_its_time_and_no_longer(
    weddings: WeddingRegister, kind: Held
) -> None:
    _, sealed = kept(weddings, kind=kind)
    until_s = weddings.held("W-1")[0].until_s
    assert until_s == NOW_S + PROCESSING[kind].kept_s
    assert weddings.retain(until_s - 0.001) == 0
    assert weddings.held("W-1") != ()
    assert weddings.retain(until_s) == 1
    assert weddings.held("W-1") == ()
    with pytest.raises(WeddingError):  # its key has gone as well
        weddings.opened("W-1", kind, sealed)


def test_what_is_over_goes_with_any_change_and_what_is_not_stays(weddings: WeddingRegister) -> None:
    kept(weddings, kind=Held.PREDICTION)
    kept(weddings, kind=Held.REQUEST)
    kept(weddings, "W-2", now_s=NOW_S + 31 * DAY_S)
    assert [entry.kind for entry in weddings.held("W-1")] == [Held.REQUEST]
    assert weddings.counts() == {Held.REQUEST: 2, Held.PREDICTION: 0}


def test_the_engine_looks_each_hour_and_goes_on_whatever_is_wrong(
    weddings: WeddingRegister, tmp_path: Path
) -> None:
    kept(weddings)
    whole, looks = (tmp_path / FOLDER / DOCUMENT).read_text(), []

    class Clock:
        def now_s(self) -> float:
            return NOW_S + 91 * DAY_S

        async def wait(self, duration_s: float, stop: asyncio.Event) -> None:
            looks.append(duration_s)
            (tmp_path / FOLDER / DOCUMENT).write_text(whole)
            if len(looks) == 2:
                weddings.retain(0.0)
                raise asyncio.CancelledError

    (tmp_path / FOLDER / DOCUMENT).write_text("{")
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(keep_to_it(weddings, Clock()))
    assert looks == [3600.0, 3600.0]


def test_the_commands_export_and_erase_and_say_who_looked_and_what_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ["--state", str(tmp_path)]
    weddings = WeddingRegister(FileCabinet(tmp_path / FOLDER))
    name, sealed = kept(weddings)
    AuditLog(tmp_path / AUDIT).append(AuditEntry(
        at_ms=1, actor="pat", action="floor", target="api", outcome="accepted",
        after={"wedding": name, "held": "request", "sealed": sealed},
    ))  # fmt: skip
    purpose = ["--purpose", "the couple asks what is held"]
    assert privacy.run(["export", "W-1", *purpose, *state]) == 0
    exported = json.loads(capsys.readouterr().out)
    assert exported["held"][0]["fields"] == FIELDS
    assert exported["audit"][0]["after"] == {"wedding": name, "held": "request", **FIELDS}
    assert exported["audit"][1]["why"] == purpose[1]  # this very look
    assert privacy.run(["erase", "W-1", *purpose, *state]) == 0
    assert privacy.run(["export", "W-1", *purpose, *state]) == 0
    exported = json.loads(capsys.readouterr().out)
    assert exported["held"] == []
    assert exported["audit"][0]["after"]["sealed"] == sealed
    rows = [json.loads(line) for line in (tmp_path / AUDIT / ROWS).read_text().splitlines()]
    assert [(row["action"], row["target"]) for row in rows[1:]] == [
        ("export wedding", name), ("erase wedding", name), ("export wedding", name),
    ]  # fmt: skip
    assert "W-1" not in (tmp_path / AUDIT / ROWS).read_text()


def test_a_floor_on_behalf_of_a_wedding_is_held_under_its_pseudonym(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = ["--state", str(tmp_path)]
    assert requests.floor(["api", "12", "--for", "2h", "--wedding", "WED-4712", *state]) == 0
    assert requests.floor(["api", "12", "--wedding", "Anna and Ben", *state]) == 2
    written = (tmp_path / AUDIT / ROWS).read_text()
    row = json.loads(written)
    assert row["after"]["wedding"].startswith("w_") and "WED-4712" not in written
    capsys.readouterr()
    privacy.run(["export", "WED-4712", "--purpose", "the couple asks what is held", *state])
    exported = json.loads(capsys.readouterr().out)
    assert exported["held"][0]["fields"]["instances"] == 12
    assert exported["audit"][0]["after"]["service"] == "api"
    monkeypatch.setattr(local.os, "getuid", lambda: tmp_path.stat().st_uid + 4711)
    assert requests.floor(["api", "12", "--wedding", "WED-4713", *state]) == 2
    assert WeddingRegister(FileCabinet(tmp_path / FOLDER)).held("WED-4713") == ()


def test_who_may_not_is_shown_nothing_and_a_purpose_is_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = ["--state", str(tmp_path)]
    kept(WeddingRegister(FileCabinet(tmp_path / FOLDER)))
    for arguments in (["export", "W-1"], ["export", "W-1", "--purpose", "why"]):
        with pytest.raises(SystemExit):
            privacy.run([*arguments, *state])
    monkeypatch.setattr(local.os, "getuid", lambda: tmp_path.stat().st_uid + 4711)
    for verb in ("export", "erase"):
        assert privacy.run([verb, "W-1", "--purpose", "out of curiosity", *state]) == 2
        said = capsys.readouterr()
        assert "may not" in said.err and said.out == ""
    assert privacy.run(["export", "Anna and Ben", "--purpose", "out of curiosity", *state]) == 2


def test_the_records_of_processing_name_each_kind_with_purpose_and_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weddings = WeddingRegister(FileCabinet(tmp_path / FOLDER))
    kept(weddings)
    text = page(weddings.counts())
    for kind, processing in PROCESSING.items():
        line = next(line for line in text.splitlines() if line.startswith(f"| {kind} "))
        assert processing.purpose in line and f"{processing.kept_s / DAY_S:.0f} days" in line
    assert "| 90 days | 1 |" in text
    out = tmp_path / "page.md"
    assert privacy.run(["page", "--out", str(out), "--state", str(tmp_path)]) == 0
    assert out.read_text() == text
    assert privacy.run(["page", "--state", str(tmp_path)]) == 0
    assert text in capsys.readouterr().out


@pytest.mark.parametrize("text", [
    "{", "[]", '{"version": 2}', '{"version": 1}',
    '{"version": 1, "weddings": {"w_x": {"entries": [{}]}}}',
])  # fmt: skip
def test_a_register_that_cannot_be_read_is_left_alone(
    weddings: WeddingRegister, tmp_path: Path, text: str
) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / DOCUMENT).write_text(text)
    for use in (lambda: kept(weddings), lambda: weddings.held("W-1"), lambda: weddings.retain(0.0)):
        with pytest.raises(CabinetError):
            use()
    assert (tmp_path / FOLDER / DOCUMENT).read_text() == text


def test_any_foreign_id_has_a_pseudonym_and_one_of_ours_the_same_everywhere(
    weddings: WeddingRegister,
) -> None:
    named = weddings.naming()
    assert named("A-17") == weddings.pseudonym("A-17")
    foreign = named("{weird} id@example.com/ä\udc80")
    assert foreign.startswith("w_")
    assert len(foreign) == len(named("A-17"))
