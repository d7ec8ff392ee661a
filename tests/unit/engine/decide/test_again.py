"""What a step in leaves, so that it need not be taken back soon: rows worked out by hand."""

from __future__ import annotations

import math

import pytest

from engine.decide.rails.again import needed_again
from engine.decide.rails.scale_in import AGAIN, scale_in
from engine.memory import ResponseMemory
from engine.model import Reason
from engine.settings import EngineSettings
from tests.unit.engine.conftest import NOW_S, make_service, make_spec, make_window
from tests.unit.engine.decide.conftest import SIMPLE, ahead_of, curve_of, seen_of, wish_of

CALM = EngineSettings.model_validate({"limits": {"again_s": 1800.0}})


def again(
    rate: float | list[float] = 400.0 - 1e-6, *, sd: float = 0.0, risk_z: float = 1.0,
    zones: int = 1, waited_for: bool = False, slowdown: float = 1.0,
    response: ResponseMemory | None = None, within_s: float = 1800.0,
) -> int:  # fmt: skip
    seen = seen_of(waited_for=waited_for, slowdown=slowdown)
    own = seen.traits._replace(risk_z=risk_z, sizing=SIMPLE._replace(zones=zones))
    seen = seen._replace(traits=own, response=response or ResponseMemory())
    rates = rate if isinstance(rate, list) else [rate] * 40
    return needed_again(seen, curve_of(rates, sd=sd), within_s, 1200.0)


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 5),  # 400 / 80
        ({"slowdown": 2.0}, 10),
        # needed at one deviation above an estimate that is one deviation higher
        ({"sd": math.log(2.0)}, 20),
        ({"sd": math.log(2.0), "zones": 3}, 20),
        ({"sd": math.log(1.2), "zones": 3}, 9),  # 480 / 80, and 3 more for a zone of three
    ],
)
def test_it_is_the_need_of_a_higher_estimate(changes: dict[str, float], count: int) -> None:
    assert again(**changes) == count  # type: ignore[arg-type]


def test_for_what_users_wait_for_the_risk_is_that_of_all_looks_together() -> None:
    rate = 80.0 * 100.0
    assert again(rate, sd=0.1, risk_z=2.0) == math.ceil(100.0 * math.exp(0.4))
    # 2.3 % over 60 looks: 3.36 deviations
    every = again(rate, sd=0.1, risk_z=2.0, waited_for=True)
    assert every == pytest.approx(100.0 * math.exp(0.2 + 0.336), rel=0.01)


@pytest.mark.parametrize(
    ("surge", "believed"),
    [
        (0.0, 0.0),
        (-0.05, 0.0),  # less than the usual error: nothing of it
        (-0.1, 0.0),
        (-0.2, -0.15),
        (-1.0, -0.99),  # far more: nearly all
        (0.3, 0.3),  # a rise counts as it is
    ],
)
def test_a_dip_counts_as_far_as_it_is_more_than_noise(surge: float, believed: float) -> None:
    response = ResponseMemory(surge=surge, horizon_variance=(0.1**2, 0.2**2))
    now = 8000.0 * math.exp(surge)  # the curve has the whole surge in it
    shown = again([now, now], response=response)
    assert shown == pytest.approx(100.0 * math.exp(believed), abs=1.01)


def test_a_dip_that_is_noise_passes_as_a_surge_does() -> None:
    response = ResponseMemory(surge=-0.1, horizon_variance=(0.1**2, 0.2**2))
    now, later = 8000.0 * math.exp(-0.1), 8000.0
    # Of the dip of a tenth 1 / e is left after 1200 s, the time in which a surge decays.
    shown = again([now] * 20 + [later], response=response)
    assert shown == pytest.approx(100.0 * math.exp(0.1 / math.e), abs=1.01)


def test_there_is_one_look_at_least() -> None:
    rate = 80.0 * 100.0
    once = again(rate, sd=0.1, risk_z=2.0, waited_for=True, within_s=1.0)
    assert once == again(rate, sd=0.1, risk_z=2.0, within_s=1.0)


def test_nothing_is_needed_for_nothing() -> None:
    assert again(0.0) == 0


def test_what_comes_later_may_be_booted_again() -> None:
    assert again([80.0 - 1e-6] * 40 + [8000.0] * 40) == 1
    assert again([80.0] * 20 + [8000.0]) == 100


def test_a_step_in_leaves_it_and_says_so_where_that_is_all() -> None:
    cold = make_window(cpu=0.2, rate=200.0, memory=0.3, p95_s=0.1)
    seen = seen_of(make_service(make_spec(), desired=10, window=cold), waited_for=False)
    seen = seen._replace(traits=seen.traits._replace(risk_z=1.0))
    chosen = wish_of(4, Reason.FORECAST, evidence={"rate": 300.0}, confidence=0.7)

    def down(sd: float, settings: EngineSettings) -> tuple[int, str]:
        result = scale_in(
            seen, ahead_of(4.0, sd=sd), chosen, now_s=NOW_S, settings=settings,
            targets=((NOW_S, 4),),
        )  # fmt: skip
        return result.target, result.why

    some, much = 0.5 * math.log(1.5), 0.5
    assert down(some, CALM) == (6, "")
    assert down(much, CALM) == (10, AGAIN)
    assert down(0.0, CALM) == down(much, EngineSettings()) == (4, "")
