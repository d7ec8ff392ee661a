from __future__ import annotations

from typing import Any

import pytest

from engine.config.platform import PlatformConfig
from engine.config.run import BudgetConfig
from engine.config.strict import ConfigError, validated
from engine.model import Thresholds

API = {
    "slots": 8, "service_s": 0.1, "service_scv": 1.0, "boot": {"median_s": 60, "p95_s": 90},
    "price_per_hour": 0.2, "slo_p95_s": 0.5, "min_instances": 2, "max_instances": 9,
}  # fmt: skip


def platform(**changes: Any) -> PlatformConfig:
    services = {"api": {**API, **changes}, "database": API}
    return validated(PlatformConfig, {"name": "p", "zones": ["a"], "services": services})


def test_a_service_is_what_the_engine_knows_of_it() -> None:
    spec = platform(calls={"database": {"per_request": 2}}).specs()[0]
    assert (spec.name, spec.min_instances, spec.max_instances) == ("api", 2, 9)
    assert [(call.service, call.per_request) for call in spec.calls] == [("database", 2.0)]
    assert spec.thresholds == Thresholds()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"boot": {"median_s": 60, "p95_s": 50}}, "services.api.boot: p95_s 50 is below median_s"),
        ({"min_instances": 10}, "services.api: min_instances 10 is above max_instances 9"),
        ({"thresholds": {"cpu_up": 0.2}}, "services.api.thresholds: cpu_down 0.5 is above cpu_up"),
        ({"slots": 0}, "services.api.slots: 0 is not allowed (1 … 100,000)"),
        ({"calls": {"cache": {"per_request": 1}}}, ""),
        ({"calls": {"api": {"per_request": 1}}}, ""),
    ],
)
def test_a_platform_that_cannot_be_is_refused(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        platform(**changes)
    said = str(caught.value)
    assert said.startswith(line)
    assert "api" in said


def test_a_ceiling_that_is_not_given_is_none() -> None:
    assert BudgetConfig().budget() == type(BudgetConfig().budget())()
    assert BudgetConfig(instances=5).budget().instances == 5
