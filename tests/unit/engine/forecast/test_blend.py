from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine import Autoscaler, EngineSettings
from engine.controllers.registry import engine
from engine.forecast import blend, schedule
from engine.forecast.blend import (
    Blend,
    ObservedDays,
    ServiceBlend,
    fit,
    from_state,
    prior,
    to_state,
)
from engine.memory import ResponseMemory
from engine.prediction import artefact
from engine.prediction.artefact import Artefact, Manifest
from engine.settings import ForecastSettings
from tests.unit.engine.conftest import NOW_S, make_outlook

HORIZONS_S = schedule.HORIZONS_S
SETTINGS = ForecastSettings()
PRIOR = prior(HORIZONS_S, SETTINGS.level_decay_s, SETTINGS.surge_decay_s)


def past(days: int, weights: tuple[float, float, float], noise: float = 0.02) -> ObservedDays:
    """Days with a level each and surges that come and go; what comes later follows `weights`."""
    rng = np.random.default_rng(3)
    per_day = 300
    level = np.repeat(rng.normal(0.0, 0.15, days), per_day)
    surge = rng.normal(0.0, 0.1, days * per_day)
    a, b, c = weights
    later = a * level + b * surge + c
    errors = rng.normal(0.0, noise, (days * per_day, len(HORIZONS_S)))
    return ObservedDays(level, surge, np.full(len(level), 100.0), later[:, None] + errors, days)


def usual(**changes: object) -> ServiceBlend:
    weights = tuple(tuple(row) for row in PRIOR.tolist())
    return replace(ServiceBlend(HORIZONS_S, weights, (0.05,) * 4), **changes)  # type: ignore[arg-type]


def test_many_days_teach_how_departures_go_on() -> None:
    learned = fit(past(200, (0.5, 0.9, 0.04)), HORIZONS_S, PRIOR)
    for row, sd in zip(learned.weights, learned.sd, strict=True):
        assert row == pytest.approx((0.5, 0.9, 0.04), abs=0.04)
        assert sd == pytest.approx(0.02, rel=0.2)


def test_few_days_teach_next_to_nothing_of_what_changes_from_day_to_day() -> None:
    learned = fit(past(1, (0.2, 0.9, 0.1)), HORIZONS_S, PRIOR)
    assert learned.weights[0][0] > 0.85  # the prior's 0.99, and one day against it
    assert abs(learned.weights[0][2]) < 0.03
    assert learned.weights[3][1] == pytest.approx(0.9, abs=0.35)  # surges come within the day


def test_the_intervals_hold_four_fifths_of_the_errors() -> None:
    days = past(60, (0.9, 0.3, 0.0), noise=0.1)
    learned = fit(days, HORIZONS_S, PRIOR)
    other = past(61, (0.9, 0.3, 0.0), noise=0.1)
    for k, row in enumerate(learned.weights):
        x = np.column_stack([other.level, other.surge, np.ones(len(other.level))])
        inside = np.abs(other.later[:, k] - x @ np.array(row)) <= 1.2816 * learned.sd[k]
        assert 0.78 < inside.mean() < 0.82


def test_with_the_prior_as_weights_it_says_what_the_schedule_alone_says() -> None:
    outlook = make_outlook(500.0)
    memory = ResponseMemory()
    for k in range(40):
        memory = schedule.observe(
            memory, outlook, 0, 600.0, sample_s=NOW_S + 15.0 * k, settings=SETTINGS
        )
    now_s = NOW_S + 600.0
    one_curve = schedule.curve(memory, outlook, 0, now_s, reach_s=7200.0, settings=SETTINGS)
    two_curve = schedule.curve(
        memory, outlook, 0, now_s, reach_s=7200.0, settings=SETTINGS, blend=usual()
    )
    _, plain = schedule.issue(memory, outlook, one_curve, "api", now_s=now_s)
    _, learned = schedule.issue(memory, outlook, two_curve, "api", now_s=now_s)
    for one, two in zip(plain, learned, strict=True):
        assert two.q50 == pytest.approx(one.q50, rel=1e-9)
    np.testing.assert_allclose(two_curve.correction, one_curve.correction, atol=0.03)


def test_the_first_intervals_are_as_wide_as_the_errors_were() -> None:
    memory = ResponseMemory()
    narrow = usual(sd=(0.01, 0.02, 0.03, 0.04))
    memory = schedule.observe(
        memory, make_outlook(500.0), 0, 500.0, sample_s=NOW_S, settings=SETTINGS, blend=narrow
    )
    assert memory.horizon_variance == pytest.approx([0.01**2, 0.02**2, 0.03**2, 0.04**2])


def saved(path: Path, state: dict[str, object], kind: str = blend.KIND) -> str:
    manifest = Manifest(kind, blend.VERSION, "0" * 64, 0.0, 1)
    artefact.save(Artefact(manifest, state), path)
    return str(path)


def settings(path: str | None) -> EngineSettings:
    return EngineSettings(forecast=ForecastSettings(artefact=path))


def test_the_engine_takes_what_was_learned(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.skops", to_state(Blend({"api": usual()})))
    made = engine(settings(path))
    assert isinstance(made, Autoscaler)
    assert made.blend is not None
    assert made.blend.services["api"] == usual()
    assert made.refused == ""
    plain = engine(settings(None))
    assert isinstance(plain, Autoscaler)
    assert plain.blend is None


def _broken(path: Path) -> str:
    saved(path, to_state(Blend({"api": usual()})))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    return str(path)


def _text(path: Path) -> str:
    path.write_text("no model at all")
    return str(path)


ODD = ServiceBlend((60.0,), ((1.0, 1.0, 0.0),), (0.1,))
FLAT = {"horizons_s": np.array(HORIZONS_S), "weights": np.ones((2, 2)), "sd": np.ones(4)}

REFUSED = {
    "no file": (lambda path: str(path), "cannot be read"),
    "no model": (_text, "m.skops"),
    "damaged": (_broken, "m.skops"),
    "another kind": (lambda path: saved(path, {}, kind="season"), 'is a model of kind "season"'),
    "empty": (lambda path: saved(path, {}), "was learned from no service"),
    "other horizons": (
        lambda path: saved(path, to_state(Blend({"api": ODD}))),
        "is for the horizons",
    ),
    "mad figures": (
        lambda path: saved(path, to_state(Blend({"api": usual(weights=((9.0, 1.0, 0.0),) * 4)}))),
        "has figures that no training gives",
    ),
    "not a number": (
        lambda path: saved(path, to_state(Blend({"api": usual(sd=(float("nan"),) * 4)}))),
        "has figures that no training gives",
    ),
    "another shape": (
        lambda path: saved(path, {"api": FLAT}),
        "has weights of shape",
    ),
    "something else": (lambda path: saved(path, {"api": [1.0]}), "holds no blend"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_model_for_it_is_refused_and_the_schedule_alone_goes_on(
    tmp_path: Path, name: str
) -> None:
    make, expected = REFUSED[name]
    made = engine(settings(make(tmp_path / "m.skops")))
    assert isinstance(made, Autoscaler)
    assert made.blend is None
    assert expected in made.refused


def test_a_state_is_read_back_as_it_was() -> None:
    learned = Blend({"api": usual(), "database": usual(sd=(0.1,) * 4)})
    assert from_state(to_state(learned), HORIZONS_S, ("api",)) == learned
    with pytest.raises(ValueError, match="was learned from api, database, here are web"):
        from_state(to_state(learned), HORIZONS_S, ("web",))
