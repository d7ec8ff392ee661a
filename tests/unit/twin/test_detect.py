"""How the monitor is scored: the truth by counterfactual, the command line, the figures."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from engine.config.strict import ConfigError
from scenarios.faults.registry import KINDS as ALL_KINDS
from twin.detect import command, worlds
from twin.detect.score import Quiet, Saturday, Scored, shown
from twin.world.world import World


def scored(index: int = 0, **changes: Any) -> Scored:
    figures: dict[str, Any] = {
        "index": index, "kind": "slow_service", "seed": 1, "fired": 5, "began_s": 2500.0,
        "shows": True, "shown_after_s": 10.0, "alarms": 2, "due": 2, "after_s": 15.0,
        "after_shown_s": 5.0, "blamed": True,
    }  # fmt: skip
    return Scored(**(figures | changes))


NOTHING = {"due": 0, "after_s": float("nan"), "after_shown_s": float("nan"), "blamed": False}


def test_recall_is_of_the_faults_that_show_and_noticed_of_those_that_did_something() -> None:
    rows = [
        scored(0), scored(1, **NOTHING), scored(2, shows=False, shown_after_s=float("nan")),
        scored(3, fired=0, **NOTHING),
    ]  # fmt: skip
    own = command.figures([], rows, [])["all"]
    assert (own["worlds"], own["shows"]) == (3, 2)
    assert own["recall"][0] == 0.5
    assert own["noticed"][0] == pytest.approx(2 / 3, abs=1e-4)
    assert own["blamed_right"][0] == 1.0
    assert own["recall"][1] < 0.5 < own["recall"][2]


def test_times_are_medians_of_what_was_noticed() -> None:
    rows = [scored(k, after_s=after_s) for k, after_s in enumerate((10.0, 20.0, 60.0))]
    rows.append(scored(3, **NOTHING))
    assert command.figures([], rows, [])["all"]["median_after_s"] == 20.0


def test_false_alarms_are_those_of_the_worlds_without_a_fault() -> None:
    quiet = [Quiet(1, ("10 s: api cpu",), 0.5), Quiet(2, (), 0.5)]
    days = [Saturday(3, (), ("1 s: api outlier", "9 s: api change"), 0.7)]
    results = command.figures(quiet, [scored()], days)
    assert results["without_faults"]["false_alarms_per_service_week"] == 1.0
    assert results["saturdays"]["alarms"] == 0
    assert results["saturdays"]["without_calendar"] == 2
    json.dumps(results, allow_nan=False)
    assert "1 alarms in 1.00 service weeks" in "\n".join(command.lines(results))


def test_without_any_world_nothing_is_a_share() -> None:
    results = command.figures([], [], [])
    assert results["all"]["recall"] is None
    assert results["without_faults"]["false_alarms_per_service_week"] is None
    assert command.lines(results)


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["worlds=-1"], "worlds"), (["worlds=many"], "worlds"), (["saturdays=1.5"], "saturdays"),
        (["workers=0"], "workers"), (["seed=-1"], "seed"), (["--fast"], "--fast"),
    ],
)  # fmt: skip
def test_a_wrong_word_is_refused_with_its_key(words: list[str], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        command.read(words)


def test_other_words_are_of_the_configuration() -> None:
    options = command.read(["worlds=3", "monitor.settle_s=600"])
    assert (options.worlds, options.overrides) == (3, ("monitor.settle_s=600",))


def test_a_world_is_the_same_each_time_and_differs_by_its_fault_alone() -> None:
    config = worlds.base(5, 0)
    assert config == worlds.base(5, 0)
    one = worlds.faulted(config, 5, 1)
    assert one == worlds.faulted(config, 5, 1)
    assert one.model_copy(update={"faults": {}}) == config
    assert {worlds.kind_of(k) for k in range(len(worlds.KINDS))} == set(worlds.KINDS)


@pytest.mark.parametrize("kind", worlds.KINDS)
def test_every_fault_that_can_be_drawn_is_one(kind: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        ALL_KINDS[kind].model_validate({"kind": kind, "at": 10.0, **worlds.KINDS[kind](rng)})


class _Felt:
    """As much of a world as what users feel is read from."""

    def __init__(self, p95_s: np.ndarray) -> None:
        samples = len(p95_s)
        spec = type("Spec", (), {"user_facing": True, "slo_p95_s": 1.0})
        metrics = np.zeros((1, samples, 9))
        metrics[0, :, 5] = p95_s
        truth = np.zeros((1, samples, 16))
        self.specs = [spec]
        self.platform = type("P", (), {"samples": samples, "metrics": metrics, "truth": truth})
        self.recorder = type("R", (), {"interval_s": 5})


@pytest.mark.parametrize(("samples", "shows"), [(12, False), (13, True)])
def test_a_fault_shows_when_a_figure_differs_by_a_fifth_for_over_a_minute(
    samples: int, shows: bool
) -> None:
    usual = np.full(60, 0.5)
    spoiled = usual.copy()
    spoiled[20 : 20 + samples] = 0.61
    seen = shown(_as_world(spoiled), _as_world(usual))
    assert bool(seen.any()) is shows
    assert not shows or int(np.flatnonzero(seen)[0]) == 20
    spoiled[20:] = 0.59
    assert not shown(_as_world(spoiled), _as_world(usual)).any()


def _as_world(p95_s: np.ndarray) -> World:
    return _Felt(p95_s)  # type: ignore[return-value]
