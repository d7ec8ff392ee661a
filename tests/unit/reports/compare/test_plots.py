"""The plots of a comparison, and that of a sweep."""

from __future__ import annotations

import pandas as pd
import pytest

from reports.compare import plots as comparison_plots


@pytest.mark.parametrize("bads", [[1.3e-4, 1.9e-4], [1e-4, 0.2], [1e-4, 1e-4], [0.0, 0.0]])
def test_no_formula_is_shown_raw_on_the_axis_of_a_sweep(bads: list[float]) -> None:
    svg = comparison_plots.scatter(pd.Series([10.0, 20.0]), pd.Series(bads)).svg
    assert "$\\math" not in svg
    assert " %" in svg


def test_the_settings_of_a_controller_have_its_colour_and_a_bound_is_black() -> None:
    names = ("engine", "hpa", "kpa", "static", "clairvoyant", "hpa@40", "kpa@300s", "kpa@900s")
    about = {name: {"foresight": name == "clairvoyant"} for name in names}
    styles = comparison_plots._styles({"controllers": about})
    assert len({styles[name][0] for name in ("engine", "hpa", "kpa", "static", "clairvoyant")}) == 5
    assert styles["hpa@40"] == styles["hpa"]
    assert styles["kpa@300s"][0] == styles["kpa@900s"][0] == styles["kpa"][0]
    assert len({styles[name][1] for name in ("kpa", "kpa@300s", "kpa@900s")}) == 3
