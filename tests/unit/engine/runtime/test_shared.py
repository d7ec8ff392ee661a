"""What several shards of one engine share: one look for all, and to each what is its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.config.composition import composed
from engine.config.live import parse
from engine.config.standing import StandingFloor, StandingPause, StandingRequests
from engine.config.strict import ConfigError
from engine.model import (
    ActionResult,
    Approval,
    Direction,
    ManualFloor,
    Observation,
    Occasion,
    Pause,
    Plan,
    Status,
    VowLocks,
)
from engine.ports.infrastructure import Counts, Sighting
from engine.ports.lease import NO_FENCE, Fence, NotLeadingError
from engine.ports.metrics import Reading
from engine.ports.notifier import Alert, AlertState
from engine.ports.store import Requests
from engine.runtime.keeper import ShardKeeper, ShardLease
from engine.runtime.shared import (
    OneLook,
    ShardInfrastructure,
    ShardNotifier,
    ShardRequests,
    SharedPorts,
)
from engine.sharding.protocol import Round, RoundAnswer
from engine.sharding.register import LeaseRegister, LeaseTable
from engine.sharding.shards import Shard, ShardLayout
from tests.unit.engine.conftest import make_outlook
from tests.unit.engine.runtime.conftest import action

A, B = Shard("api", ("api", "db")), Shard("mail", ("mail",))
LAYOUT = ShardLayout((A, B), "layout")


class Table:
    """The register, as the table; `gone` while it does not answer."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self.table, self.gone = LeaseTable(), False
        self._clock_s, self._lock = clock_s, threading.Lock()

    def serve(self, asked: Round) -> RoundAnswer:
        with self._lock:
            if self.gone:
                raise OSError(0, "gone", "the lease table")
            self.table, answer = LeaseRegister().serve(self.table, asked, self._clock_s())
        return answer

    def close(self) -> None:
        pass


class Keepers:
    """Keepers over one table, on a clock that the test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.table = Table(lambda: self.now_s)

    def start(self, name: str) -> ShardKeeper:
        keeper = ShardKeeper(self.table, LAYOUT, name, lambda: self.now_s, longest_wait_s=0.001)
        keeper.start()
        return keeper

    def until(self, is_so: Callable[[], bool], passing_s: float = 0.01) -> None:
        """Let time pass until it is."""
        for _ in range(20_000):
            if is_so():
                return
            self.now_s += passing_s
            time.sleep(0.001)
        raise AssertionError("it never was")


def test_what_a_keeper_has_another_takes_when_it_leaves_or_is_gone() -> None:
    keepers = Keepers()
    first = keepers.start("first")
    keepers.until(lambda: set(first.epochs()) == {"api", "mail"})
    second = keepers.start("second")
    keepers.until(lambda: set(first.members()) == {"first", "second"})
    assert not set(first.epochs()) & set(second.epochs())
    assert {holder for holder, _ in first.owners().values()} == {"first"}
    first.leave(30.0)
    assert first.epochs() == {}
    keepers.until(lambda: set(second.epochs()) == {"api", "mail"})
    assert min(second.epochs().values()) > 1
    keepers.table.gone = True
    keepers.until(lambda: second.epochs() == {})  # by its own clock
    assert "gone" in second.trouble
    keepers.table.gone = False
    keepers.until(lambda: set(second.epochs()) == {"api", "mail"})
    second.leave(30.0)


def test_a_lease_says_who_has_the_shard_and_goes_above_what_the_infrastructure_heard() -> None:
    keepers = Keepers()
    keeper = keepers.start("one")
    lease = ShardLease(keeper, "api")
    with pytest.raises(NotLeadingError, match="nobody has api"):
        asyncio.run(ShardLease(ShardKeeper(keepers.table, LAYOUT, "x"), "api").hold(0.0))
    keepers.until(lambda: set(keeper.epochs()) == {"api", "mail"})
    assert asyncio.run(lease.hold(0.0)) >= 1
    with pytest.raises(NotLeadingError):
        asyncio.run(lease.hold(0.0, Fence(70)))
    keepers.until(lambda: keeper.epoch("api") > 70)
    keeper.leave(30.0)


# --- the ports


API_LOCKS, MAIL_LOCKS = (VowLocks(np.zeros(n), np.ones(n)) for n in (1, 2))


class Cloud:
    """An infrastructure that hears of epochs."""

    def __init__(self) -> None:
        self.looks = 0
        self.claims: list[tuple[tuple[str, ...], int]] = []
        self.applied: list[int] = []
        self.results: list[ActionResult] = []

    async def observe(self) -> Sighting:
        self.looks += 1
        results, self.results = tuple(self.results), []
        counts = {name: Counts(2, 2, 0, 0) for name in ("api", "db", "mail")}
        locks = {"api": API_LOCKS, "mail": MAIL_LOCKS}
        ages_s = {"api": 1.0, "mail": 2.0}
        return Sighting(counts, results, Fence(99), ages_s=ages_s, locks=locks)

    async def claim(self, services: Sequence[str], fence: Fence) -> Fence:
        self.claims.append((tuple(services), fence))
        return Fence(4)

    async def apply(self, actions: Sequence[Any], fence: Fence) -> tuple[ActionResult, ...]:
        self.applied.append(fence)
        return ()


class Pager:
    """A notifier."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    async def notify(self, alert: Alert) -> None:
        self.alerts.append(alert)


def shared(cloud: Cloud, epochs: dict[str, Fence], **ports: Any) -> SharedPorts:
    async def nothing(_: float) -> Any:
        return None

    some = SimpleNamespace(read=nothing, outlook=nothing, requests=nothing)
    keeper: Any = SimpleNamespace(epoch=lambda shard: epochs.get(shard, NO_FENCE))
    given: dict[str, Any] = {
        "metrics": some, "bookings": some, "requests": some, "notifier": Pager(), "notes": None,
    } | ports  # fmt: skip
    return SharedPorts((), keeper=keeper, infrastructure=cloud, **given)  # type: ignore[arg-type]


def test_the_platform_is_looked_at_once_in_a_step_and_each_shard_sees_its_own() -> None:
    async def play() -> None:
        cloud = Cloud()
        ports = shared(cloud, {"api": Fence(3), "mail": Fence(1)})
        one, other = ShardInfrastructure(ports, A), ShardInfrastructure(ports, B)
        cloud.results = [ActionResult("mail-12", Status.COMPLETED, 1.0)]
        ports.begin(5.0)
        seen, others = await asyncio.gather(one.observe(), other.observe())
        assert cloud.looks == 1
        assert (set(seen.services), set(others.services)) == ({"api", "db"}, {"mail"})
        assert (seen.ages_s, others.ages_s) == ({"api": 1.0}, {"mail": 2.0})
        assert (seen.locks, others.locks) == ({"api": API_LOCKS}, {"mail": MAIL_LOCKS})
        assert [r.decision_id for r in (*seen.results, *others.results)] == ["mail-12"]
        assert (seen.results, others.fence) == ((), 4)
        assert sorted(cloud.claims) == [(("api", "db"), 3), (("mail",), 1)]
        ports.begin(10.0)
        assert (await one.observe()).fence == NO_FENCE
        assert cloud.looks == 2
        assert len(cloud.claims) == 2  # told once of each epoch

    asyncio.run(play())


def test_what_the_shards_do_is_noted_as_one_step_of_all_services() -> None:
    noted: list[tuple[Any, ...]] = []
    notes = SimpleNamespace(
        step=lambda *given, reading: noted.append((*given, reading)),
        event=lambda *given, detail: noted.append((*given, detail)),
    )
    ports = shared(Cloud(), {}, notes=notes)
    outlook = make_outlook()
    for at_s, compute_s, decision in ((5.0, 0.25, "api-1"), (5.5, 0.5, "mail-1")):
        plan = Plan(actions=(action(decision, 2, 3),), cycle=decision == "mail-1")
        ports.together.step(
            at_s, Observation(5.0, (), outlook), plan, compute_s, reading=Reading({})
        )
    assert not noted
    ports.together.flush()
    ((at_s, _, plan, compute_s, reading),) = noted
    assert (at_s, compute_s, plan.cycle, reading.windows) == (5.0, 0.75, True, {})
    assert [one.decision_id for one in plan.actions] == ["api-1", "mail-1"]
    ports.together.flush()
    ports.together.event(6.0, "kind", "name", "what", detail="why")
    assert noted[1:] == [(6.0, "kind", "name", "what", "why")]


def test_no_command_is_sent_when_the_lease_is_over_at_that_moment() -> None:
    epochs, cloud = {"api": Fence(3)}, Cloud()
    one = ShardInfrastructure(shared(cloud, epochs), A)
    asked = (action("api-1", 2, 3),)
    assert asyncio.run(one.apply(asked, Fence(3))) == ()
    for later in ({}, {"api": Fence(4)}):
        epochs.clear()
        epochs.update(later)
        [result] = asyncio.run(one.apply(asked, Fence(3)))
        assert (result.status, result.sent) == (Status.FAILED, False)
    assert cloud.applied == [3]


def test_a_shard_is_given_what_people_ask_about_it_and_about_all() -> None:
    asked = Requests(
        floors=(ManualFloor("api", 3, 9.0), ManualFloor("mail", 2, 9.0)),
        pauses=(Pause("", Direction.ALL, 9.0), Pause("mail", Direction.IN, 9.0)),
        answers=(Approval("db-1f", True, 1.0, "ada"), Approval("mail-2e", True, 1.0, "ada")),
        occasions=(
            Occasion("o", "launch", (("db", 2.0), ("mail", 3.0)), 0.0, 9.0, 0.5, 0.0, 9.0),
            Occasion("p", "other", (("mail", 3.0),), 0.0, 9.0, 0.5, 0.0, 9.0),
        ),
    )

    async def requests(_: float) -> Requests:
        return asked

    store: Any = SimpleNamespace(
        newest=None, memory=None, keep=None, put_memory_aside=None, show_status=None, close=None
    )
    ports = shared(Cloud(), {}, requests=SimpleNamespace(requests=requests))
    own = asyncio.run(ShardRequests(ports, A, store).requests(5.0))
    assert [one.service for one in own.floors] == ["api"]
    assert [one.service for one in own.pauses] == [""]
    assert [one.decision_id for one in own.answers] == ["db-1f"]
    assert [one.times for one in own.occasions] == [(("db", 2.0),)]
    standing = StandingRequests(
        floors=(StandingFloor(service="mail", instances=2),), pauses=(StandingPause(service=""),)
    )
    assert (standing.of(A.services).floors, len(standing.of(A.services).pauses)) == ((), 1)


def test_what_all_shards_say_in_a_step_is_said_once() -> None:
    pager = Pager()
    ports = shared(Cloud(), {}, notifier=pager)
    alert = Alert(1.0, "metrics", AlertState.STARTED, "no answer")

    async def play() -> None:
        for step_s in (5.0, 5.0, 10.0):
            ports.begin(step_s)
            await ShardNotifier(ports).notify(alert)

    asyncio.run(play())
    assert len(pager.alerts) == 2


def test_a_look_that_fails_fails_for_all_who_asked() -> None:
    async def ask(_: float) -> int:
        raise OSError("gone")

    async def play() -> list[Any]:
        look = OneLook[int](ask)
        return await asyncio.gather(look.at(1.0), look.at(1.0), return_exceptions=True)

    assert [str(error) for error in asyncio.run(play())] == ["gone", "gone"]


# --- the configuration


@pytest.mark.parametrize(("words", "said"), [
    (["lease=shards"], "live.lease: \"shards\" needs a database"),
    (["lease=shards", "live.store='postgresql://h/n'", "budget.usd_per_hour=9"],
     "budget.usd_per_hour: is not allowed with live.lease"),
    (["live.lease=both"], "live.lease"),
])  # fmt: skip
def test_what_cannot_be_shared_is_named(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(composed(words, root="live"))


def test_shards_are_chosen_by_a_group() -> None:
    config = parse(composed(["lease=shards", "live.store='postgresql://h/n'"], root="live"))
    assert config.live.lease == "shards"
    assert parse(composed([], root="live")).live.lease == "one"
