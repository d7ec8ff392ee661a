"""`python -m twin detect`: what it takes, what it works out, and what it says."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config import assignments
from engine.config.strict import ConfigError
from engine.record.folders import check_writable, write_whole

if TYPE_CHECKING:
    from twin.detect.score import Quiet, Saturday, Scored

KEYS = ("worlds", "saturdays", "deliveries", "seed", "workers", "output")
FILE = "detection.json"


@dataclasses.dataclass(frozen=True, slots=True)
class DetectArguments:
    """What the command line asks for; `overrides` are of each world's configuration."""

    worlds: int
    saturdays: int
    deliveries: int
    seed: int
    workers: int | None
    output: Path
    overrides: tuple[str, ...]


def read(arguments: Sequence[str]) -> DetectArguments:
    """Take apart the command line; raises ConfigError for what cannot be read."""
    words = assignments.read(arguments, KEYS)
    own = words.own
    return DetectArguments(
        worlds=_whole("worlds", own.get("worlds", "26"), 0),
        saturdays=_whole("saturdays", own.get("saturdays", "1"), 0),
        deliveries=_whole("deliveries", own.get("deliveries", "0"), 0),
        seed=_whole("seed", own.get("seed", "1"), 0),
        workers=_whole("workers", own["workers"], 1) if "workers" in own else None,
        output=Path(own.get("output", "outputs")),
        overrides=words.overrides,
    )


def _whole(key: str, text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if not least <= value < 2**31:
        raise ConfigError(f'{key}: "{text}" is not allowed (a whole number ≥ {least})')
    return value


def run(options: DetectArguments, line: str) -> Path:
    """Score the monitor; returns the folder with `detection.json`.

    Raises ConfigError for overrides that make no world, OutputError.
    """
    from engine.config.composition import composed
    from twin.commands import terminal
    from twin.config import parse
    from twin.detect import score, worlds
    from twin.runs.seeds import seed_of
    from twin.runs.workers import spread

    check_writable(options.output)
    worlds.base(options.seed, 0, options.overrides)  # what is wrong is said before the work
    groups = math.ceil(options.worlds / worlds.SHARED)
    tasks = [(options.seed, g, options.worlds, options.overrides) for g in range(groups)]
    quiet, scored, saturdays = [], [], []
    with terminal.progress("worlds", len(tasks) + options.saturdays) as advance:
        for done, (_, (plain, own)) in enumerate(
            spread(score.score_group, tasks, options.workers), start=1
        ):
            quiet.append(plain)
            scored += own
            advance(done)
        days = [
            parse(
                composed(
                    [
                        "scenario=june_peak",
                        f"seed={seed_of(options.seed, k)}",
                        "monitor.enabled=true",
                        *options.overrides,
                    ]
                )
            )
            for k in range(options.saturdays)
        ]
        for done, (_, day) in enumerate(
            spread(score.score_saturday, days, options.workers), start=len(tasks) + 1
        ):
            saturdays.append(day)
            advance(done)
    results = figures(
        sorted(quiet, key=lambda q: q.seed),
        sorted(scored, key=lambda s: s.index),
        sorted(saturdays, key=lambda s: s.seed),
    )
    results["deliveries"] = _deliveries(options)
    results = {"command": line, "seed": options.seed, **results}
    name = f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}-{options.seed}"

    def fill(folder: Path) -> None:
        text = json.dumps(results, indent=2, allow_nan=False) + "\n"
        (folder / FILE).write_text(text, encoding="utf-8")

    folder = write_whole(options.output / "detect", name, fill)
    for said in lines(results):
        print(said, file=sys.stderr)
    return folder


def _deliveries(options: DetectArguments) -> dict[str, int]:
    """What came of so many worlds in which notices are on their way."""
    from twin.detect import delivery, worlds
    from twin.runs.workers import spread

    specs = tuple(worlds.base(options.seed, 0, options.overrides).platform.specs())
    tasks = delivery.tasks(specs, options.seed, options.deliveries)
    done = [own for _, own in spread(delivery.done, tasks, options.workers)]
    return {
        "worlds": options.deliveries,
        **{
            name: sum(getattr(one, name) for one in done)
            for name in ("notices", "sent", "crashes", "lost", "twice")
        },
    }


def figures(
    quiet: Sequence[Quiet], scored: Sequence[Scored], saturdays: Sequence[Saturday]
) -> dict[str, Any]:
    """What follows from the runs; a share is [value, low, high] with its 95 % interval."""
    kinds: dict[str, Any] = {}
    for kind in dict.fromkeys(s.kind for s in scored):
        kinds[kind] = _of([s for s in scored if s.kind == kind])
    weeks = math.fsum(q.service_weeks for q in quiet)
    alarms = sum(len(q.alarms) for q in quiet)
    saturday_weeks = math.fsum(s.service_weeks for s in saturdays)
    return {
        "worlds": len(scored),
        "all": _of(scored),
        "kinds": kinds,
        "without_faults": {
            "worlds": len(quiet),
            "service_weeks": weeks,
            "alarms": alarms,
            "false_alarms_per_service_week": alarms / weeks if weeks else None,
            "what": [f"seed {q.seed}, {what}" for q in quiet for what in q.alarms],
        },
        "saturdays": {
            "days": len(saturdays),
            "service_weeks": saturday_weeks,
            "alarms": sum(len(s.alarms) for s in saturdays),
            "without_calendar": sum(len(s.blind_alarms) for s in saturdays),
            "what": [f"seed {s.seed}, {what}" for s in saturdays for what in s.alarms],
        },
        "rows": [
            {
                name: None if isinstance(value, float) and math.isnan(value) else value
                for name, value in dataclasses.asdict(s).items()
            }
            for s in scored
        ],
    }


def _of(scored: Sequence[Scored]) -> dict[str, Any]:
    """Counts and shares of these worlds; shares are of those whose fault did something."""
    own = [s for s in scored if s.fired]
    showing = [s for s in own if s.shows]
    noticed = [s for s in own if s.due]
    felt = [s for s in showing if s.due]
    return {
        "worlds": len(own),
        "shows": len(showing),
        "recall": _share([bool(s.due) for s in showing]),
        "noticed": _share([bool(s.due) for s in own]),
        "precision": [sum(s.due for s in own), sum(s.alarms for s in own)],
        "median_after_s": _median([s.after_s for s in noticed]),
        "median_after_shown_s": _median([s.after_shown_s for s in felt]),
        "blamed_right": _share([s.blamed for s in noticed]),
    }


def _share(values: Sequence[bool]) -> list[float] | None:
    if not values:
        return None
    import numpy as np

    from twin.evidence.estimators import proportion

    estimate = proportion(np.array(values, dtype=np.float64))
    return [round(x, 4) for x in (estimate.value, max(estimate.low, 0.0), min(estimate.high, 1.0))]


def _median(values: Sequence[float]) -> float | None:
    ordered = sorted(values)
    middle = len(ordered) // 2
    if not ordered:
        return None
    return ordered[middle] if len(ordered) % 2 else 0.5 * (ordered[middle - 1] + ordered[middle])


def lines(results: dict[str, Any]) -> list[str]:
    """The results as a table of text."""
    said = [
        f"{'fault':18} {'worlds':>6} {'shows':>6} {'recall of those':>22} {'noticed':>8} "
        f"{'after s':>8} {'felt+s':>7} {'cause right':>22}"
    ]
    for name, own in [*results["kinds"].items(), ("all", results["all"])]:
        noticed = "–" if own["noticed"] is None else f"{own['noticed'][0]:.0%}"
        said.append(
            f"{name:18} {own['worlds']:6} {own['shows']:6} {_shown(own['recall']):>22} "
            f"{noticed:>8} {_number(own['median_after_s']):>8} "
            f"{_number(own['median_after_shown_s']):>7} {_shown(own['blamed_right']):>22}"
        )
    due, alarms = results["all"]["precision"]
    said.append(f"of {alarms} alarms in worlds with a fault {due} are due to it")
    calm, days = results["without_faults"], results["saturdays"]
    said.append(
        f"without a fault: {calm['alarms']} alarms in {calm['service_weeks']:.2f} service weeks"
    )
    said.append(
        f"{days['days']} booked Saturdays in June: {days['alarms']} alarms; "
        f"a copy that does not know the calendar: {days['without_calendar']}"
    )
    own = results.get("deliveries")
    if own is not None and own["worlds"]:
        said.append(
            f"{own['worlds']} worlds with {own['crashes']} kills: of {own['notices']} notices "
            f"{own['lost']} lost, {own['twice']} told twice"
        )
    return said


def _shown(share: list[float] | None) -> str:
    return "–" if share is None else f"{share[0]:.0%} ({share[1]:.0%} … {share[2]:.0%})"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"
