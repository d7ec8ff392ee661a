"""From the tally to `load_summary.json`, and whether the load's limits were kept.

A request violates if it failed, was shed, timed out or felt slower than its service's SLO;
`slo.violation_ratio` is their share of all attempts, retries included, as in the twin's summary.
One that was held for longer than its client waits, because so many others had no answer yet, counts
as timed out there: nobody served it.  But what the generator itself sent late, or did not send
because a worker was lost, says nothing about the system: then a bad figure is no verdict on it, and
"not judged" is what the load test says, which is a failure of its own.
"""

from __future__ import annotations

import datetime as dt
import difflib
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from locustfiles.plan import Plan
from locustfiles.tally import LATE_S, Cell, Tally, quantiles, share_above

SCHEMA = 1
MOST_UNSENT = 0.01
MOST_LATE = 0.05
"""Above these shares of the requests due (or of the time), the generator was tested instead."""

MOST_REASONS = 20
COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_LIMIT = re.compile(r"^\s*([A-Za-z_][\w.-]*)\s*(<=|>=|==|<|>)\s*([-+.\deE]+)\s*$")

Verdict = Literal["passed", "failed", "not judged"]


class LimitError(ValueError):
    """A threshold cannot be read or names no figure; the message says what is allowed."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What a figure of the summary has to keep to."""

    name: str
    metric: str
    operator: str
    limit: float


@dataclass(frozen=True, slots=True)
class Generator:
    """How the load was made: `cpu` are shares of a core, one for each worker and second."""

    workers: int
    lost_workers: int
    peak_in_flight: int
    max_in_flight: int
    cpu: Sequence[float]


def limit(text: str, name: str = "") -> Limit:
    """Parse `figure operator number`; raises LimitError."""
    match = _LIMIT.match(text)
    try:
        if match is None:
            raise ValueError
        metric, sign, figure = match.groups()
        return Limit(name or metric, metric, sign, float(figure))
    except ValueError:
        raise LimitError(
            f'--threshold: "{text}" is not allowed; give a figure, an operator and a number, such '
            'as "violation_ratio <= 0.001" or "api.p95_s <= 0.5"'
        ) from None


def summarise(
    plan: Plan,
    tally: Tally,
    intended: NDArray[np.int64],
    generator: Generator,
    *,
    host: str,
    started: dt.datetime,
    lasted_s: float,
    partial: bool,
) -> dict[str, Any]:
    """All figures; `intended` (services, seconds) is what the schedule asked for."""
    services = {
        name: _service(tally.of([i]), int(intended[i].sum()), plan.clients[i].slo_p95_s)
        for i, name in enumerate(plan.services)
    }
    everything = tally.of(range(len(plan.services)))
    due = int(intended.sum())
    return {
        "schema": SCHEMA,
        "scenario": plan.scenario,
        "seed": plan.seed,
        "scale": plan.scale,
        "speed": plan.speed,
        "host": host,
        "from": dt.datetime.fromtimestamp(plan.start_s, dt.UTC).isoformat(),
        "scenario_s": plan.seconds,
        "started_at": started.isoformat(timespec="milliseconds"),
        "wall_s": lasted_s,
        "partial": partial,
        "requests": {
            "intended": due,
            **{name: n for name, n in everything.counts.items() if name != "intended"},
            "peak_rate_per_s": float(intended.sum(axis=0).max(initial=0)),
        },
        "slo": _slo(everything),
        "services": services,
        "roles": dict(sorted(tally.roles.items())),
        "reasons": dict(sorted(tally.reasons.items(), key=lambda item: -item[1])[:MOST_REASONS]),
        "left_out": list(plan.left_out),
        "coordinated_omission": {name: _omission(one) for name, one in services.items()},
        "generator": _generator(tally, everything, due, generator, partial=partial),
    }


def judge(
    summary: Mapping[str, Any], limits: Sequence[Limit]
) -> tuple[Verdict, list[dict[str, Any]]]:
    """The verdict and each limit with its value; raises LimitError where one names no figure."""
    judged = []
    for one in limits:
        value = figure(summary, one.metric)
        if value is None:
            passed = not _was_due(summary, one.metric)  # nothing asked, nothing missed
        else:
            passed = COMPARISONS[one.operator](value, one.limit)
        judged.append(
            {
                "name": one.name,
                "metric": one.metric,
                "operator": one.operator,
                "limit": one.limit,
                "value": value,
                "passed": passed,
            }
        )
    generator = summary["generator"]
    if generator["unsent_ratio"] > MOST_UNSENT:
        return "not judged", judged
    if all(one["passed"] for one in judged):
        return "passed", judged  # being late can only have made the figures worse
    return "not judged" if generator["saturated"] else "failed", judged


def figure(summary: Mapping[str, Any], path: str) -> float | None:
    """The figure at a dotted path; services and the SLO's figures need no prefix."""
    for prefix in ("", "slo.", "services.", "requests."):
        value: Any = summary
        for part in f"{prefix}{path}".split("."):
            if not isinstance(value, Mapping) or part not in value:
                break
            value = value[part]
        else:
            if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
                return value
    known = sorted(paths(summary))
    close = difflib.get_close_matches(path, known, n=3, cutoff=0.4)
    hint = f"; did you mean {' or '.join(close)}?" if close else f" ({', '.join(known)})"
    raise LimitError(f'--threshold: "{path}" is no figure of a load test{hint}')


def _was_due(summary: Mapping[str, Any], path: str) -> bool:
    """Whether the schedule had requests of those that the figure is about."""
    services = summary["services"]
    named = [name for name in services if path.removeprefix("services.").startswith(f"{name}.")]
    return any(services[name]["intended"] > 0 for name in named or services)


def paths(summary: Mapping[str, Any]) -> list[str]:
    """The figures that a limit can be set on, in their short form."""
    found = [f"{key}" for key in summary["slo"]]
    found += [f"requests.{key}" for key in summary["requests"]]
    found += [f"generator.{key}" for key, v in summary["generator"].items() if _is_figure(v)]
    for name, service in summary["services"].items():
        found += [f"{name}.{key}" for key, value in service.items() if _is_figure(value)]
    return found


def _is_figure(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _slo(cell: Cell) -> dict[str, float]:
    counts = cell.counts
    lost = counts["failed"] + counts["shed"] + counts["timed_out"] + counts["dropped"]
    wanted = counts["sent"] + counts["dropped"]
    return {
        "violation_ratio": _share(lost + counts["slow"], wanted),
        "availability": 1.0 - _share(lost, wanted),
    }


def _service(cell: Cell, due: int, slo_p95_s: float) -> dict[str, Any]:
    counts = {name: n for name, n in cell.counts.items() if name != "intended"}
    return {
        "intended": due,
        **counts,
        **_slo(cell),
        "slo_p95_s": slo_p95_s,
        **quantiles(cell.felt),
        "answered": quantiles(cell.answered),
    }


def _omission(service: Mapping[str, Any]) -> dict[str, float | None]:
    """What a closed-loop test would have said, and what it would have hidden."""
    felt, answered = service["p95_s"], service["answered"]["p95_s"]
    hidden = None if felt is None or answered is None else max(felt - answered, 0.0)
    return {"felt_p95_s": felt, "answered_p95_s": answered, "hidden_p95_s": hidden}


def _generator(
    tally: Tally, cell: Cell, due: int, generator: Generator, *, partial: bool
) -> dict[str, Any]:
    # At the end of a whole load every request has ended or timed out.
    unfinished = cell.counts["unfinished"] if partial else 0
    known = cell.counts["sent"] - cell.counts["retried"] + unfinished + cell.counts["dropped"]
    unsent = max(due - known, 0)
    late_ratio = _share(cell.counts["late"], due)
    unsent_ratio = _share(unsent, due)
    busy_ratio = share_above(tally.pulse, LATE_S)
    return {
        "workers": generator.workers,
        "lost_workers": generator.lost_workers,
        "unsent": unsent,
        "unsent_ratio": unsent_ratio,
        "late_after_s": LATE_S,
        "late_ratio": late_ratio,
        "busy_ratio": busy_ratio,
        "held_ratio": _share(cell.counts["held"], due),
        "lateness": quantiles(cell.lateness),
        "peak_in_flight": generator.peak_in_flight,
        "max_in_flight": generator.max_in_flight,
        "cpu_mean": float(np.mean(generator.cpu)) if len(generator.cpu) else None,
        "cpu_max": float(np.max(generator.cpu)) if len(generator.cpu) else None,
        "saturated": unsent_ratio > MOST_UNSENT or max(late_ratio, busy_ratio) > MOST_LATE,
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
