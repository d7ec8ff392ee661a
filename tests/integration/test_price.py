"""The prices of the rules: the command, its record and report, and what it keeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import reports
from tests import warm

ASKED = (
    "price", "rules=[zone_to_spare,protection]", "weddings=[20000]", "seeds=1", "threats=false",
    "population.start_utc=21:00", "population.duration_s=1200", "output=out",
)  # fmt: skip


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("price")
    ended = warm.run("twin", *ASKED, cwd=folder)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert len(lines) == 1
    return folder / lines[0]


def test_a_spare_zone_costs_and_the_bounds_stand_in_their_order(record: Path) -> None:
    place = json.loads((record / "price.json").read_text())["places"][0]
    assert place["name"] == "june_peak @ 20,000"
    cost = {name: own["usd_a_day"]["mean"] for name, own in place["contestants"].items()}
    assert cost["clairvoyant"] < cost["clairvoyant_within_rules"] < cost["engine"]
    assert place["rules"]["zone_to_spare"]["usd_a_day"]["mean"] > 0.0
    bars = [bar["usd_a_day"]["mean"] for bar in place["waterfall"]]
    assert sum(bars) == pytest.approx(cost["engine"])


def test_the_report_says_it_and_can_be_made_again(record: Path) -> None:
    page, text = record / "report.html", (record / "report.md").read_text()
    for said in ("june_peak @ 20,000", "zone to spare", "clairvoyant within rules (bound)"):
        assert said in page.read_text()
        assert said in text
    assert "<svg" in page.read_text()
    before = page.read_bytes()
    reports.write_price(record)
    assert page.read_bytes() == before


def test_what_is_there_is_not_run_again(record: Path) -> None:
    kept = record.parent / "done"
    files = sorted(kept.glob("*.json"))
    assert len(files) == 6  # the engine, two bounds, each rule out, and both
    entry = json.loads(files[0].read_text())
    entry["figures"]["cost.total_usd"] = 1e6
    for file in files:
        file.write_text(json.dumps(entry))
    again = warm.run("twin", *ASKED, cwd=record.parents[2])
    assert again.returncode == 0, again.stderr
    content = json.loads((record.parents[2] / again.stdout.strip() / "price.json").read_text())
    contestants = content["places"][0]["contestants"].values()
    assert {own["usd_a_day"]["mean"] for own in contestants} == {1e6 * 86_400 / 1200}


def test_a_rule_that_is_none_is_refused(tmp_path: Path) -> None:
    ended = warm.run("twin", "price", "rules=[zone]", cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith('error: rules: "zone" is not allowed')
    assert "Traceback" not in ended.stderr
