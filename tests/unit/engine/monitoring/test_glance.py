"""A glance lets pass what a look would say nothing of, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from engine.monitoring.findings import FindingKind
from engine.monitoring.monitor import Monitor
from tests.unit.engine.monitoring.conftest import Platform, make_monitor


def looks(platform: Platform, steps: int) -> int:
    """How many of so many steps were looks."""
    count = 0
    for _ in range(steps):
        before = platform.monitor.memory
        platform.step()
        count += platform.monitor.memory is not before
    return count


def test_while_nothing_is_unusual_it_looks_every_four_minutes(settled: Platform) -> None:
    assert looks(settled, 96) <= 3


@pytest.mark.parametrize(
    "unusual",
    [
        lambda p: p.change("api", rate=1500.0),
        lambda p: p.change("database", p95_s=3.0),
        lambda p: p.change("api", memory=0.93),
        lambda p: p.change("api", error_rate=0.2),
        lambda p: p.change("api", cpu=0.97),
        lambda p: p.change("database", rate=3000.0),
        lambda p: p.change("api", queue=400.0),
        lambda p: p.ready.update(api=5),
        lambda p: p.dark.add("api"),
    ],
)
def test_what_is_unusual_is_said_as_soon_as_by_a_monitor_that_always_looks(
    unusual: Callable[[Platform], None],
) -> None:
    said = []
    for calm_s in (240.0, 5.0):
        platform = Platform(make_monitor(calm_s=calm_s))
        platform.steps(120)
        unusual(platform)
        began = [f for findings in platform.steps(30) for f in findings.began]
        kinds = (FindingKind.UNUSUAL_TOGETHER, FindingKind.SATURATION_AHEAD)
        first: dict[tuple[str, FindingKind], float] = {}
        for finding in began:
            if finding.kind not in kinds:
                first.setdefault((finding.service, finding.kind), finding.noticed_s)
        said.append(first)
    glancing, looking = said
    assert glancing
    assert min(glancing.values()) == min(looking.values())
    assert set(glancing) == set(looking)


def test_what_is_asked_for_more_and_gets_ready_is_no_reason_to_look(settled: Platform) -> None:
    settled.step()
    settled.desired["api"] = settled.ready["api"] = 11
    settled.change("api", cpu=0.5 * 10 / 11)
    assert looks(settled, 6) <= 2  # what is the most of both is remembered, and nothing else
    assert settled.monitor.memory.last_s < settled.now_s - 25.0


def test_a_scale_in_after_a_scale_out_that_was_not_looked_at_is_no_loss(settled: Platform) -> None:
    settled.step()
    said = []
    for count, busy in ((14, 10 / 14), (11, 10 / 11)):
        settled.desired["api"] = settled.ready["api"] = count
        settled.booting["api"] = 1
        settled.change("api", cpu=0.5 * busy)
        said += [f.kind for findings in settled.steps(8) for f in findings.began]
    assert said == []
    settled.ready["api"] = 8
    assert [f.kind for f in settled.step().began] == [FindingKind.INSTANCES_LOST]


def test_the_bands_are_part_of_its_memory(settled: Platform) -> None:
    other = Monitor(settled.monitor.specs, settled.monitor.settings)
    other.restore(settled.monitor.snapshot())
    for _ in range(40):
        settled.step()
        findings = other.step(settled.services, settled.outlook, settled.now_s)
        assert other.memory.last_s == settled.monitor.memory.last_s
        assert findings.lasting == ()


def test_a_window_that_lies_in_pieces_is_read_as_any_other(settled: Platform) -> None:
    whole, pieces = Monitor(settled.monitor.specs, settled.monitor.settings), settled.monitor
    whole.restore(pieces.snapshot())
    for p95_s in [0.2] * 6 + [3.0] * 6:
        settled.change("database", p95_s=p95_s)
        findings = settled.step()
        apart = [replace(s, window=np.repeat(s.window, 2)[::2]) for s in settled.services]
        assert not apart[0].window.flags.c_contiguous
        assert repr(whole.step(apart, settled.outlook, settled.now_s)) == repr(findings)
    assert findings.lasting
