"""When a fault begins: seconds into the run, or a moment that is named after the day's demand.

`at` may be "peak" or "ramp-300", so that one scenario fits every population, date and seed;
`resolve_at` turns it into seconds.  Names are resolved against the demand *before* any fault, else
a flash crowd would move the peak that it refers to.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

if TYPE_CHECKING:  # what checks a configuration need not wait for what draws the demand
    from scenarios.weddings.demand import Demand

RAMP_S = 1_800
"""Over how long a rise is measured to find the steepest."""

MAX_OFFSET_S = 604_800

_NAMED_TIME = re.compile(r"(peak|ramp)(?:([+-]\d{1,6}))?")


def _seconds_or_named(at: float | str) -> float | str:
    if isinstance(at, str):
        if not _NAMED_TIME.fullmatch(at):
            raise ValueError(
                f'"{at}" is not allowed, give seconds from the start of the window or "peak" or '
                '"ramp" with an optional offset in seconds, such as "peak-600"'
            )
    elif not 0 <= at <= MAX_OFFSET_S:
        raise ValueError(f"{at:g} is not allowed (0 ... {MAX_OFFSET_S:,} s)")
    return at


At = Annotated[
    float | str,
    AfterValidator(_seconds_or_named),
    Field(description='seconds from the window\'s start, or "peak"/"ramp" with an offset'),
]


def resolve_at(at: float | str, demand: Demand) -> int:
    """Whole seconds from the window's start, kept inside the window.

    "peak" is the second of the largest total demand.  "ramp" is the middle of the half hour before
    the peak in which the total rises most.  An offset in seconds may follow ("peak-600").
    `demand` is the one without faults.
    """
    last = demand.rates.shape[1] - 1
    if not isinstance(at, str):
        return min(int(at), last)
    match = _NAMED_TIME.fullmatch(at)
    if match is None:
        raise ValueError(f'"{at}" is not a time: seconds, or "peak" or "ramp" with an offset')
    name, offset = match.groups()
    total = demand.rates.sum(axis=0)
    peak = int(total.argmax())
    second = peak if name == "peak" else _steepest_rise(total, peak)
    return min(max(second + int(offset or 0), 0), last)


def _steepest_rise(total: NDArray[np.float64], peak: int) -> int:
    span = min(RAMP_S, peak)
    rise = total[span : peak + 1] - total[: peak + 1 - span]
    return int(rise.argmax()) + span // 2
