"""What can be said of the runs: intervals, paired differences, the Pareto front, losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from twin.compare.contest import Run
from twin.runs.replications import interval
from twin.runs.summary import VIOLATION_MINUTE

REFERENCES = ("clairvoyant", "clairvoyant_within_rules", "hpa", "static")
COST, VIOLATION = "cost.total_usd", "slo.violation_ratio"
SHOWN = (
    VIOLATION,
    "slo.violation_minutes",
    "slo.longest_violation_s",
    "slo.availability",
    COST,
    "decision.actions",
    "decision.flaps",
    "decision.reversals",
)
LOSSES_SHOWN = 20
SAME = 1.01
"""Figures that differ by no more than this factor count as the same in the Pareto front."""


def figures(runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """Per contestant and figure: mean, deviation, 95 % interval and range over the replications."""
    result: dict[str, dict[str, Any]] = {}
    for name, own in by_name(runs).items():
        paths = [path for path in own[0].figures if _is_shown(path)]
        result[name] = {
            path: _interval([value for run in own if (value := run.figures[path]) is not None])
            for path in paths
            if own[0].figures[path] is not None
        }
    return result


def paired(runs: Sequence[Run]) -> dict[str, dict[str, dict[str, Any]]]:
    """Per contestant and reference: cost ratio and differences, replication by replication.

    `cost_ratio` is own cost over the reference's; `cost_difference` (USD) and
    `violation_difference` are own minus the reference's.  Each with its 95 % interval.
    """
    grouped = by_name(runs)
    result: dict[str, dict[str, dict[str, Any]]] = {}
    for name, own in grouped.items():
        result[name] = {}
        for reference in REFERENCES:
            if reference == name or reference not in grouped:
                continue
            pairs = list(zip(own, grouped[reference], strict=True))
            result[name][reference] = {
                "cost_ratio": _interval([a.figures[COST] / b.figures[COST] for a, b in pairs]),  # type: ignore[operator]
                "cost_difference": _interval(differences(own, grouped[reference], COST)),
                "violation_difference": _interval(differences(own, grouped[reference], VIOLATION)),
            }
    return result


def _interval(values: Sequence[float]) -> dict[str, Any]:
    """As it stands in `comparison.json`."""
    return interval(values).model_dump()


def differences(own: Sequence[Run], other: Sequence[Run], path: str) -> list[float]:
    """Own figure minus the other's in each replication that has both."""
    return [
        a.figures[path] - b.figures[path]  # type: ignore[operator]
        for a, b in zip(own, other, strict=True)
        if a.figures[path] is not None and b.figures[path] is not None
    ]


def pareto(summary: Mapping[str, Mapping[str, Any]], bounds: Sequence[str]) -> list[str]:
    """Names of those than whom nobody is both cheaper and better; `bounds` do not take part."""
    points = {
        name: (own[COST]["mean"], own[VIOLATION]["mean"])
        for name, own in summary.items()
        if name not in bounds
    }
    front = [name for name in points if not any(_beats(b, points[name]) for b in points.values())]
    return sorted(front, key=lambda name: points[name])


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether (cost, violations) is clearly better in one of the two and not worse in the other."""
    cheaper, better = one[0] < other[0] / SAME, one[1] < other[1] / SAME
    as_cheap, as_good = one[0] <= other[0] * SAME, one[1] <= other[1] * SAME
    return (cheaper and as_good) or (better and as_cheap)


def losses(minutes: pd.DataFrame) -> list[dict[str, Any]]:
    """Where one run lost its SLO: unbroken times of violation minutes, the worst first.

    A violation minute is one in which more than 1 % of the user-facing requests failed or were too
    slow.
    """
    facing = minutes[minutes["user_facing"]]
    total = facing.groupby("time_s")[["bad", "done"]].sum()
    share = (total["bad"] / total["done"].clip(lower=1.0)).to_numpy()
    lost = share > VIOLATION_MINUTE
    times = total.index.to_numpy()
    edges = np.flatnonzero(np.diff(np.concatenate(([0], lost.astype(np.int8), [0]))))
    losses: list[dict[str, Any]] = []
    for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        inside = facing[facing["time_s"].isin(times[begin:end])]
        by_service = inside.groupby("service")["bad"].sum().sort_values(ascending=False)
        losses.append(
            {
                "from_s": float(times[begin] - 60.0),
                "to_s": float(times[end - 1]),
                "worst_share": float(share[begin:end].max()),
                "requests": round(float(by_service.sum())),
                "services": [str(name) for name, bad in by_service.items() if bad > 0][:3],
            }
        )
    losses.sort(key=lambda loss: -loss["requests"])
    return losses[:LOSSES_SHOWN]


def by_name(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of each contestant, in the order of the replications."""
    grouped: dict[str, list[Run]] = {}
    for run in runs:
        grouped.setdefault(run.name, []).append(run)
    return grouped


def _is_shown(path: str) -> bool:
    return (
        path in SHOWN
        or path.startswith(("elasticity.", "prescaling."))
        or path.endswith((".violation_ratio", ".cost_usd"))
    )
