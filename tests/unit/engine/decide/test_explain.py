"""The sentence for each decision, word by word."""

from __future__ import annotations

import math

import pytest

from engine.decide.explain import explain
from engine.decide.sleep import ASLEEP
from engine.model import Reason, WeddingContext

NONE = WeddingContext(0.9, 0.9)


@pytest.mark.parametrize(
    ("reason", "evidence", "because"),
    [
        (Reason.CPU, {"cpu": 0.9, "threshold": 0.8}, "cpu is 0.90 (threshold 0.80)"),
        (Reason.MEMORY, {"memory": 0.9, "threshold": 0.85}, "memory is 0.90 (threshold 0.85)"),
        (Reason.REQUEST_RATE, {"request_rate": 1.2, "threshold": 0.85},
         "request rate is 1.20 (threshold 0.85)"),
        (Reason.QUEUE_DEPTH, {"queue_depth": 1.0, "threshold": 0.5},
         "queue depth is 1.00 (threshold 0.50)"),
        (Reason.RESPONSE_TIME, {"response_time": 1.6, "threshold": 0.8},
         "p95 is 1.60 of its SLO (threshold 0.80)"),
        (Reason.FORECAST, {"rate": 1234.4, "sd": 0.05, "ahead_s": 600.0},
         "1,234 requests/s (± 5%) are expected in 10 min"),
        (Reason.FORECAST, {"rate": 1234.4, "sd": 0.05, "ahead_s": 60.0},
         "1,234 requests/s (± 5%) are expected in 1 min"),
        (Reason.FORECAST, {"rate": 1234.4, "sd": 0.05, "ahead_s": 59.0},
         "1,234 requests/s (± 5%) are expected now"),
        (Reason.WEDDING_FLOOR, {"major_rate": 2500.0},
         "major events of the next two hours bring 2,500 requests/s"),
        (Reason.COST, {"rate": 100.0, "sd": 0.1, "ahead_s": 0.0, "saving_usd_per_hour": 1.25},
         "100 requests/s (± 10%) are expected now, trimming saves 1.25 USD/h"),
        (Reason.COST, {"major_rate": 2500.0, "saving_usd_per_hour": 1.25},
         "major events of the next two hours bring 2,500 requests/s, trimming saves 1.25 USD/h"),
        (Reason.COST, {"saving_usd_per_hour": 1.25}, "less will do, trimming saves 1.25 USD/h"),
        (Reason.EMERGENCY, {"cpu": 0.99, "queue_depth": 1500.0, "error_rate": 0.125},
         "it is drowning (cpu 99%, 1,500 waiting, 12.5% failing)"),
        (Reason.EMERGENCY, {"cpu": math.nan, "queue_depth": 1500.0},
         "it is drowning (1,500 waiting)"),
        # Where the CPU is not measured, arrivals and response time say why.
        (Reason.EMERGENCY,
         {"cpu": math.nan, "request_rate": 2400.4, "p95_s": 3.0, "error_rate": 0.125,
          "queue_depth": math.nan},
         "it is drowning (2,400 requests/s, p95 3.00 s, 12.5% failing)"),
        (Reason.EMERGENCY, {"passed_on_rate": 900.0},
         "a drowning caller will pass on another 900 requests/s"),
        (Reason.EMERGENCY, {ASLEEP: 1.0, "queue_depth": 0.5, "request_rate": 0.0},
         "it sleeps and is wanted (0.5 waiting)"),
        (Reason.BOUNDS, {"min": 2.0, "max": 9.0}, "it is outside its bounds of 2 … 9"),
        (Reason.ROLLBACK, {"p95_s": 1.5, "error_rate": 0.1},
         "the last step made things worse (p95 1.50 s, 10.0% failing)"),
        (Reason.ROLLBACK, {"vanished": 8.0, "p95_s": 1.5},
         "what asked for more than 8 is gone and less will do"),
        (Reason.MANUAL, {"fallback": 3.0},
         "its metrics are stale and the fallback is a fixed count"),
        (Reason.MANUAL, {"pinned": 3.0}, "it is pinned at this count"),
        (Reason.MANUAL, {"asked": 3.0, "expires_in_s": 9.0}, "somebody asked for 3"),
        (Reason.MANUAL, {"floor": 3.0}, "somebody asked for this floor"),
    ],
)  # fmt: skip
def test_each_reason_is_said_with_its_figures(reason, evidence, because) -> None:  # type: ignore[no-untyped-def]
    text = explain("api", 10, 12, reason, evidence=evidence, weddings=NONE, notes="")
    assert text == f"api: scale out 10 → 12 because {because}."


@pytest.mark.parametrize(
    ("weddings", "notes", "noun", "end"),
    [
        (WeddingContext(1.0, 0.9), "", "weddings", "; 1 weddings booked then."),
        (WeddingContext(1234.0, 1.0), "", "weddings",
         "; 1,234 weddings booked then, 1 of them major."),
        (WeddingContext(3.0, 0.0), "old", "fixtures", "; 3 fixtures booked then; old."),
        (WeddingContext(), "old; cut", "weddings", "; old; cut."),
    ],
)  # fmt: skip
def test_the_events_behind_it_and_notes_follow(weddings, notes, noun, end) -> None:  # type: ignore[no-untyped-def]
    text = explain(
        "api", 12, 10, Reason.MANUAL, evidence={}, weddings=weddings, notes=notes, noun=noun
    )
    assert text == f"api: scale in 12 → 10 because somebody asked for this floor{end}"
