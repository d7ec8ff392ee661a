"""A step that figures asked for and no longer do is taken back, and none other."""

from __future__ import annotations

from typing import Any

import pytest

from engine.decide.figures import FiguresThere
from engine.decide.rails.rise import YOUNG_S
from engine.decide.rails.take_back import VANISHED, take_back
from engine.memory import Sent, ServiceMemory
from engine.model import Reason
from engine.settings import EngineSettings
from tests.unit.engine.conftest import NOW_S, make_service, make_spec, make_window
from tests.unit.engine.decide.conftest import ahead_of, seen_of, wish_of

CALM = {"cpu": 0.55, "memory": 0.3, "p95_s": 0.1}
"""Above the lower threshold: no scale-in by itself."""
ROSE = ServiceMemory(before_rise=20, rise_s=NOW_S - 400.0, last_out_s=NOW_S - 400.0)
CHOSEN = wish_of(18, Reason.FORECAST, evidence={"rate": 900.0}, confidence=0.7)
SENT = Sent("id", 30, 27, 27, NOW_S - 59.0, NOW_S - 900.0)


def back(
    *, memory: ServiceMemory = ROSE, targets: Any = ((NOW_S - 100.0, 18),), ahead: Any = None,
    spec: Any = None, window: Any = None, alarm: Any = None, measured: Any = None, **counts: int,
) -> int | None:  # fmt: skip
    service = make_service(
        spec or make_spec(),
        **({"desired": 30} | counts),
        window=make_window(**CALM) if window is None else window,
    )
    seen = seen_of(service, memory=memory, alarm=alarm, measured=measured)
    result = take_back(
        seen, ahead or ahead_of(18.0, protected=30), CHOSEN, targets=targets, now_s=NOW_S,
        settings=EngineSettings(),
    )  # fmt: skip
    return None if result is None else result.target


def test_it_goes_back_to_what_there_was_whatever_is_booked_later_and_says_so() -> None:
    seen = seen_of(make_service(desired=30, window=make_window(**CALM)), memory=ROSE)
    result = take_back(
        seen, ahead_of(18.0, protected=30), CHOSEN, targets=((NOW_S, 18),), now_s=NOW_S,
        settings=EngineSettings(),
    )  # fmt: skip
    assert result is not None
    assert (result.service, result.target, result.reason) == ("api", 20, Reason.ROLLBACK)
    assert (result.confidence, result.trigger_s) == (0.7, NOW_S)
    assert result.evidence == {"rate": 900.0, VANISHED: 20.0}
    assert CHOSEN.evidence == {"rate": 900.0}


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({}, 20),
        # No lower than what was asked for lately, what is asked for now, or the floor.
        ({"targets": ((NOW_S - 100.0, 23), (NOW_S, 18))}, 23),
        ({"targets": ((NOW_S, 24),)}, 24),
        ({"ahead": ahead_of(18.0, floor=25)}, 25),
        ({"spec": make_spec(min_instances=22)}, 22),
        ({"memory": ROSE._replace(before_rise=0), "targets": ((NOW_S, 0),),
          "spec": make_spec(min_instances=0)}, 1),
        # For as long as it is young, and after the rest before a step back.
        ({"memory": ROSE._replace(rise_s=NOW_S - YOUNG_S)}, 20),
        ({"memory": ROSE._replace(rise_s=NOW_S - YOUNG_S - 1.0)}, None),
        ({"memory": ROSE._replace(last_out_s=NOW_S - 300.0)}, 20),
        ({"memory": ROSE._replace(last_out_s=NOW_S - 299.0)}, None),
        # Not below the count that a step in was taken back to, for as long as that is held.
        ({"memory": ROSE._replace(hold_in_until_s=NOW_S, held_at=24)}, 20),
        ({"memory": ROSE._replace(hold_in_until_s=NOW_S + 1.0, held_at=24)}, 24),
        ({"memory": ROSE._replace(hold_in_until_s=NOW_S + 1.0, held_at=20)}, 20),
        ({"memory": ROSE._replace(hold_in_until_s=NOW_S + 1.0, desired=30)}, None),
        ({"memory": ROSE._replace(calm_from_s=NOW_S)}, 20),
        ({"memory": ROSE._replace(calm_from_s=NOW_S + 1.0)}, None),
        # Another step in has been made just now: this one does not wait for it.
        ({"memory": ROSE._replace(last_in_s=NOW_S - 15.0)}, 20),
        # Figures asked for nothing, or what they asked for is gone.
        ({"memory": ServiceMemory()}, None),
        ({"memory": ROSE._replace(before_rise=30)}, None),
        ({"memory": ROSE._replace(before_rise=29)}, None),  # not worth a step
        ({"memory": ROSE._replace(before_rise=28)}, 28),
        ({"desired": 21}, None),
        ({"desired": 20, "memory": ROSE._replace(before_rise=19)}, 19),  # one of twenty is 5 %
        ({"desired": 22}, 20),
        # Something is wrong, or short.
        ({"alarm": wish_of(40, Reason.EMERGENCY)}, None),
        ({"window": make_window(age_s=99.0)}, None),
        ({"window": make_window(**(CALM | {"cpu": 0.81}))}, None),
        ({"measured": FiguresThere(("p95_s",), (), False, {})}, None),
        ({"measured": FiguresThere((), ("cpu",), True, {})}, None),
        ({"measured": FiguresThere((), ("memory",), False, {})}, 20),
        # A missed SLO that no instance of its own would help keeps nothing.
        ({"window": make_window(**(CALM | {"p95_s": 3.0}))}, 20),
        # What boots is waited for as long as nearly all boots take.
        ({"ready": 29, "booting": 1, "memory": ROSE._replace(short_from_s=NOW_S - 139.0)}, None),
        ({"ready": 29, "booting": 1, "memory": ROSE._replace(short_from_s=NOW_S - 140.0)}, 20),
        # A command on its way is waited for.
        ({"memory": ROSE._replace(sent=SENT)}, None),
        ({"memory": ROSE._replace(sent=SENT._replace(accepted=True))}, 20),
        ({"memory": ROSE._replace(sent=SENT._replace(sent_s=NOW_S - 60.0))}, 20),
        # It waits for a minute where much more will leave the window.
        ({"targets": ((NOW_S - 241.0, 27), (NOW_S, 18))}, None),
        ({"targets": ((NOW_S - 241.0, 25), (NOW_S, 18))}, 25),
        ({"targets": ((NOW_S - 240.0, 27), (NOW_S, 18))}, 27),
    ],
)  # fmt: skip
def test_when_and_how_far_it_goes_back(changes: dict[str, Any], target: int | None) -> None:
    assert back(**changes) == target
