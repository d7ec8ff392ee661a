from __future__ import annotations

from pathlib import Path

import pytest

from engine.config.composition import composed
from engine.config.strict import ConfigError


def test_the_tree_is_composed_with_overrides() -> None:
    config = composed(["scenario=flash_crowd", "seed=7"])
    assert config["scenario"]["name"] == "flash_crowd"
    assert config["faults"]["flash_crowd"]["factor"] == 6
    assert config["seed"] == 7


def test_a_scenario_of_the_users_own_folder_is_found(tmp_path: Path) -> None:
    file = tmp_path / "scenario" / "small.yaml"
    file.parent.mkdir()
    file.write_text("# @package _global_\nscenario: {name: small}\npopulation: {simultaneous: 5}\n")
    assert composed(["scenario=small"], [str(tmp_path)])["population"]["simultaneous"] == 5


@pytest.mark.parametrize(
    ("overrides", "folders", "message"),
    [
        (["scenario=june_peek"], [], r'scenario: "june_peek" is not allowed .*mean june_peak'),
        (["sed=1"], [], "sed: unknown key; did you mean seed"),
        ([], ["nowhere"], "--config-dir: nowhere is no folder"),
    ],
)
def test_what_cannot_be_composed_is_named(
    overrides: list[str], folders: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        composed(overrides, folders)
