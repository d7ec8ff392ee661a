"""`python -m twin staging up|down|status`: the platform in small, on this machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from engine.config import assignments
from engine.config.complaints import close
from engine.config.composition import composed
from engine.config.hydra_errors import choices
from engine.config.strict import ConfigError, validated
from engine.record.folders import OutputError, check_writable
from engine.runtime import log as run_log
from twin.commands.usage import STAGING
from twin.runs.lifetimes import interrupt_on_sigterm

if TYPE_CHECKING:
    from twin.staging.settings import StagingConfig
    from twin.staging.stack import Say

log = structlog.stdlib.get_logger(__name__)


def run(arguments: Sequence[str]) -> int:
    """Carry out one of the three; returns the exit code."""
    commands = {"up": _up, "down": _down, "status": _status, "demo": _demo}
    if not arguments:
        print(STAGING, end="")
        return 2
    command, *rest = arguments
    if command not in commands:
        return _fail(f'"{command}" is not a command{close(command, list(commands))}\n{STAGING}')
    run_log.set_up()
    interrupt_on_sigterm()
    try:
        config = _read(rest)
    except ConfigError as error:
        return _fail(str(error))

    from twin.staging.layout import StackError

    try:
        return commands[command](config, rest)
    except (ConfigError, StackError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _up(config: StagingConfig, _: Sequence[str]) -> int:
    from twin.staging import stack

    made = stack.up(config.wish(), _progress())
    ports = made.ports
    log.info(
        f"up: http://127.0.0.1:{ports['front']} is the platform, "
        f"http://127.0.0.1:{ports['prometheus']} is Prometheus, "
        f"http://127.0.0.1:{ports['exporter']}/metrics is HAProxy's exporter"
    )
    log.info(f"take it down with: python -m twin staging down folder={config.folder}")
    print(config.folder)
    return 0


def _down(config: StagingConfig, _: Sequence[str]) -> int:
    from twin.staging import stack
    from twin.staging.layout import Layout

    killed = stack.take_down(Layout(Path(config.folder)), keep_logs=config.keep_logs)
    log.info("down" + (f"; these had to be killed: {', '.join(killed)}" if killed else ""))
    print(config.folder)
    return 0


def _status(config: StagingConfig, _: Sequence[str]) -> int:
    from twin.staging import stack
    from twin.staging.layout import Layout

    standing = stack.look(Layout(Path(config.folder)))
    for part in standing.parts:
        state = "runs" if part.running else "has ended"
        print(f"{part.name:<14} pid {part.pid:<8} {state:<10} {part.address}")
    for name, count in standing.services.items():
        print(
            f"{name:<14} {count.desired} desired, {count.ready} ready, {count.booting} booting, "
            f"{count.draining} draining"
        )
    for trouble in standing.trouble:
        log.warning(trouble)
    if standing.trouble:
        log.info(
            f"to begin anew: python -m twin staging down folder={config.folder} && "
            f"python -m twin staging up folder={config.folder}"
        )
    print(config.folder)
    return 1 if standing.trouble else 0


def _demo(config: StagingConfig, arguments: Sequence[str]) -> int:
    wanted = config.demo
    scenarios = choices("scenario", ())
    if wanted.scenario not in scenarios:
        raise ConfigError(
            f'demo.scenario: "{wanted.scenario}" is not allowed '
            f"({', '.join(scenarios)}){close(wanted.scenario, scenarios)}"
        )
    try:
        check_writable(Path(wanted.output), "demo.output")
    except OutputError as error:
        raise ConfigError(str(error)) from None

    from twin.staging.demo import Play, play

    played = play(
        config.wish(),
        Play(
            scenario=wanted.scenario,
            scale=wanted.scale,
            speed=wanted.speed,
            start=wanted.start,
            duration_s=wanted.duration_s,
            lead_s=wanted.lead_s,
            limits=wanted.thresholds,
            engine_limits={
                name: f"{limit.metric} {limit.operator} {limit.limit!r}"
                for name, limit in wanted.engine_thresholds.items()
            },
            seed=config.seed,
            output=Path(wanted.output),
            platform=[a for a in arguments if a.lstrip("+~").startswith("platform")],
        ),
        _progress(),
    )
    log.info(f"report: {played.record / 'report.html'}")
    print(played.record)
    return 0 if played.kept else 1


def _read(arguments: Sequence[str]) -> StagingConfig:
    """The configuration; raises ConfigError naming what is wrong."""
    tree = composed(assignments.read(arguments).overrides, root="staging")

    from twin.staging.settings import StagingConfig  # it waits until each key is there

    return validated(StagingConfig, tree)


def _progress() -> Say:
    """Show each new word on a terminal; a pipe is spared the counting."""
    last = ""

    def say(text: str) -> None:
        nonlocal last
        if text != last and sys.stderr.isatty():
            log.info(text)
        last = text

    return say


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2
