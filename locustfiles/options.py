"""The command-line options of our load, registered once for all files that use them.

Locust collects options when it builds its parser; users and shape share some of them, and an
option may be added only once.  A wrong value is refused there, before any load is made.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from locust import events
from locust.argument_parser import LocustArgumentParser

from locustfiles import curve


def positive(text: str) -> float:
    """A finite number above 0; raises argparse's error for anything else."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0.0):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed (a finite number above 0)")
    return number


def count(text: str) -> int:
    """A whole number of at least 1; raises argparse's error for anything else."""
    number = positive(text)
    if number != int(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed (a whole number from 1 on)")
    return int(number)


def curve_file(text: str) -> str:
    """The path of a readable curve; raises argparse's error for anything else.

    The path, not the curve: a master passes its options on to its workers as plain values.
    """
    if text:
        try:
            curve.read(Path(text))
        except curve.CurveError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
    return text


@events.init_command_line_parser.add_listener
def register(parser: LocustArgumentParser) -> None:
    """Add the group `weddings` to Locust's options."""
    group = parser.add_argument_group("weddings")
    group.add_argument(
        "--weddings", type=count, default=1000, help="how many weddings the host knows: ids 1 ... N"
    )
    group.add_argument(
        "--speed",
        type=positive,
        default=1.0,
        help="seconds of the day that pass in one second; request rates stay as they are",
    )
    group.add_argument(
        "--activity", type=positive, default=1.0, help="factor on the request rate of each person"
    )
    group.add_argument("--journey-seed", type=int, default=1, help="seed of all that users draw")
    group.add_argument(
        "--curve",
        type=curve_file,
        default="",
        help="CSV file (time_s,users) that CalendarShape follows",
    )
    group.add_argument(
        "--scale", type=positive, default=1.0, help="factor on the users of the curve"
    )
