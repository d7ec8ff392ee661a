"""Single instances of a world: their figures add up to the service's, and a slow one is named."""

from __future__ import annotations

import numpy as np
import pytest

from engine.model import SAMPLE_FIELDS
from engine.monitoring.findings import CauseKind, FindingKind
from tests.composition import configuration, settings
from twin.world.world import World

F = {name: k for k, name in enumerate(SAMPLE_FIELDS)}
SHORT = (
    "scenario=june_peak", "population.simultaneous=3000", "population.duration_s=1500",
    'population.start_utc="18:00"', "monitor.enabled=true", "telemetry.instances=200",
)  # fmt: skip


def world(*more: str, **fault: object) -> World:
    faults = {"sick": fault} if fault else {}
    made = World(configuration(*SHORT, *more, sweep={}, thresholds={}, faults=faults))
    made.run()
    return made


@pytest.fixture(scope="module")
def sick() -> World:
    """One instance of api takes four times as long for ten minutes."""
    return world(kind="slow_instance", service="api", factor=4.0, at=600.0, duration_s=600.0)


@pytest.fixture(scope="module")
def well() -> World:
    """Without any fault."""
    return world()


def test_a_slow_instance_is_found_and_named(sick: World) -> None:
    assert sick.watch is not None
    (event,) = [e for e in sick.recorder.events if e["kind"] == "fault_started"]
    named = str(event["detail"]).partition(":")[0]
    finding = next(
        f for f in sick.watch.notes.all if f.kind is FindingKind.INSTANCE_DIFFERS
    )  # fmt: skip
    assert named.startswith("api-") and f" {named} " in finding.symptom.words
    assert 0.0 < finding.noticed_s - sick.start_s - 600.0 <= 60.0
    assert finding.causes[0].kind is CauseKind.INSTANCE


def test_without_a_sick_instance_none_differs(well: World) -> None:
    made = well
    assert made.watch is not None
    assert FindingKind.INSTANCE_DIFFERS not in {f.kind for f in made.watch.notes.all}
    figures = made.instances.now(made.env.now)
    for i, spec in enumerate(made.specs):
        own, fleet = figures[spec.name], made.fleets[spec.name]
        assert len(own.names) == len(set(own.names)) == min(fleet.ready, 200)
        whole = made.platform.metrics[i]
        (row,) = np.flatnonzero(whole[:, 0] == own.samples[0, 0])
        if fleet.ready <= 200 and whole[row, F["request_rate"]] > 50.0:
            total = own.samples[:, F["request_rate"]].sum()
            assert total == pytest.approx(whole[row, F["request_rate"]], rel=0.2)


def test_the_figures_of_a_moment_are_the_same_however_often_they_are_looked_at(
    sick: World,
) -> None:
    one, other = (sick.instances.now(sick.env.now)["api"] for _ in range(2))
    assert one.names == other.names
    np.testing.assert_array_equal(one.samples, other.samples)


def test_so_many_instances_at_most_are_measured_and_none_if_that_is_nought() -> None:
    made = world("telemetry.instances=2")
    assert {len(own.names) for own in made.instances.now(made.env.now).values()} <= {1, 2}
    assert settings("scenario=june_peak")["telemetry"]["instances"] == 0
    nobody = world("telemetry.instances=0", "population.duration_s=900")
    assert nobody.instances.now(nobody.env.now) == {}


def test_on_a_wedding_day_a_response_time_is_a_finding_that_is_none_on_another(
    well: World,
) -> None:
    usual_s = well.platform.metrics[0, 120:, F["p95_s"]]
    level = float(np.nanmin(usual_s)) / 0.85
    limits = [f"monitor.limits.p95_s.warning={level}", f"monitor.limits.p95_s.critical={9 * level}"]
    said = []
    for least in (1, 1_000_000):
        made = world(*limits, f"monitor.wedding_day.major_events={least}")
        assert made.watch is not None
        name = made.specs[0].name
        said.append({f.kind for f in made.watch.notes.all if f.service == name})
    on_the_day, on_another = said
    assert FindingKind.RESPONSE_TIME in on_the_day
    assert FindingKind.RESPONSE_TIME not in on_another
