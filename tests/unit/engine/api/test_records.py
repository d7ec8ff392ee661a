"""What earlier runs came to: each is read once, newest first; what cannot be read is counted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from engine.api import records as module
from engine.api.recorded_hour import NotRecordedError
from engine.api.records import Records
from engine.record.sealed import seal
from engine.security.roles import Role
from engine.security.sealing import Sealer, keys_in
from engine.security.sealing import made as new_key
from tests.unit.engine.api.conftest import Engine
from tests.unit.reports.conftest import PHASES, SERVICES, START_S, Made, make

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
    key = new_key()
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


# --- a moment of one, and its hour


def replayed(output: Path, name: str = "a", *, samples: int = 240) -> tuple[Made, Path]:
    """A record that says what ran, of two hours in samples of 30 s, and its tables."""
    made = make(samples=samples, interval_s=30.0)
    made.config["budget"] = {"instances": 70, "usd_per_hour": None}
    return made, made.write(output / "small" / name)


def everything(names: Sequence[str]) -> Sequence[str]:
    return names


def test_a_minute_of_a_record_has_the_rows_of_that_minute(tmp_path: Path) -> None:
    made, _ = replayed(tmp_path)
    at_s = START_S + 3600.0
    answer = Records(tmp_path).hour("small/a", at_s + 12.0, "", everything)
    overview = answer["overview"]
    assert overview["last_updated_s"] == at_s
    rows = made.timeline[made.timeline["time_s"] == at_s].set_index("service")
    for name, shown in overview["services"].items():
        assert shown["ready"] == rows.loc[name, "ready"]
        assert shown["sample"]["request_rate"] == pytest.approx(
            rows.loc[name, "arrival_rate"], 1e-5
        )
        assert shown["sample"]["p95_s"] == pytest.approx(rows.loc[name, "p95_s"], 1e-5)
    assert list(overview["services"]) == list(SERVICES)
    assert overview["cost"]["quota"] == 70.0
    assert overview["cost"]["instances"] == rows["desired"].sum()
    booked = made.weddings[made.weddings["time_s"] <= at_s].iloc[-1]
    assert overview["weddings"]["in_progress"] == booked["in_progress"]
    assert {one["phase"]: one["in_progress"] for one in overview["weddings"]["phases"]} == {
        name: booked[name] for name in PHASES
    }
    ahead = overview["weddings"]["ahead"]["events"]
    assert len(ahead) == 60  # the record ends an hour later, in the minute before the second hour
    assert ahead[-1] == made.weddings["in_progress"].iloc[-1]


def test_the_hour_of_a_record_has_its_samples_and_its_actions_the_newest_first(
    tmp_path: Path,
) -> None:
    made, _ = replayed(tmp_path, samples=1440)
    actions = made.decisions[made.decisions["kind"] == "action"]
    hours = actions["time_s"] // 3600.0
    begins_s = 3600.0 * float(hours.mode()[0])
    answer = Records(tmp_path).hour("small/a", begins_s + 1800.0, "database", everything)
    rows = made.timeline[made.timeline["service"] == "database"]
    minute = rows[(rows["time_s"] > begins_s) & (rows["time_s"] <= begins_s + 60.0)]
    assert answer["series"]["time_s"][0] == begins_s + 60.0
    assert answer["series"]["request_rate"][0] == pytest.approx(minute["arrival_rate"].mean(), 1e-5)
    done = actions[3600.0 * hours == begins_s]
    assert 1 < len(done) < len(actions)
    assert (len(answer["decisions"]), answer["more"]) == (len(done), 0)
    times = [one["time_s"] for one in answer["decisions"]]
    assert times == sorted(times, reverse=True)
    assert {one["decision_id"] for one in answer["decisions"]} == set(done["decision_id"])


@pytest.mark.parametrize(("at_s", "shown_s"), [(1.0, 30.0), (0.0, 7200.0), (START_S + 1e6, 7200.0)])
def test_a_moment_outside_the_run_is_its_first_or_its_last(
    tmp_path: Path, at_s: float, shown_s: float
) -> None:
    replayed(tmp_path)
    answer = Records(tmp_path).hour("small/a", at_s, "", everything)
    assert answer["overview"]["last_updated_s"] == START_S + shown_s
    assert (answer["from_s"], answer["until_s"]) == (START_S + 30.0, START_S + 7200.0)


def test_what_is_sealed_is_replayed_by_who_has_the_keys(tmp_path: Path) -> None:
    _, folder = replayed(tmp_path)
    plain = Records(tmp_path).hour("small/a", START_S + 3600.0, "", everything)
    key = new_key()
    sealer = Sealer(lambda: keys_in(key, "here"))
    seal(folder, sealer)
    assert Records(tmp_path, sealer).hour("small/a", START_S + 3600.0, "", everything) == plain
    with pytest.raises(NotRecordedError, match=r"summary.json: is missing|cannot be read"):
        Records(tmp_path).hour("small/a", START_S + 3600.0, "", everything)


@pytest.mark.parametrize(
    "id_", ["a", "small/b", "../small/a", "small/..", "./small", "small/a/", "/small/a", "small/.a"]
)
def test_an_id_leads_to_a_record_of_the_output_folder_or_nowhere(tmp_path: Path, id_: str) -> None:
    replayed(tmp_path / "out")
    replayed(tmp_path, ".a")
    with pytest.raises(NotRecordedError, match="is not there"):
        Records(tmp_path / "out").hour(id_, 0.0, "", everything)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("timeline.parquet", None, "timeline.parquet: is missing"),
        ("weddings.parquet", b"PAR1", "weddings.parquet: cannot be read"),
        ("config.yaml", b"platform: {}", "config.yaml: cannot be read: ConfigError"),
        ("config.yaml", b"- 1", "config.yaml: cannot be read: TypeError"),
    ],
)
def test_a_record_that_is_not_whole_says_which_file_and_no_place(
    tmp_path: Path, file: str, content: bytes | None, said: str
) -> None:
    _, folder = replayed(tmp_path)
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_bytes(content)
    with pytest.raises(NotRecordedError) as raised:
        Records(tmp_path).hour("small/a", 0.0, "", everything)
    assert str(raised.value).startswith(said)
    assert str(tmp_path) not in str(raised.value)


def test_of_a_record_one_is_shown_the_services_that_one_may_see(
    client: TestClient, engine: Engine, tmp_path: Path
) -> None:
    replayed(tmp_path / "out")
    engine.context.records = Records(tmp_path / "out")
    place = f"{API}/small/a/hour"
    limited = engine.token("kim", Role.VIEWER, services=["database"])
    answer = client.get(place, headers=limited).json()
    assert list(answer["overview"]["services"]) == ["database"]
    assert {one["service"] for one in answer["decisions"]} <= {"database"}
    assert (
        answer["overview"]["cost"]["instances"]
        == (answer["overview"]["services"]["database"]["desired"])
    )
    other = client.get(place, headers=limited, params={"service": "api"})
    assert other.status_code == 404
    assert "real-time" not in other.json()["detail"]
    assert client.get(f"{API}/small/b/hour", headers=limited).status_code == 404
