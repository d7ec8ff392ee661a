"""Nobody is left untold, and nobody is told twice, whatever breaks on the way."""

from __future__ import annotations

from tests.unit.engine.monitoring.conftest import API, DATABASE
from twin.detect.delivery import world

SPECS = (API, DATABASE)


def test_none_is_lost_and_none_is_told_twice_whatever_breaks() -> None:
    worlds = [world(SPECS, seed) for seed in range(12)]
    assert sum(one.notices for one in worlds) > 60
    assert sum(one.crashes for one in worlds) > 20
    assert any(one.sent > one.notices for one in worlds)  # some arrived again, under their id
    assert sum(one.lost for one in worlds) == 0
    assert sum(one.twice for one in worlds) == 0


def test_a_store_that_forgets_what_it_kept_is_found_out() -> None:
    worlds = [world(SPECS, seed, kept_share=0.3) for seed in range(12)]
    assert sum(one.lost + one.twice for one in worlds) > 0
