"""What is said where a sweep wants an extra that is not installed."""

from __future__ import annotations

import sys

import pytest
from hydra.errors import MissingConfigException

from engine.config.hydra_errors import explain, unknown
from engine.config.strict import ConfigError
from hydra_plugins.wedtwin_ray import RayLauncher


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("hydra/sweeper/optuna", 'hydra/sweeper: "optuna" is not installed: pip install \'wed'),
        ("hydra/launcher/slurm", 'hydra/launcher: "slurm" is not allowed (basic, joblib, ray)'),
        ("scenario/june", 'scenario: "june" is not allowed (flash_crowd, june_peak, '),
    ],
)
def test_a_choice_that_is_not_there_is_named_with_what_is(choice: str, said: str) -> None:
    error = MissingConfigException(f"In 'twin': Could not find '{choice}'", choice)
    assert said in explain(error, [])


def test_a_sweep_on_ray_without_ray_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'wedtwin\[ray\]'"):
        RayLauncher().launch([["seed=1"]], 0)


@pytest.mark.parametrize(
    ("key", "root", "arguments", "said"),
    [
        ("sead", "twin", [], "sead: unknown key; did you mean seed"),
        ("telemetry.los", "twin", [], "did you mean telemetry.loss"),
        ("telemetry.nosuch", "twin", [], "(allowed: telemetry.interval_s, telemetry.lag_s, "),
        ("max_utilisation", "twin", [], "did you mean engine.capacity.max_utilisation"),
        ("nosuch", "staging", [], ", port, prometheus_port, seed, "),
        ("livee.state", "live", [], "did you mean live.state"),
        ("plan.mnths", "plan", [], "did you mean plan.months"),
        ("trace.pth", "twin", ["scenario=trace"], "did you mean trace.path?"),
        ("controlers", "twin", [], "did you mean controllers"),
    ],
)
def test_a_key_that_is_not_there_is_named_with_those_that_are(
    key: str, root: str, arguments: list[str], said: str
) -> None:
    assert said in unknown(key, root, arguments, own=("controllers",))
