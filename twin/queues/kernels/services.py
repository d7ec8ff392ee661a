"""How the arrays that describe the services are laid out for the kernels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.model import FloatArray

IntArray = NDArray[np.int64]

# Columns of `spec` (one row per service; those after RETRIES depend on the slowdown in force).
(
    SLOTS,
    SERVICE_S,
    SPREAD,
    TIMEOUT_TICKS,
    QUEUE_LIMIT,
    RETRIES,
    RETRY_SHARE,
    SLO_S,
    SLOWDOWN,
    MEAN_S,
    BASE_SLOW,
    BASE_P50,
    BASE_P95,
    BASE_P99,
    SPEC_COLUMNS,
) = range(15)


class Services(NamedTuple):
    """What the services are like, and how long their responses take without congestion."""

    spec: FloatArray
    """(S, SPEC_COLUMNS)."""
    table: FloatArray
    """(S, W_ROWS, X_POINTS): see `survival`."""
