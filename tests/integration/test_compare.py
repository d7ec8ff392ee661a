"""Controllers against each other: the command, its record and report, and the bound."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from tests import composition, warm
from twin.runs.summary import summarise
from twin.world.world import World

SMALL = (
    "population.simultaneous=3000",
    "population.duration_s=3600",
    'population.start_utc="18:00"',
)


def twin(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return warm.run("twin", *arguments, cwd=folder)


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison of three controllers in two replications."""
    folder = tmp_path_factory.mktemp("compare")
    result = twin(
        "compare", "scenario=zone_outage", "controllers=[engine,hpa,clairvoyant]",
        "hpa_targets=[80]", "replications=2", "output=out", *SMALL, folder=folder,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == 1
    return folder / lines[0]


def test_the_record_has_everybody_in_every_replication(record: Path) -> None:
    assert {path.name for path in record.iterdir()} == {
        "comparison.json", "config.yaml", "minutes.parquet", "report.html", "report.md",
        "runs.parquet",
    }  # fmt: skip
    content = json.loads((record / "comparison.json").read_text())
    names = ["engine", "hpa", "clairvoyant", "hpa@80"]
    assert list(content["controllers"]) == names
    assert content["controllers"]["clairvoyant"]["foresight"] is True
    assert "clairvoyant" not in content["pareto"]
    runs = pd.read_parquet(record / "runs.parquet")
    assert len(runs) == 8
    assert runs.groupby("replication")["seed"].nunique().tolist() == [1, 1]
    # the same demand for everybody
    assert (runs.groupby("replication")["weddings.peak_simultaneous"].nunique() == 1).all()
    pair = content["paired"]["engine"]["hpa"]["cost_ratio"]
    assert pair["low"] <= pair["mean"] <= pair["high"]


def test_the_report_says_it_to_people(record: Path) -> None:
    page = (record / "report.html").read_text()
    text = (record / "report.md").read_text()
    for said in ("zone_outage", "engine", "clairvoyant (bound)", "Paired differences"):
        assert said in page
        assert said in text
    assert page.count("<svg") > 3
    assert "<script" not in page


def test_the_same_question_has_the_same_answer(record: Path, tmp_path: Path) -> None:
    result = twin(
        "compare", "scenario=zone_outage", "controllers=[hpa,engine]", "hpa_targets=[]",
        "replications=2", *SMALL, folder=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    other = tmp_path / result.stdout.strip()
    one = pd.read_parquet(record / "runs.parquet").set_index(["controller", "replication"])
    again = pd.read_parquet(other / "runs.parquet").set_index(["controller", "replication"])
    pd.testing.assert_frame_equal(one.loc[again.index], again, check_like=True)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raise", "bad, seed 1: controller bad raised ValueError"),
        ("nonsense", "bad, seed 1: controller bad returned int, not a Plan"),
        ("too_many", "1000000 instances is not allowed"),
    ],
)
def test_a_bad_controller_is_named_and_nothing_is_written(
    how: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.py").write_text(BAD)
    chosen = tmp_path / "mine" / "controller"
    chosen.mkdir(parents=True)
    chosen.joinpath("bad.yaml").write_text(
        f"name: bad\nfactory: bad:Bad\noptions: {{how: {how}}}\n"
    )
    result = twin(
        "compare", "--config-dir", "mine", "controllers=[static,bad]", *SMALL,
        "population.duration_s=900", folder=tmp_path,
    )  # fmt: skip
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.rglob("comparison.json"))


BAD = """
from engine.controllers.asking import ask
from engine.model import Plan, Reason

class Bad:
    def __init__(self, settings, how):
        self.how, self.steps = how, 0

    def step(self, observation):
        self.steps += 1
        if self.steps > 10 and self.how == "raise":
            raise ValueError("no idea")
        if self.steps > 10 and self.how == "nonsense":
            return 3
        if self.steps > 10 and self.how == "too_many":
            first = observation.services[0]
            return Plan(actions=(ask(first, 1_000_000, observation.now_s, reason=Reason.CPU,
                trigger_s=0.0, evidence={}, explanation=""),))
        return Plan()

    def snapshot(self):
        return "{}"

    def restore(self, text):
        pass
"""


@pytest.mark.parametrize("scenario", ["june_peak", "quiet_tuesday", "late_bookings", "slow_boot"])
def test_nobody_beats_the_bound_at_the_same_slo(scenario: str) -> None:
    """Whoever misses no more of any service's SLO than the clairvoyant pays at least as much."""

    def outcome(name: str) -> tuple[float, dict[str, float]]:
        chosen = composition.settings(f"controller={name}")["controller"]
        config = composition.configuration(*SMALL, f"scenario={scenario}", controller=chosen)
        world = World(config)
        world.run()
        summary = summarise(world)
        missed = {key: one.violation_ratio for key, one in summary.services.items()}
        return summary.cost.total_usd, missed

    bound, least = outcome("clairvoyant")
    compared = 0
    for name in ("engine", "hpa", "kpa", "mpc", "predictive_hpa", "scheduled", "target_tracking"):
        cost, missed = outcome(name)
        if all(missed[key] <= least[key] * 1.05 + 1e-4 for key in least):
            compared += 1
            assert cost >= bound, name
    assert compared >= 2
