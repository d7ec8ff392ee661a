"""What is said where Hydra cannot read, find or choose what was asked for."""

from __future__ import annotations

import shlex
import sys

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import MissingConfigException

from engine.config.composition import composed
from engine.config.hydra_errors import explain, quote, unknown
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


TEXTS = (
    "/x/a=b c.csv", "/x/a=b.csv", "/x/a,b.csv", "/x/a, b.csv", "/x/a[1].csv", "/x/(a).csv",
    "/x/{a}.csv", "/x/#1.csv", "/x/a&b;c.csv", "/x/a~b!.csv", "/tmp/\u00fc \u00e4", "/x/a'b.csv",
    '/x/a"b.csv', "[a", "{a: b", "a: {b", "x=", "=x", 'C:\\x\\a=b.csv', "a=b\\", '\\"=', "1,2",
)  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_that_means_something_else_is_shown_as_one_has_to_type_it(text: str) -> None:
    """What is shown is typed into a shell, and comes back as the very text."""
    with pytest.raises(ConfigError) as refused:
        composed([f"scenario.description={text}"])
    typed = quote(f"scenario.description={text}")
    assert typed in str(refused.value)
    (word,) = shlex.split(typed)
    assert OverridesParser.create().parse_override(word).value() == text
    assert composed([word])["scenario"]["description"] == text


@pytest.mark.parametrize("text", ["1,2", "range(1,4)", "choice(1,2)"])
def test_several_values_are_explained_with_what_to_do(text: str) -> None:
    with pytest.raises(ConfigError, match=r"several values") as refused:
        composed([f"seed={text}"])
    assert f"add -m: python -m twin run -m {shlex.quote(f'seed={text}')}" in str(refused.value)
    assert ("seed=[1,2]" in str(refused.value)) == (text == "1,2")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("=5", '"=5" cannot be read; write it as key=value'),
        ("scenario=5", 'scenario: "5" is not allowed (flash_crowd, '),
        ("controller={a: 1}", 'controller: "{a: 1}" is not allowed (clairvoyant, '),
        ("controller=engine,hpa", "python -m twin run -m controller=engine,hpa"),
        ("+seed=1", "Either remove + prefix"),
        ("scenario.description=${nowhere}", "'nowhere' not found"),
    ],
)
def test_what_hydra_advises_is_passed_on(word: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        composed([word])
    assert said in str(refused.value)
