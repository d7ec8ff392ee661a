"""How many instances the engine asks for, held against the queue's own answer."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decide.sizing import LATE_CRITICAL, LATE_DEFERRED, sizing
from engine.model import ServiceSpec
from engine.settings import CapacitySettings
from tests.unit.engine.conftest import make_spec
from twin.queues.kernels import services, survival
from twin.queues.kernels.erlang import waiting_probability
from twin.queues.response import fill_response, needed_curve, static_columns

BUSY = np.concatenate((np.linspace(0.05, 8.0, 30), np.geomspace(8.0, 300.0, 8)))
"""Instances kept busy: from a small part of one to some hundred."""
NOT_LOG_NORMAL = 1.5
"""The queue's service times are gamma variates, whose tail is another than the sizing's."""


@st.composite
def specs(draw: st.DrawFn) -> ServiceSpec:
    service_s = draw(st.floats(0.001, 5.0))
    return replace(
        make_spec(),
        slots=draw(st.integers(1, 128)),
        service_s=service_s,
        service_scv=draw(st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.5, 2.5, 4.0])),
        slo_p95_s=service_s * draw(st.floats(1.1, 50.0)),
    )


@settings(max_examples=15)
@given(specs(), st.booleans())
def test_the_smaller_room_is_enough_wherever_the_square_roots_is(
    spec: ServiceSpec, critical: bool
) -> None:
    size = sizing(spec, CapacitySettings(), critical=critical)
    rates = BUSY / size.instances_per_rate
    counts = size.instances_along(rates, size.utilisation)
    by_the_root = size._replace(room=math.inf).instances_along(rates, size.utilisation)
    needed = needed_curve(spec, rates)
    assert np.all(counts <= by_the_root)
    assert np.all((counts >= needed) | (by_the_root < needed))


@settings(max_examples=15)
@given(specs(), st.booleans())
def test_no_more_are_late_for_waiting_than_may_be(spec: ServiceSpec, critical: bool) -> None:
    size = sizing(spec, CapacitySettings(), critical=critical)
    columns, table = static_columns([spec]), np.zeros((1, survival.W_ROWS, survival.X_POINTS))
    fill_response([spec], np.ones(1), columns, table, changed=[0])
    most = NOT_LOG_NORMAL * (LATE_CRITICAL if critical else LATE_DEFERRED)
    slo_s = np.array([spec.slo_p95_s])
    for busy in BUSY.tolist():
        rate = busy / size.instances_per_rate
        count = size.instances(rate, size.utilisation)
        if count == size._replace(room=math.inf).instances(rate, size.utilisation):
            continue  # the square root and the ceiling are no promise about the SLO
        waits = waiting_probability(float(count * spec.slots), busy / count)
        wait_s = columns[0, services.SPREAD] * spec.service_s / ((count - busy) * spec.slots)
        mean_s = columns[0, services.MEAN_S]
        late = survival.survival_curve(table[0], mean_s, slo_s, (waits, wait_s))
        assert late[0] - columns[0, services.BASE_SLOW] <= most
