"""`python -m twin …`: the twin's command line.

The sub-command is taken off the arguments; `run` hands the rest to Hydra, so overrides,
`--multirun`, `--cfg job`, `--config-dir` and tab completion work as in any Hydra app.  Here, and
only here, engine, twin and reports meet.

Exit codes: 0 done, 1 thresholds failed or figures worse (`check`) or a failing world found
(`hunt`), 2 bad input, 130 interrupted (by Ctrl-C or SIGTERM).
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.experimental.callback import Callback

import conf
from hydra_plugins.wedtwin_ray import RayLauncher
from twin.commands import usage
from twin.commands.reporters import reporter
from twin.runs import lifetimes


def main() -> None:
    """Run the command line; always ends the process."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage.MAIN, end="")
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
        from engine.config.complaints import close

        _fail(f'"{command}" is not a command{close(command, list(commands))}\n{usage.MAIN}')
    lifetimes.interrupt_on_sigterm()
    sys.argv = [f"{sys.argv[0]} {command}", *arguments[1:]]
    commands[command](arguments[1:])


def _run(arguments: list[str]) -> None:
    import hydra
    from hydra.types import RunMode

    from engine.config import hydra_errors, secrets
    from engine.config.strict import ConfigError
    from engine.record.folders import OutputError
    from engine.runtime.ask import ControllerError

    OURS = (ConfigError, ControllerError, OutputError)
    # Hydra looks for plugins in the folders of its namespace; an editable install has none there.
    Plugins.instance().register(RayLauncher)
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    secrets.learn_arguments(arguments)
    command = secrets.command_line(["python", "-m", "twin", "run"], arguments)

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
        from twin.runs import sweep

        folder = Path(config.hydra.sweep.dir)
        if not (folder / sweep.DONE).is_dir():
            return
        for record in sweep.gather(folder)["record"]:
            if record:
                print(record)
        reporter("sweep")(folder)
        print(folder, flush=True)


def _one_of_many(config: Any, command: str) -> float:
    """One job of a sweep, in a process of its own; returns the figure that tuning goes by."""
    from twin.config import parse
    from twin.runs import sweep
    from twin.world.world import World, load_kernels

    lifetimes.end_with_parent()
    hydra_config = HydraConfig.get()
    folder, overrides = Path(hydra_config.sweep.dir), list(hydra_config.overrides.task)
    settings = _plain(config)
    run = parse(settings)
    if not run.sweep.scenarios:

        def simulate() -> dict[str, Any]:
            record, partial = _simulate(settings, command)
            if partial:
                raise KeyboardInterrupt
            return {"record": str(record), "figures": headline_figures(summary.read(record))}

        from engine.record.schema import summary
        from twin.runs.replications import headline_figures

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
    from engine.config.strict import ConfigError
    from engine.record import folders
    from engine.record.schema import summary
    from twin.commands import terminal
    from twin.config import parse
    from twin.runs import record, replications
    from twin.world.world import World, load_kernels

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
            render=reporter("run"),
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error
    terminal.show(summary.read(folder), folder)
    return folder, partial


def _compare(arguments: list[str]) -> None:
    from twin.compare import command

    _make(
        "compare",
        arguments,
        usage.COMPARE,
        lambda line: command.run(arguments, line, reporter("comparison")),
    )


def _plan(arguments: list[str]) -> None:
    from twin.plan import command

    _make(
        "plan", arguments, usage.PLAN, lambda line: command.run(arguments, line, reporter("plan"))
    )


def _calibrate(arguments: list[str]) -> None:
    _measure("calibrate", arguments)


def _validate(arguments: list[str]) -> None:
    _measure("validate", arguments)


def _measure(name: str, arguments: list[str]) -> None:
    """Bring a stack up, measure it, take it down."""
    try:
        from twin.calibrate import command as calibrate
        from twin.measure import settings
        from twin.measure.bench import BenchError
        from twin.staging.layout import StackError
        from twin.validate import command as validate
    except ImportError as error:
        _fail(f"{error.name} is not installed; type: pip install 'wedtwin[staging]'")

    def measured(line: str) -> Path:
        try:
            config = settings.read(arguments)
            if name == "calibrate":
                return calibrate.run(config)
            return validate.run(config, line, reporter("validation"))
        except (BenchError, StackError) as error:
            _fail(str(error))

    keys = (Path(conf.__file__).parent / "calibration.yaml").read_text()
    about = f"usage: python -m twin {name} [key=value ...]\n\n{keys}"
    _make(name, arguments, about, measured)


def _check(arguments: list[str]) -> None:
    from twin.check import command as check

    sys.exit(check.run(arguments))


def _backtest(arguments: list[str]) -> None:
    from twin.backtest import command

    _make(
        "backtest",
        arguments,
        usage.BACKTEST,
        lambda line: command.run(arguments, line, reporter("backtest")),
    )


def _forecast(arguments: list[str]) -> None:
    from twin.commands import terminal
    from twin.forecast import command

    def forecast(line: str) -> Path:
        folder = command.run(arguments, line, reporter("forecast"))
        terminal.show_forecast(json.loads((folder / "forecast.json").read_text()), folder)
        return folder

    _make("forecast", arguments, usage.FORECAST, forecast)


def _hunt(arguments: list[str]) -> None:
    from twin.hunt import command

    sys.exit(command.run(arguments))


def _learn(arguments: list[str]) -> None:
    from twin.forecast import learn

    _make("learn", arguments, learn.USAGE, lambda _: learn.run(arguments))


def _make(name: str, arguments: list[str], about: str, make: Callable[[str], Path]) -> None:
    """Run a command that makes a file or folder and ends with its path; `make` gets its line."""
    from engine.config import secrets
    from engine.config.strict import ConfigError
    from engine.record.folders import OutputError
    from engine.runtime.ask import ControllerError

    if {"-h", "--help"} & set(arguments):
        print(about, end="")
        return
    try:
        secrets.learn_arguments(arguments)
        made = make(secrets.command_line(["python", "-m", "twin", name], arguments))
    except (ConfigError, ControllerError, OutputError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        print("interrupted: nothing is written", file=sys.stderr)
        sys.exit(130)
    print(made, flush=True)


def _fail(message: str) -> NoReturn:
    from engine.config import secrets

    print(f"error: {secrets.redacted(message)}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
