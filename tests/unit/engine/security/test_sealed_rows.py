"""Rows of the audit log that only who has the keys can read, and anybody can check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.adapters.audit_place import audit_of, row_sealer_of
from engine.commands import audit, break_glass, keys, requests
from engine.security.audit import verifier
from engine.security.audit.log import FOLDER, ROWS, VERIFIER
from engine.security.audit.reading import rows_in
from engine.security.audit.rows import AuditEntry
from engine.security.audit.sealed_rows import RowSealer, SealedRowError

WORDS = "the-mayor-marries-4711"


def sealed(state: Path) -> list[str]:
    """Seal a state folder; returns the arguments that name it."""
    arguments = ["--state", str(state)]
    assert keys.run(["make", str(state / "keys")]) == 0
    assert keys.run(["use", "--file", str(state / "keys"), *arguments]) == 0
    return arguments


def lines(state: Path) -> list[str]:
    return (state / FOLDER / ROWS).read_text(encoding="utf-8").splitlines()


def whole(state: Path) -> int:
    key = (state / FOLDER / VERIFIER).read_text(encoding="utf-8")
    return verifier.verified(state / FOLDER, key)


def test_a_sealed_row_is_checked_without_a_key_and_read_with_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = sealed(tmp_path)
    assert requests.floor(["api", "5", "--why", WORDS, *state]) == 0
    (tmp_path / "keys").rename(tmp_path / "away")
    assert WORDS not in "".join(lines(tmp_path))
    assert whole(tmp_path) == len(lines(tmp_path)) == 2
    capsys.readouterr()
    assert audit.run(["show", *state]) == 0
    said = capsys.readouterr()
    assert WORDS not in said.out and "(sealed)" in said.out
    assert "rows stay sealed" in said.err
    assert audit.run(["export", str(tmp_path / "no"), "--opened", *state]) == 2
    (tmp_path / "away").rename(tmp_path / "keys")
    assert audit.run(["show", *state]) == 0
    assert WORDS in capsys.readouterr().out


def test_an_export_has_the_rows_in_plain_where_that_is_asked_for(tmp_path: Path) -> None:
    state = sealed(tmp_path)
    requests.floor(["api", "5", "--why", WORDS, *state])
    for name, arguments in (("one", []), ("two", ["--opened"])):
        assert audit.run(["export", str(tmp_path / name), *arguments, *state]) == 0
        assert WORDS not in (tmp_path / name / ROWS).read_text()
    assert not (tmp_path / "one" / audit.OPENED).exists()
    opened = [json.loads(row) for row in (tmp_path / "two" / audit.OPENED).read_text().splitlines()]
    assert [row["why"] for row in opened] == ["", WORDS]


def test_a_rotation_touches_no_row_and_every_row_is_still_read(tmp_path: Path) -> None:
    state = sealed(tmp_path)
    requests.floor(["api", "5", "--why", WORDS, *state])
    before = lines(tmp_path)
    old = (tmp_path / "keys").read_text().split("_")[1]
    assert keys.run(["rotate", *state]) == keys.run(["retire", old, *state]) == 0
    requests.resume(state)
    assert lines(tmp_path)[: len(before)] == before
    assert whole(tmp_path) == len(lines(tmp_path))
    rows = [row for _, row in rows_in(lines(tmp_path), row_sealer_of(tmp_path))]
    assert [row["action"] for row in rows] == [
        "use keys", "floor", "rotate keys", "retire key", "resume",
    ]  # fmt: skip
    # From the rotation on there is another key of the log's own.
    used = [json.loads(line).get("key") for line in lines(tmp_path)]
    assert used[1] == used[2] != used[-1]


def test_a_row_that_comes_again_is_known_though_it_is_sealed(tmp_path: Path) -> None:
    sealed(tmp_path)
    entry = AuditEntry(1, "pat", "floor", "api", "accepted", id="0123456789abcdef")
    for _ in range(2):
        audit_of(tmp_path).append(entry)
    assert sum("0123456789abcdef" in line for line in lines(tmp_path)) == 1


class Shelf:
    """A cabinet in memory."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def read(self, name: str) -> str:
        return self.texts.get(name, "")

    def change(self, name: str, edit: Any) -> None:
        self.texts[name] = edit(self.read(name))


def test_a_row_that_was_touched_or_is_of_another_log_does_not_open() -> None:
    sealer, other = RowSealer(Shelf()), RowSealer(Shelf())
    row = json.loads(sealer.sealed(b'{"why":"a fair"}', "one"))
    assert sealer.opened(row) == {"why": "a fair"}
    assert row["id"] == "one" and "id" not in json.loads(sealer.sealed(b"{}", ""))
    bad = row["sealed"]
    for touched in (
        {**row, "sealed": bad[:-8] + ("A" if bad[-8] != "A" else "B") + bad[-7:]},
        {**row, "sealed": "%%%"},
        {**row, "sealed": None},
        {**row, "sealed": json.loads(sealer.sealed(b"[]", ""))["sealed"]},
    ):
        with pytest.raises(SealedRowError):
            sealer.opened(touched)
    with pytest.raises(SealedRowError, match="is not here"):
        other.opened(row)


def test_who_has_to_get_in_is_not_kept_out_by_a_vault_that_is_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = sealed(tmp_path)
    assert break_glass.run(["seal", "pat", *state]) == 0
    code = capsys.readouterr().out.splitlines()[-1]
    (tmp_path / "keys").unlink()
    assert break_glass.exchanged(tmp_path, code, "the vault is down as well", 60.0)
    assert "are not sealed" in capsys.readouterr().err
    last = json.loads(lines(tmp_path)[-1])
    assert (last["actor"], last["outcome"]) == ("pat", "accepted")
    assert whole(tmp_path) == len(lines(tmp_path))
