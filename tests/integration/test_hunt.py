"""The hunt finds what is broken on purpose, finds nothing else, and keeps what it finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import simpy

import engine.autoscaler
import engine.decide.rails.limits
import twin.runs.summary
from engine.decide import restraints, wishes
from engine.decide.allocate import Purse
from engine.decide.approve import Decided
from engine.decide.rails.limits import Limited
from engine.decide.rails.scale_in import ScaleIn
from engine.decide.recommend import wedding
from engine.model import Action, Plan
from engine.ports.lease import Fence
from engine.record.schema.summary import Cost
from tests import warm
from twin.hunt import campaign
from twin.hunt.campaign import FailingWorld, HuntTally
from twin.hunt.examine import examine
from twin.hunt.shrink import shrink
from twin.hunt.worlds import generate, read
from twin.queues.fluid import FluidPlatform
from twin.world.cloud import SimulatedCloud, Write
from twin.world.fleet import Fleet
from twin.world.telemetry import Telemetry
from twin.world.world import World

SEED = 11
Mutation = Callable[[pytest.MonkeyPatch], None]


def violated(index: int) -> set[str]:
    return {violation.invariant for violation in examine(generate(SEED, index)).violations}


def found_within(worlds: int, invariant: str, having: str = "", likely: int = 0) -> int:
    """Number of a world, of the first with such a fault, that violates `invariant`.

    Looked for from `likely` on: a search through hundreds of worlds, each time anew, shows no more.
    """
    for index in range(likely, 10_000):
        if having and having not in generate(SEED, index)["faults"]:
            continue
        if invariant in violated(index):
            return index
        worlds -= 1
        if worlds == 0:
            break
    raise AssertionError(f"{invariant}: none of the worlds showed it")


def test_nothing_is_found_where_nothing_is_broken() -> None:
    others = range(21, 27)  # than the command examines, below
    assert [violated(index) for index in others] == [set()] * len(others)


def unlimited_steps(patch: pytest.MonkeyPatch) -> None:
    def limit(spec: Any, current: int, target: int, *_: object, **__: object) -> Limited:
        return Limited(min(max(target, spec.min_instances), spec.max_instances))

    patch.setattr(restraints, "limit", limit)


def no_rest(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine.decide.rails.limits, "_rest_s", lambda *_: 0.0)


def bottomless_purse(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Purse, "affords", lambda *asked: asked[-1])


def careless_scale_in(patch: pytest.MonkeyPatch) -> None:
    def scale_in(seen: Any, _: object, chosen: Any, **__: object) -> ScaleIn:
        return ScaleIn(max(chosen.target, seen.traits.spec.min_instances), chosen)

    patch.setattr(restraints, "scale_in", scale_in)


def no_floor(patch: pytest.MonkeyPatch) -> None:
    careless_scale_in(patch)
    unlimited_steps(patch)
    for module, rule in ((wedding, "wedding_floor"), (wishes, "forecast")):
        original = getattr(module, rule)

        def low(*arguments: Any, original: Any = original, **named: Any) -> Any:
            return replace(original(*arguments, **named), target=0)

        patch.setattr(module, rule, low)


def no_approval_needed(patch: pytest.MonkeyPatch) -> None:
    original = engine.autoscaler.approve

    def approve(*arguments: Any, **named: Any) -> tuple[Decided, ...]:
        return tuple(
            decided._replace(action=decided.action or decided.question, question=None)
            for decided in original(*arguments, **named)
        )

    patch.setattr(engine.autoscaler, "approve", approve)


def no_idempotency(patch: pytest.MonkeyPatch) -> None:
    def carry_out(
        self: SimulatedCloud, action: Action, fence: Fence, delay_s: float = 0.0
    ) -> Generator[simpy.Event, None, None]:
        yield self.env.timeout(self.config.accept_s + delay_s)
        fleet = self.fleets[action.service]
        for watcher in self.watchers:
            watcher(Write(fence, action, fleet.desired))
        fleet.want(action.to_instances)

    patch.setattr(SimulatedCloud, "_carry_out", carry_out)


def no_fencing(patch: pytest.MonkeyPatch) -> None:
    def carry_out(
        self: SimulatedCloud, action: Action, fence: Fence, delay_s: float = 0.0
    ) -> Generator[simpy.Event, None, None]:
        yield self.env.timeout(self.config.accept_s + delay_s)
        fleet = self.fleets[action.service]
        if fleet.desired == action.from_instances:
            for watcher in self.watchers:
                watcher(Write(fence, action, fleet.desired))
            fleet.want(action.to_instances)

    patch.setattr(SimulatedCloud, "_carry_out", carry_out)


def forgotten_instances(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Fleet, "reconcile", lambda _: None)


def one_price(patch: pytest.MonkeyPatch) -> None:
    original = twin.runs.summary.bill

    def bill(world: World) -> Cost:
        hours = sum(f.instance_seconds(world.now_s) / 3600.0 for f in world.fleets.values())
        total_usd = hours * world.specs[0].price_per_hour
        return original(world).model_copy(update={"total_usd": total_usd})

    patch.setattr(twin.runs.summary, "bill", bill)


def generous_bill(patch: pytest.MonkeyPatch) -> None:
    original = Fleet.instance_seconds
    patch.setattr(Fleet, "instance_seconds", lambda self, until_s: 1.01 * original(self, until_s))


def early_samples(patch: pytest.MonkeyPatch) -> None:
    original = Telemetry.start

    def start(self: Telemetry) -> None:
        honest = self.delivered_s.copy()
        self.delivered_s = self.sampled_s + 0.0 * honest
        original(self)
        self.delivered_s = honest

    patch.setattr(Telemetry, "start", start)


def leaking_queue(patch: pytest.MonkeyPatch) -> None:
    original = FluidPlatform.totals

    def totals(self: FluidPlatform) -> Any:
        counts = original(self)
        counts[:, 2] *= 1.001
        return counts

    patch.setattr(FluidPlatform, "totals", totals)


def serving_ghosts(patch: pytest.MonkeyPatch) -> None:
    original = FluidPlatform.set_ready

    def set_ready(self: FluidPlatform, service: int, instances: int, crashed: int = 0) -> None:
        original(self, service, instances + (crashed > 0), crashed)

    patch.setattr(FluidPlatform, "set_ready", set_ready)


def idle_engine(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine.autoscaler.Autoscaler, "step", lambda *_: Plan())


def raising_engine(patch: pytest.MonkeyPatch) -> None:
    def scale_in(*_: object, **__: object) -> None:
        raise ZeroDivisionError("nothing to divide by")

    patch.setattr(restraints, "scale_in", scale_in)


@pytest.mark.parametrize(
    ("mutation", "invariant", "within", "having", "likely"),
    [
        (unlimited_steps, "step limit", 40, "", 2),
        (no_rest, "cooldown", 40, "", 1),
        (bottomless_purse, "budget and quota", 60, "", 21),
        (careless_scale_in, "no scale-in in a breach", 60, "", 5),
        (careless_scale_in, "no scale-in in a data gap", 60, "", 0),
        (no_floor, "wedding floor", 60, "", 1),
        (no_approval_needed, "approval", 60, "", 20),
        (no_idempotency, "a replayed command changes nothing", 60, "commands_duplicated", 24),
        (no_fencing, "one leader's writes", 250, "two_leaders", 2002),
        (forgotten_instances, "desired = actual", 40, "", 2),
        (generous_bill, "bill", 5, "", 0),
        (one_price, "bill", 5, "", 2),
        (early_samples, "nothing from the future", 5, "", 0),
        (leaking_queue, "conservation", 5, "", 0),
        (serving_ghosts, "served by ready instances only", 60, "", 0),
        (idle_engine, "the queues drain", 200, "", 32),
        (raising_engine, "the engine answers", 20, "", 0),
    ],
)
def test_what_is_broken_on_purpose_is_found(
    mutation: Mutation,
    invariant: str,
    within: int,
    having: str,
    *,
    likely: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mutation(monkeypatch)
    found_within(within, invariant, having, likely)


def test_a_failing_world_is_shrunk_kept_and_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlimited_steps(monkeypatch)
    index = found_within(40, "step limit", likely=16)  # it is soon small
    first = next(
        v for v in examine(generate(SEED, index)).violations if v.invariant == "step limit"
    )
    tally = HuntTally(SEED, examined=index + 1, failing=1, failures=[FailingWorld(index, first)])
    campaign.keep(tally, tmp_path, lambda _: None)
    (kept,) = (tmp_path / "scenario").glob("*.yaml")
    assert tally.failures[0].path == kept
    small = read(kept)
    assert len(json.dumps(small)) < len(json.dumps(generate(SEED, index)))
    assert "step limit" in {v.invariant for v in examine(small).violations}
    assert small == shrink(small, "step limit", most_runs=10)

    ended = warm.run(
        "twin", "run", "--config-dir", str(tmp_path), f"scenario={kept.stem}",
        f"output={tmp_path / 'records'}",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert (Path(ended.stdout.splitlines()[-1]) / "summary.json").is_file()


EXAMINED = """
from twin.hunt.examine import examine
from twin.hunt.worlds import generate
worlds = [generate(11, i) for i in range(3)]
worlds.append({**worlds[0], "seed": 5, "resolution": "request"})
digests = [examine(world).digest for world in worlds]
"""


def test_a_world_is_the_same_to_the_byte_in_any_process() -> None:
    here: dict[str, Any] = {}
    exec(EXAMINED, here)
    there = subprocess.run(
        [sys.executable, "-c", EXAMINED + "print(*digests)"], capture_output=True, text=True,
        timeout=600, check=True, env={**os.environ, "PYTHONHASHSEED": "2"},
    ).stdout.split()  # fmt: skip
    assert len(set(there)) == 4
    assert there == here["digests"]


def hunt(*arguments: str) -> subprocess.CompletedProcess[str]:
    return warm.run("twin", "hunt", *arguments)


def test_the_command_counts_what_was_covered(tmp_path: Path) -> None:
    json_file, keep = tmp_path / "tally.json", tmp_path / "kept"
    ended = hunt(
        "--worlds", "21", "--workers", "2", "--seed", "11", "--json", str(json_file),
        "--keep", str(keep),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "every invariant held" in ended.stdout
    assert "flash_crowd" in ended.stdout
    tally = json.loads(json_file.read_text())
    assert (tally["worlds"], tally["run_twice"], tally["failing"]) == (21, 2, 0)
    assert tally["covered"]["resolution: request"]["worlds"] > 0
    assert not keep.exists()


def test_the_command_stops_after_the_time_it_was_given(tmp_path: Path) -> None:
    json_file = tmp_path / "tally.json"
    limits = ("--worlds", "100000", "--seconds", "1", "--workers", "1")
    ended = hunt(*limits, "--json", str(json_file))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert 0 < json.loads(json_file.read_text())["worlds"] < 10_000


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--worlds", "0"], '--worlds: "0" is not allowed'),
        (["--worlds", "many"], '--worlds: "many" is not allowed'),
        (["--seconds", "-3"], '--seconds: "-3" is not allowed'),
        (["--workers", "0"], '--workers: "0" is not allowed'),
        (["--seed", "-1"], '--seed: "-1" is not allowed'),
        (["--replay", "no/such.yaml"], "no/such.yaml: there is no such file"),
        (["--world", "3"], "unrecognized arguments: --world"),
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str], says: str) -> None:
    ended = hunt(*arguments)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr
