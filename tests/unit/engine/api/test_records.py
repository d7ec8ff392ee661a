"""What earlier runs came to: each is read once, newest first; what cannot be read is counted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from engine.api import records as module
from engine.api.records import Records
from engine.record.sealed import seal
from engine.security.roles import Role
from engine.security.sealing import Sealer, keys_in, made
from tests.unit.engine.api.conftest import Engine
from tests.unit.reports.conftest import make

API = "/api/scalability/records"


def record(output: Path, name: str, age_s: float) -> Path:
    """A record in an output folder, of which the last file was written so long ago."""
    folder = output / "small" / name
    folder.mkdir(parents=True)
    make().write(folder)
    os.utime(folder / "summary.json", (1e9 - age_s, 1e9 - age_s))
    return folder


def test_the_newest_is_first_and_what_is_no_record_is_counted(tmp_path: Path) -> None:
    record(tmp_path, "a", 20.0)
    record(tmp_path, "b", 5.0)
    spoiled = record(tmp_path, "c", 10.0)
    (spoiled / "summary.json").write_text("{")
    record(tmp_path, ".unfinished-x", 1.0)
    (tmp_path / "small" / "empty").mkdir()
    newest, unreadable = Records(tmp_path).newest()
    assert [one.id for one in newest] == ["small/b", "small/a"]
    assert unreadable == 1
    assert newest[0].figures["cost.total_usd"] is not None
    assert Records(tmp_path / "nowhere").newest() == ([], 0)


def test_only_the_newest_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHOWN", 2)
    for name, age_s in (("a", 3.0), ("b", 1.0), ("c", 2.0)):
        record(tmp_path, name, age_s)
    newest, unreadable = Records(tmp_path).newest()
    assert ([one.id for one in newest], unreadable) == (["small/b", "small/c"], 0)


def test_each_is_read_once_and_anew_where_it_was_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = record(tmp_path, "a", 20.0)
    records, read = Records(tmp_path), []
    inner = module.read_summary
    monkeypatch.setattr(module, "read_summary", lambda *given: read.append(1) or inner(*given))
    for _ in range(3):
        records.newest()
    assert len(read) == 1
    os.utime(folder / "summary.json", (1e9, 1e9))
    records.newest()
    assert len(read) == 2


def test_what_is_sealed_is_read_by_who_has_the_keys(tmp_path: Path) -> None:
    key = made()
    sealer = Sealer(lambda: keys_in(key, "here"))
    seal(record(tmp_path, "a", 20.0), sealer)
    newest, _ = Records(tmp_path, sealer).newest()
    assert [one.id for one in newest] == ["small/a"]
    assert Records(tmp_path).newest() == ([], 1)


def test_who_is_limited_to_some_services_sees_those_alone(
    client: TestClient, engine: Engine, tmp_path: Path
) -> None:
    record(tmp_path / "out", "a", 1.0)
    engine.context.records = Records(tmp_path / "out")
    whole = client.get(API, headers=engine.token("ann", Role.VIEWER)).json()["items"][0]
    service = next(name.split(".")[1] for name in whole["figures"] if name.startswith("services."))
    limited = engine.token("kim", Role.VIEWER, services=[service])
    part = client.get(API, headers=limited).json()["items"][0]
    assert part["figures"]
    assert set(part["figures"]) == {
        name for name in whole["figures"] if name.startswith(f"services.{service}.")
    }


def test_an_engine_without_records_says_so(client: TestClient, everybody: dict[str, str]) -> None:
    assert client.get(API, headers=everybody).status_code == 404
