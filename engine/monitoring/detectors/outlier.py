"""Statistical outliers: a residual many robust spreads from its own recent median.

The residual of the arrivals is what is left of them beside the booked load, so a booked Saturday is
no outlier and a surge that nobody booked is one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.model import FloatArray, ServiceSpec
from engine.monitoring.baseline import THRESHOLD
from engine.monitoring.findings import FindingKind, Severity, Symptom
from engine.monitoring.picture import (
    LOAD,
    ONLY_UP,
    RATE,
    RESIDUALS,
    WAITING,
    Arrays,
    Picture,
)


class Outliers:
    """Rolling robust z of each residual; the farthest of a service is named."""

    def __init__(self, specs: Sequence[ServiceSpec], z: float = THRESHOLD) -> None:
        self._services = len(specs)
        self._z = z

    def begin(self) -> Arrays:
        """What is usual is kept by the monitor for all detectors."""
        return {}

    def look(self, memory: Arrays, picture: Picture) -> tuple[Arrays, Sequence[Symptom]]:
        """Which services have a residual beyond the threshold."""
        distance = one_sided(picture.z)
        with np.errstate(invalid="ignore"):
            beyond = distance > self._z
        if not beyond.any():
            return memory, ()
        rows = np.flatnonzero(beyond.any(axis=1)).tolist()
        return memory, [
            symptom(picture, i, int(np.nanargmax(distance[i])), self._z, watcher="outlier")
            for i in rows
        ]


def one_sided(z: FloatArray) -> FloatArray:
    """How far each residual is from what is usual in a direction that is bad news."""
    distance: FloatArray = np.where(ONLY_UP, z, np.abs(z))
    return distance


def symptom(
    picture: Picture,
    service: int,
    residual: int,
    threshold: float,
    *,
    watcher: str,
    kind: FindingKind = FindingKind.OUTLIER,
) -> Symptom:
    """That `residual` of `service` left its band; arrivals are told in requests/s."""
    centre = float(picture.centre[service, residual])
    reach = threshold * float(picture.scale[service, residual])
    value = float(picture.residuals[service, residual])
    low, high = centre - reach, centre + reach
    figure = RESIDUALS[residual]
    words = "a logarithm of a ratio"
    if residual == LOAD:
        # exp of what is far beyond is infinite, which no record can hold.
        against, expected = float(picture.against[service]), float(picture.expected[service])
        figure, value = "request_rate", float(picture.figures[service, RATE])
        low, high = (against * float(np.exp(np.clip(edge, -20.0, 20.0))) for edge in (low, high))
        words = f"{expected:.3g} requests/s are booked"
        if np.isnan(expected):
            words = f"{against * float(np.exp(centre)):.3g} requests/s are usual"
    elif ONLY_UP[residual]:
        low, words = float("nan"), ""
        if residual == WAITING:
            patience = float(picture.traits.patience[service])
            value, high = patience * value, patience * high
    far = abs(float(picture.z[service, residual]))
    return Symptom(
        service=picture.traits.names[service],
        kind=kind,
        severity=Severity.WARNING,
        watcher=watcher,
        figure=figure,
        value=value,
        since_s=float(picture.evidence_s[service]),
        confidence=min(0.5 + 0.05 * (far - threshold), 0.95),
        low=low,
        high=high,
        words=words,
    )
