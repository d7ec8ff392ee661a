"""How fast the error budget burns, in pairs of a long and a short window.

Bad requests are those that failed, or at least as many as the response-time quantiles prove to be
slower than the SLO (1 % if p99 is, 5 % if p95 is, half if the median is).  Each window is kept as
`PARTS` parts, so the memory is the same for all time.

A rate is of the whole window.  What of a window lies before the first look is taken for as busy as
the rest and as good as can be: a monitor that has just been started says as much of an hour of
errors, and says it as soon, as one that has seen three good days before them, and it calls no
month's budget at risk for what went wrong in its first minute.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.model import FloatArray
from engine.monitoring.findings import FindingKind, Severity, Symptom
from engine.monitoring.picture import (
    EFFECTS,
    ERRORS,
    FAILURES,
    P50,
    P95,
    P99,
    RATE,
    Arrays,
    Picture,
    Watched,
    or_zero,
)
from engine.monitoring.settings import SloSettings

PARTS = 30


class BurnRates:
    """Budget burnt in each window over what is allowed in it."""

    def __init__(self, traits: Watched, settings: SloSettings, every_s: float) -> None:
        self._services = len(traits.names)
        self._settings = settings
        self._every_s = every_s
        lengths = [s for w in settings.windows for s in (w.long_s, w.short_s)]
        self._part_s = np.array(lengths) / PARTS
        self._factors = np.array([w.factor for w in settings.windows])

    def begin(self) -> Arrays:
        """No request was seen; of the parts before the first look `all` is NaN."""
        shape = (self._services, len(self._part_s), PARTS)
        came = np.full(shape, np.nan)
        came[:, :, -1] = 0.0
        return {"bad": np.zeros(shape), "all": came, "part_s": np.zeros(shape[:2])}

    def look(self, memory: Arrays, picture: Picture) -> tuple[Arrays, Sequence[Symptom]]:
        """Which services burn too fast in both windows of a pair."""
        if not len(self._factors):
            return memory, ()
        rate = or_zero(picture.column(RATE)) * picture.renewed
        came = rate * picture.elapsed_s
        share = or_zero(bad_share(picture))
        newest_s = np.minimum(np.maximum(picture.spacing_s, self._every_s), picture.elapsed_s)
        # Samples that were only glanced at were calm: of those hardly more can have been bad.
        earlier = np.minimum(share, EFFECTS[FAILURES]) * (picture.elapsed_s - newest_s)
        bad = rate * (share * newest_s + earlier)
        counts = np.array((memory["bad"], memory["all"]))
        part_s = memory["part_s"] + picture.elapsed_s
        counts[0, :, :, -1] += bad[:, None]
        counts[1, :, :, -1] += came[:, None]
        for k in np.flatnonzero(part_s[0] >= self._part_s).tolist() if len(part_s) else ():
            over = min(int(part_s[0, k] / self._part_s[k]), PARTS)
            counts[:, :, k, :-over] = counts[:, :, k, over:]
            counts[:, :, k, -over:] = 0.0
            part_s[:, k] %= self._part_s[k]
        memory = {"bad": counts[0], "all": counts[1], "part_s": part_s}
        failed, total = counts[0].sum(axis=2), np.nansum(counts[1], axis=2)
        watched = (~np.isnan(counts[1, :, :, :-1])).sum(axis=2) + part_s / self._part_s
        budget = 1.0 - self._settings.objective
        with np.errstate(divide="ignore", invalid="ignore"):
            burnt = or_zero(failed / total) * np.minimum(watched / PARTS, 1.0) / budget
        long, short = burnt[:, 0::2], burnt[:, 1::2]
        enough = failed[:, 1::2] >= self._settings.least_events
        fast = (long > self._factors) & (short > self._factors) & enough
        if not fast.any():
            return memory, ()
        symptoms = []
        for i in np.flatnonzero(fast.any(axis=1)).tolist():
            k = int(np.flatnonzero(fast[i])[0])  # the first pair is the most urgent
            window = self._settings.windows[k]
            symptoms.append(
                Symptom(
                    service=picture.traits.names[i],
                    kind=FindingKind.BURN_RATE,
                    severity=Severity.CRITICAL if window.page else Severity.WARNING,
                    watcher="burn_rate",
                    figure="burn_rate",
                    value=float(long[i, k]),
                    since_s=float(picture.evidence_s[i]),
                    confidence=0.95,
                    limit=window.factor,
                    words=f"over {window.long_s / 3600.0:g} h and {window.short_s / 60.0:g} min",
                )
            )
        return memory, symptoms


def bad_share(picture: Picture) -> FloatArray:
    """The share of the requests that failed or are proved to be slow (services,)."""
    slo_s = picture.traits.slo_p95_s
    share = np.where(
        picture.column(P50) > slo_s,
        0.5,
        np.where(
            picture.column(P95) > slo_s, 0.05, np.where(picture.column(P99) > slo_s, 0.01, 0.0)
        ),
    )
    return np.fmax(picture.column(ERRORS), share)
