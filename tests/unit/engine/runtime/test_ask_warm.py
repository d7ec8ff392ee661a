"""What a controller may ask to be held warm: what is offered, and nothing where nothing is."""

from __future__ import annotations

import pytest

from engine.model import Action, Observation, Plan, Quantity, WarmOffer
from engine.ports.contract import action
from engine.runtime.ask import decide
from engine.runtime.errors import ControllerError
from tests.unit.engine.conftest import make_spec, observe


class Asks:
    """Wants this one thing."""

    def __init__(self, wanted: Action) -> None:
        self.wanted = wanted

    def step(self, observation: Observation) -> Plan:
        del observation
        return Plan(actions=(self.wanted,))

    def snapshot(self) -> str:
        return ""

    def restore(self, snapshot: str) -> None:
        del snapshot


@pytest.mark.parametrize(
    ("offer", "count", "allowed"),
    [
        (WarmOffer(0.1, 0.1, 5), 0, True),
        (WarmOffer(0.1, 0.1, 5), 5, True),
        (WarmOffer(0.1, 0.1, 5), 6, False),
        (WarmOffer(0.1, 0.1, 5), -1, False),
        (None, 0, True),
        (None, 1, False),
    ],
)
def test_what_may_be_held_warm(offer: WarmOffer | None, count: int, *, allowed: bool) -> None:
    specs = {"api": make_spec(warm=offer)}
    wanted = action("api", 3, count, "d-1", quantity=Quantity.WARM)
    if allowed:
        assert decide(Asks(wanted), observe(), specs, "now").actions == (wanted,)
        return
    most = 0 if offer is None else 5
    with pytest.raises(
        ControllerError, match=rf"api to {count} held warm is not allowed \(0 … {most}\)"
    ):
        decide(Asks(wanted), observe(), specs, "now")
