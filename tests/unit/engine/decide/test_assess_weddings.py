"""What is to come at several services at once: as far, and as much, as for each by itself."""

from __future__ import annotations

import numpy as np
import pytest

from engine.decide.assess_weddings import Ahead, assess_weddings
from engine.decide.observe import UNBOOKED, Seen
from engine.model import Outlook
from engine.settings import EngineSettings
from tests.unit.engine.conftest import NOW_S, make_outlook, make_service, make_spec
from tests.unit.engine.decide.conftest import seen_of

SETTINGS = EngineSettings()


def ahead(*seen: Seen, outlook: Outlook | None = None) -> list[Ahead | None]:
    outlook = outlook or make_outlook(services=tuple(one.traits.spec.name for one in seen))
    return list(assess_weddings(seen, outlook, now_s=NOW_S, settings=SETTINGS, blends={}))


def service(name: str, *, row: int, reach_s: float, **spec: object) -> Seen:
    one = seen_of(make_service(make_spec(name, **spec)))
    return one._replace(row=row, traits=one.traits._replace(reach_s=reach_s))


@pytest.mark.parametrize("row", [0, UNBOOKED])
def test_each_service_is_looked_at_as_far_ahead_as_it_takes(row: int) -> None:
    near, far = (service(name, row=row, reach_s=s) for name, s in (("a", 7200.0), ("b", 10_800.0)))
    together = ahead(near, far)
    for one, alone, bins in zip(together, [*ahead(near), *ahead(far)], (122, 182), strict=True):
        assert one is not None and alone is not None
        assert len(one.need) == len(one.discount) == len(one.curve.ahead_s) == bins
        assert one.need.tolist() == alone.need.tolist()
        assert one.weddings == alone.weddings
        for figure, by_itself in zip(one.curve[:5], alone.curve[:5], strict=True):
            np.testing.assert_array_equal(figure, by_itself)


def test_of_some_services_the_calendar_may_tell_and_of_others_not() -> None:
    booked, unbooked = (service(n, row=r, reach_s=7200.0) for n, r in (("a", 0), ("b", UNBOOKED)))
    quick = unbooked._replace(whole=False)
    first, second, third = ahead(unbooked, booked, quick)
    assert first is not None and second is not None and third is None
    assert "the calendar says nothing of b" in first.unbooked
    assert second.unbooked == ""


@pytest.mark.parametrize(
    ("rate", "stays_awake"),
    [
        (1.0 / 500.0, True),  # more than one request in the 10 minutes without any it would take
        (1.0 / 700.0, False),
    ],
)
def test_who_may_sleep_does_not_beside_who_may_not(rate: float, stays_awake: bool) -> None:
    sleepy = service("a", row=0, reach_s=7200.0, min_instances=0)
    sleepy = sleepy._replace(traits=sleepy.traits._replace(lead_s=600.0))
    awake = service("b", row=1, reach_s=7200.0)
    assert SETTINGS.limits.idle_s == 300.0
    one, two = ahead(sleepy, awake, outlook=make_outlook(rate, services=("a", "b")))
    assert one is not None and two is not None
    assert bool(one.need.max() > 0.0) is stays_awake
    assert two.need.min() > 0.0
