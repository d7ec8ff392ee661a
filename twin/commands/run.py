"""`python -m twin run`: one run, or with `-m` a sweep of them.

A real Hydra app: overrides, `--multirun`, `--cfg job`, `--config-dir` and tab completion work as in
any.  The configuration is checked before anything is imported that simulates.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode

from engine.config import assignments, hydra_errors, secrets
from engine.config.composition import composed, needs_hydra
from engine.config.strict import ConfigError
from engine.record import folders
from engine.record.folders import OutputError, Render
from engine.runtime.errors import ControllerError
from twin.commands.reporters import Meanwhile, reporter
from twin.runs import lifetimes

if TYPE_CHECKING:
    from twin.config import RunConfig

Reports = Callable[[], AbstractContextManager[Render]]
"""Begins what makes the reports of one run, and ends it with the block."""

OURS = (ConfigError, ControllerError, OutputError)


def run(arguments: list[str]) -> int:
    """Simulate; returns the exit code."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    secrets.learn_arguments(arguments)
    command = secrets.command_line(["python", "-m", "twin", "run"], arguments)
    try:
        if not needs_hydra(arguments):
            settings = composed(assignments.read(arguments).overrides)
            return _show(*_simulate(settings, command, lambda: Meanwhile("run")))
        _in_hydra(arguments, command)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        if {"-m", "--multirun"} & set(arguments):
            print(
                "what is done is kept: the same command with the same sweep.name=… goes on",
                file=sys.stderr,
            )
        return 130
    except OURS as error:
        _fail(str(error))
    except hydra_errors.CAUGHT as error:
        _fail(hydra_errors.explain(error, arguments))
    return 0


def _in_hydra(arguments: list[str], command: str) -> None:
    """The same as a Hydra application, for what only that can do."""
    import hydra
    from hydra.core.plugins import Plugins

    from hydra_plugins.wedtwin_ray import RayLauncher

    # Hydra looks for plugins in the folders of its namespace; an editable install has none there.
    Plugins.instance().register(RayLauncher)
    hydra_errors.check(arguments)

    @hydra.main(version_base="1.3", config_path="pkg://conf", config_name="twin")
    def job(config: Any) -> float | None:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            return _one_of_many(config, command)
        # Errors end the process here: Hydra would add its own words to whatever passes through it.
        try:
            code = _show(*_simulate(_plain(config), command, lambda: Meanwhile("run")))
        except OURS as error:
            _fail(str(error))
        except hydra_errors.CAUGHT as error:
            _fail(hydra_errors.explain(error, arguments))
        if code:
            sys.exit(code)
        return None

    job()


def _show(folder: Path, partial: bool) -> int:
    """Say where the record is; returns the exit code."""
    print(folder, flush=True)
    if partial:
        print("interrupted: the record so far is kept and marked partial", file=sys.stderr)
        return 130
    return 0


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
            here = contextlib.nullcontext(reporter("run"))
            record, partial = _simulate(settings, command, lambda: here)
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


def _simulate(settings: dict[str, Any], command: str, reports: Reports) -> tuple[Path, bool]:
    """One run: simulate, write the record, show the summary; True when it was interrupted."""
    from twin.config import check_files, parse

    run = parse(settings)
    check_files(run)
    folders.check_writable(Path(run.output))
    with reports() as render:
        return _checked(run, settings, command, render)


def _checked(
    run: RunConfig, settings: dict[str, Any], command: str, render: Render
) -> tuple[Path, bool]:
    from engine.record.schema import summary
    from twin.commands import terminal
    from twin.runs import replications, writing
    from twin.world.world import World, load_kernels

    started = dt.datetime.now(dt.UTC)
    partial = False
    try:
        with terminal.compiling():
            began = time.perf_counter()
            load_kernels(run)
        compile_s = time.perf_counter() - began
        began = time.perf_counter()
        world = World(run)
        writing.check_thresholds(world)
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
        folder = writing.write(
            world,
            settings,
            command=command,
            times=writing.RunTimes(started, wall_s, compile_s),
            partial=partial,
            others=others,
            render=render,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error
    terminal.show(summary.read(folder), folder)
    return folder, partial


def _fail(message: str) -> NoReturn:
    print(f"error: {secrets.redacted(message)}", file=sys.stderr)
    sys.exit(2)
