"""The same world with and without the faults of its metrics: how far the two runs come apart.

All else is the same in both, by common random numbers: bookings, demand, the faults of the
platform, boots, and the lag of each sample.  So where the counts differ, the metrics have done it.

Two runs without any fault come apart too, where a figure lies at a threshold: a sample that comes
a second later lets one step and the other stay.  So there may be several runs without the faults,
which differ in the usual noise of their samples, and a count is compared with all of them: what
noise does by itself is not the fault's.

Steps of one service are a rest apart, and what makes one run step a little earlier or later than
the other is no harm.  So a count is compared with the counts of the other run within that rest.

Between its thresholds the engine keeps what it has, so two runs under the same rules may differ for
ever by what one step left, and both serve well.  Who has come down to what the engine's own rules
ask for, of the right figures, has lost nothing (`twin.hunt.asked`); and what they ask for, to a
tenth, is no more than there should be.  Of several runs the lowest that is asked for counts for the
first and the highest for the second, as of the counts, and the second for as long as the rules may
take to follow it down.

While figures are missing nothing is taken away, and afterwards a step in takes 30 % at most, with
that rest between two.  Who was kept from steps cannot have made all of them ten minutes later: it
is behind by as long as it was kept.  So a count may be as high as steps from the end of the faults
on can have made it of what there was before them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from engine.model import FloatArray, ServiceSpec
from twin.hunt.asked import lately
from twin.hunt.invariants import Violation
from twin.hunt.metrics import MetricsFault

NO_DOUBLE = "a fault of the metrics orders at most twice as many"
NO_FALL = "a fault of the metrics takes nothing away"
RECOVERED = "ten minutes after a fault of the metrics nothing is left of it"

TWICE = 2.0
RECOVERY_S = 600.0
WITHIN = 0.1
LEAST = 1.0
"""Instances by which two runs may always differ."""
STEP = 2.0
"""Instances by which an order may always differ: the least step of a service of two to four, one
instance (+50 %), made at either end."""
SAME_STEP_S = 300.0
"""The rest between two steps (`limits.cooldown_out_s` and `cooldown_in_s`)."""
STEP_IN = 0.3
"""The share that a step in takes at most (`limits.step_in`)."""
BEHIND_S = 75.0
"""So long after what is asked for has fallen a count follows at the latest: a step in waits for up
to a minute for what is about to leave the window (`engine.decide.rails.limits.SOON_S`), and a cycle
for the next look."""
FIRST_STEP_S = 30.0
"""The first step in comes so long after a fault: two samples, their lateness, and a cycle."""


@dataclass(frozen=True, slots=True)
class Apart:
    """How far two runs came apart.

    `over` is the highest order, `under` the lowest count gone down to, both as a multiple of the
    run without faults (1: never another); `recovery_s` how long after the last fault the counts
    still differed by more than a tenth.
    """

    over: float = 1.0
    under: float = 1.0
    recovery_s: float = 0.0

    def or_further(self, other: Apart) -> Apart:
        """The worse of the two, figure by figure."""
        return Apart(
            max(self.over, other.over),
            min(self.under, other.under),
            max(self.recovery_s, other.recovery_s),
        )


def compare(
    specs: Sequence[ServiceSpec],
    counts: NDArray[np.int32],
    without: NDArray[np.int32],
    faults: Sequence[MetricsFault],
    *,
    asked: NDArray[np.int32],
    step_s: float,
) -> tuple[list[Violation], Apart]:
    """What the faults did to the counts, and what of it they may not do.

    `counts` (services, samples) are the instances desired with the faults, each `step_s`, and
    `without` (runs, services, samples) those of each run without them, the world as it is first.
    `asked` (runs, services, samples) is what the engine's rules ask for in those.
    """
    violations: list[Violation] = []
    apart = Apart()
    reach = int(SAME_STEP_S / step_s)
    begin_s, end_s = min(fault.at for fault in faults), max(fault.end_s for fault in faults)
    times_s = step_s * np.arange(1, counts.shape[1] + 1)
    for row, spec in enumerate(specs):
        count = counts[row].astype(float)
        others = without[:, row].astype(float)
        lowest = _around(others.min(axis=0), reach, np.min)
        highest = _around(others.max(axis=0), reach, np.max)
        least_needed = asked[:, row].min(axis=0).astype(float)
        most_needed = lately(asked[:, row].max(axis=0), int(BEHIND_S / step_s)).astype(float)
        change = np.diff(count, prepend=count[0])
        watched = times_s <= times_s[-1] - SAME_STEP_S
        rises, falls = watched & (change > 0.0), watched & (change < 0.0)
        above = rises & (count > TWICE * highest + STEP)
        slack_low, slack_high = (np.maximum(WITHIN * c, LEAST) for c in (lowest, highest))
        below = falls & (count < np.minimum(lowest - np.maximum(slack_low, STEP), least_needed))
        late = times_s >= end_s + RECOVERY_S
        before = count[int(np.searchsorted(times_s, begin_s, side="right")) - 1]
        most = np.maximum(highest + slack_high, _stepped_in(before, times_s - end_s))
        most = np.maximum(most, most_needed + np.maximum(WITHIN * most_needed, LEAST))
        too_few = count < np.minimum(lowest - slack_low, least_needed)
        outside = watched & (too_few | (count > most))
        for invariant, broken in (
            (NO_DOUBLE, above),
            (NO_FALL, below),
            (RECOVERED, outside & late),
        ):
            if broken.any():
                k = int(np.argmax(broken))
                detail = f"{spec.name} {count[k]:.0f}, without the fault {others[0, k]:.0f}"
                violations.append(Violation(invariant, float(times_s[k]), detail))
        after = outside & (times_s > end_s)
        last_s = float(times_s[after].max()) if after.any() else end_s
        apart = apart.or_further(
            Apart(
                over=_most(count[rises], highest[rises]),
                under=1.0 / _most(lowest[falls], count[falls]),
                recovery_s=last_s - end_s,
            )
        )
    return violations, apart


def _around(values: FloatArray, reach: int, extreme: Any) -> FloatArray:
    """The extreme of each value (samples,) and of the `reach` before and after it."""
    padded = np.pad(values, reach, mode="edge")
    around: FloatArray = extreme(sliding_window_view(padded, 2 * reach + 1), axis=1)
    return around


def _stepped_in(count: float, since_s: FloatArray) -> FloatArray:
    """What steps in can have made of `count` by so long after the faults (samples,)."""
    steps = np.floor((since_s - FIRST_STEP_S) / SAME_STEP_S) + 1.0
    counts = [count]
    while len(counts) <= steps[-1]:
        counts.append(math.ceil(counts[-1] * (1.0 - STEP_IN) - 1e-9))
    stepped: FloatArray = np.array(counts)[np.maximum(steps, 0.0).astype(int)]
    return stepped


def _most(one: FloatArray, of: FloatArray) -> float:
    """The highest of `one` as a multiple of `of`, at least 1; two instances do not count."""
    beyond = one > of + STEP
    return float((one[beyond] / np.maximum(of[beyond], 1.0)).max(initial=1.0))
