"""What is refused of the monitor's settings, and with which words."""

from __future__ import annotations

from typing import Any

import pytest

from engine.config.strict import ConfigError, validated
from engine.monitoring.settings import MonitorSettings, ServiceMonitorSettings
from tests.unit.engine.monitoring.conftest import make_monitor


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"limits": {"cpu": {"warning": 0.9, "critical": 0.8}}},
         "monitor.limits.cpu: critical: 0.8 is not allowed (above warning 0.9)"),
        ({"limits": {"cpu": {"warning": 0.9, "critical": 0.9}}},
         "monitor.limits.cpu: critical: 0.9 is not allowed (above warning 0.9)"),
        ({"by_service": {"api": {"p95_s": {"warning": 2, "critical": 1}}}},
         "monitor.by_service.api.p95_s: critical: 1 is not allowed (above warning 2)"),
        ({"slo": {"windows": [{"long_s": 60, "short_s": 300, "factor": 2}]}},
         "monitor.slo.windows.0: short_s: 300 is not allowed (below long_s 60)"),
        ({"limit": {}}, "monitor.limit: unknown key"),
        ({"detectors": {"mine": {"factory": "nothing"}}}, "monitor.detectors.mine.factory"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_refused_with_its_key(given: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as raised:
        validated(MonitorSettings, given, "monitor")
    assert line in str(raised.value)


def test_a_service_that_is_not_there_is_refused_with_the_nearest() -> None:
    settings = MonitorSettings(by_service={"apy": ServiceMonitorSettings()})
    with pytest.raises(ValueError, match=r'monitor\.by_service: "apy" is not allowed \(api, db\)'):
        settings.check(["api", "db"])


@pytest.mark.parametrize(
    ("detectors", "key"),
    [
        ({"mine": {"factory": "no.such:Thing"}}, r"monitor\.detectors\.mine\.factory"),
        ({"mine": {"factory": "math:sqrt"}}, r"monitor\.detectors\.mine"),
        (
            {"mine": {"factory": "engine.monitoring.detectors.outlier:Outliers",
                      "options": {"zz": 1}}},
            r"monitor\.detectors\.mine\.options\.zz: unknown key",
        ),
        ({"limits": {"factory": "engine.monitoring.detectors.outlier:Outliers"}},
         r"monitor\.detectors\.limits: is the name of a rule"),
    ],
)  # fmt: skip
def test_a_detector_that_cannot_be_made_is_refused_with_its_key(
    detectors: dict[str, Any], key: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=key):
        make_monitor(detectors=detectors)


def test_levels_of_the_platform_hold_where_the_settings_say_nothing() -> None:
    own = MonitorSettings.model_validate(
        {"by_service": {"api": {"cpu": {"warning": 0.5, "critical": 0.6}}}}
    )
    platform = ServiceMonitorSettings.model_validate(
        {"cpu": {"warning": 0.98, "critical": 0.99}, "p95_s": {"warning": 3, "critical": 4}}
    )
    merged = own.beside({"api": platform, "jobs": platform})
    assert merged.levels("api", "cpu").warning == 0.5
    assert merged.levels("api", "p95_s").warning == 3.0
    assert merged.levels("jobs", "cpu").warning == 0.98
    assert merged.levels("other", "cpu").warning == 0.85
