"""Rows that are actions of a live engine: what came of each, against need and against the twin.

The live part is a run record with the engine's decisions, the platform's timeline and the load's
results.  The twin gets the same requests, second by second, with as many instances ready as there
were live, and tells how busy they are (open loop): errors of its queues cannot hide behind what the
engine makes of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from engine.config.composition import composed
from engine.decide.callgraph import with_calls
from engine.model import SAMPLE_FIELDS, FloatArray, ServiceSpec
from scenarios.streams import Streams
from twin.config import parse
from twin.queues.port import ClientBehaviour, clients_of
from twin.queues.requests import RequestPlatform
from twin.queues.response import needed_curve

SETTLE_S = 5.0
"""So long after an action is done its outcome is looked at: a scrape of Prometheus."""
LEAST_S = 10
"""An action that the next one of its service followed sooner has no outcome of its own."""
NEED_S = 10
"""Need is that of the mean rate over so long: that of single seconds is chance."""
CPU = SAMPLE_FIELDS.index("cpu")


def after_actions(
    *,
    rows: int,
    seed: int,
    record: Path,
    platform: str = "staging",
    service_time: float = 1.0,
) -> list[dict[str, Any]]:
    """A row for each action of `record` that was carried out and then stood for `LEAST_S`.

    Its outcome is that of the seconds from `SETTLE_S` after it was done to the service's next
    action or the load's end: `seconds`, and `short` of them with fewer instances ready than the
    load of then needed (`twin.queues.response.needed_curve`, of the requests that were sent and the
    calls they make); `ordered`, and `needed` at most meanwhile; `live_busy` and `twin_busy`, the
    busy share of the slots, and `apart`, the distance between them.

    The twin takes requests for `service_time` times as long as `platform` says.  There are as many
    rows as there were such actions, and `rows` at most.

    Raises ValueError for a record without a load, or of other services than `platform` has.
    """
    config = parse({**composed([f"platform={platform}"]), "replications": 1})
    specs = config.platform.specs()
    names = [spec.name for spec in specs]
    load = pd.read_parquet(record / "load.parquet")
    timeline = pd.read_parquet(record / "timeline.parquet")
    decisions = pd.read_parquet(record / "decisions.parquet")
    for table in (load, timeline):
        strangers = sorted(set(table["service"].astype(str)) - set(names))
        if strangers:
            raise ValueError(f"{record}: {platform} has no service {', '.join(strangers)}")
    if load.empty:
        raise ValueError(f"{record}: no request was sent")
    begun_s = math.floor(load["time_s"].min())
    sent = _sent(load, names, begun_s)
    seconds = sent.shape[1]
    ready = np.stack([_ready(timeline, name, begun_s, seconds) for name in names])
    need = np.stack(
        [needed_curve(spec, _smoothed(rate), specs) for spec, rate in
         zip(specs, with_calls(specs, sent), strict=True)]
    )  # fmt: skip
    slower = [replace(spec, service_s=spec.service_s * service_time) for spec in specs]
    busy = _replayed(slower, clients_of(config.platform), sent, ready, seed=seed)
    made = []
    for action in _carried_out(decisions):
        index = names.index(action.service)
        first = max(math.ceil(action.done_s + SETTLE_S - begun_s), 0)
        last = math.floor(min(action.until_s - begun_s, seconds))
        live = _live_busy(timeline, action.service, begun_s + first, begun_s + last)
        if last - first < LEAST_S or live is None:
            continue
        twin = float(np.nanmean(busy[index, first:last]))
        made.append(
            {
                "service": action.service,
                "reason": action.reason,
                "ordered": action.ordered,
                "needed": int(need[index, first:last].max()),
                "seconds": last - first,
                "short": int((ready[index, first:last] < need[index, first:last]).sum()),
                "live_busy": live,
                "twin_busy": twin,
                "apart": abs(live - twin),
            }
        )
    return made[:rows]


class _Action(NamedTuple):
    """An action, when it was done, and when the next one of its service was decided."""

    service: str
    reason: str
    ordered: int
    done_s: float
    until_s: float


def _carried_out(decisions: pd.DataFrame) -> list[_Action]:
    """The actions that came to their end, in that order."""
    actions = decisions[decisions["kind"] == "action"].sort_values("time_s", kind="stable")
    done_s = actions["served_s"].fillna(actions["completed_s"])  # who leaves never serves
    until_s = actions.groupby("service", observed=True)["time_s"].shift(-1).fillna(math.inf)
    columns = (
        actions["service"].astype(str), actions["reason"].astype(str), actions["to_instances"],
        done_s, until_s,
    )  # fmt: skip
    every = [_Action(*values) for values in zip(*(c.tolist() for c in columns), strict=True)]
    return sorted(
        (action for action in every if math.isfinite(action.done_s)), key=lambda a: a.done_s
    )


def _sent(load: pd.DataFrame, names: Sequence[str], begun_s: float) -> FloatArray:
    """Requests that were sent, (services, seconds)."""
    second = np.floor(load["time_s"].to_numpy() - begun_s).astype(np.int64)
    sent = np.zeros((len(names), int(second.max()) + 1))
    index = load["service"].astype(str).map({name: i for i, name in enumerate(names)}).to_numpy()
    np.add.at(sent, (index, second), load["sent"].to_numpy(dtype=np.float64))
    return sent


def _ready(timeline: pd.DataFrame, name: str, begun_s: float, seconds: int) -> FloatArray:
    """Ready instances at each second: those last seen."""
    own = timeline[timeline["service"].astype(str) == name].sort_values("time_s")
    at = np.searchsorted(own["time_s"].to_numpy(), begun_s + np.arange(seconds), side="right") - 1
    return own["ready"].to_numpy(dtype=np.float64)[np.maximum(at, 0)]


def _live_busy(timeline: pd.DataFrame, name: str, from_s: float, until_s: float) -> float | None:
    """The mean busy share that the workers reported; None where there is no sample."""
    own = timeline[(timeline["service"].astype(str) == name) & timeline["cpu"].notna()]
    within = own[(own["time_s"] > from_s) & (own["time_s"] <= until_s)]["cpu"]
    return None if within.empty else float(within.mean())


def _smoothed(rate: FloatArray) -> FloatArray:
    """The mean of the `NEED_S` around each second, of fewer at the ends."""
    window = np.ones(NEED_S)
    return np.convolve(rate, window, "same") / np.convolve(np.ones_like(rate), window, "same")


def _replayed(
    specs: Sequence[ServiceSpec],
    clients: dict[str, ClientBehaviour],
    sent: FloatArray,
    ready: FloatArray,
    *,
    seed: int,
) -> FloatArray:
    """The twin's busy share (services, seconds); what was sent has its retries in it already."""
    patient = {name: replace(client, max_retries=0) for name, client in clients.items()}
    queues = RequestPlatform(specs, sent, patient, Streams(seed)("evidence.outcomes"), sample_s=1)
    for second in range(sent.shape[1]):
        for index, count in enumerate(ready[:, second]):
            if count != queues.ready(index):
                queues.set_ready(index, int(count), 0)
        queues.advance(second + 1)
    return queues.metrics[:, :, CPU]
