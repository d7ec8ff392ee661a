"""What became of a load, second by second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.record.files import replacing
from engine.record.schema.tables import LOAD
from locustfiles.plan import LoadPlan
from locustfiles.tally import ServiceSecond, Tally, quantiles

COLUMNS = ("sent", "retried", "ok", "failed", "shed", "timed_out", "slow", "late", "held",
           "dropped")  # fmt: skip


def write(
    folder: Path, plan: LoadPlan, tally: Tally, intended: NDArray[np.int64], *, began_s: float
) -> None:
    """Write `load.parquet`; `began_s` is the start on the clock, epoch seconds."""
    seconds = timeline(plan, tally, intended, began_s)
    with replacing(folder / LOAD.file) as path:
        seconds.to_parquet(path, index=False)


def timeline(
    plan: LoadPlan, tally: Tally, intended: NDArray[np.int64], began_s: float
) -> pd.DataFrame:
    """One row for each second and service: what was due, what became of it, how long it took."""
    nothing = ServiceSecond()
    rows = []
    for second in range(intended.shape[1]):
        for service, name in enumerate(plan.services):
            cell = tally.cells.get((second, service), nothing)
            p50_s, p95_s, p99_s = quantiles(cell.felt, (0.5, 0.95, 0.99))
            rows.append(
                {
                    "time_s": began_s + second,
                    "scenario_time_s": plan.start_s + second * plan.speed,
                    "service": name,
                    "intended": int(intended[service, second]),
                    **{column: cell.counts[column] for column in COLUMNS},
                    "p50_s": p50_s,
                    "p95_s": p95_s,
                    "p99_s": p99_s,
                    "answered_p95_s": quantiles(cell.answered, (0.95,))[0],
                    "lateness_max_s": quantiles(cell.lateness, (1.0,))[0],
                }
            )
    return LOAD.rows(rows)
