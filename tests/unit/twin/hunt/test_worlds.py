"""Random worlds: legal, repeatable, and the same from a file as from memory."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

import conf
from scenarios.faults.registry import KINDS
from twin.config import parse
from twin.hunt.worlds import configuration, generate, read, write


@pytest.mark.parametrize("index", range(0, 400, 20))
def test_a_world_is_legal_and_its_faults_end_in_time_to_recover(index: int) -> None:
    for k in range(index, index + 20):
        config = configuration(generate(3, k))
        for fault in config.faults.values():
            assert not isinstance(fault.at, str)
            assert (fault.at or 0) + fault.lasts_s < config.population.duration_s - 600 or (
                fault.kind == "slow_boot" and fault.lasts_s < 1e5
            )


def test_the_same_seed_and_number_give_the_same_world() -> None:
    assert generate(5, 17) == generate(5, 17)
    assert generate(5, 17) != generate(5, 18)
    assert generate(5, 17) != generate(6, 17)


def test_the_swarm_has_every_kind_of_fault_and_leaves_most_out_of_each_world() -> None:
    drawn = [generate(2, index)["faults"] for index in range(600)]
    kinds = Counter(kind for faults in drawn for kind in faults)
    assert set(kinds) == set(KINDS)
    assert max(len(faults) for faults in drawn) <= 6
    assert sum(not faults for faults in drawn) > 20


@pytest.mark.parametrize("index", range(12))
def test_a_world_from_a_scenario_file_is_the_same_run(index: int, tmp_path: Path) -> None:
    world = generate(4, index)
    path = write(world, tmp_path, "as a test")
    assert read(path) == world
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(Path(conf.__file__).parent), version_base="1.3"):
        searched = [f"hydra.searchpath=[file://{tmp_path}]", f"scenario={path.stem}"]
        raw = OmegaConf.to_container(compose("twin", searched), resolve=True)
    assert isinstance(raw, dict)
    raw.pop("sweep")  # its name is the time of day
    assert parse({str(key): value for key, value in raw.items()}) == configuration(world)


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "{", "seed: 1\n"])
def test_a_file_that_is_no_world_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "world.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"world\.yaml"):
        read(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        read(tmp_path / "none.yaml")
