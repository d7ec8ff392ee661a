"""`python -m twin check`: the limits of a run, and whether it is worse than a baseline."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.record.schema import summary
from twin.check.errors import BaselineError


def run(arguments: Sequence[str]) -> int:
    """Check; returns the exit code: 0 good, 1 a limit failed or a figure got worse, 2 bad input.

    It is 1, too, where no limit could be judged, and where a figure of the baseline is gone.
    """
    options = _parser().parse_args(arguments)
    if options.update and options.against is None:
        print("error: --update needs --against BASELINE", file=sys.stderr)
        return 2
    try:
        passed = _limits(options.record)
        if options.against is not None:
            passed &= _against(options)
    except (summary.SchemaError, BaselineError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    return 0 if passed else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m twin check",
        description="Exit with 1 if a threshold of a run record failed or a figure got worse.",
        allow_abbrev=False,
    )
    parser.add_argument("record", type=Path, help="the folder of a run record")
    parser.add_argument(
        "--against", type=Path, metavar="BASELINE", help="a baseline file or another run record"
    )
    parser.add_argument(
        "--update", action="store_true",
        help="show what changed and make this record the baseline",
    )  # fmt: skip
    parser.add_argument("--markdown", type=Path, help="where to write what changed, as well")
    return parser


def _limits(record: Path) -> bool:
    """Print each threshold; whether none failed and, if there are any, at least one passed.

    A limit that could not be judged fails no check by itself, or no quiet day would pass; but
    limits of which none was judged say nothing of the run, and that is not good.
    """
    thresholds = summary.read(record).thresholds
    for threshold in thresholds:
        mark = summary.MARKS[threshold.outcome]
        limit = f"{threshold.operator} {threshold.limit:g}"
        why = f"; {threshold.reason}" if threshold.reason else ""
        print(f"{mark}  {threshold.name}: {threshold.metric} = {threshold.value} ({limit}){why}")
    outcomes = [threshold.outcome for threshold in thresholds]
    unjudged = outcomes.count("not judged")
    if unjudged:
        print(f"{unjudged} of {len(outcomes)} limits not judged", file=sys.stderr)
    return "failed" not in outcomes and (not outcomes or unjudged < len(outcomes))


def _against(options: argparse.Namespace) -> bool:
    """Print and write what changed; whether nothing got worse.  An update is never a failure."""
    from twin.check import regression  # it takes SciPy and pandas along

    after = regression.read(options.record)
    if options.update and not options.against.exists():
        regression.write(after, options.against)
        print(f"{options.against}: written, {regression.counted(len(after.by_seed))}")
        return True
    before = regression.read(options.against)
    changes = regression.compare(before, after)
    text = regression.markdown(changes, before, after)
    print(text, end="")
    if options.markdown is not None:
        options.markdown.write_text(text)
    if options.update:
        regression.write(after, options.against)
        print(f"{options.against}: updated, {regression.counted(len(after.by_seed))}")
        return True
    return not any(change.worse for change in changes) and not regression.gone(before, after)
