"""Where a record is from: command, seed, versions, the file of its load, and how to repeat it."""

from __future__ import annotations

from collections.abc import Iterable

from engine.record.schema.summary import Summary
from reports import wording
from reports.tables import TextTable, table
from reports.wording import count, seconds


def run_table(summary: Summary) -> TextTable:
    """What was run, when, and what it took."""
    run = summary.simulation
    rows = [
        ("scenario", summary.scenario),
        ("controller", summary.controller),
        ("seed", str(summary.seed)),
        ("resolution", summary.resolution),
        ("world", summary.world),
        ("started", wording.moment(summary.started_at)),
        (
            "took",
            seconds(run.wall_s)
            if summary.live is not None
            else f"{seconds(run.wall_s)} for {seconds(run.simulated_s)}",
        ),
        ("most memory", f"{count(run.peak_rss_mib)} MiB"),
        ("record schema", str(summary.schema_version)),
        *_trace_rows(summary),
    ]
    return table(("", "this run"), "  ", rows)


def _trace_rows(summary: Summary) -> Iterable[tuple[str, str]]:
    """Which file the load comes from, and how it was understood."""
    trace = summary.trace
    if trace is None:
        return
    yield "trace", trace.file
    yield "read as", "; ".join(trace.read_as)
    if trace.calendar is not None:
        yield "calendar", f"{trace.calendar}: {trace.calendar_read_as}"
    yield "times without a zone", trace.time_zone


def how_to_repeat(summary: Summary) -> str:
    """What the command gives when it is run again."""
    if summary.world != "twin":
        return (
            "This command started the run. It cannot repeat it: live traffic does not come again."
        )
    return (
        "The same command with the same versions gives the same run, apart from what was measured "
        "by the clock."
    )
