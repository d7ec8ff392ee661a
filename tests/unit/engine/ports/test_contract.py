"""The kit's contracts: kept by the project's adapters, and broken by adapters that are wrong.

It is long because it is one table after the other about one module.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.adapters.lease_file import FENCE, FileLease
from engine.adapters.pool import haproxy
from engine.adapters.pool.book import PoolFile
from engine.adapters.pool.haproxy import HaproxyPool, PoolDelays, PoolInfrastructure
from engine.adapters.pool.place import Place, Worker
from engine.adapters.prometheus import PrometheusConfig, PrometheusSource
from engine.adapters.store import said as said_so_far
from engine.adapters.store import sqlite, staging, statements, written
from engine.adapters.store.credentials import SqlCredentials
from engine.adapters.store.halves import SqlDesk, SqlStore
from engine.adapters.store.schema import Transaction
from engine.adapters.store.sqlite import SqliteFile
from engine.model import Action, ActionResult, Approval, BootTime, ServiceSpec, Status
from engine.ports import contract
from engine.ports.contract import StagingDesk
from engine.ports.credentials import Glimpse, Texts
from engine.ports.desk import check_decision
from engine.ports.infrastructure import Counts, Infrastructure, Sighting, Unreachable
from engine.ports.lease import NO_FENCE, Fence
from engine.ports.store import Kept, Store
from tests.unit.engine.adapters.pool.test_haproxy import Played, write_stack

SPEC = ServiceSpec("api", 1, 4, 2, 0.1, 1.0, BootTime(5.0, 8.0), 1.0, 0.5, 0.1)


class SqliteBench(contract.StoreBench):
    """A state folder; another process holds the file when it is to be broken."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.files: list[SqliteFile] = []

    async def connect(self) -> Store:
        return SqlStore(self.opened())

    def desk(self) -> StagingDesk:
        return SqlDesk(self.opened())

    def opened(self) -> SqliteFile:
        self.files.append(SqliteFile(self.state, busy_s=120.0))
        return self.files[-1]

    async def break_off(self) -> bool:
        for file in self.files:  # what cannot be is not waited for
            file.write(lambda to: to.execute("PRAGMA busy_timeout = 200")).result()
        self.other = sqlite3.connect(self.state / sqlite.FILE, isolation_level=None)
        self.other.execute("BEGIN IMMEDIATE")
        return True

    async def mend(self) -> None:
        self.other.execute("ROLLBACK")
        self.other.close()


class PoolBench(contract.InfrastructureBench):
    """The worker pool with HAProxy played, so that nothing has to be started."""

    service, low, high = "api", 1, 3

    def __init__(self, place: Place) -> None:
        self.place = place

    async def connect(self) -> Infrastructure:
        return PoolInfrastructure(
            HaproxyPool(self.place, Worker(("false",), {}), delays=PoolDelays(poll_s=3600.0))
        )

    async def break_off(self) -> bool:
        self.place.pool.rename(self.place.pool.with_suffix(".gone"))
        return True

    async def mend(self) -> None:
        self.place.pool.with_suffix(".gone").rename(self.place.pool)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A stack of one service whose workers cannot be launched."""
    made = Place(tmp_path)
    write_stack(made)
    made.targets.mkdir()
    PoolFile(made.pool).create({"api": 1})
    monkeypatch.setattr(haproxy, "RuntimeApi", Played)
    monkeypatch.setattr(HaproxyPool, "_launch", lambda *_: None)
    return made


def test_the_sqlite_store_keeps_its_contract(tmp_path: Path) -> None:
    asyncio.run(contract.store(SqliteBench(tmp_path)))


def test_credentials_in_a_file_keep_their_contract(tmp_path: Path) -> None:
    contract.credentials(lambda: SqlCredentials(SqliteFile(tmp_path)))


class Unmarked(SqlCredentials):
    """Changes what is kept and leaves the mark."""

    def _glimpse(self, at: Transaction, mark: str | None) -> Glimpse | None:
        seen = super()._glimpse(at, None)
        assert seen is not None
        return None if mark == "ever" else Glimpse("ever", seen.texts)


class Talkative(SqlCredentials):
    """Reads all of it each time."""

    def _glimpse(self, at: Transaction, mark: str | None) -> Glimpse | None:
        return super()._glimpse(at, None)


class Growing(SqlCredentials):
    """Takes nothing away."""

    def change(self, edit: Callable[[Texts], Texts]) -> None:
        super().change(lambda texts: {**texts, **edit(texts)})


class Alone(SqlCredentials):
    """Edits what it read before, whoever has changed it since."""

    def change(self, edit: Callable[[Texts], Texts]) -> None:
        seen = self.glimpse(None)
        assert seen is not None
        time.sleep(0.01)
        after = edit(seen.texts)
        super().change(lambda _: after)


class Assured(SqlCredentials):
    """Takes nothing for changed."""

    def is_unchanged(self) -> bool:
        return True


class Swallowing(SqlCredentials):
    """Says nothing of what failed."""

    def change(self, edit: Callable[[Texts], Texts]) -> None:
        with contextlib.suppress(KeyError):
            super().change(edit)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Unmarked, "what has changed elsewhere is not seen"),
        (Talkative, "nothing has changed, and something is told"),
        (Growing, "is there instead of"),
        (Alone, "is there instead of"),
        (Assured, "what has changed elsewhere is said to be unchanged"),
        (Swallowing, "what a change raised is not raised"),
    ],
)
def test_the_kit_finds_out_what_is_wrong_with_credentials(
    tmp_path: Path, kind: type[SqlCredentials], said: str
) -> None:
    with pytest.raises(AssertionError, match=said):
        contract.credentials(lambda: kind(SqliteFile(tmp_path)))


def test_the_file_lease_keeps_its_contract(tmp_path: Path) -> None:
    async def connect() -> FileLease:
        return FileLease(tmp_path)

    asyncio.run(contract.lease(connect))


def test_the_worker_pool_keeps_its_contract(place: Place) -> None:
    asyncio.run(contract.infrastructure(PoolBench(place)))
    assert PoolFile(place.pool).read().fence > 1  # it outlives whoever brought it


@pytest.mark.parametrize("cut", ["", "1", "}"])
def test_a_fence_never_goes_back_whatever_a_kill_left_of_the_leaders_file(
    tmp_path: Path, cut: str
) -> None:
    async def leads() -> list[Fence]:
        fences = []
        for _ in range(3):
            lease = FileLease(tmp_path)
            fences.append(await lease.hold(0.0))
            await lease.release()
            (tmp_path / "leader").write_text(cut)
        return fences

    assert asyncio.run(leads()) == [1, 2, 3]
    assert (tmp_path / FENCE).read_text() == "3\n"


def test_a_lead_is_lost_when_its_folder_is_taken_away(tmp_path: Path) -> None:
    state = tmp_path / "state"

    async def both() -> tuple[Fence, Fence]:
        first, second = FileLease(state), FileLease(state)
        before = await first.hold(0.0)
        state.rename(tmp_path / "gone")
        await second.hold(1.0)  # in a folder of the same name: somebody else leads there
        with pytest.raises(contract.NotLeadingError):
            await first.hold(2.0)
        await second.release()
        return before, await first.hold(3.0)

    before, after = asyncio.run(both())
    assert after > before


# --- Prometheus, whose server a transport plays


def answers(body: Any, status: int = 200) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(
        status, content=body if isinstance(body, str) else json.dumps(body)
    )


def matrix(times: Sequence[float]) -> dict[str, Any]:
    series = {"metric": {"service": "api"}, "values": [[t, "0.5"] for t in times]}
    return {"status": "success", "data": {"resultType": "matrix", "result": [series]}}


def gone(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("Connection refused")


async def hangs(_: httpx.Request) -> httpx.Response:
    await asyncio.sleep(3600.0)
    raise AssertionError("nobody waits for so long")


@pytest.mark.parametrize(
    "server",
    [
        answers(matrix([9_990.0, 9_995.0, 10_000.0])),
        answers(matrix([10_000.0, 9_995.0, 9_995.0, 20_000.0])),
        answers({"status": "success", "data": {"resultType": "matrix", "result": []}}),
        answers({"status": "error", "error": "query timed out"}, 503),
        answers("<html>", 502),
        answers('{"status": "success", "da'),
        answers([1, 2, 3]),
        gone,
        hangs,
    ],
)
def test_prometheus_keeps_its_contract_whatever_its_server_says(server: Any) -> None:
    async def run() -> None:
        config = PrometheusConfig(
            url="http://there", queries={"cpu": "cpu"}, timeout_s=0.2, totals_timeout_s=0.2
        )
        source = PrometheusSource([SPEC], 5.0, config, httpx.MockTransport(server))
        await contract.metrics(source, ["api"], 10_000.0)
        await source.close()

    asyncio.run(run())


# --- the kit itself


class Cloud:
    """A right infrastructure in memory; each subclass is wrong in one way."""

    def __init__(self, world: dict[str, Any]) -> None:
        self.world = world
        self.results: list[ActionResult] = []

    async def observe(self) -> Sighting:
        if self.world["gone"]:
            raise Unreachable("no route")
        results, self.results = tuple(self.results), []
        return Sighting({"api": Counts(self.world["desired"], 1, 0, 0)}, results, self.fence())

    async def apply(self, actions: Sequence[Action], fence: Fence) -> tuple[ActionResult, ...]:
        return tuple(self.one(action, fence) for action in actions)

    async def close(self) -> None:
        return

    def fence(self) -> Fence:
        return Fence(self.world["fence"])

    def one(self, action: Action, fence: Fence) -> ActionResult:
        why = self.why(action, fence)
        if not why:
            self.carry_out(action)
        return ActionResult(action.decision_id, Status.FAILED if why else Status.ACCEPTED, 0.0, why)

    def carry_out(self, action: Action) -> None:
        if action.decision_id not in self.world["seen"]:
            self.world["seen"].add(action.decision_id)
            self.world["desired"] = action.to_instances

    def why(self, action: Action, fence: Fence) -> str:
        if self.world["gone"]:
            return "no route"
        if fence < self.world["fence"]:
            return f"fence {fence} is over"
        self.world["fence"] = fence
        if action.service != "api":
            return "there is no such service"
        if action.decision_id in self.world["seen"]:
            return ""
        if action.from_instances != self.world["desired"]:
            return f"conflict: {self.world['desired']} are desired"
        return ""


class NoFence(Cloud):
    def why(self, action: Action, fence: Fence) -> str:
        return super().why(action, Fence(max(fence, self.world["fence"])))


class FenceOfItsOwn(Cloud):
    """Remembers the fence, but not for whoever comes after it."""

    def __init__(self, world: dict[str, Any]) -> None:
        super().__init__({**world, "fence": 0, "seen": world["seen"]})
        self.shared = world

    def carry_out(self, action: Action) -> None:
        super().carry_out(action)
        self.shared["desired"] = self.world["desired"]


class Replaying(Cloud):
    def why(self, action: Action, fence: Fence) -> str:
        self.world["seen"].discard(action.decision_id)
        return super().why(action, fence) if action.decision_id != "contract-1" else ""


class Heedless(Cloud):
    """Does what is asked, whatever it was decided on."""

    def why(self, action: Action, fence: Fence) -> str:
        why = super().why(action, fence)
        return "" if why.startswith("conflict") else why


class Raising(Cloud):
    def one(self, action: Action, fence: Fence) -> ActionResult:
        if action.service != "api":
            raise KeyError(action.service)
        return super().one(action, fence)


class Guessing(Cloud):
    async def observe(self) -> Sighting:
        return Sighting({"api": Counts(self.world["desired"], 1, 0, 0)}, (), self.fence())


class Silent(Cloud):
    def fence(self) -> Fence:
        return NO_FENCE


class CloudBench(contract.InfrastructureBench):
    service, low, high = "api", 2, 4

    def __init__(self, kind: type[Cloud]) -> None:
        self.kind = kind
        self.world = {"desired": 2, "fence": 0, "seen": set(), "gone": False}

    async def connect(self) -> Infrastructure:
        return self.kind(self.world)

    async def break_off(self) -> bool:
        self.world["gone"] = True
        return True

    async def mend(self) -> None:
        self.world["gone"] = False


def test_the_kit_is_content_with_an_infrastructure_that_is_right() -> None:
    asyncio.run(contract.infrastructure(CloudBench(Cloud)))


@pytest.mark.parametrize(
    "kind", [NoFence, FenceOfItsOwn, Replaying, Heedless, Raising, Guessing, Silent]
)
def test_the_kit_finds_out_what_is_wrong(kind: type[Cloud]) -> None:
    with pytest.raises((AssertionError, KeyError)):
        asyncio.run(contract.infrastructure(CloudBench(kind)))


def unfenced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "check_fence", lambda *_: None)


def replacing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that is kept again takes the place of the first."""
    plain = sqlite._Statements.execute

    def execute(self: Any, statement: str, *values: Any) -> Any:
        statement = statement.replace("INSERT INTO history", "INSERT OR REPLACE INTO history")
        if "INTO history" in statement:
            statement = statement.replace("ON CONFLICT DO NOTHING", "")
        return plain(self, statement, *values)

    monkeypatch.setattr(sqlite._Statements, "execute", execute)


def heedless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are removed by their decision, whatever was answered."""
    plain = statements.keep

    def keep(transaction: Transaction, kept: Kept, fence: Fence, *how: Any, **more: Any) -> None:
        for given in kept.taken:
            transaction.execute("DELETE FROM answers WHERE decision_id = ?", given.decision_id)
        plain(transaction, kept, fence, *how, **more)

    monkeypatch.setattr(statements, "keep", keep)


def overruled(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(to: Transaction, approval: Approval, letters: Any, log: str, *, audit: str) -> None:
        statements.put_answer(to, approval.decision_id, written.of_answer(approval))
        if approval.decision_id != "contract-9" or "0012" not in audit:
            staging.stage(to, (audit,), letters, log)

    monkeypatch.setattr(statements, "answer", answer)


def unstaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that is kept again is staged again."""
    plain = statements._append

    def append(to: Transaction, rows: Any, fence: Fence, letters: Any, *, log: str) -> None:
        plain(to, rows, fence, letters, log=log)
        staging.stage(to, [row.audit for row in rows], letters, log)

    monkeypatch.setattr(statements, "_append", append)


def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked for together is asked for one after the other."""

    def ask_together(self: SqlDesk, asked: Any) -> list[str]:
        return [self.ask(one.request, one.schedule, audit=audit) for one, audit in asked]

    def ask(self: SqlDesk, request: Any, schedule: Any = None, *, audit: str = "") -> str:
        return self.database.write(
            lambda to: statements.ask(to, request, schedule, 0.0, audit=audit)
        ).result()

    monkeypatch.setattr(SqlDesk, "ask_together", ask_together)
    monkeypatch.setattr(SqlDesk, "ask", ask)


def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever answers is heard, whatever he had not seen."""
    plain = said_so_far.add
    monkeypatch.setattr(
        said_so_far, "add",
        lambda to, approval, _, now_s, *,
        letters: plain(to, approval, None, now_s, letters=letters),
    )  # fmt: skip


def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine is told of the first who approves as if nobody else had to."""
    plain = SqlDesk.answer
    monkeypatch.setattr(
        SqlDesk, "answer",
        lambda self, approval, **how: plain(self, approval, **{**how, "complete": True}),
    )  # fmt: skip


def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody remembers who has said what."""
    monkeypatch.setattr(
        said_so_far, "add", lambda _, approval, *__, **___: check_decision(approval.decision_id)
    )


def unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written is written, it says."""

    async def keep(self: Any, kept: Kept, fence: Fence) -> None:
        with contextlib.suppress(OSError):
            await self._change(lambda transaction: statements.keep(transaction, kept, fence))

    monkeypatch.setattr(SqlStore, "keep", keep)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (unfenced, "the newest fence is not told|fence that is over"),
        (replacing, "the history is"),
        (heedless, "another answer was taken in"),
        (overruled, "cannot be meant was taken|refusal was overruled"),
        (unsaid, "says it wrote"),
        (unstaged, "there wait .*2"),
        (apart, "a part of what was refused"),
        (deaf, "did not know of the first"),
        (hasty, "was heard|engine is told|wait"),
        (forgetful, "first who approved is not known"),
    ],
)
def test_the_kit_finds_out_what_is_wrong_with_a_store(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[pytest.MonkeyPatch], None],
    said: str,
) -> None:
    spoil(monkeypatch)
    with pytest.raises(AssertionError, match=said):
        asyncio.run(contract.store(SqliteBench(tmp_path)))
