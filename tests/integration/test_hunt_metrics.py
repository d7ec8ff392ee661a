"""The adversary of the metrics: clean worlds stay clean, and an engine that trusts is found out."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path
from typing import Any

import pytest

import engine.decide.observe
import engine.decide.restraints
import twin.hunt.examine
from engine.decide.assess_weddings import Ahead
from engine.decide.observe import Seen
from engine.decide.rails.scale_in import ScaleIn
from engine.model import Recommendation
from tests import warm
from twin.hunt import campaign
from twin.hunt.apart import NO_DOUBLE, NO_FALL, RECOVERED
from twin.hunt.examine import examine
from twin.hunt.shrink import shrink
from twin.hunt.worlds import METRICS_SETTLE_S, generate_metrics, read

SEED = 1
CLEAN = (0, 1, 2, 3)
INVARIANTS = {NO_DOUBLE, NO_FALL, RECOVERED}


def with_fault(index: int = 12, **fault: Any) -> dict[str, Any]:
    """A world with one fault of its metrics of our choice, from the fifth minute on for one.

    Its fleet is above its minimum, so an engine can be led astray.  It ends when all has settled.
    """
    world = generate_metrics(SEED, index)
    world["population"]["duration_s"] = 360 + METRICS_SETTLE_S
    world["faults"] = {}
    world.pop("unmeasured", None)
    return world | {"metrics": [{"at": 300, "duration_s": 60} | fault]}


A_THOUSAND_TIMES = {"way": "times", "figures": ["request_rate"], "factor": 1000.0}


def violated(world: dict[str, Any]) -> set[str]:
    return {violation.invariant for violation in examine(world).violations}


@pytest.mark.parametrize("index", CLEAN)
def test_a_fault_of_the_metrics_alone_changes_little(index: int) -> None:
    assert violated(generate_metrics(SEED, index)) == set()


@pytest.mark.parametrize("factor", [0.0, 1e-9, 1e12, math.nan, -math.inf])
def test_a_rate_that_is_wrong_by_any_factor_keeps_all_invariants(factor: float) -> None:
    outcome = examine(with_fault(way="times", figures=["request_rate"], factor=factor))
    assert outcome.violations == ()
    (kind,) = outcome.apart
    assert kind.startswith("request rate")
    assert f"metrics: {kind}" in outcome.covered


def trusting(patch: pytest.MonkeyPatch) -> None:
    """An engine that takes each rate as it is measured, and nothing back."""
    patch.setattr(engine.decide.observe, "borne_out", lambda view, *_, **__: view.request_rate)
    patch.setattr(engine.decide.restraints, "take_back", lambda *_, **__: None)


def test_an_engine_without_witnesses_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    world = with_fault(**A_THOUSAND_TIMES)
    assert violated(world) == set()
    trusting(monkeypatch)
    outcome = examine(world)
    assert {violation.invariant for violation in outcome.violations} & INVARIANTS
    (apart,) = outcome.apart.values()
    assert apart.over > 1.0 or apart.recovery_s > 600.0


def test_an_engine_that_gives_away_what_two_wrong_figures_let_it_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who keeps what was asked for lately and what is booked has lost nothing in a minute."""
    world = with_fault(16, way="times", figures=["request_rate", "cpu"], factor=0.1)
    assert violated(world) == set()

    def as_forecast(_seen: Seen, _ahead: Ahead, chosen: Recommendation, **_: object) -> ScaleIn:
        return ScaleIn(chosen.target, chosen)

    monkeypatch.setattr(engine.decide.restraints, "scale_in", as_forecast)
    assert NO_FALL in violated(world)


def test_a_failing_world_is_made_smaller_kept_and_replayed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trusting(monkeypatch)
    # How often a difference is looked at again before it counts is for the test above.
    monkeypatch.setattr(twin.hunt.examine, "REPEATS", 1)
    harmless = {"way": "clock", "at": 100, "duration_s": 10, "step_s": 1.0, "share": 0.1}
    world = with_fault(**A_THOUSAND_TIMES)
    world["metrics"].append(harmless)
    (invariant, *_) = violated(world)
    smaller = shrink(world, invariant, most_runs=6)
    assert len(smaller["metrics"]) == 1
    path = campaign.worlds.write(smaller, tmp_path, invariant)
    assert "twin hunt --replay" in path.read_text()
    assert repr(read(path)) == repr(smaller)
    assert invariant in violated(read(path))


def test_two_runs_of_a_world_are_the_same_to_the_byte() -> None:
    once, again = (examine(generate_metrics(SEED, 1)) for _ in range(2))
    assert once.digest == again.digest
    assert once.digest != examine(generate_metrics(SEED, 2)).digest


def hunt(*arguments: str) -> subprocess.CompletedProcess[str]:
    return warm.run("twin", "hunt", *arguments)


def test_the_command_shows_how_far_each_kind_went(tmp_path: Path) -> None:
    tally = tmp_path / "hunt.json"
    worlds = ("--adversary", "metrics", "--worlds", "4", "--workers", "1")
    run = hunt(*worlds, "--seed", str(SEED), "--keep", str(tmp_path), "--json", str(tally))
    assert run.returncode == 0, run.stdout + run.stderr
    assert "fault of the metrics" in run.stdout
    document = json.loads(tally.read_text())
    assert (document["adversary"], document["worlds"]) == ("metrics", 4)
    assert document["apart"]
    assert all(far["over"] <= 2.0 for far in document["apart"].values())


def test_the_live_shell_has_no_adversary_of_the_metrics() -> None:
    run = hunt("--adversary", "metrics", "--shell", "live")
    assert run.returncode == 2
    assert "--adversary metrics needs --shell simulated" in run.stderr
