"""The product runs where there is no simulator: no twin, no SimPy, no numba can be imported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCKER = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"simpy", "numba", "twin", "scenarios"}:
            raise ModuleNotFoundError(f"{name} is kept away by the test", name=name)
        return None

sys.meta_path.insert(0, Absent())
"""
ADAPTERS = """
import csv
import time

import numpy as np

from engine.model import SAMPLE_DTYPE, ActionResult, Outlook, Status
from engine.ports.infrastructure import Counts, Sighting
from engine.ports.metrics import Reading


class Machines:
    def __init__(self, specs):
        self.desired = {spec.name: spec.min_instances for spec in specs}
        self.done = []
        self.heard = False

    async def observe(self):
        done, self.done = tuple(self.done), []
        if self.heard:  # what became of an action was heard in the look before this one
            open("heard", "w").close()
        self.heard = self.heard or bool(done)
        return Sighting({name: Counts(n, n, 0, 0) for name, n in self.desired.items()}, done)

    async def apply(self, actions, fence):
        results = []
        for action in actions:
            self.desired[action.service] = action.to_instances
            self.done.append(ActionResult(action.decision_id, Status.COMPLETED, time.time(), ""))
            results.append(ActionResult(action.decision_id, Status.ACCEPTED, time.time(), ""))
        return tuple(results)

    async def close(self):
        pass


class Gauges:
    def __init__(self, specs, sample_s, load):
        self.specs, self.sample_s, self.load = specs, sample_s, load

    async def read(self, now_s):
        newest_s = now_s // self.sample_s * self.sample_s
        windows = {}
        for spec in self.specs:
            window = np.zeros(12, SAMPLE_DTYPE)
            window["time_s"] = newest_s - self.sample_s * np.arange(11, -1, -1)
            window["cpu"], window["memory"] = 0.99, 0.3
            window["request_rate"] = self.load
            window["p50_s"] = window["p95_s"] = window["p99_s"] = spec.service_s
            windows[spec.name] = window
        return Reading(windows)

    async def totals(self, begin_s, end_s):
        return {}

    async def first_served(self, begin_s, end_s):
        return {}

    async def close(self):
        pass


class Calendar:
    def __init__(self, specs, begins_s, path):
        with open(path, newline="") as file:
            rates = [float(row["api_per_s"]) for row in csv.DictReader(file)]
        names = tuple(spec.name for spec in specs)
        load = np.zeros((len(names), len(rates)))
        load[names.index("api")] = rates
        none = np.zeros(len(rates))
        self.shown = Outlook(
            begins_s, begins_s, 60.0, {name: i for i, name in enumerate(names)},
            load, np.zeros_like(load), none, none, 0.1,
        )

    async def outlook(self, now_s):
        return self.shown

    async def close(self):
        pass
"""


MINE = {
    "infrastructure/machines.yaml": "factory: adapters_of_mine:Machines\n",
    "metrics/gauges.yaml": "factory: adapters_of_mine:Gauges\nload: 400\n",
    "bookings/file.yaml": "factory: adapters_of_mine:Calendar\noptions: {path: booked.csv}\n",
}


def alone(
    folder: Path, *arguments: str, ended_by: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """`python -m engine` in `folder`, where the blocker and the adapters are.

    It is asked to end once `ended_by` is there.
    """
    (folder / "sitecustomize.py").write_text(BLOCKER)
    (folder / "adapters_of_mine.py").write_text(ADAPTERS)
    for name, text in MINE.items():
        (folder / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "mine" / name).write_text(text)
    (folder / "booked.csv").write_text("api_per_s\n" + "25\n" * 240)
    with subprocess.Popen(
        [sys.executable, "-m", "engine", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        end_s = time.monotonic() + 600.0
        while ended_by is not None and running.poll() is None and not ended_by.exists():
            assert time.monotonic() < end_s, "it hangs"
            time.sleep(0.05)
        if ended_by is not None:
            running.send_signal(signal.SIGTERM)
        out, error = running.communicate(timeout=600)
    return subprocess.CompletedProcess(running.args, running.returncode, out, error)


def test_the_simulator_is_really_kept_away(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    for name in ("simpy", "numba", "twin", "scenarios"):
        ended = subprocess.run(
            [sys.executable, "-c", f"import {name}"],
            env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert "kept away by the test" in ended.stderr


def test_its_configuration_is_shown(tmp_path: Path) -> None:
    ended = alone(tmp_path, "run", "--cfg", "job")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "factory: engine.adapters.prometheus:connect" in ended.stdout


def test_a_live_run_begins_acts_and_leaves_a_record_that_its_owner_opens(tmp_path: Path) -> None:
    assert alone(tmp_path, "keys", "make", "of_mine").returncode == 0
    used = alone(tmp_path, "keys", "use", "--file", "of_mine")
    assert used.returncode == 0, used.stderr
    ended = alone(
        tmp_path,
        "run",
        "--config-dir=mine",
        "infrastructure=machines",
        "metrics=gauges",
        "bookings=file",
        "live.duration_s=600",
        "engine=staging",
        ended_by=tmp_path / "heard",
    )
    assert ended.returncode == 0, ended.stderr
    sealed = ended.stdout.strip().splitlines()[-1]
    assert not [
        path for path in (tmp_path / sealed).iterdir() if path.suffix in (".parquet", ".html")
    ]
    opened = alone(tmp_path, "record", "open", sealed, "plain")
    assert opened.returncode == 0, opened.stderr
    record = tmp_path / "plain"
    summary = json.loads((record / "summary.json").read_text())
    assert summary["decision"]["cycles"] >= 1
    assert summary["decision"]["actions"] >= 1
    assert (record / "report.html").is_file()
    # What it did is in the audit log: each action as it was decided, and what became of it.
    verified = alone(tmp_path, "audit", "verify")
    assert verified.returncode == 0, verified.stderr
    exported = alone(tmp_path, "audit", "export", "log", "--opened")
    assert exported.returncode == 0, exported.stderr
    lines = (tmp_path / "log" / "opened.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    decided = [row for row in rows if row["action"] == "scale"]
    assert len(decided) == summary["decision"]["actions"]
    results = {row["target"] for row in rows if row["action"] == "result"}
    assert {row["after"]["decision"] for row in decided} >= results
    assert results
