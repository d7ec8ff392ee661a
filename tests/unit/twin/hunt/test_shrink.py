"""Making a failing world small, with failures that are known beforehand."""

from __future__ import annotations

from twin.hunt.shrink import minimise
from twin.hunt.worlds import World, configuration, generate


def crowded() -> World:
    """A world with several faults, services and settings."""
    for index in range(1000):
        world = generate(7, index)
        many = len(world["faults"]) >= 3 and len(world["platform"]["services"]) >= 3
        if many and len(world["engine"]) >= 4 and "budget" in world:
            return world
    raise AssertionError("no such world in a thousand")


def test_what_the_failure_does_not_need_is_taken_away() -> None:
    world = crowded()
    culprit = next(iter(world["faults"]))
    small = minimise(world, lambda candidate: culprit in candidate["faults"])
    assert list(small["faults"]) == [culprit]
    assert len(small["platform"]["services"]) == 1
    assert set(small["engine"]) == {"sample_s", "capacity"}
    assert not {"budget", "approval", "operator", "infrastructure"} & set(small)
    assert small["population"]["duration_s"] < world["population"]["duration_s"]


def test_what_it_needs_stays() -> None:
    world = crowded()
    pair = list(world["faults"])[:2]

    def fails(candidate: World) -> bool:
        return set(pair) <= set(candidate["faults"]) and "budget" in candidate

    small = minimise(world, fails)
    assert sorted(small["faults"]) == sorted(pair)
    assert small["budget"] == world["budget"]


def test_a_small_world_is_still_a_legal_one() -> None:
    world = crowded()
    culprit = list(world["faults"])[-1]

    def fails(candidate: World) -> bool:
        configuration(candidate)
        return culprit in candidate["faults"]

    # A fault that names a service that is gone is no legal world; `shrink` takes that for "no".
    def fails_legally(candidate: World) -> bool:
        try:
            return fails(candidate)
        except ValueError:
            return False

    configuration(minimise(world, fails_legally))


def test_the_search_ends_when_it_has_run_often_enough() -> None:
    runs = 0

    def fails(_: World) -> bool:
        nonlocal runs
        runs += 1
        return True

    minimise(crowded(), fails, most_runs=5)
    assert runs == 5


def test_the_world_given_is_left_as_it_was() -> None:
    world = crowded()
    minimise(world, lambda _: True)
    assert world == crowded()
