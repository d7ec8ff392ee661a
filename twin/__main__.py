"""`python -m twin …`: the twin's command line.

The sub-command is taken off the arguments; `run` hands the rest to Hydra, so overrides,
`--multirun`, `--cfg job`, `--config-dir` and tab completion work as in any Hydra app.  Here, and
only here, engine, twin and reports meet.

Exit codes: 0 done, 1 thresholds failed or figures worse (`check`) or a failing world found
(`hunt`), 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

USAGE = """usage: python -m twin run [scenario=NAME] [key=value ...] [--config-dir DIR] [-m]
       python -m twin compare [scenario=NAME] [controllers=[A,B]] [replications=N] [key=value ...]
       python -m twin check RECORD [--against BASELINE] [--update]
       python -m twin hunt [--worlds N] [--seconds S] [--workers W] [--seed K]

  run     simulate a scenario with the engine in the loop and write a run record with its report
  compare run several controllers in the same world and write a comparison
  check   exit with 1 if a threshold of a run record failed, or a figure is worse than the baseline
  hunt    look for scaling failures in random worlds; exit with 1 if there is one

  python -m twin run --help    lists the scenarios and all keys
"""

COMPARE_USAGE = """usage: python -m twin compare [key=value ...] [--config-dir DIR]

  controllers=[A,B]     whom to compare; names of the group controller (default: all that there are)
  hpa_targets=[50,70]   further CPU targets of hpa, in per cent, if it takes part; [] for none
  replications=N        so many seeds, the same for everybody; figures get confidence intervals
  key=value             everything else as for run: scenario=, seed=, output=, engine.limits.… =
"""


def main() -> None:
    """Run the command line; always ends the process."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        sys.exit(0 if arguments else 2)
    commands = {"run": _run, "compare": _compare, "check": _check, "hunt": _hunt}
    command = arguments[0]
    if command not in commands:
        from twin.complaints import close

        _fail(f'"{command}" is not a command{close(command, list(commands))}\n{USAGE}')
    sys.argv = [f"{sys.argv[0]} {command}", *arguments[1:]]
    commands[command](arguments[1:])


def _run(arguments: list[str]) -> None:
    import hydra

    from twin import hydra_errors
    from twin.config import ConfigError
    from twin.folders import OutputError
    from twin.shell import ControllerError

    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    command = shlex.join(["python", "-m", "twin", "run", *arguments])

    @hydra.main(version_base="1.3", config_path="pkg://conf", config_name="twin")
    def job(config: Any) -> None:
        # Errors end the process here: Hydra would add its own words to whatever passes through it.
        try:
            folder, partial = _simulate(config, command)
        except (ConfigError, ControllerError, OutputError) as error:
            _fail(str(error))
        except hydra_errors.CAUGHT as error:
            _fail(hydra_errors.explain(error, arguments))
        print(folder, flush=True)
        if partial:
            print("interrupted: the record so far is kept and marked partial", file=sys.stderr)
            sys.exit(130)

    try:
        job()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except hydra_errors.CAUGHT as error:
        _fail(hydra_errors.explain(error, arguments))


def _simulate(config: Any, command: str) -> tuple[Path, bool]:
    """One run: simulate, write the record, show the summary; True when it was interrupted."""
    from omegaconf import OmegaConf

    import reports
    from twin import folders, record, replications, terminal
    from twin.config import ConfigError, parse
    from twin.world import World, load_kernels

    raw = OmegaConf.to_container(config, resolve=True)
    assert isinstance(raw, dict)
    settings: dict[str, Any] = {str(key): value for key, value in raw.items()}
    run = parse(settings)
    folders.check_writable(Path(run.output))
    started = dt.datetime.now(dt.UTC)
    partial = False
    try:
        with terminal.compiling():
            began = time.perf_counter()
            load_kernels(run)
        compile_s = time.perf_counter() - began
        began = time.perf_counter()
        world = World(run)
        record.check_thresholds(world)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    with terminal.progress(run.scenario.name, world.duration_s) as advance:
        try:
            world.run(advance)
        except KeyboardInterrupt:
            partial = True
    wall_s = time.perf_counter() - began
    others: list[replications.Replication] = []
    if run.replications > 1 and not partial:
        with terminal.progress(f"{run.replications} replications", run.replications - 1) as advance:
            others = replications.run_others(settings, run.seed, run.replications, advance)
        partial = len(others) < run.replications - 1
    try:
        folder = record.write(
            world,
            settings,
            command=command,
            started=started,
            wall_s=wall_s,
            compile_s=compile_s,
            partial=partial,
            others=others,
            render=reports.write,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error
    terminal.show(json.loads((folder / "summary.json").read_text()), folder)
    return folder, partial


def _compare(arguments: list[str]) -> None:
    import reports
    from twin.compare import command
    from twin.config import ConfigError
    from twin.folders import OutputError
    from twin.shell import ControllerError

    if "--help" in arguments or "-h" in arguments:
        print(COMPARE_USAGE, end="")
        return
    line = shlex.join(["python", "-m", "twin", "compare", *arguments])
    try:
        folder = command.run(arguments, line, reports.write_comparison)
    except (ConfigError, ControllerError, OutputError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        print("interrupted: nothing is written", file=sys.stderr)
        sys.exit(130)
    print(folder, flush=True)


def _check(arguments: list[str]) -> None:
    from twin import check

    sys.exit(check.run(arguments))


def _hunt(arguments: list[str]) -> None:
    from twin.hunt import command

    sys.exit(command.run(arguments))


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
