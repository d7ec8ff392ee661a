"""Where a load test's results go: three files in a folder, often that of the engine's run record.

`load.parquet` has one row for each second and service, `load_summary.json` the figures and whether
the limits were kept, `load.md` the same for people.  A reader never sees half of one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.record.files import write_atomically
from engine.record.schema.load import FILE, LoadSummary
from engine.record.schema.summary import Outcome
from locustfiles.plan import LoadPlan
from locustfiles.tally import Tally

MUCH_HELD = 0.01
KEPT: Mapping[Outcome, str] = {"passed": "yes", "failed": "NO", "not judged": "not judged"}


class ResultsError(OSError):
    """The results cannot be written; the message names the option and the reason."""


def check_writable(folder: Path) -> None:
    """Find out before the load whether its results can be written; raises RecordError if not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ResultsError(f"--record: {folder} cannot be written ({error.strerror})") from error


def write(
    folder: Path, plan: LoadPlan, tally: Tally, intended: NDArray[np.int64],
    *, summary: LoadSummary, began_s: float,
) -> None:  # fmt: skip
    """Write the three files; `began_s` is the start on the clock, epoch seconds."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        from locustfiles import timeline  # pandas: not before there is something to write

        timeline.write(folder, plan, tally, intended, began_s=began_s)
        write_atomically(folder / FILE, summary.text())
        write_atomically(folder / "load.md", markdown(summary))
    except OSError as error:
        raise ResultsError(
            f"--record: {folder} cannot be written ({error.strerror or error})"
        ) from error


def markdown(summary: LoadSummary) -> str:
    """`load.md`."""
    return "\n".join(_lines(summary)) + "\n"


def _lines(summary: LoadSummary) -> Iterator[str]:
    requests, generator = summary.requests, summary.generator
    yield f"# Load of {summary.scenario}: {summary.verdict}\n"
    yield (
        f"{requests.intended:,} requests were due in {summary.wall_s:.0f} s, up to "
        f"{requests.peak_rate_per_s:,.0f} a second: {summary.scale:g} times the load of "
        f"{summary.scenario}, {summary.speed:g} times as fast, seed {summary.seed}, "
        f"against {summary.host}.\n"
    )
    if summary.partial:
        yield "The load was stopped before its end; all figures are those of this part.\n"
    yield from _table(
        ("limit", "value", "kept"),
        [
            (f"{one.metric} {one.operator} {one.limit:g}", _figure(one.value),
             KEPT[one.outcome])
            for one in summary.thresholds
        ],
    )  # fmt: skip
    yield "## As sent and as felt\n"
    yield from _table(
        ("service", "due", "sent", "ok", "failed", "shed", "timed out", "slow", "p50", "p95",
         "p99", "SLO p95", "p95 from sending"),
        [
            (name, *(f"{getattr(one, key):,}" for key in ("intended", "sent", "ok", "failed",
                                                          "shed", "timed_out", "slow")),
             _seconds(one.p50_s), _seconds(one.p95_s), _seconds(one.p99_s),
             _seconds(one.slo_p95_s), _seconds(one.answered.p95_s))
            for name, one in summary.services.items()
        ],
    )  # fmt: skip
    yield (
        "Quantiles count from the moment at which a request was due; “from sending” is what a "
        "closed-loop test would have reported.\n"
    )
    yield "## The generator itself\n"
    lateness = generator.lateness
    yield (
        f"{generator.workers} process(es), at most {generator.peak_in_flight:,} of "
        f"{generator.max_in_flight:,} requests in flight; {generator.late_ratio:.2%} sent "
        f"more than {1000 * generator.late_after_s:.0f} ms late for want of CPU "
        f"(p99 {_seconds(lateness.p99_s)}, at most {_seconds(lateness.max_s)}), "
        f"{generator.held_ratio:.2%} held until fewer were in flight, "
        f"{requests.dropped:,} dropped, {generator.unsent:,} not sent.\n"
    )
    yield f"{sentence(summary)}\n"
    if summary.reasons:
        yield "## What went wrong\n"
        yield from _table(
            ("reason", "count"),
            [(_cell(reason), f"{count:,}") for reason, count in summary.reasons.items()],
        )
    if summary.left_out:
        left_out = ", ".join(summary.left_out)
        yield f"Faults of the scenario that no load can make: {left_out}.\n"


def sentence(summary: LoadSummary) -> str:
    """What the verdict rests on."""
    if summary.exceptions:
        first, often = next(iter(summary.exceptions.items()))
        return (
            f"User classes raised exceptions ({first}, {often:,} times): the test itself is "
            "broken, whatever its figures are."
        )
    if summary.nothing_to_judge:
        return "Nothing was sent that a limit speaks of, so no limit was judged."
    if summary.verdict == "not judged":
        return (
            "The generator could not send the load as planned, so this says nothing about the "
            "system: use more workers, a smaller --scale, or a machine of its own."
        )
    if summary.generator.saturated:
        return (
            "The generator was late; the limits were kept all the same, and being late can only "
            "have made the figures worse."
        )
    if summary.generator.held_ratio > MUCH_HELD:
        return (
            f"Answers took so long that {summary.generator.max_in_flight:,} requests were in "
            "flight and others had to wait, which is felt: the system was slow, or "
            "--max-in-flight is too small for this load."
        )
    return "The generator kept up, so these figures are the system's."


def _table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    if rows:
        yield f"| {' | '.join(headings)} |"
        yield f"|{'---|' * len(headings)}"
        for row in rows:
            yield f"| {' | '.join(row)} |"
        yield ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "¦").replace("<", "&lt;")


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{1000 * value:.0f} ms" if value < 10.0 else f"{value:.1f} s"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
