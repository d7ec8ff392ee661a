from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import conf
from scenarios.streams import StreamOf
from scenarios.weddings.config import DemandConfig, PopulationConfig
from scenarios.weddings.population import Population, generate

CONF = Path(conf.__path__[0])


def philox(seed: int) -> StreamOf:
    def stream(purpose: str) -> np.random.Generator:
        key = (zlib.crc32(purpose.encode()),)
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=key)))

    return stream


@pytest.fixture(scope="session")
def streams() -> Callable[[int], StreamOf]:
    return philox


@pytest.fixture
def population_yaml() -> dict[str, Any]:
    return yaml.safe_load((CONF / "population" / "us.yaml").read_text())


@pytest.fixture
def demand_yaml() -> dict[str, Any]:
    return yaml.safe_load((CONF / "demand" / "wedsync.yaml").read_text())


@pytest.fixture
def us(population_yaml: dict[str, Any]) -> PopulationConfig:
    """The shipped population, at 2,000 simultaneous weddings."""
    return PopulationConfig(**population_yaml | {"simultaneous": 2_000})


@pytest.fixture
def wedsync(demand_yaml: dict[str, Any]) -> DemandConfig:
    return DemandConfig(**demand_yaml)


@pytest.fixture(scope="session")
def saturday() -> Population:
    """20,000 simultaneous weddings of the shipped population, for figures of distributions."""
    plain = yaml.safe_load((CONF / "population" / "us.yaml").read_text())
    return generate(PopulationConfig(**plain | {"simultaneous": 20_000}), philox(7))


@pytest.fixture(scope="session")
def seasons_yaml() -> dict[str, Any]:
    return yaml.safe_load((CONF / "seasons" / "us.yaml").read_text())
