from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from scenarios.faults.kinds.flash_crowd import FlashCrowd
from scenarios.faults.kinds.slow_boot import SlowBoot
from scenarios.faults.kinds.zone_loss import ZoneLoss
from scenarios.faults.registry import AnyFault, apply_to_demand
from scenarios.faults.times import resolve_at
from scenarios.weddings.demand import Demand

FAULTS = TypeAdapter(list[AnyFault])
SECONDS = 20_000
PEAK, STEEPEST = 12_000, 7_000


@pytest.fixture
def demand() -> Demand:
    """A slow rise around second 7,000, the highest second at 12,000."""
    seconds = np.arange(SECONDS)
    total = 100 / (1 + np.exp(-(seconds - STEEPEST) / 600)) + 1e-4 * seconds
    total[PEAK:] = total[PEAK] - 0.01 * (seconds[PEAK:] - PEAK)
    counts = np.ones(SECONDS, dtype=np.int32)
    return Demand(
        services=("api", "real-time"),
        rates=np.stack([0.3 * total, 0.7 * total]),
        in_progress=counts,
        by_phase=counts[None, :],
    )


def test_a_list_of_plain_mappings_becomes_typed_faults() -> None:
    faults = FAULTS.validate_python(
        [
            {
                "kind": "zone_loss",
                "name": "zone_outage",
                "zone": 1,
                "at": "peak",
                "duration_s": 900,
            },
            {"kind": "metrics_blackout", "at": "ramp", "duration_s": 600, "late_s": 60},
            {"kind": "slow_boot", "factor": 4},
            {"kind": "slow_service", "service": "database", "factor": 3, "at": 60, "duration_s": 9},
        ]
    )
    assert isinstance(faults[0], ZoneLoss)
    assert faults[0].name == "zone_outage"
    assert [fault.name for fault in faults[1:]] == ["metrics_blackout", "slow_boot", "slow_service"]
    assert faults[2] == SlowBoot(factor=4.0, at=None)
    assert FAULTS.validate_json(FAULTS.dump_json(faults)) == faults


@pytest.mark.parametrize(
    ("plain", "says"),
    [
        ({"kind": "meteor"}, "flash_crowd.*zone_loss"),
        ({"kind": "zone_loss", "zone": 0, "at": "noon", "duration_s": 1}, '"noon" is not allowed'),
        ({"kind": "zone_loss", "zone": 0, "at": "peak - 5", "duration_s": 1}, "such as .peak-600"),
        ({"kind": "zone_loss", "zone": 0, "at": -1, "duration_s": 1}, "-1 is not allowed"),
        ({"kind": "zone_loss", "zone": -1, "at": 0, "duration_s": 1}, "greater than or equal to 0"),
        ({"kind": "zone_loss", "zone": 0, "at": 0, "duration_s": 0}, "greater than 0"),
        ({"kind": "slow_boot", "factor": float("nan")}, "finite number|greater than 0"),
        ({"kind": "slow_boot", "factor": 2, "colour": "red"}, "Extra inputs"),
    ],
)
def test_a_wrong_fault_is_rejected_with_its_reason(plain: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        FAULTS.validate_python([plain])


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (0, 0),
        (600.9, 600),
        (SECONDS + 5, SECONDS - 1),
        ("peak", PEAK),
        ("peak-600", PEAK - 600),
        ("peak+999999", SECONDS - 1),
        ("ramp", STEEPEST),
        ("ramp+300", STEEPEST + 300),
        ("ramp-999999", 0),
    ],
)
def test_named_times_follow_the_demand(demand: Demand, at: float | str, expected: int) -> None:
    assert resolve_at(at, demand) == pytest.approx(expected, abs=5 if "ramp" in str(at) else 0)


def test_named_times_exist_where_demand_only_falls(demand: Demand) -> None:
    falling = Demand(
        demand.services, demand.rates[:, ::-1][:, :100], demand.in_progress, demand.by_phase
    )
    falling.rates[:] = np.sort(falling.rates)[:, ::-1]
    assert resolve_at("ramp", falling) == resolve_at("peak", falling) == 0


def test_a_flash_crowd_multiplies_one_service_and_ends(demand: Demand) -> None:
    crowd = FlashCrowd(service="api", factor=6, at="ramp", ramp_s=60, hold_s=600, decay_s=300)
    start = resolve_at("ramp", demand)
    factor = apply_to_demand(demand, [crowd]).rates / demand.rates
    assert np.all(factor[1] == 1)
    assert factor[0, : start - 1] == pytest.approx(1)
    assert np.all(np.diff(factor[0, start : start + 60]) > 0)
    assert factor[0, start + 60 : start + 660] == pytest.approx(6)
    assert np.all(np.diff(factor[0, start + 661 : start + 959]) < 0)
    assert factor[0, start + 960 :] == pytest.approx(1)
    assert crowd.lasts_s == 960


def test_a_flash_crowd_may_come_and_go_at_once(demand: Demand) -> None:
    crowd = FlashCrowd(service="api", factor=6, at=100, ramp_s=0, hold_s=10, decay_s=0)
    factor = apply_to_demand(demand, [crowd]).rates[0] / demand.rates[0]
    assert np.flatnonzero(factor > 1).tolist() == list(range(100, 110))
    assert factor[100:110] == pytest.approx(6)


def test_other_faults_leave_the_demand_as_it_is(demand: Demand) -> None:
    assert apply_to_demand(demand, [SlowBoot(factor=4)]) is demand


def test_a_flash_crowd_on_a_service_without_users_is_refused(demand: Demand) -> None:
    crowd = FlashCrowd(service="database", factor=2, at=0, ramp_s=1, hold_s=1, decay_s=1)
    with pytest.raises(ValueError, match="users do not enter at database, allowed: api, real-time"):
        apply_to_demand(demand, [crowd])
