"""A state folder of each released version is gone on with."""

from __future__ import annotations

import json
import math
import sqlite3
from pathlib import Path

import pytest

from engine.adapters.store import released, said, schema, statements
from engine.adapters.store.credentials import SqlCredentials
from engine.adapters.store.halves import SqlDesk
from engine.adapters.store.sqlite import FILE, SqliteFile
from engine.config.recurrence import Recurrence
from engine.model import Approval, Direction, ManualFloor, Pause
from engine.ports.desk import Asked, SoFar
from engine.ports.lease import Fence
from engine.ports.store import Kept

STORES = Path(__file__).parents[4] / "regression" / "store"

FILES = {
    "requests/floor-api.json": '{"service": "api", "expires_s": 900.0, "instances": 9, '
    '"requested_by": "ada"}\n',
    "requests/floor-api@1f0a2b3c.json": '{"service": "api", "expires_s": null, "instances": 20, '
    '"requested_by": "bob", "schedule": {"cron": "0 8 * * *", "time_zone": "Europe/Rome", '
    '"duration_s": 60.0}}\n',
    "requests/pause-all-services.json": '{"service": "", "expires_s": null, "direction": "in", '
    '"pinned": null}\n',
    "requests/pause-web.json": "{half",
    "answers/api-12.json": '{"decision_id": "api-12", "approved": false, "time_s": 7.0, '
    '"approver": "ada"}\n',
    "memory.json": '{"saved_s": 5.0}\n',
    "status.json": '{"steps": 3}\n',
    "fence": "4\n",
}


def of_files(state: Path) -> Path:
    for name, text in FILES.items():
        path = state / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return state


@pytest.mark.parametrize("looks_first", [False, True])
def test_the_files_of_the_released_product_are_carried_over_once(
    tmp_path: Path, looks_first: bool
) -> None:
    file = SqliteFile(of_files(tmp_path))
    desk = SqlDesk(file)
    if looks_first:
        desk.status()
    else:
        file.write(statements.newest).result()
    when = Recurrence(cron="0 8 * * *", time_zone="Europe/Rome", duration_s=60.0)
    asked, complaints = desk.asked()
    assert asked == [
        Asked(ManualFloor("api", 9, 900.0, "ada"), None),
        Asked(ManualFloor("api", 20, math.inf, "bob"), when),
        Asked(Pause("", Direction.IN), None),
    ]
    [complaint] = complaints
    assert complaint.startswith("pause-web is ignored: ")
    answers = file.read(lambda at: statements.requests(at, 0.0)).answers
    assert answers == (Approval("api-12", False, 7.0, "ada"),)
    assert file.read(statements.memory) == '{"saved_s": 5.0}'
    assert desk.withdraw("pause", "")
    assert desk.withdraw("floor", "api")
    file.close()

    # The files are out of the way; what is there again is nobody's request.
    assert sorted(path.name for path in tmp_path.iterdir()) == [released.ASIDE, "fence", FILE]
    assert (tmp_path / released.ASIDE / "memory.json").read_text() == FILES["memory.json"]
    of_files(tmp_path)
    again = SqlDesk(SqliteFile(tmp_path))
    assert [one.request.service for one in again.asked()[0]] == []
    again.close()


def test_a_kill_before_the_files_are_put_aside_carries_nothing_over_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(released, "put_aside", lambda _: None)
    of_files(tmp_path)
    for stands in (True, False):
        desk = SqlDesk(SqliteFile(tmp_path))
        assert desk.withdraw("floor", "api") is stands
        desk.close()


def stored() -> list[Path]:
    return sorted(STORES.glob("version-*.sql"))


def test_there_is_a_store_of_each_version() -> None:
    assert [path.stem for path in stored()] == [f"version-{k}" for k in range(1, schema.NEWEST + 1)]


@pytest.mark.parametrize("path", stored(), ids=lambda path: path.stem)
def test_a_store_of_each_version_is_gone_on_with(tmp_path: Path, path: Path) -> None:
    connection = sqlite3.connect(tmp_path / FILE)
    connection.executescript(path.read_text(encoding="utf-8"))
    connection.close()
    file = SqliteFile(tmp_path)
    desk = SqlDesk(file)
    assert [one.request for one in desk.asked()[0]] == [ManualFloor("api", 9, 900.0, "ada")]
    assert json.loads(file.read(statements.memory)) == {"saved_s": 5.0}
    assert json.loads(desk.status()) == {"steps": 3}
    assert file.read(statements.newest) == 4
    assert [kept.row.id for kept in desk.history()] == ["api-11", "api-12"]
    assert file.read(lambda at: statements.requests(at, 0.0)).answers == (
        Approval("api-12", False, 7.0, "ada"),
    )
    so_far = file.read(lambda at: said.so_far(at, "api-13", 900.0))
    assert so_far == SoFar(("ada",) if path.stem >= "version-5" else ())
    credentials = SqlCredentials(file)
    kept = credentials.glimpse(None)
    assert kept is not None
    assert [name[:8] for name in kept.texts] == (
        ["01234567", "refused-"] if path.stem >= "version-6" else []
    )
    credentials.change(lambda texts: {**texts, "new": "{}"})
    yes = Approval("api-13", True, 9.0, "bob")
    file.write(lambda to: said.add(to, yes, so_far, 900.0)).result()
    assert file.read(lambda at: said.so_far(at, "api-13", 901.0)).approved_by[-1] == "bob"
    file.write(lambda to: statements.keep(to, Kept("{}"), Fence(5))).result()
    file.close()
    with sqlite3.connect(tmp_path / FILE) as connection:
        assert connection.execute("SELECT version FROM schema_version").fetchall() == [
            (schema.NEWEST,)
        ]
        tables = connection.execute("SELECT sql FROM sqlite_schema ORDER BY name").fetchall()
    connection.close()

    # Whichever way the tables came about, they are the same.
    new = SqliteFile(tmp_path / "new")
    (tmp_path / "new").mkdir()
    new.write(statements.newest).result()
    new.close()
    with sqlite3.connect(tmp_path / "new" / FILE) as connection:
        made = connection.execute("SELECT sql FROM sqlite_schema ORDER BY name").fetchall()
    connection.close()
    assert tables == made
