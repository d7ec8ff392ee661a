"""`python -m twin …`: the twin's command line; see `engine.commands.table`."""

from __future__ import annotations

import sys

from engine.commands.table import Command, dispatch
from twin.runs import lifetimes

MAKING, USAGE = "twin.commands.making", "twin.commands.usage"
COMMANDS = {
    "run": Command(
        "twin.commands.run:run", "[scenario=NAME] [key=value ...] [--config-dir DIR] [-m]",
        "simulate a scenario with the engine in the loop; leaves a record with its report",
        f"{USAGE}:RUN",
    ),
    "compare": Command(
        f"{MAKING}:compare", "[scenario=NAME] [controllers=[A,B]] [replications=N] [key=value ...]",
        "run several controllers in the same world and write a comparison", f"{USAGE}:COMPARE",
    ),
    "price": Command(
        f"{MAKING}:price", "[scenario=[A,B]] [weddings=[N]] [seeds=N] [rules=[A]] [key=value ...]",
        "what each rule of the engine costs and what it saves", f"{USAGE}:PRICE",
    ),
    "plan": Command(
        f"{MAKING}:plan", "[date=DAY] [months=N] [risk=R] [simultaneous=N] [key=value ...]",
        "forecast the coming months, say what to buy and what fails first", f"{USAGE}:PLAN",
    ),
    "check": Command(
        "twin.check.command:run", "RECORD [--against BASELINE] [--update]",
        "exit with 1 if a threshold of a record failed, or a figure is worse than the baseline",
    ),
    "guard": Command(
        "twin.guard.command:run", "[WORLD ...] [seeds=N] | update | power [PLANT ...]",
        "exit with 1 if scaling got worse than the baseline; plant regressions to see if it would",
        f"{USAGE}:GUARD",
    ),
    "calibrate": Command(
        f"{MAKING}:calibrate", "[key=value ...]", "measure a live stack, write its platform file",
        f"{USAGE}:CALIBRATE",
    ),
    "validate": Command(
        f"{MAKING}:validate", "[key=value ...]", "compare the twin with a live stack",
        f"{USAGE}:VALIDATE",
    ),
    "hindcast": Command(
        f"{MAKING}:hindcast", "scenario=NAME [controllers=[A,B]] [key=value ...] --config-dir DIR",
        "compare the twin with imported days that it was not fitted to",
        f"{USAGE}:HINDCAST",
    ),
    "serve": Command(
        f"{MAKING}:serve", "[scenario=NAME] [speed=60] [begin=peak-3600] [key=value ...]",
        "play a scenario in wall time with the live engine and its API on it", f"{USAGE}:SERVE",
    ),
    "hunt": Command(
        "twin.hunt.command:run", "[--worlds N] [--seconds S] [--workers W] [--seed K]",
        "look for scaling failures in random worlds; exit with 1 if there is one",
    ),
    "leases": Command(
        f"{MAKING}:leases", "[worlds=N] [seed=K] [histories=N] [plants=N] [workers=N]",
        "test engines that share a platform under faults; exit with 1 if a rule is broken",
        f"{USAGE}:LEASES",
    ),
    "detect": Command(
        f"{MAKING}:detect", "[worlds=N] [saturdays=N] [key=value ...]",
        "score the monitor: the same worlds with and without each fault", f"{USAGE}:DETECT",
    ),
    "benchmark": Command(
        f"{MAKING}:benchmark", "nab|microsoft|nezha data=FOLDER [key=value ...]",
        "the monitor's detectors on labelled series of others", f"{USAGE}:BENCHMARK",
    ),
    "forecast": Command(
        f"{MAKING}:forecast", "day|wedding|season|train [key=value ...]",
        "a day, one wedding or a season ahead; or train the day-ahead model", f"{USAGE}:FORECAST",
    ),
    "backtest": Command(
        f"{MAKING}:backtest", "[data=FOLDER] [calendar=FILE] [horizons=1,2] [key=value ...]",
        "forecast from rolling origins and say how wrong the forecasts are", f"{USAGE}:BACKTEST",
    ),
    "learn": Command(
        f"{MAKING}:learn", "[out=FILE] [days=[DATE,DATE]] [replications=N] [key=value ...]",
        "learn from simulated days how departures from the outlook go on", f"{USAGE}:LEARN",
    ),
    "evidence": Command(
        f"{MAKING}:evidence", "[CLAIM ...] [level=quick|full] | verify FOLDER | page FOLDER",
        "measure what has to be shown before a deployment; leaves a bundle with its page",
        f"{USAGE}:EVIDENCE",
    ),
    "staging": Command(
        "twin.staging.command:run", "up|down|status|demo [key=value ...]",
        "the platform in small, of real parts, on this machine", f"{USAGE}:STAGING",
    ),
}  # fmt: skip


def main() -> None:
    """Run the command line; always ends the process."""
    lifetimes.interrupt_on_sigterm()
    lifetimes.collect_seldom()
    dispatch("python -m twin", COMMANDS, sys.argv[1:])


if __name__ == "__main__":
    main()
