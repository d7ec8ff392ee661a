"""The command-line options of a load test, and what they amount to.

Locust collects options when it builds its parser and shows them in its web UI as well, so a value
may come from either; each is plain text or a number, as a master passes them on.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from locust import events
from locust.argument_parser import LocustArgumentParser

from locustfiles.plan import LoadPlan, PlanError, WantedExcerpt, make
from locustfiles.verdict import Limit, LimitError, limit

LARGEST_PHOTO_KIB = 16_384
LARGEST_SEED = 2**63 - 1


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


def photo(text: str) -> int:
    """A size of a photo in KiB; raises argparse's error for anything else."""
    number = count(text)
    if number > LARGEST_PHOTO_KIB:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed (1 … {LARGEST_PHOTO_KIB:,})")
    return number


def seed(text: str) -> str:
    """A seed as text, empty for the scenario's own; raises argparse's error for anything else."""
    if text and not (text.isdecimal() and int(text) <= LARGEST_SEED):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed (0 … {LARGEST_SEED:,})")
    return text


def threshold(text: str) -> str:
    """A limit as text; raises argparse's error for what is none."""
    try:
        limit(text)
    except LimitError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("--threshold: ")) from error
    return text


@events.init_command_line_parser.add_listener
def register(parser: LocustArgumentParser) -> None:
    """Add ours to Locust's options."""
    # Locust shows in its web UI what is added to the parser itself, not what is in a group.
    parser.add_argument(
        "--scenario", default="june_peak", help="a scenario of the twin: its day is the load"
    )
    parser.add_argument(
        "--scale", type=positive, default=0.0005, help="factor on the load; 1 is the real size"
    )
    parser.add_argument(
        "--speed",
        type=positive,
        default=60.0,
        help="scenario seconds that pass in one second; a moment's rate stays as it is",
    )
    parser.add_argument(
        "--seed", type=seed, default="", help="seed of the day, as of a twin run; default: its own"
    )
    parser.add_argument(
        "--window", default="", help="play so much around the peak of the day, such as 5h"
    )
    parser.add_argument(
        "--start",
        default="",
        help='or from here: "peak-3600", "ramp", "HH:MM" (UTC), seconds from the window\'s start',
    )
    parser.add_argument("--duration", default="", help="… for so long, such as 90min or 3600")
    parser.add_argument(
        "--begin-at",
        type=float,
        default=0.0,
        metavar="EPOCH_S",
        help="send the first request then, if all is ready by that time; default: as soon as it is",
    )
    parser.add_argument(
        "--max-in-flight",
        type=count,
        default=1000,
        help="requests under way at the same time, over all workers; more are held",
    )
    parser.add_argument(
        "--max-users",
        type=count,
        default=1000,
        help="users shown; where more people are at weddings, each stands for several",
    )
    parser.add_argument("--photo-kib", type=photo, default=64, help="size of a photo, KiB")
    group = parser.add_argument_group("weddings")
    group.add_argument(
        "--config-dir",
        action="append",
        default=[],
        metavar="DIR",
        help="a folder with scenarios of your own (may be repeated)",
    )
    group.add_argument(
        "--override",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any key of the twin's configuration, such as population.simultaneous=5000",
    )
    group.add_argument(
        "--threshold",
        type=threshold,
        action="append",
        default=[],
        metavar="LIMIT",
        help='"violation_ratio <= 0.001", "api.p95_s <= 0.5"; default: the scenario\'s SLOs',
    )
    group.add_argument(
        "--record",
        default="",
        metavar="FOLDER",
        help="write load.parquet, load_summary.json and load.md here, such as a run record",
    )


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the options ask for, checked as far as that is possible without a system."""

    plan: LoadPlan
    begin_at_s: float
    limits: tuple[Limit, ...]
    record: Path | None
    max_in_flight: int
    max_users: int
    photo_bytes: int


def wishes(options: argparse.Namespace) -> Wishes:
    """Make the plan and read the rest; raises PlanError or LimitError naming the option."""
    chosen: dict[str, Any] = vars(options)
    part = WantedExcerpt(
        start=str(chosen["start"]).strip(),
        duration=str(chosen["duration"]).strip(),
        window=str(chosen["window"]).strip(),
    )
    for name in ("scale", "speed"):
        if not (math.isfinite(chosen[name]) and chosen[name] > 0.0):
            raise PlanError(f"--{name}: {chosen[name]} is not allowed (a finite number above 0)")
    try:
        own_seed = seed(str(chosen["seed"]).strip())
    except argparse.ArgumentTypeError as error:
        raise PlanError(f"--seed: {error}") from error
    for override in chosen["override"]:
        if "=" not in override:
            raise PlanError(f'--override: "{override}" is not allowed, write KEY=VALUE')
    record = Path(chosen["record"]) if chosen["record"] else None
    if record is not None and record.exists() and not record.is_dir():
        raise PlanError(f"--record: {record} is no folder")
    plan = make(
        str(chosen["scenario"]).strip(),
        scale=float(chosen["scale"]),
        speed=float(chosen["speed"]),
        seed=int(own_seed) if own_seed else None,
        part=part,
        overrides=tuple(chosen["override"]),
        config_dirs=tuple(chosen["config_dir"]),
    )
    given = tuple(limit(text) for text in chosen["threshold"])
    return Wishes(
        plan=plan,
        begin_at_s=float(chosen["begin_at"]),
        limits=given or tuple(limit(text, name) for name, text in plan.limits),
        record=record,
        max_in_flight=int(chosen["max_in_flight"]),
        max_users=int(chosen["max_users"]),
        photo_bytes=1024 * int(chosen["photo_kib"]),
    )
