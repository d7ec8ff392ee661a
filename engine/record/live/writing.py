"""The record of a live run, made of its journal: the same files as the twin's."""

from __future__ import annotations

import datetime as dt
import functools
from pathlib import Path

import yaml

from engine.model import Reason
from engine.record import readiness
from engine.record.folders import OutputError, Render, write_whole
from engine.record.live import figures, tables
from engine.record.live.notes import JournalContent, LiveRun, notes_of
from engine.record.machine import peak_rss_mib, versions
from engine.record.schema import events, thresholds
from engine.record.schema.paths import RunScope, possible
from engine.record.schema.summary import FILE, VERSION, Simulation, Summary
from engine.record.schema.tables import DECISIONS, PRESCALING, TIMELINE, WEDDINGS
from engine.record.sealed import FileSealer, seal

RESOLUTION = "requests"


def check_thresholds(run: LiveRun) -> None:
    """Find out before the run whether each threshold names a figure; raises ValueError if not."""
    thresholds.check(run.thresholds.items(), _scope(run), "live.thresholds")


def write(
    run: LiveRun, journal: Path, output: Path, render: Render, *, sealer: FileSealer | None = None
) -> Path:
    """Write the record of what `journal` tells, let `render` add the reports; returns its folder.

    It is on the disk when this returns; with a `sealer` all of it is sealed.  Raises OutputError
    when that is impossible, also because the journal is damaged or of another version: then it is
    all there is, and stays.
    """
    try:
        notes = notes_of(run, journal, sealer)
        summary = _summary(run, notes)
        timeline, decisions = tables.timeline(run, notes), tables.decisions(run, notes)
        weddings = tables.weddings(notes)
        prescaling = readiness.table(figures.prescaling(run, notes))
    except Exception as error:
        raise OutputError(f"no record can be made of {journal}, which stays: {error!r}") from error

    def fill(folder: Path) -> None:
        text = yaml.safe_dump(dict(run.config), sort_keys=False, allow_unicode=True, width=100)
        (folder / "config.yaml").write_text(text, encoding="utf-8")
        TIMELINE.write(folder, timeline)
        DECISIONS.write(folder, decisions)
        WEDDINGS.write(folder, weddings)
        PRESCALING.write(folder, prescaling)
        events.write(folder, notes.events)
        (folder / FILE).write_text(summary.text(), encoding="utf-8")

    started = dt.datetime.fromtimestamp(run.started_s, dt.UTC)
    name = f"{started:%Y%m%dT%H%M%SZ}-{run.controller}-live"
    finish = None if sealer is None else functools.partial(seal, sealer=sealer)
    return write_whole(output / run.scenario, name, fill, render, finish=finish)


def described(run: LiveRun) -> str:
    """What was played in truth; what the scenario says of itself is for all of its day.

    Only a part that is neither smaller nor faster than the day has those words beside it.
    """
    played = run.played
    if played is None:
        return "No schedule was given that says what was booked: the figures are of what came."
    begin, end = (f"{at[:10]} {at[11:16]}" for at in (played.from_at, played.to_at))
    if not played.events:
        return (
            f"Nothing of {run.scenario} was booked for the time that was played, {begin} to {end} "
            "UTC; schedule.from says which part of its day begins when the run does."
        )
    plain = played.speed == played.scale == 1.0
    how = "" if plain else f", {played.speed:g} times as fast, at {played.scale:g} of its load"
    text = (
        f"Played live: {played.events:,} weddings of the {played.booked:,} that {run.scenario} has "
        f"booked, its time from {begin} to {end} UTC{how}."
    )
    return f"{text} Of its whole day: {run.description}" if plain and run.description else text


def _scope(run: LiveRun) -> RunScope:
    return RunScope(
        world="live",
        services=tuple(spec.name for spec in run.specs),
        resolution=RESOLUTION,
        horizons=run.horizons,
        reasons=tuple(Reason),
    )


def _summary(run: LiveRun, notes: JournalContent) -> Summary:
    started = dt.datetime.fromtimestamp(run.started_s, dt.UTC)
    lasted_s = run.ended_s - run.started_s
    unjudged = Summary(
        schema=VERSION,
        scenario=run.scenario,
        description=described(run),
        controller=run.controller,
        foresight=run.foresight,
        seed=run.seed,
        resolution=RESOLUTION,
        world="live",
        started_at=started.isoformat(timespec="seconds"),
        partial=run.partial,
        versions=versions(),
        command=run.command,
        **dict(figures.summarise(run, notes)),
        live=figures.shell(run, notes),
        thresholds=(),
        simulation=Simulation(
            wall_s=lasted_s,
            compile_s=None,
            simulated_s=lasted_s,
            speedup=None,
            peak_rss_mib=peak_rss_mib(),
        ),
    )
    asked = {
        f"services.{name}.requests": totals["requests"]
        for name, totals in run.totals.items()
        if "requests" in totals
    }
    judged = thresholds.judge(run.thresholds.items(), unjudged, possible(_scope(run)), asked)
    return unjudged.model_copy(update={"thresholds": judged})
