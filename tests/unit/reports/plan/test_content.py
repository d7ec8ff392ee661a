"""What the report of a plan says, and where it refuses."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from reports import RecordError, write_plan
from reports.__main__ import main
from reports.plan import content as planning
from reports.plan import plots as planning_plots

SERVICES = ("api", "ai-services")


def quantiles(value: float) -> dict[str, float]:
    return {"q10": 0.9 * value, "q50": value, "q90": 1.1 * value}


def seen(bad: int = 0) -> dict[str, Any]:
    return {"bad_minutes": bad, "worst_share": 0.5 if bad else 0.0}


def answer(weddings: int, first: str = "") -> dict[str, Any]:
    return {
        "weddings": weddings,
        "violation_ratio": 0.0002,
        "first_lost": first,
        "services": {name: seen(12 if name == first else 0) for name in SERVICES},
    }


def made() -> dict[str, Any]:
    months = ["2027-01", "2027-02"]
    need = {"rate": quantiles(1000.0), "instances": quantiles(100.0)}
    service = {
        "size": 1.0, "slots": 16, "reserved": 8, "minimum": [8, 8], "maximum": [200, 240],
        "need": [quantiles(150.0), quantiles(180.0)], "reserved_usd": 500.0,
        "on_demand_usd": [100.0, 150.0],
    }  # fmt: skip
    rung = {
        "service": "api", "limit": "max_instances", "allowed": 500.0, "safe": 3e5, "lost": 5e5,
        "lost_low": 4.5e5, "lost_high": 5.5e5, "at_s": 0.0,
    }  # fmt: skip
    return {
        "schema": 1, "kind": "plan", "date": "2027-01-01", "months": months, "horizon_months": 2,
        "risk": 0.02,
        "simultaneous": 100_000, "seed": 1, "paths": 400, "pricing": "list", "zones": 3,
        "quota": None, "command": "python -m twin plan",
        "forecast": {
            "growth_per_year": 0.07,
            "booked": 100.0,
            "monthly": [
                {
                    "month": name, "weddings": quantiles(4e5), "booked": 3e5,
                    "at_once": quantiles(6e4), "services": dict.fromkeys(SERVICES, need),
                }
                for name in months
            ],
            "weekly": [
                {"from": day, "at_once": quantiles(6e4), "services": {}}
                for day in ("2027-01-01", "2027-01-04", "2027-02-01")
            ],
            "peak_days": [{"date": "2027-02-13", "weddings": quantiles(5e4), "booked": 2e4}],
            "booking_curve": [],
        },
        "plan": {
            "total_usd": 1500.0, "reserved_usd": 1000.0, "on_demand_usd": 500.0, "quota": 480,
            "fits_the_quota": True, "exceeded": [0.02, 0.03],
            "services": {name: copy.deepcopy(service) for name in SERVICES},
        },
        "alternatives": {
            "on_demand_usd": 2000.0, "static_on_demand_usd": 9000.0, "static_reserved_usd": 6000.0,
        },
        "recommendations": [
            {
                "kind": "reserve_instances", "service": "api", "before": 0.0, "after": 8.0,
                "cost_usd": 500.0, "saving_usd": 250.0, "confidence": 0.93,
                "evidence": {
                    "last_one_used_share_of_hours": 0.65, "next_one_used_share_of_hours": 0.6,
                    "break_even_share_of_hours": 0.63,
                },
            },
            {
                "kind": "raise_max", "service": "ai-services", "before": 100.0, "after": 240.0,
                "cost_usd": 0.0, "saving_usd": 0.0, "confidence": 0.97,
                "evidence": {
                    "exceeded_in_share_of_seasons": 0.8, "worst_month": 1.0,
                    "worst_month_exceeded_share": 0.75,
                },
            },
        ],
        "bottlenecks": {
            "date": "2027-02-13", "expected_at_once": 118_000.0, "margin": 0.05, "checked": True,
            "ladder": [rung, {**rung, "service": "", "limit": "quota", "lost": 6e5}],
            "checks": [
                {
                    "service": "api", "limit": "max_instances", "predicted": 5e5,
                    "confirmed": True, "why_not": "", "below": answer(475_000),
                    "above": answer(525_000, "api"),
                },
            ],
            "plan": {
                "month": "2027-02", "date": "2027-02-13", "response": {"api": 1.2}, "kept": True,
                "answer": answer(120_000),
            },
        },
    }  # fmt: skip


def test_the_page_says_what_to_do_and_what_gives_way(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(json.dumps(made()))
    write_plan(tmp_path)
    page, text = (
        (tmp_path / name).read_text().replace("\N{NO-BREAK SPACE}", " ")
        for name in ("report.html", "report.md")
    )
    for said in (
        "25 % less than all on demand",
        "api gives way first, at 500k weddings at once; 118k are expected.",
        "Confirmed: api, predicted at 500,000 weddings at once.",
        "raise the maximum: ai-services",
        "80 % of the seasons need more, most often in Feb 2027 (75 %)",
        "a reservation pays above 63 %",
    ):
        assert said in page
        assert said in text
    assert page.count("<figure>") == 4
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_the_same_plan_is_drawn_the_same() -> None:
    assert planning_plots.draw(made()) == planning_plots.draw(made())


def test_a_plan_that_was_not_confirmed_or_not_checked_says_so() -> None:
    content = made()
    check = content["bottlenecks"]["checks"][0]
    check |= {"confirmed": False, "above": answer(525_000, "ai-services")}
    checks = planning.tell(content).checks
    assert checks[0].startswith("Not confirmed: api")
    check |= {"below": None, "above": None, "why_not": "the twin takes at most 10,000,000"}
    assert planning.tell(content).checks[0].startswith("api: not checked, the twin takes")
    content["bottlenecks"] |= {"checked": False}
    assert planning.tell(content).checks == ("Not checked in the twin (check=false).",)


def test_without_any_limit_or_advice_the_page_is_still_there(tmp_path: Path) -> None:
    content = made() | {"recommendations": []}
    content["bottlenecks"] |= {"ladder": [], "checks": []}
    (tmp_path / "plan.json").write_text(json.dumps(content))
    write_plan(tmp_path)
    assert "Nothing to change." in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("text", ["{", "[]", '{"kind": "comparison"}'])
def test_what_is_no_plan_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(RecordError, match=r"plan\.json"):
        write_plan(tmp_path)
    with pytest.raises(RecordError, match="No such file"):
        write_plan(tmp_path / "nowhere")


def test_the_page_can_be_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plan.json").write_text(json.dumps(made()))
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n"
    assert "Capacity plan" in (tmp_path / "report.html").read_text()
