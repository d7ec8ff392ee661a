"""Who leads, by a Lease of a real API server: the contract, take-overs, and what it may do."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from engine.adapters.kubernetes import holder
from engine.adapters.kubernetes.access import access_of
from engine.adapters.kubernetes.api import Api
from engine.adapters.kubernetes.lease import ACT_S, RENEW_S, SOON_S, TTL_S, KubernetesLease
from engine.adapters.kubernetes.settings import KubernetesConfig
from engine.adapters.lease_place import FILE, LeasePlace, lease_place, remember_lease
from engine.adapters.store.sqlite import local_desk
from engine.commands import status
from engine.ports import contract
from engine.ports.lease import NO_FENCE, NotLeadingError
from tests.control_plane import PATIENCE_S, ControlPlane
from tests.integration.kubernetes.conftest import LATE_S
from tests.integration.kubernetes.test_roles import granted, kubernetes

LEASES = "/apis/coordination.k8s.io/v1/namespaces"


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.time_s = 1000.0

    def __call__(self) -> float:
        return self.time_s


class Going:
    """A monotonic clock that goes as far as the test gets on.

    What passes between two looks at it counts as a second at most: a machine that stands still for
    longer than a lead lasts is another story.
    """

    def __init__(self) -> None:
        self._lived_s, self._seen_s = 1000.0, time.monotonic()

    def __call__(self) -> float:
        seen_s = time.monotonic()
        self._lived_s += min(seen_s - self._seen_s, 1.0)
        self._seen_s = seen_s
        return self._lived_s


Made = Callable[..., KubernetesLease]


@pytest.fixture
def made(cluster: ControlPlane, namespace: str, tmp_path: Path) -> Made:
    """Makes leases for engines that know each other by the Lease alone."""

    def make(
        clock_s: Callable[[], float] | None = None, token: str = "", renew_s: float = 3600.0
    ) -> KubernetesLease:
        clock_s = clock_s or Clock()  # it stands still where no time is to pass
        file = cluster.kubeconfig(
            tmp_path / "config", namespace=namespace, **({"token": token} if token else {})
        )
        config = KubernetesConfig.of({"kubeconfig": str(file), "timeout_s": LATE_S})
        api = Api(access_of(config), config.timeout_s)
        return KubernetesLease(api, namespace, "wedtwin-lead", clock_s, renew_s=renew_s)

    return make


def spec_of(cluster: ControlPlane, namespace: str) -> dict[str, Any]:
    spec: dict[str, Any] = cluster.ask("GET", f"{LEASES}/{namespace}/leases/wedtwin-lead")["spec"]
    return spec


@contextlib.asynccontextmanager
async def ending(*leases: KubernetesLease) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for lease in leases:
            await lease.release()


def test_the_lease_of_a_cluster_keeps_the_contract(made: Made) -> None:
    async def connect() -> KubernetesLease:
        return made()

    asyncio.run(contract.lease(connect))


def test_who_does_not_renew_stops_before_another_can_lead(
    cluster: ControlPlane, namespace: str, made: Made
) -> None:
    async def played() -> None:
        ours, theirs = Clock(), Clock()
        first, second = made(ours), made(theirs)
        async with ending(first, second):
            fence = await first.hold(0.0)
            assert spec_of(cluster, namespace)["leaseTransitions"] == fence
            with pytest.raises(NotLeadingError) as refused:
                await second.hold(0.0)
            assert refused.value.holder == first.holder
            assert second._pause_s() == pytest.approx(TTL_S + SOON_S)  # and not its next turn
            assert first._pause_s() == 3600.0
            ours.time_s += ACT_S - 0.01
            theirs.time_s += TTL_S - 0.01
            assert first.holds(fence)
            with pytest.raises(NotLeadingError):
                await second.hold(0.0)
            ours.time_s += 0.02
            assert not first.holds(fence)
            theirs.time_s += 0.02
            newer = await second.hold(0.0)
            assert newer == fence + 1
            with pytest.raises(NotLeadingError) as refused:
                await first.hold(0.0)
            assert refused.value.holder == second.holder

    asyncio.run(played())


def test_a_renewal_that_the_other_saw_begins_its_waiting_anew(made: Made) -> None:
    async def played() -> None:
        ours, theirs = Clock(), Clock()
        first, second = made(ours), made(theirs)
        async with ending(first, second):
            fence = await first.hold(0.0)
            for _ in range(4):
                with pytest.raises(NotLeadingError):
                    await second.hold(0.0)
                ours.time_s += 5.0
                theirs.time_s += 5.0
                await first._turn(NO_FENCE)
                assert await first.hold(0.0) == fence

    asyncio.run(played())


def test_of_two_that_take_it_at_once_one_leads(made: Made) -> None:
    async def played() -> None:
        many = [made() for _ in range(5)]
        async with ending(*many):
            for again in range(3):
                held = await asyncio.gather(
                    *(one.hold(0.0) for one in many), return_exceptions=True
                )
                fences = [one for one in held if isinstance(one, int)]
                assert fences == [again + 1], held
                (leader,) = (one for one in many if one.holds(fences[0]))
                await leader.release()

    asyncio.run(played())


def test_who_lost_it_for_a_while_leads_under_a_new_fence(made: Made) -> None:
    async def played() -> None:
        clock = Clock()
        lease = made(clock)
        async with ending(lease):
            fence = await lease.hold(0.0)
            clock.time_s += ACT_S
            assert not lease.holds(fence)
            assert await lease.hold(0.0) == fence + 1

    asyncio.run(played())


def test_a_lease_that_was_deleted_gives_no_fence_twice(
    cluster: ControlPlane, namespace: str, made: Made
) -> None:
    async def played() -> None:
        clock = Clock()
        lease = made(clock)
        async with ending(lease):
            fence = await lease.hold(0.0)
            cluster.ask("DELETE", f"{LEASES}/{namespace}/leases/wedtwin-lead")
            await lease._turn(NO_FENCE)
            clock.time_s += ACT_S
            assert await lease.hold(0.0) > fence
            assert spec_of(cluster, namespace)["leaseTransitions"] > fence

    asyncio.run(played())


@pytest.mark.slow
def test_it_is_renewed_by_itself_and_is_over_while_the_api_server_is_away(
    cluster: ControlPlane, made: Made
) -> None:
    async def played() -> None:
        clock = Going()
        lease = made(clock, renew_s=RENEW_S)
        async with ending(lease):
            fence = await lease.hold(0.0)
            end_s = clock() + 1.5 * ACT_S
            while clock() < end_s:
                assert await lease.hold(0.0) == fence
                await asyncio.sleep(0.2)
            await asyncio.to_thread(cluster.kill, "apiserver")
            try:
                async with asyncio.timeout(PATIENCE_S):
                    while lease.holds(fence):
                        await asyncio.sleep(0.1)
                with pytest.raises(NotLeadingError, match="who leads is not known: the API server"):
                    await lease.hold(0.0)
            finally:
                await asyncio.to_thread(cluster.start, "apiserver")
                await asyncio.to_thread(cluster.ready)
            newer = NO_FENCE
            async with asyncio.timeout(PATIENCE_S):
                while newer == NO_FENCE:
                    with contextlib.suppress(NotLeadingError):
                        newer = await lease.hold(0.0)
            assert newer == fence + 1

    asyncio.run(played())


@pytest.mark.parametrize("enough", [False, True])
def test_the_rights_that_are_generated_are_enough_and_without_them_the_trouble_names_them(
    cluster: ControlPlane, namespace: str, made: Made, tmp_path: Path, *, enough: bool
) -> None:
    lead = ("lease=kubernetes", f"live.cluster_lease.kubeconfig={tmp_path / 'admin'}")
    token = granted(cluster, namespace, tmp_path, *(lead if enough else ()))

    async def leads() -> int:
        first, second = made(token=token), made(token=token)
        async with ending(first, second):
            await first.hold(0.0)
            await first.release()
            return await second.hold(0.0)

    if enough:
        assert asyncio.run(leads()) == 2
    else:
        with pytest.raises(NotLeadingError, match=r"leases.* is forbidden"):
            asyncio.run(leads())


def test_a_wrong_kubeconfig_is_named(cluster: ControlPlane, namespace: str, tmp_path: Path) -> None:
    config = cluster.kubeconfig(tmp_path / "admin", namespace=namespace)
    said = kubernetes(
        "rbac", config, "lease=kubernetes", "live.cluster_lease.kubeconfig=/nowhere",
        folder=tmp_path,
    )  # fmt: skip
    assert said.returncode == 2
    assert "live.cluster_lease: kubeconfig: /nowhere cannot be read" in said.stderr


@pytest.fixture
def state(cluster: ControlPlane, namespace: str, tmp_path: Path) -> Path:
    """The folder of an engine that leads by the Lease, or waits for it."""
    folder = tmp_path / "state"
    folder.mkdir()
    local_desk(folder).close()
    file = cluster.kubeconfig(tmp_path / "config", namespace=namespace)
    remember_lease(folder, LeasePlace("wedtwin-lead", {"kubeconfig": str(file)}))
    return folder


def shown(state: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The first line of its status; no engine has stepped, so the exit code is 1."""
    assert status.run(["--state", str(state)]) == 1
    return capsys.readouterr().out.splitlines()[0]


NOBODY = "no engine leads (Lease wedtwin-lead)"


def test_status_says_who_has_the_lease(
    state: Path, made: Made, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shown(state, capsys) == NOBODY  # there is no such Lease yet

    async def played() -> None:
        lease = made()
        async with ending(lease):
            await lease.hold(0.0)
            assert await asyncio.to_thread(shown, state, capsys) == (
                f"{lease.holder} leads (Lease wedtwin-lead)"
            )
            # It is renewed no more, and nobody waits for so long.
            monkeypatch.setattr(holder, "TTL_S", 0.0)
            monkeypatch.setattr(holder, "RENEW_S", 0.05)
            assert await asyncio.to_thread(shown, state, capsys) == NOBODY
        monkeypatch.undo()
        assert await asyncio.to_thread(shown, state, capsys) == NOBODY  # it was given back

    asyncio.run(played())


def test_a_lead_whose_clock_is_set_otherwise_is_seen_by_its_next_renewal(
    cluster: ControlPlane,
    namespace: str,
    state: Path,
    made: Made,
    *,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def played() -> None:
        lease = made()
        async with ending(lease):
            await lease.hold(0.0)
            path = f"{LEASES}/{namespace}/leases/wedtwin-lead"
            cluster.merge(path, {"spec": {"renewTime": "2001-01-01T00:00:00.000000Z"}})
            looking = asyncio.create_task(asyncio.to_thread(shown, state, capsys))
            minute = 0
            while not looking.done():
                minute += 1
                renewed = f"2001-01-01T{minute // 60:02d}:{minute % 60:02d}:00.000000Z"
                await asyncio.to_thread(cluster.merge, path, {"spec": {"renewTime": renewed}})
                await asyncio.sleep(0.1)
            assert looking.result() == f"{lease.holder} leads (Lease wedtwin-lead)"

    asyncio.run(played())


def test_where_the_cluster_does_not_answer_status_says_so(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remember_lease(state, LeasePlace("wedtwin-lead", {"kubeconfig": "/nowhere"}))
    assert shown(state, capsys).startswith("who has the Lease wedtwin-lead is not said: ")


def test_a_folder_remembers_by_which_lease_its_engine_leads(tmp_path: Path) -> None:
    place = LeasePlace("lead", {"namespace": "shop"})
    assert lease_place(tmp_path) is None
    assert lease_place(tmp_path / "nowhere") is None
    remember_lease(tmp_path, None)
    remember_lease(tmp_path, place)
    assert lease_place(tmp_path) == place
    for damaged in ("", "[]", '{"name": "lead"}', '{"name": "lead", "options": 3}', "\xff"):
        (tmp_path / FILE).write_text(damaged, encoding="latin-1")
        with pytest.raises(OSError, match="does not say which Lease"):
            lease_place(tmp_path)
    remember_lease(tmp_path, None)
    assert lease_place(tmp_path) is None
