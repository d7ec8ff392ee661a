"""What is in no calendar and a person expects: a launch, a TV spot, a load test, in the outlook.

An occasion says how many times the usual load comes to some services between two times, and how
sure whoever says so is.  What comes on top of the booked outlook counts as that of a major event:
capacity for it stands as early, and is protected as long.  Services that the named ones call get
their share through the calls, unless they are named themselves.  Outside the window, and for one
that nobody has approved or that was taken back, the outlook is as it was, so what the occasion
asked for goes by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.decide.callgraph import call_order
from engine.model import FloatArray, Occasion, Outlook, ServiceSpec

Z90 = 1.2815515655446004
MOST_TIMES = 1000.0
LONGEST_S = 14.0 * 86_400.0


def planned(occasion: Occasion, times: float) -> float:
    """How many times the usual load is planned for, where `times` are expected.

    Who is sure means what he says; who is not may be wrong by as much as he is unsure, and what is
    planned for is exceeded in one case of ten.
    """
    return 1.0 + (times - 1.0) * math.exp(Z90 * (1.0 - occasion.sure)) if times > 1.0 else 1.0


def with_occasions(
    outlook: Outlook, occasions: Sequence[Occasion], specs: Sequence[ServiceSpec]
) -> Outlook:
    """The outlook with what is approved on top; the same object where nothing is."""
    for occasion in occasions:
        if occasion.counts and _overlaps(outlook, occasion):
            outlook = _with(outlook, occasion, specs)
    return outlook


def _overlaps(outlook: Outlook, occasion: Occasion) -> bool:
    return occasion.starts_s - occasion.ramp_s < outlook.end_s and outlook.start_s < occasion.ends_s


def _with(outlook: Outlook, occasion: Occasion, specs: Sequence[ServiceSpec]) -> Outlook:
    share = _share(outlook, occasion)
    extra = np.zeros_like(outlook.load)
    named = dict(occasion.times)
    for i in call_order(specs):
        spec = specs[i]
        row = outlook.services.get(spec.name)
        if row is None:
            continue
        if spec.name in named:
            extra[row] = outlook.load[row] * (planned(occasion, named[spec.name]) - 1.0) * share
        for call in spec.calls:
            callee = outlook.services.get(call.service)
            if callee is not None and call.service not in named:
                extra[callee] += call.per_request * extra[row]
    load, major_load = outlook.load + extra, outlook.major_load + extra
    for array in (load, major_load):
        array.setflags(write=False)
    on = share > 0.0
    starts = np.zeros(outlook.load.shape[1])
    starts[: len(outlook.major_starts)] = outlook.major_starts
    first = int((occasion.starts_s - outlook.start_s) // outlook.bin_s)
    if 0 <= first < len(starts):
        starts[first] += 1.0
    return replace(
        outlook, load=load, major_load=major_load, events=outlook.events + on,
        major_events=outlook.major_events + on, major_starts=starts,
        as_booked=outlook.as_booked or outlook,
    )  # fmt: skip


def _share(outlook: Outlook, occasion: Occasion) -> FloatArray:
    """How much of the occasion there is in each bin: it rises before its beginning."""
    bins = outlook.load.shape[1]
    centre_s = outlook.start_s + outlook.bin_s * (np.arange(bins) + 0.5)
    ramp_s = max(occasion.ramp_s, outlook.bin_s)
    rise = np.clip((centre_s - occasion.starts_s) / ramp_s + 1.0, 0.0, 1.0)
    share: FloatArray = np.where(centre_s < occasion.ends_s, rise, 0.0)
    return share


@dataclass(frozen=True, slots=True)
class CameOfOccasion:
    """What came so far while an occasion was under way: sums over samples, by service.

    `rate` is what was measured (1/s), `booked` what the calendar alone let expect then; `newest_s`
    is the time of the newest sample that counts.
    """

    rate: tuple[float, ...]
    booked: tuple[float, ...]
    newest_s: float = -math.inf

    def times(self, occasion: Occasion) -> dict[str, float]:
        """How many times the usual load came, by service; those of which nothing is known not."""
        return {
            name: rate / booked
            for name, rate, booked in zip(occasion.services, self.rate, self.booked, strict=True)
            if booked > 0.0
        }


def came(
    before: CameOfOccasion | None,
    occasion: Occasion,
    outlook: Outlook,
    windows: Mapping[str, NDArray[np.void]],
) -> CameOfOccasion:
    """With the newest samples, where they are of the occasion's time and new."""
    count = len(occasion.times)
    so_far = before or CameOfOccasion((0.0,) * count, (0.0,) * count)
    booked = outlook.as_booked or outlook
    rates, usual, newest_s = list(so_far.rate), list(so_far.booked), so_far.newest_s
    for k, name in enumerate(occasion.services):
        window, row = windows.get(name), booked.services.get(name)
        if window is None or row is None or not len(window):
            continue
        at_s, rate = float(window["time_s"][-1]), float(window["request_rate"][-1])
        expected = booked.rate(row, at_s)
        is_new = so_far.newest_s < at_s and occasion.starts_s <= at_s < occasion.ends_s
        if is_new and rate >= 0.0 and expected > 0.0:
            rates[k] += rate
            usual[k] += expected
            newest_s = max(newest_s, at_s)
    return CameOfOccasion(tuple(rates), tuple(usual), newest_s)
