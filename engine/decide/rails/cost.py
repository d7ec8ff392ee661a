"""The cheapest target that keeps the risk below its bound.

The recommendations say what is *needed*; between that and what is there, every count keeps the
risk below the bound, and the question is only what holding or trimming costs over the coming
window.  Trimming saves the price of the instances until they are needed again; having to boot
them again costs their boot time and the wear of a flap.  Off-peak the saving wins, before a peak
it does not.
"""

from __future__ import annotations

import numpy as np

from engine.model import FloatArray, ServiceSpec
from engine.settings import CostSettings

CANDIDATES = 5


def cheapest(
    spec: ServiceSpec,
    current: int,
    needed: int,
    ahead_s: FloatArray,
    *,
    need: FloatArray,
    lead_s: float,
    settings: CostSettings,
) -> int:
    """The cheapest of the counts from `needed` up to `current`, given the `need` (bins,) to come.

    `ahead_s` (bins,) says when each bin begins, `lead_s` how long an instance takes to serve.  With
    `needed >= current` there is nothing to weigh and `needed` is chosen.
    """
    if needed >= current:
        return needed
    until = int(np.searchsorted(ahead_s, settings.window_s + lead_s, side="right"))
    window = np.maximum.accumulate(need[:until])
    ahead = np.maximum(ahead_s[:until], 0.0)
    candidates = sorted(
        {round(needed + (current - needed) * i / (CANDIDATES - 1)) for i in range(CANDIDATES)}
    )
    # The window only rises: from its first bin above a count on that count is too little.
    short = np.searchsorted(window, candidates, side="right").tolist()
    again = min(float(window[-1]), float(current))
    costs = [
        _cost(
            spec,
            n,
            again,
            float(ahead[k]) if k < len(ahead) else None,
            lead_s=lead_s,
            settings=settings,
        )
        for n, k in zip(candidates, short, strict=True)
    ]
    return candidates[costs.index(min(costs))]


def _cost(
    spec: ServiceSpec,
    count: int,
    again: float,
    short_s: float | None,
    *,
    lead_s: float,
    settings: CostSettings,
) -> float:
    """USD over the window of holding `count` until more is needed, and `again` from then on.

    That is `short_s` from now; None: never.
    """
    horizon_s = settings.window_s
    if short_s is None:
        return count * spec.price_per_hour * horizon_s / 3600.0
    held_s = min(max(short_s - lead_s, 0.0), horizon_s)
    flap_hours = settings.flap_hours + lead_s / 3600.0
    hours = count * held_s + max(again, count) * (horizon_s - held_s)
    return spec.price_per_hour * (hours / 3600.0 + max(again - count, 0.0) * flap_hours)
