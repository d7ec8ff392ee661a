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

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.experimental.callback import Callback

import conf
from hydra_plugins.wedtwin_ray import RayLauncher

USAGE = """usage: python -m twin run [scenario=NAME] [key=value ...] [--config-dir DIR] [-m]
       python -m twin compare [scenario=NAME] [controllers=[A,B]] [replications=N] [key=value ...]
       python -m twin plan [date=DAY] [months=N] [risk=R] [simultaneous=N] [key=value ...]
       python -m twin check RECORD [--against BASELINE] [--update]
       python -m twin calibrate [key=value ...]
       python -m twin validate [key=value ...]
       python -m twin hunt [--worlds N] [--seconds S] [--workers W] [--seed K]
       python -m twin forecast day|wedding|season|train [key=value ...]
       python -m twin backtest [data=FOLDER] [calendar=FILE] [horizons=1,2] [key=value ...]
       python -m twin learn [out=FILE] [days=[DATE,DATE]] [replications=N] [key=value ...]

  run     simulate a scenario with the engine in the loop and write a run record with its report
  compare run several controllers in the same world and write a comparison
  plan    forecast the months to come, say what to buy and which service gives way first
  check   exit with 1 if a threshold of a run record failed, or a figure is worse than the baseline
  calibrate measure a live stack and write its platform file
  validate  compare the twin with a live stack, within limits
  hunt    look for scaling failures in random worlds; exit with 1 if there is one
  forecast  a day, one wedding or a season ahead; or train the day-ahead model
  backtest  forecast seasons or traces from rolling origins and say how wrong the forecasts are
  learn   learn from simulated days how departures from the outlook go on, for the engine

  python -m twin run --help    lists the scenarios and all keys
"""

COMPARE_USAGE = """usage: python -m twin compare [key=value ...] [--config-dir DIR]

  controllers=[A,B]     whom to compare; names of the group controller (default: all that there are)
  hpa_targets=[50,70]   further CPU targets of hpa, in per cent, if it takes part; [] for none
  replications=N        so many seeds, the same for everybody; figures get confidence intervals
  key=value             everything else as for run: scenario=, seed=, output=, engine.limits.… =
"""


FORECAST_USAGE = """usage: python -m twin forecast day|wedding|season|train [key=value ...]

  day      all weddings of a day:  date=YYYY-MM-DD [now=TIME] [weddings=FILE.csv] [model=FILE]
  wedding  one wedding:            date= time=HH:MM zone= type= guests= vendors= [now=TIME]
  season   a season by weeks:      year= season=spring|summer|fall|winter|all [now=TIME]
  train    the day-ahead model:    [model=FILE to write it to]

  key=value   everything else: seed=, output=, seasons.simultaneous=, engine.limits.… =
"""

BACKTEST_USAGE = """usage: python -m twin backtest [key=value ...]

Without data= the twin's own seasons are forecast, service by service.

  data=PATH           a CSV file, or a folder searched for .csv and .csv.gz: time and value a row
  calendar=FILE       CSV of scheduled events (start, and if known kind and size); without it a
                      file fixtures*.csv beside a trace is taken
  horizons=1,2        hours ahead (default 1,2; with events and for the seasons 1,2,24)
  test_from=TIME      forecast from there on (default: the last 40 %, at most four weeks)
  days=14             of the seasons: days in each of four quarters
  seed=1              of the seasons and of the bootstrap
  workers=N           processes (default: as many as cores)
  output=outputs      folder for the record
"""


PLAN_USAGE = """usage: python -m twin plan [key=value ...] [--config-dir DIR]

  date=2027-01-01       the day of planning: the first date that is planned for
  months=12             so many months (1 ... 12)
  risk=0.02             accepted probability that in a month a service needs more than its limit
  simultaneous=100000   weddings at once at the busiest instant of the year before
  check=false           do not run the twin at the limits that the plan predicts
  pricing=NAME          prices, of the group pricing
  key=value             everything else: seed=, output=, budget.instances=, platform.services.… =
"""


def main() -> None:
    """Run the command line; always ends the process."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        sys.exit(0 if arguments else 2)
    commands = {
        "run": _run,
        "compare": _compare,
        "plan": _plan,
        "check": _check,
        "hunt": _hunt,
        "learn": _learn,
        "calibrate": _calibrate,
        "validate": _validate,
        "backtest": _backtest,
        "forecast": _forecast,
    }
    command = arguments[0]
    if command not in commands:
        from scenarios.complaints import close

        _fail(f'"{command}" is not a command{close(command, list(commands))}\n{USAGE}')
    sys.argv = [f"{sys.argv[0]} {command}", *arguments[1:]]
    commands[command](arguments[1:])


def _run(arguments: list[str]) -> None:
    import hydra
    from hydra.types import RunMode

    from engine.decide import ControllerError
    from engine.record.folders import OutputError
    from scenarios import hydra_errors
    from twin.config import ConfigError

    OURS = (ConfigError, ControllerError, OutputError)
    # Hydra looks for plugins in the folders of its namespace; an editable install has none there.
    Plugins.instance().register(RayLauncher)
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    command = shlex.join(["python", "-m", "twin", "run", *arguments])

    @hydra.main(version_base="1.3", config_path="pkg://conf", config_name="twin")
    def job(config: Any) -> float | None:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            return _one_of_many(config, command)
        # Errors end the process here: Hydra would add its own words to whatever passes through it.
        try:
            folder, partial = _simulate(_plain(config), command)
        except OURS as error:
            _fail(str(error))
        except hydra_errors.CAUGHT as error:
            _fail(hydra_errors.explain(error, arguments))
        print(folder, flush=True)
        if partial:
            print("interrupted: the record so far is kept and marked partial", file=sys.stderr)
            sys.exit(130)
        return None

    try:
        job()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        if {"-m", "--multirun"} & set(arguments):
            print(
                "what is done is kept: the same command with the same sweep.name=… goes on",
                file=sys.stderr,
            )
        sys.exit(130)
    except OURS as error:
        _fail(str(error))
    except hydra_errors.CAUGHT as error:
        _fail(hydra_errors.explain(error, arguments))


class Gather(Callback):
    """Told by Hydra that a sweep is over: puts its runs into one table and report."""

    def on_multirun_end(self, config: Any, **_: Any) -> None:
        """Gather what the sweep's folder holds."""
        import reports
        from twin import sweep

        folder = Path(config.hydra.sweep.dir)
        if not (folder / sweep.DONE).is_dir():
            return
        for record in sweep.gather(folder)["record"]:
            if record:
                print(record)
        reports.write_sweep(folder)
        print(folder, flush=True)


def _one_of_many(config: Any, command: str) -> float:
    """One job of a sweep, in a process of its own; returns the figure that tuning goes by."""
    from twin import sweep
    from twin.config import parse
    from twin.world import World, load_kernels

    hydra_config = HydraConfig.get()
    folder, overrides = Path(hydra_config.sweep.dir), list(hydra_config.overrides.task)
    settings = _plain(config)
    run = parse(settings)
    if not run.sweep.scenarios:

        def simulate() -> dict[str, Any]:
            record, partial = _simulate(settings, command)
            if partial:
                raise KeyboardInterrupt
            summary = json.loads((record / "summary.json").read_text())
            return {"record": str(record), "figures": headline_figures(summary)}

        from twin.replications import headline_figures

        outcomes = [sweep.once(folder, settings, overrides, simulate)]
    else:
        outcomes = []
        for scenario in run.sweep.scenarios:
            kept = [o for o in overrides if not o.startswith("scenario=")]
            one = _plain(compose("twin", [*kept, f"scenario={scenario}"]))

            def measure(one: dict[str, Any] = one) -> dict[str, Any]:
                parsed = parse(one)
                load_kernels(parsed)
                world = World(parsed)
                world.run()
                return sweep.figures_of(world)

            outcomes.append(sweep.once(folder, one, [*kept, f"scenario={scenario}"], measure))
    return sweep.value(outcomes, run.sweep.slo)


def _plain(config: Any) -> dict[str, Any]:
    """Hydra's configuration as plain data."""
    from omegaconf import OmegaConf

    raw = OmegaConf.to_container(config, resolve=True)
    assert isinstance(raw, dict)
    return {str(key): value for key, value in raw.items()}


def _simulate(settings: dict[str, Any], command: str) -> tuple[Path, bool]:
    """One run: simulate, write the record, show the summary; True when it was interrupted."""
    import reports
    from engine.record import folders
    from twin import record, replications, terminal
    from twin.config import ConfigError, parse
    from twin.world import World, load_kernels

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
    from engine.decide import ControllerError
    from engine.record.folders import OutputError
    from twin.compare import command
    from twin.config import ConfigError

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


def _plan(arguments: list[str]) -> None:
    import reports
    from engine.decide import ControllerError
    from engine.record.folders import OutputError
    from twin.config import ConfigError
    from twin.plan import command

    if "--help" in arguments or "-h" in arguments:
        print(PLAN_USAGE, end="")
        return
    line = shlex.join(["python", "-m", "twin", "plan", *arguments])
    try:
        folder = command.run(arguments, line, reports.write_plan)
    except (ConfigError, ControllerError, OutputError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        print("interrupted: nothing is written", file=sys.stderr)
        sys.exit(130)
    print(folder, flush=True)


def _calibrate(arguments: list[str]) -> None:
    _measure("calibrate", arguments)


def _validate(arguments: list[str]) -> None:
    _measure("validate", arguments)


def _measure(name: str, arguments: list[str]) -> None:
    """Bring a stack up, measure it, take it down."""
    import reports

    if {"-h", "--help"} & set(arguments):
        print(f"usage: python -m twin {name} [key=value ...]\n")
        print((Path(conf.__file__).parent / "calibration.yaml").read_text(), end="")
        return
    try:
        from engine.record.folders import OutputError
        from engine.staging.layout import StackError
        from twin.calibrate import command as calibrate
        from twin.config import ConfigError
        from twin.measure import settings
        from twin.measure.bench import BenchError
        from twin.validate import command as validate
    except ImportError as error:
        _fail(f"{error.name} is not installed; type: pip install 'wedtwin[staging]'")
    line = shlex.join(["python", "-m", "twin", name, *arguments])
    try:
        config = settings.read(arguments)
        folder = (
            calibrate.run(config)
            if name == "calibrate"
            else validate.run(config, line, reports.write_validation)
        )
    except (ConfigError, BenchError, StackError, OutputError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        print("interrupted: nothing is written, and the stack is down", file=sys.stderr)
        sys.exit(130)
    print(folder, flush=True)


def _check(arguments: list[str]) -> None:
    from twin import check

    sys.exit(check.run(arguments))


def _backtest(arguments: list[str]) -> None:
    import reports
    from engine.record.folders import OutputError
    from twin.backtest import command
    from twin.config import ConfigError

    if "--help" in arguments or "-h" in arguments:
        print(BACKTEST_USAGE, end="")
        return
    line = shlex.join(["python", "-m", "twin", "backtest", *arguments])
    try:
        folder = command.run(arguments, line, reports.write_backtest)
    except (ConfigError, OutputError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        print("interrupted: nothing is written", file=sys.stderr)
        sys.exit(130)
    print(folder, flush=True)


def _forecast(arguments: list[str]) -> None:
    import reports
    from engine.record.folders import OutputError
    from twin import terminal
    from twin.config import ConfigError
    from twin.forecasts import command

    if "--help" in arguments or "-h" in arguments:
        print(FORECAST_USAGE, end="")
        return
    line = shlex.join(["python", "-m", "twin", "forecast", *arguments])
    try:
        folder = command.run(arguments, line, reports.write_forecast)
    except (ConfigError, OutputError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        print("interrupted: nothing is written", file=sys.stderr)
        sys.exit(130)
    terminal.show_forecast(json.loads((folder / "forecast.json").read_text()), folder)
    print(folder, flush=True)


def _hunt(arguments: list[str]) -> None:
    from twin.hunt import command

    sys.exit(command.run(arguments))


def _learn(arguments: list[str]) -> None:
    from engine.decide import ControllerError
    from engine.record.folders import OutputError
    from twin import learn
    from twin.config import ConfigError

    if "--help" in arguments or "-h" in arguments:
        print(learn.USAGE, end="")
        return
    try:
        file = learn.run(arguments)
    except (ConfigError, ControllerError, OutputError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        print("interrupted: nothing is written", file=sys.stderr)
        sys.exit(130)
    print(file, flush=True)


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
