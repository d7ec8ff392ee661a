"""What got worse: rows of the engine as it is against the baseline's.

*Paired*, where the baseline has the seed: the same weddings, arrivals, boots and faults, so the
difference is the change's doing.  It may be as large as the figure's limit and `NOISE` times what
chance does to the mean of so many pairs.

*Unpaired*, for other seeds: what the world explains of a figure (its control variates: what the
load needed) is taken off by least squares over the baseline's seeds, and what is left is compared
with what was left there.  The limit is then wider by the quantile of Student's t for a rate of
false alarms of `ALPHA` over all figures of all worlds together (Bonferroni), for the prediction of
the mean of some new values from those seen (Montgomery, Peck & Vining, "Introduction to Linear
Regression Analysis", 5th ed., section 3.5).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from twin.guard.baseline import Baseline, WorldBaseline
from twin.guard.limits import LIMITS, GuardLimit
from twin.guard.runs import GuardRow

NOISE = 4.0
ALPHA = 1e-3
FEWEST_LEFT = 4
"""Degrees of freedom that control variates have to leave, or they are left out."""


@dataclass(frozen=True, slots=True)
class Shift:
    """One figure of one world, then and now: means, how much worse it is, and what is allowed.

    `harm` is positive where it got worse; `after` is NaN where nobody measures it any more.
    """

    world: str
    figure: str
    before: float
    after: float
    harm: float
    allowed: float

    @property
    def worse(self) -> bool:
        """Whether it got worse by more than is allowed."""
        return not self.harm <= self.allowed

    @property
    def better(self) -> bool:
        """Whether it got better by more than that."""
        return self.harm < -self.allowed


def paired(world: str, baseline: WorldBaseline, rows: Sequence[GuardRow]) -> list[Shift]:
    """Every figure of `world`; all `rows` have seeds of the baseline."""
    pairs = [(before, row) for row in rows if (before := baseline.row(row.seed)) is not None]
    shifts = []
    for figure, limit in LIMITS.items():
        values = [
            (old, row.figures.get(figure))
            for before, row in pairs
            if (old := before.figures.get(figure)) is not None
        ]
        if not values:
            continue
        count = len(values)
        old = math.fsum(before for before, _ in values) / count
        measured = [now for _, now in values if now is not None]
        new = math.fsum(measured) / count if len(measured) == count else math.nan
        chance = NOISE * baseline.noise.get(figure, 0.0) / math.sqrt(count)
        shifts.append(_shift(world, figure, limit, old, after=new, chance=chance))
    return shifts


def unpaired(
    world: str, baseline: WorldBaseline, rows: Sequence[GuardRow], tests: int
) -> list[Shift]:
    """The same for rows of other seeds; `tests` figures are judged in all."""
    shifts = []
    for figure, limit in LIMITS.items():
        seen = [row for row in baseline.rows if row.figures.get(figure) is not None]
        new = [row for row in rows if row.figures.get(figure) is not None]
        if len(seen) < 3 or not new:
            continue
        slopes, freedom = _slopes(figure, seen)
        left = _left(figure, seen, slopes)
        left_now = _left(figure, new, slopes)
        before, after = float(left.mean()), float(left_now.mean())
        sd = math.sqrt(float(((left - before) ** 2).sum()) / freedom)
        quantile = float(stats.t.ppf(1.0 - ALPHA / tests, freedom))
        chance = quantile * sd * math.sqrt(1.0 / len(seen) + 1.0 / len(new))
        shifts.append(_shift(world, figure, limit, before, after=after, chance=chance))
    return shifts


def tests_of(baseline: Baseline) -> int:
    """How many figures of how many worlds are judged at once."""
    return sum(len(world.rows[0].figures) for world in baseline.values())


def _shift(
    world: str, figure: str, limit: GuardLimit, before: float, *, after: float, chance: float
) -> Shift:
    sign = 1.0 if limit.higher_is_worse else -1.0
    harm = sign * (after - before)
    return Shift(world, figure, before, after, harm, limit.allowed(before) + chance)


def _slopes(figure: str, rows: Sequence[GuardRow]) -> tuple[Mapping[str, float], int]:
    """By how much the figure rises with each control, and the degrees of freedom left."""
    names = list(rows[0].controls)
    freedom = len(rows) - 1 - len(names)
    if freedom < FEWEST_LEFT:
        return dict.fromkeys(names, 0.0), len(rows) - 1
    controls = np.array([[row.controls[name] for name in names] for row in rows])
    values = np.array([row.figures[figure] for row in rows], dtype=np.float64)
    centred = controls - controls.mean(axis=0)
    scale = np.maximum(np.abs(centred).max(axis=0), 1e-12)
    slopes = np.linalg.lstsq(centred / scale, values - values.mean(), rcond=1e-9)[0] / scale
    return dict(zip(names, map(float, slopes), strict=True)), freedom


def _left(
    figure: str, rows: Sequence[GuardRow], slopes: Mapping[str, float]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """What is left of the figure of each row when its controls have been taken off."""
    return np.array(
        [
            float(row.figures[figure] or 0.0)
            - math.fsum(slope * row.controls[name] for name, slope in slopes.items())
            for row in rows
        ]
    )
