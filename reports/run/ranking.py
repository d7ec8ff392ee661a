"""Which decisions mattered, and which were not taken.

A day has hundreds of actions; a reader wants the ten that tell its story.  An action scores

    3  for an emergency, and 3 for a rollback: something had gone wrong;
    2  if its service was missing its SLO within five minutes before or after it;
    1  if it was not carried out (failed, rejected, waiting, dry run);
    0 … 2  for its size: the geometric mean of its change as a share of the service's largest fleet
       and of its cost as a share of the dearest hour, 2 being the largest of the run.

Then the highest is picked, again and again, but each further one of the same service and reason
counts only half of the one before it: ten emergencies of one minute are one story, not ten.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.run.reading import Record

NEARBY_S = 300.0
BAD_SHARE = 0.01
REPEATED = 0.5
NOT_DONE = ("failed", "rejected", "awaiting", "dry_run")

RANKING_EXPLAINED = (
    "Ranked by a score: 3 for an emergency, 3 for a rollback, 2 if the service was missing its SLO "
    "within five minutes of it, 1 if it was not carried out, and up to 2 for its size (its change "
    "as a share of the service's largest fleet, and its cost as a share of the dearest hour). Each "
    "further decision of the same service and reason counts half of the one before. "
    "Shown in the order of time."
)


@dataclass(frozen=True, slots=True)
class Ranked:
    """One action with its score and what earned it; `row` is its row of the decisions."""

    row: pd.Series
    score: float
    because: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeclinedGroup:
    """Recommendations that were not taken, all for the same reason (figures apart)."""

    why: str
    times: int
    services: tuple[str, ...]


def most_important(record: Record, limit: int = 10) -> tuple[Ranked, ...]:
    """The `limit` actions with the highest scores, in the order of time."""
    actions = record.actions
    if actions.empty:
        return ()
    emergency = is_emergency(actions)
    rollback = (actions["reason"] == "rollback").to_numpy()
    not_done = actions["outcome"].isin(NOT_DONE).to_numpy()
    near = _near_violation(record, actions)
    fleet_share, cost_share = _size(record, actions)
    size = np.sqrt(fleet_share * cost_share)
    largest = size.max()
    score = 3.0 * emergency + 3.0 * rollback + 2.0 * near + 1.0 * not_done
    score = score + (2.0 * size / largest if largest > 0.0 else 0.0)
    keys = list(zip(actions["service"], actions["reason"], strict=True))
    picked = _pick(score, keys, limit)
    chosen = []
    for i in sorted(picked, key=lambda i: (float(actions["time_s"].iloc[i]), i)):
        because = []
        if emergency[i]:
            because.append("emergency")
        if rollback[i]:
            because.append("rollback")
        if near[i]:
            because.append("SLO missed nearby")
        if not_done[i]:
            because.append("not carried out")
        because.append(f"{fleet_share[i]:.0%} of its largest fleet".replace("%", " %"))
        chosen.append(Ranked(actions.iloc[i], float(score[i]), tuple(because)))
    return tuple(chosen)


def is_emergency(actions: pd.DataFrame) -> NDArray[np.bool_]:
    """Which of the `actions` are emergencies, by category or by reason."""
    return ((actions["category"] == "emergency") | (actions["reason"] == "emergency")).to_numpy(
        bool
    )


def declined(record: Record) -> tuple[DeclinedGroup, ...]:
    """What was not taken, by reason, the most frequent first."""
    rows = record.decisions
    rows = rows[(rows["kind"] == "recommendation") & (rows["outcome"] == "declined")]
    groups: dict[str, list[tuple[str, str, int]]] = {}
    counted = Counter(zip(rows["why"], rows["service"], strict=True))
    for (why, service), times in sorted(counted.items()):
        groups.setdefault(_NUMBER.sub("#", why), []).append((why, service, times))
    ranked = [
        DeclinedGroup(
            why=_common([why for why, _, _ in members]) or "no reason given",
            times=sum(times for _, _, times in members),
            services=tuple(sorted({service for _, service, _ in members})),
        )
        for members in groups.values()
    ]
    return tuple(sorted(ranked, key=lambda group: (-group.times, group.why)))


_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def _common(texts: list[str]) -> str:
    """Texts that differ in their figures only, as one: a figure that differs becomes "…"."""
    figures = list(zip(*(_NUMBER.findall(text) for text in texts), strict=True))
    kept = iter([column[0] if len(set(column)) == 1 else "…" for column in figures])
    return _NUMBER.sub(lambda _: next(kept), texts[0])


def _pick(score: NDArray[np.float64], keys: list[tuple[str, str]], limit: int) -> list[int]:
    left, picked = dict(enumerate(score.tolist())), list[int]()
    seen = Counter[tuple[str, str]]()
    while left and len(picked) < limit:
        best = max(left, key=lambda i: (left[i] * REPEATED ** seen[keys[i]], -i))
        picked.append(best)
        seen[keys[best]] += 1
        del left[best]
    return picked


def _near_violation(record: Record, actions: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether the service of each action missed its SLO within `NEARBY_S` of it."""
    near = np.zeros(len(actions), bool)
    at_s, service = actions["time_s"].to_numpy(), actions["service"].to_numpy()
    for name, part in record.by_service():
        mine = np.flatnonzero(service == name)
        if mine.size == 0 or part.empty:
            continue
        lost = part[["failed", "shed", "timed_out"]].sum(axis=1)
        bad = (lost + part["slow"]) > BAD_SHARE * (lost + part["served"])
        slow = part["p95_s"] > record.summary.services[name].slo_p95_s
        missed_s = part["time_s"].to_numpy()[(bad | slow).to_numpy()]
        first = np.searchsorted(missed_s, at_s[mine] - NEARBY_S, side="left")
        near[mine] = np.searchsorted(missed_s, at_s[mine] + NEARBY_S, side="right") > first
    return near


def _size(record: Record, actions: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Change as a share of the service's largest fleet, and cost as a share of the dearest hour."""
    largest = {name: s.instances_max for name, s in record.summary.services.items()}
    fleets = [float(largest.get(name, 0)) for name in actions["service"]]
    change = np.nan_to_num((actions["to_instances"] - actions["from_instances"]).abs().to_numpy())
    fleet_share = change / np.maximum(np.array(fleets), 1.0)
    dearest = float(record.timeline.groupby("time_s")["cost_per_hour"].sum().max() or 0.0)
    cost = np.nan_to_num(actions["cost_per_hour"].abs().to_numpy())
    return fleet_share, cost / dearest if dearest > 0.0 else np.zeros(len(actions))
