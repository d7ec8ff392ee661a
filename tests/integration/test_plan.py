"""A capacity plan through the command line, with the real twin at its limits."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests import warm

WORLD = (
    "population.simultaneous=20000", "months=2", "date=2027-06-01", "paths=100", "drawn=300",
    "platform.services.database.max_instances=6", "seed=3",
)  # fmt: skip


def twin(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return warm.run("twin", *arguments, cwd=folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan for two months of a platform with a small database."""
    where = tmp_path_factory.mktemp("plan")
    result = twin("plan", "output=out", *WORLD, folder=where)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == 1
    return where / lines[0]


def test_the_folder_holds_the_plan_and_its_report(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names == {"plan.json", "config.yaml", "report.html", "report.md"}
    plan = json.loads((folder / "plan.json").read_text())
    assert plan["months"] == ["2027-06", "2027-07"]
    services = plan["plan"]["services"]
    for service in services.values():
        for low, high in zip(service["minimum"], service["maximum"], strict=True):
            assert 0 < low <= high
    cost = plan["plan"]["total_usd"]
    assert cost == pytest.approx(
        sum(s["reserved_usd"] + sum(s["on_demand_usd"]) for s in services.values())
    )
    monthly = plan["forecast"]["monthly"]
    assert all(m["weddings"]["q10"] < m["weddings"]["q90"] for m in monthly)
    assert 0.0 < monthly[1]["booked"] < monthly[1]["weddings"]["q90"]
    assert services["database"]["maximum"] and plan["bottlenecks"]["ladder"]


def test_the_twin_confirms_where_the_database_gives_way(folder: Path) -> None:
    bottlenecks = json.loads((folder / "plan.json").read_text())["bottlenecks"]
    first = bottlenecks["ladder"][0]
    assert (first["service"], first["limit"], first["allowed"]) == ("database", "stateful", 6.0)
    check = bottlenecks["checks"][0]
    assert check["service"] == "database"
    assert check["below"]["weddings"] < first["lost"] < check["above"]["weddings"]
    assert check["below"]["first_lost"] == ""
    assert check["above"]["first_lost"] == "database"
    assert check["above"]["services"]["database"]["most_ready"] == 6
    assert check["confirmed"] is True
    assert bottlenecks["plan"]["kept"] is True


def test_the_report_says_it_to_people(folder: Path) -> None:
    page, text = (folder / "report.html").read_text(), (folder / "report.md").read_text()
    for said in ("Confirmed: database", "database gives way first", "Recommendations"):
        assert said in page
        assert said in text
    assert page.count("<figure>") == 4


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    result = twin("plan", "output=out", *WORLD, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    again = tmp_path / result.stdout.strip()
    for name in ("plan.json", "config.yaml", "report.html", "report.md"):
        assert (folder / name).read_bytes() == (again / name).read_bytes(), name


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("months=0", "plan.months: 0 is not allowed (1 … 12)"),
        ("platform=blank", "platform.services"),
    ],
)
def test_bad_input_ends_with_2_and_writes_nothing(argument: str, said: str, tmp_path: Path) -> None:
    result = twin("plan", "output=out", argument, folder=tmp_path)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert not list(tmp_path.rglob("plan.json"))
