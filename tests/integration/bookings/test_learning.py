"""`engine learn`: from files of the past to a model that the bookings take."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.config.composition import composed
from engine.config.live import parse
from engine.forecast.outlook import Grid, event_load, outlook
from engine.model import Schedule
from engine.prediction import event_model
from tests import warm
from twin.world.booked_day import usual

DAYS = 28
START_S = 1_793_491_200.0  # 1 November 2026
BOOKINGS = ("bookings=csv", "bookings.options.path=past.csv")


def past(folder: Path, suffix: str) -> list[str]:
    """Four weeks of bookings and load, half of what is assumed; the names of the services."""
    rng = np.random.default_rng(3)
    raw = composed((), root="live")
    specs = parse(raw).platform.specs()
    names = [spec.name for spec in specs]
    model = usual(names, population=raw["population"], demand=raw["demand"])
    starts_s = np.sort(START_S + 86_400.0 * rng.uniform(0.3, DAYS - 0.3, 300))
    guests = rng.integers(30, 300, 300)
    people = np.tile(np.array(model.usual), (300, 1))
    people[:, model.roles.index("guest")] = guests
    moments = pd.to_datetime(starts_s, unit="s", utc=True)
    pd.DataFrame(
        {"id": range(300), "date": moments.strftime("%Y-%m-%d"),
         "time": moments.strftime("%H:%M:%S"), "time_zone": "UTC", "guests": guests, "vendors": "",
         "type": "large"}
    ).to_csv(folder / "past.csv", index=False)  # fmt: skip
    grid = Grid(START_S, DAYS * 288, 300.0)
    schedule = Schedule(
        model.phases, model.roles, starts_s[:, None] + np.array(model.offsets_s), people,
        np.zeros(300, dtype=np.bool_),
    )  # fmt: skip
    response = model.response
    shown = outlook(event_load(schedule, response, grid), response, specs, grid, issued_s=START_S)
    table = pd.DataFrame(0.5 * shown.load.T, columns=names)
    table.insert(0, "time", START_S + 300.0 * np.arange(DAYS * 288))
    if suffix == "parquet":
        table.to_parquet(folder / "load.parquet")
    else:
        table["time"] = pd.to_datetime(table["time"], unit="s", utc=True).map(
            lambda t: t.isoformat()
        )
        table.to_csv(folder / "load.csv", index=False)
    return names


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_model_is_learned_from_files_and_taken_by_the_bookings(
    tmp_path: Path, suffix: str
) -> None:
    names = past(tmp_path, suffix)
    ended = warm.run(
        "engine", "learn", f"load=load.{suffix}", "out=models/events.json", *BOOKINGS, cwd=tmp_path
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "models/events.json"
    assert "300 events in 28 days, the last 7 of them held out" in ended.stderr
    file = json.loads((tmp_path / "models" / "events.json").read_text())
    for name in names:
        assert file["learned"][f"{name}.wape"] < 0.03
    model = event_model.read(tmp_path / "models" / "events.json", names)
    raw = composed((), root="live")
    assumed = usual(names, population=raw["population"], demand=raw["demand"])
    assert model.response.background.sum() == pytest.approx(
        0.5 * assumed.response.background.sum(), rel=0.05
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["out=a.json"], "load: is missing; load=FILE"),
        (["load=b.csv"], "out: is missing; out=FILE"),
        (["load=b.csv", "out=a.json"], "load: b.csv cannot be read"),
        (["load=times.csv", "out=a.json"], "load: times.csv has the columns time, shop; it needs"),
        (["load=none.csv", "out=a.json"], "load: none.csv: time holds something that is no time"),
        (["load=less.csv", "out=a.json"], "load: less.csv: api holds loads that cannot be"),
        (["load=b.csv", "out=a.json", "holdout=2"], "holdout: 2 is not allowed (0.05 … 0.5)"),
        (["load=good.csv", "out=a.json"], "bookings: have no past to learn from; choose"),
        (["load=good.csv", "out=a.json", *BOOKINGS], "past.csv cannot be read"),
        (
            ["load=prometheus", "out=a.json", "metrics=scrape"],
            "load: prometheus needs metrics=prom",
        ),
        (["load=prometheus", "out=a.json", "days=3"], "days: 3 is not allowed (15 … 3,660"),
        (["load=b.csv", "out=a.json", "days=30"], "days: is for load=prometheus"),
        (["lod=b.csv", "out=a.json", "load=b.csv"], "lod: unknown key"),
    ],
)
def test_what_is_wrong_is_named_and_the_exit_code_is_2(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    files = {
        "times.csv": "time,shop\n1,2\n2,3\n",
        "none.csv": "time,api\nsoon,2\nlater,3\n",
        "less.csv": "time,api\n1793491200,-2\n1793491500,3\n",
        "good.csv": "time,api\n1793491200,2\n1793491500,3\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    ended = warm.run("engine", "learn", *arguments, cwd=tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
