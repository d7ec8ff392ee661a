from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest

from engine.config.composition import composed
from engine.config.live import LiveConfig, parse
from engine.config.strict import ConfigError


@lru_cache(maxsize=1)
def tree() -> dict[str, Any]:
    return composed([], root="live")


def parsed(**sections: Any) -> LiveConfig:
    """The packaged configuration with these sections changed, one level deep."""
    raw = dict(tree())
    for name, part in sections.items():
        raw[name] = {**raw[name], **part} if isinstance(part, dict) else part
    return parse(raw)


def test_the_packaged_configuration_is_valid() -> None:
    config = parsed()
    assert config.live.shell.state == config.live.state
    assert [spec.name for spec in config.platform.specs()] == list(config.platform.services)


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        ({"live": {"duration_s": -1}}, "live.duration_s: -1 is not allowed (more than 0 … 1e+09)"),
        ({"live": {"stat": "x"}}, "live.stat: unknown key; did you mean state?"),
        ({"seed": "x"}, 'seed: "x" is not allowed (0 … 9,223,372,036,854,775,807)'),
        ({"sed": 1}, "sed: unknown key; did you mean seed"),
        ({"output": ""}, 'output: "" is not allowed (string should have at least 1 character)'),
        (
            {"controller": {"foresight": True}},
            'controller: "engine" needs foresight, which only the twin has',
        ),
        (
            {"alerts": {"levels": [{"receivers": ["pager"]}], "receivers": {}}},
            'alerts.levels.0.receivers: "pager" is not allowed (alerts.receivers is empty)',
        ),
        (
            {"monitor": {"by_service": {"apy": {}}}},
            'monitor.by_service: "apy" is not allowed',
        ),
        (
            {"live": {"floors": [{"service": "apii", "instances": 1}]}},
            'live.floors.0.service: "apii" is not allowed (',
        ),
    ],
)
def test_what_does_not_fit_is_named(sections: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(**sections)
    assert str(caught.value).startswith(line)


def test_the_options_of_an_adapter_are_sealed_until_it_gets_them() -> None:
    config = parsed(metrics={"headers": {"Authorization": "Bearer of-news"}})
    assert "of-news" not in repr(config)
    assert config.metrics.options["headers"] == {"Authorization": "Bearer of-news"}
