"""`python -m twin staging up|down|status`: the platform in small, on this machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import structlog
from pydantic import Field, field_validator

from engine.config import assignments
from engine.config.complaints import close
from engine.config.composition import composed
from engine.config.platform import PlatformConfig
from engine.config.strict import ConfigError, Strict, validated
from engine.record.schema.thresholds import ThresholdConfig
from engine.runtime import log as run_log
from twin.commands.usage import STAGING
from twin.runs.lifetimes import interrupt_on_sigterm
from twin.staging import stack
from twin.staging.layout import Layout, StackError, StagedService

log = structlog.stdlib.get_logger(__name__)

Port = Annotated[int, Field(ge=0, le=65535)]


class DemoConfig(Strict):
    """What `demo` plays."""

    scenario: Annotated[str, Field(pattern=r"^[\w.-]+$")] = "june_peak"
    scale: Annotated[float, Field(gt=0.0, le=1.0)] = 0.001
    speed: Annotated[float, Field(ge=1.0, le=3600.0)] = 60.0
    start: Annotated[str, Field(pattern=r"^[\w:+.-]+$")] = "peak-16200"
    duration_s: Annotated[float, Field(ge=60.0, le=86_400.0)] = 18_000.0
    lead_s: Annotated[float, Field(ge=1.0, le=3600.0)] = 45.0
    thresholds: tuple[str, ...] = ()
    engine_thresholds: dict[Annotated[str, Field(pattern=r"^\w+$")], ThresholdConfig] = Field(
        default_factory=dict
    )
    output: Annotated[str, Field(min_length=1)] = "outputs"


class StagingConfig(Strict):
    """What `staging` can be told."""

    folder: Annotated[str, Field(min_length=1)]
    platform: PlatformConfig
    port: Port = 0
    prometheus_port: Port = 0
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 1
    weddings: Annotated[int, Field(ge=1, le=100_000)] = 1000
    keep_logs: bool = False
    demo: DemoConfig = DemoConfig()

    @field_validator("folder")
    @classmethod
    def _absolute(cls, folder: str) -> str:
        return str(Path(folder).expanduser().absolute())

    def wish(self) -> stack.StackOptions:
        """The stack that this asks for."""
        services = {
            name: StagedService(
                service.spec(name), service.client.queue_limit_per_slot, service.client.timeout_s
            )
            for name, service in self.platform.services.items()
        }
        return stack.StackOptions(
            folder=Path(self.folder),
            services=services,
            zones=tuple(self.platform.zones),
            seed=self.seed,
            weddings=self.weddings,
            port=self.port,
            prometheus_port=self.prometheus_port,
        )


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
        return commands[command](_read(rest), rest)
    except (ConfigError, StackError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _up(config: StagingConfig, _: Sequence[str]) -> int:
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
    killed = stack.take_down(Layout(Path(config.folder)), keep_logs=config.keep_logs)
    log.info("down" + (f"; these had to be killed: {', '.join(killed)}" if killed else ""))
    print(config.folder)
    return 0


def _status(config: StagingConfig, _: Sequence[str]) -> int:
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
    from engine.record.folders import OutputError, check_writable
    from twin.staging.demo import Play, play

    wanted = config.demo
    try:
        check_writable(Path(wanted.output))
    except OutputError as error:
        raise ConfigError(f"demo.output: {error}") from None
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
    return validated(StagingConfig, composed(assignments.read(arguments).overrides, root="staging"))


def _progress() -> stack.Say:
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
