"""Without a calendar the outlook is what the time of the week lets expect."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from engine.adapters.bookings import usual_load
from engine.config.strict import ConfigError
from engine.model import BootTime, Call, ServiceSpec

START_S = 1_767_571_200.0  # a Monday, 2026-01-05
DAY_S = 86_400.0


def spec(name: str) -> ServiceSpec:
    return ServiceSpec(name, 1, 10, 4, 0.1, 1.0, BootTime(5.0, 9.0), 1.0, 0.5, 0.1)


SPECS = (replace(spec("api"), calls=(Call("search", 0.5, False),)), spec("search"))


def weeks(folder: Path, days: int = 21) -> Path:
    """Load of 100 by day and 20 by night, a gap of some hours, half as much at the week's end."""
    rows = ["time,api"]
    for step in range(days * 288):
        hour, day = step / 12.0 % 24.0, step // 288
        rate = (100.0 if 8.0 <= hour < 20.0 else 20.0) * (0.5 if day % 7 >= 5 else 1.0)
        is_measured = not (day == 4 and 3.0 <= hour < 9.0)
        rows.append(f"{START_S + 300.0 * step:.0f},{rate if is_measured else ''}")
    path = folder / "load.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_the_outlook_has_the_day_of_the_week_and_the_calls(tmp_path: Path) -> None:
    made = usual_load.connect(SPECS, 0.0, path=str(weeks(tmp_path)))
    now_s = START_S + 21 * DAY_S
    outlook = asyncio.run(made.outlook(now_s))
    noon, night = (outlook.rate(0, now_s + hour * 3600.0) for hour in (12.0, 2.0))
    assert noon == pytest.approx(100.0, rel=0.1)
    assert night == pytest.approx(20.0, rel=0.25)
    assert outlook.rate(1, now_s + 12 * 3600.0) == pytest.approx(0.5 * noon)
    saturday = asyncio.run(made.outlook(now_s + 5 * DAY_S))
    assert saturday.rate(0, now_s + 5 * DAY_S + 12 * 3600.0) == pytest.approx(50.0, rel=0.15)
    assert not outlook.major_load.any()


def test_the_outlook_stays_the_same_until_its_window_moves_on(tmp_path: Path) -> None:
    made = usual_load.connect(SPECS, 0.0, path=str(weeks(tmp_path)))
    now_s = START_S + 21 * DAY_S

    async def asked() -> list[object]:
        return [await made.outlook(now_s + s) for s in (0.0, 900.0, 7200.0)]

    first, second, third = asyncio.run(asked())
    assert first is second
    assert third is not first
    assert third.covers(now_s + 7200.0 + 172_000.0)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (None, {}, "bookings.options.path: load: .* cannot be read"),
        ("time,other\n1,2\n", {}, "bookings.options.path: .*it needs time and one for a service"),
        ("time,api\n0,\n300,\n", {}, "bookings.options.path: .* holds no load"),
        ("time,api\n0,1\n300,1\n", {"time_zone": "Mars"}, 'time_zone: "Mars" is not an IANA'),
        ("time,api\n0,1\n300,1\n", {"ahead_s": 5}, r"bookings\.options\.ahead_s: 5"),
    ],
)
def test_what_is_no_load_is_refused_by_name(
    tmp_path: Path, text: str | None, options: dict[str, object], words: str
) -> None:
    path = tmp_path / "load.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        usual_load.connect(SPECS, 0.0, path=str(path), **options)
