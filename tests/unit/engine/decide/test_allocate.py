"""What the purse holds and who gets it: every row worked out by hand."""

from __future__ import annotations

import math

import pytest

from engine.decide.allocate import EXHAUSTED, Granted, Purse, allocate, purse
from engine.decide.restraints import Allowed
from engine.memory import Pending, Sent, ServiceMemory, Straggler
from engine.model import Approval, Budget, Reason
from engine.settings import ApprovalSettings
from tests.unit.engine.conftest import NOW_S, make_service, make_spec
from tests.unit.engine.decide.conftest import seen_of, wish_of
from tests.unit.engine.decide.test_approvals import action_of

SETTINGS = ApprovalSettings(max_instances=50)
ENDLESS = math.inf


@pytest.mark.parametrize(
    ("usd_per_hour", "instances", "price", "added", "affordable"),
    [
        (ENDLESS, ENDLESS, 0.1, 7, 7),
        (ENDLESS, 5.0, 0.1, 7, 5),
        (0.5, ENDLESS, 0.1, 7, 5),
        (0.49, ENDLESS, 0.1, 7, 4),
        (0.3, ENDLESS, 0.1, 7, 3),  # 0.3 / 0.1 is a hair less than 3
        (0.3, 2.0, 0.1, 7, 2),
        (0.0, ENDLESS, 0.0, 7, 7),  # what costs nothing
        (-1.0, ENDLESS, 0.1, 7, 0),  # more is spent than there is
        (ENDLESS, -3.0, 0.1, 7, 0),
        (0.0, 0.0, 0.1, 7, 0),
    ],
)
def test_what_can_be_paid(usd_per_hour, instances, price, added, *, affordable) -> None:  # type: ignore[no-untyped-def]
    spec = make_spec(price_per_hour=price)
    assert Purse(usd_per_hour, instances).affords(spec, added) == affordable


def test_what_is_paid_is_gone() -> None:
    rest = Purse(2.0, 10.0).less(make_spec(price_per_hour=0.25), 4)
    assert rest == (1.0, 6.0)


@pytest.mark.parametrize(
    ("sent", "left"),
    [
        (None, (8.0, 80.0)),  # 10 at 0.1 and 10 at 0.1 of 10 USD/h and 100 instances
        # A command on its way may yet be carried out, so it is paid; an accepted one is desired.
        (Sent("a", 10, 14, 14, NOW_S, -math.inf), (7.6, 76.0)),
        (Sent("a", 10, 14, 20, NOW_S, -math.inf), (7.0, 70.0)),
        (Sent("a", 10, 14, 20, NOW_S, -math.inf, accepted=True), (8.0, 80.0)),
        (Sent("a", 10, 6, 6, NOW_S, -math.inf), (8.0, 80.0)),  # a fall pays for nothing yet
    ],
)
def test_the_rest_once_all_that_is_there_or_on_its_way_is_paid(sent, left) -> None:  # type: ignore[no-untyped-def]
    services = [make_service(make_spec("a")), make_service(make_spec("b"))]
    memories = {"a": ServiceMemory(sent=sent)}
    assert purse(services, Budget(10.0, 100.0), memories, NOW_S) == pytest.approx(left)
    if sent is not None and not sent.accepted:
        straggler = Straggler(10, sent.highest, NOW_S + 1.0)
        memories = {"a": ServiceMemory(straggler=straggler)}
        assert purse(services, Budget(10.0, 100.0), memories, NOW_S) == pytest.approx(left)


def granted(*wants, rest: Purse, approvals=None):  # type: ignore[no-untyped-def]
    """What services of ten instances each get; each want is (reason, count, changes)."""
    seen, allowed = [], []
    for number, (reason, count, *changes) in enumerate(wants):
        more = changes[0] if changes else {}
        service = make_service(
            make_spec(f"s{number}", price_per_hour=more.get("price", 0.1)), desired=10
        )
        seen.append(
            seen_of(service, waited_for=more.get("waited_for", True), memory=more.get("memory"))
        )
        chosen = (
            None if reason is None else wish_of(count, reason, confidence=more.get("sure", 0.8))
        )
        allowed.append(Allowed(chosen, count, (), more.get("why", ""), (), "", 1000))
    given = allocate(seen, allowed, approvals or {}, rest=rest, now_s=NOW_S, settings=SETTINGS)
    return [(one.target, one.why) for one in given]


OUT = EXHAUSTED


@pytest.mark.parametrize(
    ("wants", "rest", "got"),
    [
        # Enough for all.
        ([(Reason.CPU, 14), (Reason.EMERGENCY, 16)], Purse(1.0, 10.0), [(14, ""), (16, "")]),
        # By urgency, whoever comes first.
        ([(Reason.CPU, 14), (Reason.EMERGENCY, 16)], Purse(1.0, 9.0), [(13, OUT), (16, "")]),
        ([(Reason.EMERGENCY, 16), (Reason.CPU, 14)], Purse(1.0, 9.0), [(16, ""), (13, OUT)]),
        ([(Reason.ROLLBACK, 14), (Reason.EMERGENCY, 16)], Purse(1.0, 6.0), [(10, OUT), (16, "")]),
        ([(Reason.MANUAL, 14), (Reason.ROLLBACK, 16)], Purse(1.0, 6.0), [(10, OUT), (16, "")]),
        ([(Reason.BOUNDS, 14), (Reason.ROLLBACK, 16)], Purse(1.0, 6.0), [(10, OUT), (16, "")]),
        ([(Reason.WEDDING_FLOOR, 14), (Reason.MANUAL, 16)], Purse(1.0, 6.0),
         [(10, OUT), (16, "")]),
        ([(Reason.WEDDING_FLOOR, 14), (Reason.BOUNDS, 16)], Purse(1.0, 6.0),
         [(10, OUT), (16, "")]),
        ([(Reason.FORECAST, 14), (Reason.WEDDING_FLOOR, 16)], Purse(1.0, 6.0),
         [(10, OUT), (16, "")]),
        # As urgent as one another: those that users wait for, then the order of the call graph.
        ([(Reason.CPU, 14, {"waited_for": False}), (Reason.FORECAST, 16)], Purse(1.0, 6.0),
         [(10, OUT), (16, "")]),
        ([(Reason.CPU, 14), (Reason.FORECAST, 16)], Purse(1.0, 6.0), [(14, ""), (12, OUT)]),
        # What will wait for an answer comes last: too unsure, too dear or too many.
        ([(Reason.WEDDING_FLOOR, 14, {"sure": 0.1}), (Reason.FORECAST, 16, {"waited_for": False})],
         Purse(1.0, 6.0), [(10, OUT), (16, "")]),
        ([(Reason.WEDDING_FLOOR, 14, {"price": 1000.0}), (Reason.FORECAST, 16)],
         Purse(9000.0, 6.0), [(10, OUT), (16, "")]),
        ([(Reason.CPU, 61), (Reason.FORECAST, 16, {"waited_for": False})],
         Purse(100.0, 6.0), [(10, OUT), (16, "")]),
        ([(Reason.CPU, 60), (Reason.FORECAST, 16, {"waited_for": False})],
         Purse(100.0, 6.0), [(16, OUT), (10, OUT)]),
        # The rest is spent as far as it goes, each at its own price.
        ([(Reason.EMERGENCY, 14, {"price": 0.3}), (Reason.CPU, 14)], Purse(1.0, 99.0),
         [(13, OUT), (11, OUT)]),
        # Falls and what stays take nothing and give nothing.
        ([(Reason.COST, 6), (Reason.CPU, 14)], Purse(0.2, 99.0), [(6, ""), (12, OUT)]),
        ([(Reason.CPU, 10), (Reason.CPU, 14)], Purse(0.4, 4.0), [(10, ""), (14, "")]),
        # What had cut it before is said too.
        ([(Reason.CPU, 14, {"why": "one step"})], Purse(1.0, 2.0), [(12, f"one step; {OUT}")]),
        ([(Reason.CPU, 14, {"why": "one step"})], Purse(1.0, 4.0), [(14, "one step")]),
    ],
)  # fmt: skip
def test_who_gets_what(wants, rest, got) -> None:  # type: ignore[no-untyped-def]
    assert granted(*wants, rest=rest) == got


@pytest.mark.parametrize(
    ("reason", "other", "got"),
    [
        # What a person has approved is at least as urgent as what a person asks for.
        (Reason.FORECAST, Reason.WEDDING_FLOOR, [16, 10]),
        (Reason.FORECAST, Reason.MANUAL, [16, 10]),
        (Reason.FORECAST, Reason.ROLLBACK, [12, 14]),
        (Reason.FORECAST, Reason.EMERGENCY, [12, 14]),
    ],
)
def test_an_approved_action_goes_as_a_persons_request(reason, other, got) -> None:  # type: ignore[no-untyped-def]
    memory = ServiceMemory(pending=Pending(action_of(10, 16, reason), NOW_S + 60.0))
    approvals = {"api-1": Approval("api-1", True, NOW_S, "somebody")}
    wants = ((reason, 16, {"memory": memory}), (other, 14))
    given = granted(*wants, rest=Purse(1.0, 6.0), approvals=approvals)
    assert [target for target, _ in given] == got


def test_an_approved_action_is_granted_with_what_is_released_of_it() -> None:
    memory = ServiceMemory(pending=Pending(action_of(10, 16), NOW_S + 60.0))
    seen = seen_of(make_service(desired=10), memory=memory)
    approvals = {"api-1": Approval("api-1", True, NOW_S, "somebody")}
    allowed = Allowed(wish_of(15), 15, (), "", (), "", 1000)
    (one,) = allocate(
        [seen], [allowed], approvals, rest=Purse(1.0, 99.0), now_s=NOW_S, settings=SETTINGS
    )
    assert one == Granted(16, "", memory.pending.action)  # type: ignore[union-attr]
    (cut,) = allocate(
        [seen], [allowed], approvals, rest=Purse(0.3, 99.0), now_s=NOW_S, settings=SETTINGS
    )
    assert cut == Granted(13, EXHAUSTED, memory.pending.action)  # type: ignore[union-attr]
