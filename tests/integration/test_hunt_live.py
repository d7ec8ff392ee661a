"""The asyncio shell under the hunt: it keeps the invariants, and what is broken in it is found."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from engine.model import Action, Plan
from engine.ports.lease import Fence
from engine.ports.metrics import Reading
from engine.runtime.cycle import Cycle, Troubles
from engine.runtime.patience import Patience
from engine.runtime.shell import LiveShell
from tests import warm
from twin.hunt.examine import examine
from twin.hunt.live import SpoiledStore
from twin.hunt.worlds import generate
from twin.world.cloud import CloudPort
from twin.world.world import World

SEED = 11
Mutation = Callable[[pytest.MonkeyPatch], None]


def world(index: int, *faults: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """A world whose ports fail in ways that are chosen."""
    return {**generate(SEED, index), "resolution": "fluid", "ports": list(faults), **changed}


def always(port: str, way: str, **figures: float) -> dict[str, Any]:
    """A port that fails for five minutes, with each call unless a `share` is given."""
    return {"port": port, "way": way, "at": 60, "duration_s": 300, **figures}


def test_the_live_shell_keeps_the_invariants_and_is_the_same_to_the_byte() -> None:
    for index in range(2):
        raw = world(
            index,
            always("metrics", "raises", share=0.5), always("store", "raises_after"),
            always("apply", "late", late_s=9.0), always("lease", "lost", share=0.5),
        )  # fmt: skip
        first, second = examine(raw), examine(raw)
        assert first.violations == ()
        assert first.digest == second.digest
        assert first.covered["port: lease lost"] > 0


def test_a_world_that_was_examined_is_forgotten() -> None:
    """Thousands of them come one after the other in the same process."""
    worlds: list[weakref.ref[World]] = []
    original = World.finish
    raising = [always(port, "raises") for port in ("metrics", "observe", "memory", "notifier")]

    def finish(self: World) -> None:
        worlds.append(weakref.ref(self))
        original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(World, "finish", finish)
        examine(world(0, *raising))
    gc.collect()
    assert [one() for one in worlds] == [None]


def unguarded(patch: pytest.MonkeyPatch) -> None:
    async def read(self: LiveShell, now_s: float) -> Reading:
        try:
            return await self._metrics.read(now_s)
        except SystemExit as error:  # it would end the loop, and the hunt with it
            raise RuntimeError(repr(error)) from error

    patch.setattr(LiveShell, "_read", read)


def endless_patience(patch: pytest.MonkeyPatch) -> None:
    async def call(_: Patience[Any], ask: Callable[[], Any], __: object) -> Any:
        return await ask()

    patch.setattr(Patience, "call", call)


def forgotten_answers(patch: pytest.MonkeyPatch) -> None:
    def forget(self: Cycle) -> None:
        self._answered = ()

    patch.setattr(Cycle, "_forget_removed", forget)


def endless_troubles(patch: pytest.MonkeyPatch) -> None:
    original = Troubles.are

    def are(self: Troubles, now_s: float, source: str, details: Sequence[str]) -> None:
        if details:
            original(self, now_s, source, details)

    patch.setattr(Troubles, "are", are)


def no_fence(patch: pytest.MonkeyPatch) -> None:
    original = CloudPort.apply

    async def apply(self: CloudPort, actions: Sequence[Action], fence: Fence) -> Any:
        return await original(self, actions, max(fence, self._cloud.fence))

    async def write(self: SpoiledStore, port: str, fence: Fence) -> Any:
        return await self.engine.call(port)

    patch.setattr(CloudPort, "apply", apply)
    patch.setattr(SpoiledStore, "_write", write)  # it would notice first


def unkept(patch: pytest.MonkeyPatch) -> None:
    """It sends what could not be kept."""

    def sendable(_: Cycle, plan: Plan, __: float, ___: object) -> Any:
        return plan.actions, ()

    patch.setattr(Cycle, "sendable", sendable)


LEADERS = {"two_leaders": {"kind": "two_leaders", "at": 120, "duration_s": 400, "behind_s": 60}}
CROWD = {
    "flash_crowd": {
        "kind": "flash_crowd", "at": 100, "service": "web", "factor": 6.0, "ramp_s": 60,
        "hold_s": 240, "decay_s": 60,
    },
}  # fmt: skip
ASKING = {"mode": "act", "approval": {"max_instances": 1, "expires_s": 900.0}}


@pytest.mark.parametrize(
    ("mutation", "invariant", "faults", "changed", "likely"),
    [
        (unguarded, "the shell foresees", [always("metrics", "raises")], {}, 0),
        (endless_patience, "the engine goes on", [always("observe", "hangs")], {}, 0),
        (endless_troubles, "troubles end", [always("metrics", "raises")], {}, 0),
        (
            forgotten_answers, "an answer counts once", [always("store", "raises")],
            {"approval": 10, "faults": CROWD}, 1,
        ),
        (unkept, "a command is kept before it is given", [always("store", "raises")], {}, 2),
        (no_fence, "only what the leader decided", [], {"faults": CROWD | LEADERS}, 5),
    ],
)  # fmt: skip
def test_what_is_broken_on_purpose_in_the_live_shell_is_found(
    mutation: Mutation,
    invariant: str,
    faults: list[dict[str, Any]],
    changed: dict[str, Any],
    *,
    likely: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worlds = [world(index, *faults, **changed) for index in range(likely, 12)]
    if "approval" in changed:
        for raw in worlds:
            raw["engine"] = {**raw["engine"], **ASKING}
    mutation(monkeypatch)
    for raw in worlds:
        if invariant in {violation.invariant for violation in examine(raw).violations}:
            return
    pytest.fail(f"{invariant}: none of the worlds showed it")


def test_the_command_hunts_with_the_live_shell(tmp_path: Path) -> None:
    tally = tmp_path / "tally.json"
    hunted = warm.run(
        "twin", "hunt", "--shell", "live", "--worlds", "4", "--workers", "1", "--json", str(tally),
        "--keep", str(tmp_path / "kept"),
    )  # fmt: skip
    assert hunted.returncode == 0, hunted.stdout + hunted.stderr
    assert "(live shell)" in hunted.stdout
    counted = json.loads(tally.read_text())
    assert (counted["shell"], counted["worlds"], counted["run_twice"]) == ("live", 4, 1)
    assert any(name.startswith("port: ") for name in counted["covered"])


def test_a_fault_of_a_port_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="ports: metrics does not fail in the way twice"):
        examine(world(0, always("metrics", "twice")))
