"""The configuration tree, read as files."""

from __future__ import annotations

import pytest

from engine.config.composition import composed
from engine.config.tree import groups, keys, packaged_choices, page

ROOTS = ("twin", "live", "plan", "staging", "calibration", "forecasting")


def dotted(tree: dict[str, object], under: str = "") -> list[str]:
    paths = []
    for key, value in tree.items():
        paths.append(f"{under}{key}")
        if isinstance(value, dict):
            paths.extend(dotted(value, f"{under}{key}."))
    return paths


@pytest.mark.parametrize("root", ROOTS)
def test_the_keys_of_a_root_are_those_that_hydra_composes(root: str) -> None:
    assert set(keys(root)) == set(dotted(composed([], root=root)))


def test_another_choice_brings_its_own_keys() -> None:
    assert "trace.path" not in keys("twin")
    assert "trace.path" in keys("twin", {"scenario": "trace"})


def test_what_is_no_group_has_no_choices() -> None:
    assert "june_peak" in packaged_choices("scenario")
    assert packaged_choices("nosuch") == []
    assert "scenario" in groups()


def test_a_page_shows_the_groups_and_the_root() -> None:
    shown = page("staging", "usage: x\n")
    assert shown.startswith("usage: x\n\nGroups and their files:\n")
    assert "scenario " in shown
    assert "prometheus_port: 0" in shown
