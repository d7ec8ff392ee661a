"""Which decisions matter most, and what was declined."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from reports.run import ranking, reading

Make = Callable[..., Any]


def test_emergencies_and_rollbacks_lead_but_do_not_crowd_out_the_rest(
    made: Make, tmp_path: Path
) -> None:
    whole = made(600)
    actions = whole.decisions.index[whole.decisions["kind"] == "action"]
    whole.decisions.loc[actions, ["reason", "category"]] = ["forecast", "automatic"]
    crowd, rollback = actions[:30], actions[40]
    whole.decisions.loc[crowd, ["reason", "category", "service"]] = [
        "emergency",
        "emergency",
        "api",
    ]
    whole.decisions.loc[rollback, "reason"] = "rollback"
    chosen = ranking.most_important(reading.load(whole.write(tmp_path / "r")))
    assert len(chosen) == 10
    times = [ranked.row["time_s"] for ranked in chosen]
    assert times == sorted(times)
    reasons = [ranked.row["reason"] for ranked in chosen]
    assert "rollback" in reasons
    assert 1 <= reasons.count("emergency") <= 5
    assert all("emergency" in r.because for r in chosen if r.row["reason"] == "emergency")


def test_declined_reasons_that_differ_in_figures_only_are_one(made: Make, tmp_path: Path) -> None:
    whole = made(600)
    groups = {g.why: g for g in ranking.declined(reading.load(whole.write(tmp_path / "r")))}
    assert "cooldown for another … s" in groups
    assert "wedding protection for the next 2 h" in groups
    declined = (whole.decisions["outcome"] == "declined").sum()
    assert sum(group.times for group in groups.values()) == declined
