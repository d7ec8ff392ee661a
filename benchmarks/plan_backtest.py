"""How right capacity plans were: planned on New Year's Day, judged by the year that came.

python benchmarks/plan_backtest.py [--seeds 10] [--date 2027-01-01] [key=value ...]

The year that came is the one that the planner may not see: the same seed's seasons go on after the
day of planning.  Loads are compared as the highest 5 minutes of each month at each service that
users enter at, noise included.  The platform is as large as the seasons that are drawn: of a larger
one, which is a multiple of them, chance would be judged wrongly.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from dataclasses import dataclass

if __name__ == "__main__":  # before the imports that take their time
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="so many years, each another one")
    parser.add_argument("--date", type=dt.date.fromisoformat, default=dt.date(2027, 1, 1))
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as for twin plan")
    GIVEN = parser.parse_args()
    if GIVEN.seeds < 1:
        parser.error("--seeds has to be at least 1")

import numpy as np
from numpy.typing import NDArray

from engine.config.strict import ConfigError
from engine.planning.needs import load_of, monthly_highest
from scenarios.seasons.years import BIN_S, DAY_S, generate
from scenarios.streams import Streams
from twin.plan.command import composed
from twin.plan.config import parse
from twin.plan.planning import make

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class JudgedMonths:
    """Months of one seed: what came over the forecast's quantiles."""

    came: FloatArray
    low: FloatArray
    middle: FloatArray
    high: FloatArray
    limit: FloatArray

    def line(self, name: str) -> str:
        """One row of the table."""
        inside = np.mean((self.came >= self.low) & (self.came <= self.high))
        error = np.mean(np.abs(self.came / self.middle - 1.0))
        bias = np.mean(self.came / self.middle) - 1.0
        over = np.mean(self.came > self.limit)
        return f"| {name} | {error:.1%} | {bias:+.1%} | {inside:.0%} | {over:.1%} |"


def judge(seed: int, arguments: list[str]) -> tuple[JudgedMonths, JudgedMonths]:
    """Weddings and highest loads of each month of one seed."""
    planned = make(parse(composed([*arguments, f"seed={seed}"])), lambda _: None)
    config, horizon = planned.config, planned.horizon
    seasons = generate(config.seasons, config.population, config.demand, Streams(seed))
    first = seasons.days.dates.index(planned.dates[0])
    days = slice(first, first + len(planned.dates))
    scale = planned.scale * (1.0 - config.demand.usual_unbooked_share)
    weddings = seasons.weddings
    came = np.bincount(weddings.day[weddings.happens], minlength=len(seasons.days.dates))
    starts = np.flatnonzero(np.diff(horizon.month, prepend=-1))
    of_month = np.add.reduceat(came[days].astype(np.float64), starts) * scale
    counted = _judged(of_month, np.add.reduceat(planned.paths.weddings, starts, axis=1))
    loads = []
    bins = DAY_S // BIN_S
    for row, service in enumerate(seasons.services):
        at = [spec.name for spec in planned.specs].index(service)
        forecast = monthly_highest(load_of(at, horizon, planned.paths), horizon)
        real = seasons.load[row, days.start * bins : days.stop * bins].astype(np.float64)
        highest = np.maximum.reduceat(real, bins * starts) * scale
        loads.append(_judged(highest, np.asarray(forecast, dtype=np.float64)))
    return counted, _joined(loads)


def _judged(came: FloatArray, forecast: FloatArray) -> JudgedMonths:
    return JudgedMonths(came, *np.quantile(forecast, (0.1, 0.5, 0.9, 0.98), axis=0))


def _joined(parts: list[JudgedMonths]) -> JudgedMonths:
    names = ("came", "low", "middle", "high", "limit")
    return JudgedMonths(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in names)
    )


def main(given: argparse.Namespace) -> None:
    """Print the table."""
    arguments = [f"date={given.date}", "simultaneous=2000", "drawn=2000", *given.overrides]
    try:
        judged = [judge(seed, arguments) for seed in range(1, given.seeds + 1)]
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"{given.seeds} seeds, planned on {given.date}\n")
    print("| by month | error | bias | inside 10-90 % | above 98 % |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, at in (("weddings", 0), ("highest load of a service", 1)):
        print(_joined([pair[at] for pair in judged]).line(name))


if __name__ == "__main__":
    main(GIVEN)
