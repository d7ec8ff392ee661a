"""Each service's own autoscaler, and the counts that there were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine import EngineSettings
from engine.config.strict import ConfigError
from engine.controllers.as_measured import AsMeasured
from engine.controllers.hpa import Hpa
from engine.controllers.own_hpas import OwnHpas
from engine.model import Plan
from tests.unit.engine.conftest import NOW_S, make_service, make_spec, make_window, observe

SETTINGS = EngineSettings()


def wanted(plan: Plan) -> dict[str, int]:
    return {action.service: action.to_instances for action in plan.actions}


def seen(now_s: float = NOW_S, cpu: float = 0.9, names: tuple[str, ...] = ("api",)) -> Any:
    window = make_window(now_s, cpu=cpu)
    services = [make_service(make_spec(name), desired=10, window=window) for name in names]
    return observe(*services, now_s=now_s)


def test_each_service_has_the_target_of_its_own_autoscaler() -> None:
    made = OwnHpas(SETTINGS, services={"api": {"target_cpu": 50}, "web": {"target_cpu": 90}})
    assert wanted(made.step(seen(names=("api", "web")))) == {"api": 18}  # 90 / 50, and 90 / 90


def test_a_service_without_one_keeps_the_count_that_is_said_or_any() -> None:
    made = OwnHpas(SETTINGS, services={"api": {"replicas": 4}})
    assert wanted(made.step(seen(names=("api", "web")))) == {"api": 4}


def test_a_tolerance_of_its_own_counts_in_its_direction_only() -> None:
    behavior = {"scaleUp": {"tolerance": 0.0}}
    for options, count in (({}, {}), ({"behavior": behavior}, {"api": 11})):
        hpa = Hpa(SETTINGS, target_cpu=60, **options)
        assert wanted(hpa.step(seen(cpu=0.63))) == count
        assert wanted(Hpa(SETTINGS, target_cpu=60, **options).step(seen(cpu=0.57))) == {}


def test_a_restored_one_goes_on_as_the_old_one_and_another_is_refused() -> None:
    services = {"api": {"target_cpu": 50}}
    one, other = (OwnHpas(SETTINGS, services=services) for _ in range(2))
    for k in range(4):
        one.step(seen(NOW_S + 15.0 * k, cpu=0.2))
    other.restore(one.snapshot())
    later = seen(NOW_S + 330.0, cpu=0.2)
    assert wanted(other.step(later)) == wanted(one.step(later))
    with pytest.raises(ValueError, match="not a snapshot"):
        other.restore(json.dumps({"web": "{}"}))


def test_the_counts_that_there_were_are_asked_for_at_their_time(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    rows = [f"{NOW_S:.0f},12.4", f"{NOW_S + 300:.0f},", f"{NOW_S + 600:.0f},1000"]
    path.write_text("\n".join(["time,api", *rows]) + "\n")
    made = AsMeasured(SETTINGS, path=str(path))
    most = make_spec("api").max_instances
    for after_s, count in ((-15.0, {}), (0.0, {"api": 12}), (315.0, {}), (615.0, {"api": most})):
        assert wanted(made.step(seen(NOW_S + after_s))) == count, after_s


@pytest.mark.parametrize("text", ["", "api\n3\n", "time,api\n1\n", "time,api\nnow,3\n"])
def test_counts_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "counts.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"controller\.options\.path"):
        AsMeasured(SETTINGS, path=str(path))


@pytest.mark.parametrize("own", [{"target_cpu": 0}, {"target": 5}, {"replicas": -1}])
def test_options_that_are_none_are_refused(own: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"controller\.options\.services\.api"):
        OwnHpas(SETTINGS, services={"api": own})
