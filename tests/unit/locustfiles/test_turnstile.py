from __future__ import annotations

from collections import Counter
from dataclasses import replace

import gevent
import pytest

from locustfiles.arrivals import Arrival, ArrivalSchedule
from locustfiles.client import RequestOutcome
from locustfiles.plan import LoadPlan
from locustfiles.tally import ServiceSecond
from locustfiles.turnstile import Turnstile


class Somebody:
    """Takes so long for each request, and remembers when it came."""

    def __init__(self, takes_s: float, outcome: RequestOutcome | None = None) -> None:
        self.takes_s = takes_s
        self.outcome = outcome or RequestOutcome("ok")
        self.asked: list[Arrival] = []
        self.felt: list[float] = []

    def request(self, arrival: Arrival, timeout_s: float) -> RequestOutcome:
        self.asked.append(arrival)
        gevent.sleep(self.takes_s)
        return self.outcome

    def tell(self, arrival: Arrival, felt_s: float, outcome: RequestOutcome) -> None:
        self.felt.append(felt_s)


@pytest.fixture(scope="module")
def short(plan: LoadPlan) -> LoadPlan:
    """A second of load, about 60 requests, of people who wait as long as a busy machine takes."""
    clients = tuple(replace(client, timeout_s=1e6) for client in plan.clients)
    return replace(plan, speed=600.0, rates=plan.rates[:, :600], clients=clients)


def played(
    plan: LoadPlan, somebody: Somebody, max_in_flight: int
) -> tuple[Turnstile, ServiceSecond]:
    roles = {role for role, _ in plan.kinds}
    turnstile = Turnstile(ArrivalSchedule(plan), dict.fromkeys(roles, somebody), max_in_flight)
    turnstile.run(0.0)
    return turnstile, turnstile.news().of(range(len(plan.services)))


def test_a_slow_system_gets_the_same_load(short: LoadPlan) -> None:
    quick, slow = Somebody(0.0), Somebody(1.5)
    _, cell = played(short, slow, max_in_flight=1000)
    played(short, quick, max_in_flight=1000)
    assert slow.asked == quick.asked == list(ArrivalSchedule(short))
    assert cell.counts["held"] == cell.counts["dropped"] == 0
    assert cell.counts["slow"] > 0
    assert min(slow.felt) >= 1.5


def test_beyond_the_bound_requests_are_held_and_the_wait_is_felt(short: LoadPlan) -> None:
    turnstile, cell = played(short, Somebody(0.05), max_in_flight=2)
    assert turnstile.peak_in_flight == 2
    assert cell.counts["held"] > 10
    assert cell.counts["sent"] == cell.counts["intended"] == len(list(ArrivalSchedule(short)))
    # From sending they took 50 ms each; what was felt counts from the moment they were due.
    assert max(cell.answered) < max(cell.felt)


def test_what_was_held_longer_than_its_client_waits_is_dropped(short: LoadPlan) -> None:
    clients = tuple(replace(client, timeout_s=0.2) for client in short.clients)
    _, cell = played(replace(short, clients=clients), Somebody(0.15), max_in_flight=2)
    assert cell.counts["dropped"] > 0
    assert cell.counts["sent"] + cell.counts["dropped"] == cell.counts["intended"]


class StoppedClock:
    """Begins at 0 and then stands at `at_s`, however slow the machine is."""

    def __init__(self, at_s: float) -> None:
        self.at_s = at_s
        self.began = False

    def __call__(self) -> float:
        began, self.began = self.began, True
        return self.at_s if began else 0.0


@pytest.mark.parametrize(("at_s", "most_attempts"), [(0.9, 3), (0.999, 1)])
def test_some_clients_try_again_as_the_scenario_says(
    short: LoadPlan, at_s: float, most_attempts: int
) -> None:
    # Pauses of 5 to 30 ms: after 0.999 s of a load of one second none would end within it.
    clients = tuple(
        replace(client, max_retries=2, retry_share=1.0, backoff_s=0.01) for client in short.clients
    )
    assert short.wall_s == 1.0
    plan = replace(short, clients=clients)
    failing, clock = Somebody(0.0, RequestOutcome("shed", "HTTP 503")), StoppedClock(at_s)
    stand_ins = dict.fromkeys((role for role, _ in plan.kinds), failing)
    turnstile = Turnstile(ArrivalSchedule(plan), stand_ins, 1000, clock)
    running = gevent.spawn(turnstile.run, 0.0)
    intended = len(list(ArrivalSchedule(plan)))
    with gevent.Timeout(300.0):
        while len(failing.asked) < most_attempts * intended:
            gevent.sleep(0.01)
    gevent.sleep(0.1)
    clock.at_s = 2.0
    running.get()
    counts = turnstile.news().of(range(len(plan.services))).counts
    attempts = Counter(arrival.attempt for arrival in failing.asked)
    assert attempts == dict.fromkeys(range(most_attempts), intended)
    assert counts["intended"] == intended
    assert counts["retried"] == (most_attempts - 1) * intended


def test_a_journey_with_a_bug_is_a_failed_request_with_its_reason(short: LoadPlan) -> None:
    class Clumsy(Somebody):
        def request(self, arrival: Arrival, timeout_s: float) -> RequestOutcome:
            raise KeyError("bouquet")

    clients = tuple(replace(client, max_retries=0) for client in short.clients)
    plan = replace(short, clients=clients)
    turnstile = Turnstile(ArrivalSchedule(plan), {r: Clumsy(0.0) for r, _ in plan.kinds}, 10)
    turnstile.run(0.0)
    tally = turnstile.news()
    cell = tally.of(range(3))
    assert cell.counts["failed"] == cell.counts["intended"] > 0
    assert "api: KeyError: 'bouquet'" in tally.reasons
    assert tally.exceptions == {"Clumsy: KeyError: 'bouquet'": cell.counts["failed"]}


def test_a_person_who_cannot_hear_of_it_holds_nobody_up(short: LoadPlan) -> None:
    class Deaf(Somebody):
        def tell(self, arrival: Arrival, felt_s: float, outcome: RequestOutcome) -> None:
            raise ValueError("what?")

    turnstile = Turnstile(ArrivalSchedule(short), {r: Deaf(0.0) for r, _ in short.kinds}, 1)
    turnstile.run(0.0)
    tally = turnstile.news()
    cell = tally.of(range(3))
    assert cell.counts["ok"] == cell.counts["intended"] > 0
    assert tally.exceptions == {"Deaf: ValueError: what?": cell.counts["ok"]}


def test_a_role_that_the_plan_has_nothing_for_waits_and_goes(short: LoadPlan) -> None:
    quick, idle = Somebody(0.0), Somebody(0.0)
    turnstile = Turnstile(ArrivalSchedule(short), {role: quick for role, _ in short.kinds}, 10)
    turnstile.come("florist", idle)
    turnstile.run(0.0)
    turnstile.leave("florist", idle)
    turnstile.leave("florist", idle)
    assert not idle.asked


def test_those_present_are_asked_before_anybody_stands_in(short: LoadPlan) -> None:
    stand_in, guest = Somebody(0.0), Somebody(0.0)
    turnstile = Turnstile(ArrivalSchedule(short), {role: stand_in for role, _ in short.kinds}, 1000)
    turnstile.come("guest", guest)
    turnstile.run(0.0)
    assert {arrival.role for arrival in guest.asked} == {"guest"}
    assert "vendor" in {arrival.role for arrival in stand_in.asked}
    together = sorted(guest.asked + stand_in.asked, key=lambda arrival: arrival.due_s)
    assert together == list(ArrivalSchedule(short))


def test_who_leaves_gets_no_more(short: LoadPlan) -> None:
    guest, stand_in = Somebody(0.0), Somebody(0.0)
    turnstile = Turnstile(ArrivalSchedule(short), {role: stand_in for role, _ in short.kinds}, 1000)
    turnstile.come("guest", guest)
    turnstile.leave("guest", guest)
    turnstile.run(0.0)
    assert not guest.asked


def test_what_is_in_flight_at_a_stop_is_unfinished(short: LoadPlan) -> None:
    turnstile = Turnstile(
        ArrivalSchedule(short), {role: Somebody(60.0) for role, _ in short.kinds}, 1000
    )
    running = gevent.spawn(turnstile.run, 0.0)
    gevent.sleep(0.3)
    turnstile.close()
    running.kill()
    counts = turnstile.news().of(range(3)).counts
    assert counts["unfinished"] == counts["intended"] > 0
    assert counts["sent"] == 0


def test_what_is_due_while_the_load_is_being_stopped_does_not_count(short: LoadPlan) -> None:
    turnstile = Turnstile(
        ArrivalSchedule(short), {role: Somebody(0.0) for role, _ in short.kinds}, 1000
    )
    first, second, *_ = ArrivalSchedule(short)
    turnstile.submit(first)
    turnstile.close()
    turnstile.submit(second)
    counts = turnstile.news().of(range(len(short.services))).counts
    assert counts["unfinished"] == counts["intended"] == 1
