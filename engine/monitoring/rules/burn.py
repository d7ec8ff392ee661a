"""How fast the error budget burns, in pairs of a long and a short window.

Bad requests are those that failed, or at least as many as the response-time quantiles prove to be
slower than the SLO (1 % if p99 is, 5 % if p95 is, half if the median is).  Each window is kept as
`PARTS` parts, so its length is right to one part, and the memory is the same for all time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.model import FloatArray
from engine.monitoring.findings import FindingKind, Severity, Symptom
from engine.monitoring.picture import ERRORS, P50, P95, P99, RATE, Arrays, Picture, Watched, or_zero
from engine.monitoring.settings import SloSettings

PARTS = 30


class BurnRates:
    """Budget burnt in each window over what is allowed in it."""

    def __init__(self, traits: Watched, settings: SloSettings) -> None:
        self._services = len(traits.names)
        self._settings = settings
        lengths = [s for w in settings.windows for s in (w.long_s, w.short_s)]
        self._part_s = np.array(lengths) / PARTS
        self._factors = np.array([w.factor for w in settings.windows])

    def begin(self) -> Arrays:
        """No request was seen."""
        shape = (self._services, len(self._part_s), PARTS)
        return {
            "bad": np.zeros(shape),
            "all": np.zeros(shape),
            "part_s": np.zeros(shape[:2]),
        }

    def look(self, memory: Arrays, picture: Picture) -> tuple[Arrays, Sequence[Symptom]]:
        """Which services burn too fast in both windows of a pair."""
        if not len(self._factors):
            return memory, ()
        came = or_zero(picture.column(RATE)) * picture.elapsed_s * picture.renewed
        share = or_zero(bad_share(picture))
        counts = np.array((memory["bad"], memory["all"]))
        part_s = memory["part_s"] + picture.elapsed_s
        counts[0, :, :, -1] += (came * share)[:, None]
        counts[1, :, :, -1] += came[:, None]
        for k in np.flatnonzero(part_s[0] >= self._part_s).tolist() if len(part_s) else ():
            over = min(int(part_s[0, k] / self._part_s[k]), PARTS)
            counts[:, :, k, :-over] = counts[:, :, k, over:]
            counts[:, :, k, -over:] = 0.0
            part_s[:, k] %= self._part_s[k]
        memory = {"bad": counts[0], "all": counts[1], "part_s": part_s}
        failed, total = counts.sum(axis=3)
        budget = 1.0 - self._settings.objective
        with np.errstate(divide="ignore", invalid="ignore"):
            burnt = or_zero(failed / total) / budget
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
