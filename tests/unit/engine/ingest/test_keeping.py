"""From an intake to the disk, in all three lengths of spans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.config.strict import validated
from engine.ingest.intake import Intake
from engine.ingest.keeping import SampleKeeper
from engine.ingest.settings import KeepConfig, SamplesConfig

NOW_S = 1_781_870_400.0
CONFIG = validated(SamplesConfig, {"figures": {"cpu": {"metric": "cpu"}}})


def intake() -> Intake:
    return Intake(CONFIG, ("api",))


def take(into: Intake, at_s: float, value: float, metric: str = "cpu") -> None:
    number = into.number((("__name__", metric), ("service", "api")))
    into.take(np.array([number]), np.array([round(at_s * 1000.0)]), np.array([value]), at_s)


def test_what_figures_are_made_of_is_kept_and_nothing_else(tmp_path: Path) -> None:
    made = intake()
    keeper = SampleKeeper(made, KeepConfig(), tmp_path)
    for k in range(24):
        take(made, NOW_S + k, float(k))
        take(made, NOW_S + k, float(k), metric="other")
    keeper.keep(NOW_S + 24.0)
    rows = keeper.between(round(NOW_S * 1000), round((NOW_S + 60.0) * 1000))
    assert rows.mean.tolist() == [2.0, 7.0]  # what is of the last 10 s is still filling
    keeper.close(NOW_S + 24.0)
    rows = SampleKeeper(made, KeepConfig(), tmp_path).between(
        round(NOW_S * 1000), round((NOW_S + 60.0) * 1000),
        lambda labels: ("__name__", "cpu") in labels,
    )  # fmt: skip
    assert rows.mean.tolist() == [2.0, 7.0, 12.0, 17.0, 21.5]
    assert rows.count.tolist() == [5, 5, 5, 5, 4]


def test_hours_are_made_of_minutes_of_5_s_and_outlive_them(tmp_path: Path) -> None:
    made = intake()
    keeper = SampleKeeper(made, KeepConfig(fine_days=1.0, minutes_days=4.0), tmp_path)
    for minute in range(0, 3 * 1440, 20):
        take(made, NOW_S + 60.0 * minute, float(minute))
    end_s = NOW_S + 3 * 86_400.0
    keeper.keep(end_s)
    keeper.keep(end_s + 86_400.0 * 1.5)
    tiers = {path.name: len(list(path.iterdir())) for path in tmp_path.iterdir()}
    assert tiers["fine"] == 0 and tiers["minutes"] >= 2 and tiers["hours"] >= 1
    first, last = round(NOW_S * 1000), round(end_s * 1000)
    hours = keeper._hours.between(first, last)
    assert (hours.smallest[0], hours.largest[0], hours.mean[0], hours.count[0]) == (0, 40, 20, 3)
    assert len(np.unique(hours.time_ms)) == len(hours)


def test_a_disk_that_fails_is_a_trouble_and_the_samples_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = intake()
    keeper = SampleKeeper(made, KeepConfig(), tmp_path)
    take(made, NOW_S, 1.0)

    def full(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("engine.ingest.segments.write_atomically", full)
        keeper.keep(NOW_S + 60.0)
    assert "the disk is full" in keeper.trouble
    keeper.keep(NOW_S + 120.0)
    assert keeper.trouble == ""
    assert len(keeper.between(round(NOW_S * 1000), round((NOW_S + 60.0) * 1000))) == 1
