"""Several figures in their tails at once: a sum of tail ranks, with a rest after an alarm.

For each of a handful of causal features (the distances of the residuals from what is usual, and
their changes since the last looks) the share of the past in which it was as large is its tail rank;
the sum of -log10 of them over the features alarms when it is above everything in the recent past.
The past is a histogram that fades, so nothing of the future and no range of the file is used.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.model import ServiceSpec
from engine.monitoring.detectors.outlier import one_sided
from engine.monitoring.findings import FindingKind, Severity, Symptom
from engine.monitoring.picture import RESIDUALS, Arrays, Picture, or_zero

BINS = 40
FEATURES = 2 * len(RESIDUALS)
SMALLEST, PER_DECADE = 0.1, 13.0
"""The histogram's bins are logarithmic: from 0.1 spreads, thirteen to a decade."""


class TailSums:
    """Sum of tail ranks of the distances and their changes.

    `memory_s` is how long the past counts, `rest_s` how long it is quiet after an alarm, `above` by
    how much the sum has to pass the highest of the past, `least` what it has to be at all.
    """

    def __init__(
        self,
        specs: Sequence[ServiceSpec],
        memory_s: float = 21_600.0,
        rest_s: float = 1800.0,
        above: float = 1.2,
        least: float = 10.0,
    ) -> None:
        self._services = len(specs)
        self._memory_s, self._rest_s, self._above, self._least = memory_s, rest_s, above, least

    def begin(self) -> Arrays:
        """An empty past."""
        services = self._services
        return {
            "counts": np.zeros((services, FEATURES, BINS)),
            "before": np.full((services, len(RESIDUALS)), np.nan),
            "highest": np.zeros(services),
            "learned_s": np.zeros(services),
            "rest_s": np.zeros(services),
        }

    def look(self, memory: Arrays, picture: Picture) -> tuple[Arrays, Sequence[Symptom]]:
        """Which services are in more tails than they have been for long."""
        elapsed_s = picture.elapsed_s
        z = one_sided(picture.z)
        change = np.abs(z - memory["before"])
        features = or_zero(np.concatenate((z, change), axis=1))
        bins = np.clip(
            PER_DECADE * np.log10(np.maximum(features, SMALLEST) / SMALLEST), 0, BINS - 1
        ).astype(np.intp)
        counts = memory["counts"]
        beyond = np.cumsum(counts[:, :, ::-1], axis=2)[:, :, ::-1]
        total = beyond[:, :, 0]
        at = np.take_along_axis(beyond, bins[:, :, None], axis=2)[:, :, 0]
        sums = -np.log10((at + 1.0) / (total + 1.0)).sum(axis=1)
        fade = 1.0 - elapsed_s / self._memory_s
        counts = counts * fade
        rows, columns = np.indices(bins.shape)
        counts[rows, columns, bins] += 1.0
        learned_s = memory["learned_s"] + np.where(picture.renewed, elapsed_s, 0.0)
        rest_s = np.maximum(memory["rest_s"] - elapsed_s, 0.0)
        highest = memory["highest"]
        alarms = (
            (sums > self._above * highest)
            & (sums > self._least)
            & (rest_s <= 0.0)
            & (learned_s > 0.25 * self._memory_s)
            & picture.renewed
        )
        memory = {
            "counts": counts,
            "before": z,
            "highest": np.maximum(highest * fade, sums),
            "learned_s": learned_s,
            "rest_s": np.where(alarms, self._rest_s, rest_s),
        }
        return memory, [
            Symptom(
                service=picture.traits.names[i],
                kind=FindingKind.UNUSUAL_TOGETHER,
                severity=Severity.INFO,
                watcher="tails",
                figure="tail_rank_sum",
                value=float(sums[i]),
                since_s=float(picture.evidence_s[i]),
                confidence=0.5,
                limit=float(max(self._above * highest[i], self._least)),
            )
            for i in np.flatnonzero(alarms).tolist()
        ]
