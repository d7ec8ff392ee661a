"""`python -m twin serve`: a scenario in wall time, with the live engine and its API on it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import structlog

from engine.adapters.alert_log import AlertLog
from engine.adapters.audit_place import audit_of
from engine.adapters.cabinet_files import sealer_of
from engine.adapters.lease_file import FileLease, take_lead
from engine.adapters.store.aside import Aside, StoreWithAside
from engine.adapters.store.credentials import SqlCredentials
from engine.adapters.store.halves import SqlDesk, SqlStore
from engine.adapters.store.sealed import credential_letters_of, letters_of
from engine.adapters.store.sqlite import SqliteFile
from engine.api import assembly as api
from engine.api.context import ApiContext
from engine.api.records import Records
from engine.config import secrets
from engine.config.strict import ConfigError
from engine.monitoring.alerts.machine import Alerts
from engine.monitoring.beside import MonitorStage
from engine.ports.notices import NoticeSender
from engine.ports.store import Kept
from engine.record import folders
from engine.record.schema import summary
from engine.runtime import log as run_log
from engine.runtime.cycle import Cycle
from engine.runtime.ports import Ports
from engine.runtime.settings import LiveSettings
from engine.runtime.shell import LiveShell
from engine.runtime.watch import LiveMonitor, deliver
from engine.security.audit.courier import Courier
from scenarios.faults.times import resolve_at
from twin.commands import terminal
from twin.commands.reporters import reporter
from twin.runs import writing
from twin.serve.clock import FastClock
from twin.serve.notes import WorldNotes
from twin.serve.settings import ServeConfig
from twin.serve.world import EngineClock, OperatedStore, ServedShell
from twin.world.world import World, load_kernels

log = structlog.stdlib.get_logger(__name__)


def run(config: ServeConfig, settings: Mapping[str, Any], command: str) -> tuple[Path, bool]:
    """Serve until the scenario or the patience is over.

    Returns the record's folder, and whether it was interrupted.  Raises ConfigError, OutputError,
    NotLeadingError.
    """
    run_log.set_up()
    secrets.guard()
    started, began = dt.datetime.now(dt.UTC), time.perf_counter()
    try:
        world = World(config, shell=ServedShell)
        writing.check_thresholds(world)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    with _state(config) as state:
        clock = FastClock(world.start_s, config.speed)
        file = SqliteFile(state)
        context = _api(world, config, settings, state, file=file, clock=clock)
        folders.check_writable(Path(config.output))
        with terminal.compiling():
            load_kernels(config)
        compile_s = time.perf_counter() - began
        began = time.perf_counter()
        live_from_s = _fast_forward(world, config)
        clock.start(world.start_s + live_from_s)
        partial = asyncio.run(_live(world, config, state, file, context=context, clock=clock))
    world.finish()
    folder = writing.write(
        world,
        dict(settings),
        command=command,
        times=writing.RunTimes(started, time.perf_counter() - began, compile_s),
        partial=partial,
        others=[],
        render=reporter("run"),
    )
    terminal.show(summary.read(folder), folder)
    return folder, partial


def _fast_forward(world: World, config: ServeConfig) -> float:
    """Let the engine of simulated time drive until the live one begins; returns when (s)."""
    assert isinstance(world.shell, ServedShell)
    interval_s = config.telemetry.interval_s
    begin_s = resolve_at(config.begin, world.script.demand) // interval_s * interval_s
    live_from_s = float(min(max(begin_s, 2 * interval_s), world.duration_s - interval_s))
    world.shell.live_from_s = live_from_s
    world.env.process(world.shell.run())
    with terminal.progress(config.scenario.name, live_from_s) as advance:
        for piece in range(1, 51):
            world.env.run(until=live_from_s * piece / 50.0)
            advance(live_from_s * piece / 50.0)
    return live_from_s


def _api(
    world: World,
    config: ServeConfig,
    settings: Mapping[str, Any],
    state: Path,
    *,
    file: SqliteFile,
    clock: FastClock,
) -> ApiContext:
    """The API, before it is served; raises ConfigError for what it may not be."""
    sealer = sealer_of(state)
    letters = letters_of(sealer)
    desk = SqlDesk(file, letters)
    courier = Courier(desk, audit_of(state))
    return api.assembled(
        WorldNotes(world, courier),
        world.specs,
        config.engine,
        config.api,
        office=api.Office(
            state=state,
            desk=desk,
            courier=courier,
            credentials=SqlCredentials(file.apart(), credential_letters_of(sealer)),
            security=config.security,
        ),
        tree=settings,
        offered=api.Offered(aside=Aside(state, letters), records=Records(Path(config.output))),
        clock_s=clock.now_s,
    )


async def _live(
    world: World,
    config: ServeConfig,
    state: Path,
    file: SqliteFile,
    *,
    context: ApiContext,
    clock: FastClock,
) -> bool:
    """The live engine until the world's end; whether it was interrupted before."""
    served = world.shell
    assert isinstance(served, ServedShell)
    lead = take_lead(state, time.time())
    assert context.aside is not None
    ports = served.ports(clock, float(world.duration_s))
    lease, store = FileLease(state, lead), SqlStore(file, letters_of(sealer_of(state)))
    now_s = clock.now_s()
    await store.keep(Kept(served.memory()), await lease.hold(now_s))
    cycle: Cycle = served.made()
    watch, senders = None, config.alerts.senders()
    if world.watch is not None:
        # It goes on with what it has learned before the live engine began.
        alerts = Alerts(world.specs, config.alerts)
        watch = LiveMonitor(MonitorStage(world.watch.monitor, alerts, world.watch.notes.note))
    shell = LiveShell(
        cycle,
        world.specs,
        Ports(
            metrics=ports,
            infrastructure=ports.infrastructure,
            bookings=ports,
            store=OperatedStore(StoreWithAside(store, context.desk, context.aside), served),
            lease=lease,
            notifier=AlertLog(),
        ),
        notes=context.board,
        clock=EngineClock(clock, served),
        settings=LiveSettings(
            state=str(state), duration_s=world.start_s + world.duration_s - now_s
        ),
        sample_s=config.engine.sample_s,
        watch=watch,
    )
    stopped: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        stopped.append(number)
        shell.stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)

    def tell(url: str, token: str) -> None:
        when = dt.datetime.fromtimestamp(now_s, dt.UTC)
        log.info(f"the page is at {url}/, the API at {url}/api/scalability; {config.speed:g} times "
                 f"as fast as the day, from {when:%Y-%m-%d %H:%M} UTC on")  # fmt: skip
        log.info(f"the engine's state is in {state}")
        if token:
            sys.stderr.write(f"token: {token}\n")
            sys.stderr.flush()

    try:
        with api.served(context, tell):
            carrying = asyncio.create_task(context.courier.keep_carrying())
            delivering = asyncio.create_task(_delivered(watch, senders, clock))
            await shell.run()
            carrying.cancel()
            delivering.cancel()
            ports.catch_up()
        await asyncio.to_thread(context.courier.try_to_carry)
    finally:
        await shell.close()
    return bool(stopped)


@contextlib.contextmanager
def _state(config: ServeConfig) -> Iterator[Path]:
    """The state's folder: the one that is asked for, or one that goes at the end."""
    if config.state is not None:
        state = Path(config.state)
        with folders.explained(state, "state"):
            state.mkdir(parents=True, exist_ok=True)
        yield state
        return
    with tempfile.TemporaryDirectory(prefix="wedtwin-") as made:
        yield Path(made)


async def _delivered(
    watch: LiveMonitor | None, senders: Mapping[str, NoticeSender], clock: FastClock
) -> None:
    if watch is not None:
        await deliver(watch, senders, clock.now_s)
