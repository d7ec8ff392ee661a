"""A calendar that is over, or leaves a service out, is a trouble that begins and ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine import Autoscaler
from engine.model import Outlook
from engine.ports.infrastructure import Counts, Sighting
from engine.runtime.cycle import CALENDAR, Cycle, Gathered
from tests.unit.engine.conftest import NOW_S, make_outlook, make_spec, make_window


def gathered(outlook: Outlook | None) -> Gathered:
    return Gathered(Sighting({"api": Counts(4, 4, 0, 0)}), outlook, {"api": make_window()})


@pytest.mark.parametrize(
    ("outlook", "trouble"),
    [
        (make_outlook(500.0), ""),
        (make_outlook(500.0, start_s=NOW_S - 7200.0, bins=60), "it covers 1970-01-12T11:46+00:00"),
        (make_outlook(500.0, start_s=NOW_S + 60.0), "it covers"),
        (replace(make_outlook(500.0), services={"other": 0}), "it says nothing of api"),
    ],
)
def test_what_the_calendar_leaves_open_is_said_and_the_engine_goes_on(
    outlook: Outlook, trouble: str
) -> None:
    cycle = Cycle(Autoscaler(), [make_spec()])
    observation = cycle.observe(NOW_S, gathered(outlook))
    assert observation is not None
    assert cycle.decide(observation) is not None
    said = cycle.troubles.all.get(CALENDAR, ())
    assert bool(said) is bool(trouble)
    assert trouble in "; ".join(said)


def test_it_ends_with_the_calendar_that_covers_the_present_again() -> None:
    cycle = Cycle(Autoscaler(), [make_spec()])
    over = make_outlook(500.0, start_s=NOW_S - 7200.0, bins=60)
    for k, outlook in enumerate((over, None, make_outlook(500.0))):
        cycle.observe(NOW_S + 5.0 * k, gathered(outlook))
    assert [(alert.source, alert.state.value) for alert in cycle.alerts()] == [
        (CALENDAR, "started"),
        (CALENDAR, "ended"),
    ]
