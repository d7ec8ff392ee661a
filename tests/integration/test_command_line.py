"""`python -m twin`, as it is typed."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from engine.record import folders
from tests import warm

SMALL = (
    "population.simultaneous=150",
    "population.duration_s=3600",
    'population.start_utc="18:00"',
)
FILES = {
    "config.yaml",
    "summary.json",
    "timeline.parquet",
    "decisions.parquet",
    "weddings.parquet",
    "prescaling.parquet",
    "events.jsonl",
    "report.html",
    "report.md",
    "junit.xml",
}


def twin(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in `folder`."""
    return warm.run("twin", *arguments, cwd=folder)


def left_in(folder: Path) -> list[str]:
    """All files below `folder`."""
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """One small run with a fault, and its record."""
    folder = tmp_path_factory.mktemp("run")
    result = twin(
        "run", "scenario=zone_outage", *SMALL, "faults.zone_outage.at=1200",
        "population.simultaneous=3000", folder=folder,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return folder / result.stdout.splitlines()[-1], result


def test_a_run_ends_with_the_folder_of_a_whole_record(done) -> None:  # type: ignore[no-untyped-def]
    folder, result = done
    assert {path.name for path in folder.iterdir()} == FILES
    assert result.stdout.count("\n") == 1
    assert "report.html" in result.stderr
    assert "\x1b" not in result.stderr  # no colours and no progress bar in a pipe
    assert folder.parent.name == "zone_outage"


def test_the_tables_agree_with_the_summary(done) -> None:  # type: ignore[no-untyped-def]
    folder, _ = done
    summary = json.loads((folder / "summary.json").read_text())
    timeline = pd.read_parquet(folder / "timeline.parquet")
    decisions = pd.read_parquet(folder / "decisions.parquet")
    weddings = pd.read_parquet(folder / "weddings.parquet")
    assert len(timeline) == 720 * len(summary["services"])
    assert (timeline.groupby("service", observed=True).size() == 720).all()
    facing = timeline[timeline["service"].isin(["api", "file-storage", "real-time"])]
    for name in ("served", "failed", "shed", "timed_out"):
        assert summary["requests"][name] == pytest.approx(facing[name].sum(), abs=1.0)
    assert summary["requests"]["total"] == pytest.approx(facing["arrival_rate"].sum() * 5, abs=1.0)
    bad = facing[["failed", "shed", "timed_out", "slow"]].to_numpy().sum()
    ended = facing[["served", "failed", "shed", "timed_out"]].to_numpy().sum()
    assert summary["slo"]["violation_ratio"] == pytest.approx(bad / ended)
    prices = yaml.safe_load((folder / "config.yaml").read_text())["platform"]["services"]
    for name, service in summary["services"].items():
        cost = service["instance_hours"] * prices[name]["price_per_hour"]
        assert service["cost_usd"] == pytest.approx(cost)
        rows = timeline[timeline["service"] == name]
        assert rows["cost_per_hour"].sum() * 5 / 3600 == pytest.approx(cost, rel=0.03)
    assert sum(s["cost_usd"] for s in summary["services"].values()) == pytest.approx(
        summary["cost"]["total_usd"]
    )
    assert summary["conservation"]["worst_relative_error"] < 1e-9
    actions = decisions[decisions["kind"] == "action"]
    assert actions["accepted_s"].notna().sum() == summary["decision"]["actions"]
    assert actions["explanation"].str.len().min() > 20
    assert weddings["in_progress"].max() <= summary["weddings"]["peak_simultaneous"]
    phases = weddings.columns.difference(["time_s", "in_progress"])
    assert (weddings[phases].sum(axis=1) == weddings["in_progress"]).all()
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert events[0]["kind"] == "fault_started"
    assert "lost" in events[0]["detail"]


def test_check_says_by_its_exit_code_whether_a_threshold_failed(done, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder, _ = done
    good = twin("check", str(folder), folder=tmp_path)
    assert (good.returncode, good.stdout.startswith("passed")) == (0, True)
    summary = json.loads((folder / "summary.json").read_text())
    summary["thresholds"][0]["passed"] = False
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    assert twin("check", str(tmp_path), folder=tmp_path).returncode == 1
    (tmp_path / "summary.json").write_text("{}")
    for record_folder in (tmp_path, tmp_path / "nowhere"):
        bad = twin("check", str(record_folder), folder=tmp_path)
        assert bad.returncode == 2
        assert "Traceback" not in bad.stderr


def test_a_scenario_of_ones_own_works_from_any_folder(tmp_path: Path) -> None:
    scenario = tmp_path / "mine" / "scenario" / "small_sunday.yaml"
    scenario.parent.mkdir(parents=True)
    scenario.write_text(
        "# @package _global_\n"
        "defaults:\n  - override /faults: zone_outage\n"
        "scenario: {name: small_sunday, description: a Sunday in May}\n"
        "population:\n  simultaneous: 120\n  date: '2027-05-16'\n"
        "  duration_s: 1800\n  start_utc: '18:00'\n"
        'thresholds:\n  violation_ratio: "slo.violation_ratio <= 0.5"\n'
    )
    result = twin("run", "--config-dir", "mine", "scenario=small_sunday", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    summary = json.loads((tmp_path / result.stdout.strip() / "summary.json").read_text())
    assert summary["scenario"] == "small_sunday"
    assert summary["thresholds"][0]["passed"] is True
    wrong = twin("run", "--config-dir", "mine", "scenario=small_sundae", folder=tmp_path)
    assert wrong.returncode == 2
    assert "did you mean small_sunday" in wrong.stderr


def test_a_sweep_makes_a_record_for_each_job(tmp_path: Path) -> None:
    result = twin("run", "-m", "seed=1,2", *SMALL, "hydra.launcher.n_jobs=1", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    *records, sweep = [tmp_path / line for line in result.stdout.splitlines() if line]
    seeds = [json.loads((r / "summary.json").read_text())["seed"] for r in records]
    assert seeds == [1, 2]
    assert (sweep / "report.html").exists()


def test_cfg_job_shows_the_configuration_and_runs_nothing(tmp_path: Path) -> None:
    result = twin("run", "--cfg", "job", "seed=9", folder=tmp_path)
    assert result.returncode == 0
    assert yaml.safe_load(result.stdout)["seed"] == 9
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "scenario=junne_peak"], "did you mean june_peak"),
        (["run", "sead=3"], "sead: unknown key; did you mean seed"),
        (["run", "population.simultaneous=-5"], "-5 is not allowed (1 … 10,000,000)"),
        (["run", "telemetry.lag_s=nan"], "NaN is not allowed (0 … 300)"),
        (["run", "+foo.bar=1"], "foo: unknown key"),
        (["run", "thresholds.x=1"], "+thresholds.x=…"),
        (["run", "+thresholds.x='slo.nope < 1'", *SMALL], '"slo.nope" is not in the summary'),
        (["run", "controller.factory=engine.nowhere:make", *SMALL], "cannot be loaded"),
        (["run", "controller=static", "controller.options.margin=-1", *SMALL], "margin: -1"),
        (["run", "population.date=2027-13-45"], "population.date"),
        (["run", "seed=[1"], '"seed=[1" cannot be read'),
        (["run", "seed"], '"seed" cannot be read'),
        (["runn"], "did you mean run"),
        ([], "usage:"),
    ],
)
def test_bad_input_gets_one_clear_message_and_leaves_nothing(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    result = twin(*arguments, folder=tmp_path)
    assert result.returncode == 2
    assert said in result.stderr + result.stdout
    assert "Traceback" not in result.stderr
    assert "Error executing job" not in result.stderr
    assert left_in(tmp_path) == []


def test_an_output_folder_that_cannot_be_written_is_found_out_before_the_run(
    tmp_path: Path,
) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    result = twin("run", "output=taken/deeper", folder=tmp_path)
    assert result.returncode == 2
    assert "output: taken/deeper cannot be written" in result.stderr
    assert "Traceback" not in result.stderr
    assert left_in(tmp_path) == ["taken"]


def test_a_disk_that_fills_leaves_no_half_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["twin", "run", *SMALL])
    from twin.__main__ import main

    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert left_in(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_real_disk_that_fills_is_said_so(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        result = twin("run", *SMALL, f"output={disk}", folder=tmp_path)
        assert result.returncode == 2
        assert "No space left on device" in result.stderr
        assert "Traceback" not in result.stderr
        assert left_in(disk) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


SLOW = """
import time
from pathlib import Path

from engine.controllers.static import Static


class Slow(Static):
    steps = 0

    def step(self, observation):
        self.steps += 1
        if self.steps == 20:
            Path("begun").touch()
        if self.steps > 20:
            time.sleep(0.05)
        return super().step(observation)
"""
"""A day of it takes a quarter of an hour, so it is under way whenever it is interrupted."""


@pytest.mark.slow
def test_an_interrupted_run_keeps_what_it_has_and_says_that_it_is_partial(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    controller = tmp_path / "mine" / "controller" / "slow.yaml"
    controller.parent.mkdir(parents=True)
    controller.write_text("name: slow\nfactory: slow:Slow\noptions: {}\n")
    process = subprocess.Popen(
        [
            sys.executable, "-m", "twin", "run", "--config-dir", "mine", "controller=slow",
            "population.simultaneous=2000",
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )  # fmt: skip
    end_s = time.monotonic() + 600.0
    while not (tmp_path / "begun").exists() and process.poll() is None:
        assert time.monotonic() < end_s
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does
    stdout, stderr = process.communicate(timeout=600)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    summary = json.loads((tmp_path / stdout.splitlines()[-1] / "summary.json").read_text())
    assert summary["partial"] is True
    assert 0.0 < summary["simulation"]["simulated_s"] < 86_400.0
    assert "partial" in stderr
    report = (tmp_path / stdout.splitlines()[-1] / "report.md").read_text()
    assert "This run was interrupted after" in report


NONSENSE = """
from engine.model import Plan


class Bad:
    def __init__(self, settings, how):
        self.how = how

    def step(self, observation):
        if self.how == "raises":
            raise RuntimeError("out of ideas")
        if self.how == "silly":
            return None
        import engine.controllers.static as static
        from engine.settings import CapacitySettings, EngineSettings

        roomy = CapacitySettings(max_utilisation=0.2, max_utilisation_deferred=0.2)
        plan = static.Static(EngineSettings(capacity=roomy)).step(observation)
        from dataclasses import replace

        wild = tuple(replace(action, to_instances=-7) for action in plan.actions)
        return replace(plan, actions=wild)

    def snapshot(self):
        return ""

    def restore(self, snapshot):
        pass
"""


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raises", "controller bad raised RuntimeError('out of ideas') 5 s into the run"),
        ("silly", "controller bad returned NoneType, not a Plan"),
        ("wild", "to -7 instances is not allowed"),
    ],
)
def test_a_controller_that_fails_is_reported_by_name(how: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(NONSENSE)
    controller = tmp_path / "mine" / "controller" / "bad.yaml"
    controller.parent.mkdir(parents=True)
    controller.write_text(f"name: bad\nfactory: bad:Bad\noptions: {{how: {how}}}\n")
    result = twin("run", "--config-dir", "mine", "controller=bad", *SMALL, folder=tmp_path)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.rglob("summary.json"))


def test_two_runs_of_the_same_second_get_different_folders(tmp_path: Path) -> None:
    for expected in ("a", "a-2", "a-3"):
        unfinished = tmp_path / ".unfinished"
        unfinished.mkdir()
        assert folders._rename(unfinished, tmp_path, "a").name == expected
