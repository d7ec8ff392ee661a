"""What an engine makes for a part of the platform, and the shell of one that is one of several."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, NoReturn

from engine.adapters.store.database import Database
from engine.adapters.store.letters import Letters
from engine.adapters.wall_clock import WallClock
from engine.config.live import LiveConfig
from engine.config.strict import ConfigError
from engine.controllers import registry as controllers
from engine.model import Controller, ServiceSpec
from engine.monitoring.alerts.machine import Alerts
from engine.monitoring.beside import MonitorStage
from engine.monitoring.monitor import Monitor
from engine.ports.bookings import Bookings
from engine.ports.infrastructure import Infrastructure
from engine.ports.metrics import MetricsSource
from engine.ports.notices import NoticeSender
from engine.ports.notifier import Notifier
from engine.ports.store import Store
from engine.runtime.cycle import Cycle
from engine.runtime.keeper import ShardKeeper, ShardLease, member_name
from engine.runtime.ports import Ports
from engine.runtime.sharded import ShardedShell
from engine.runtime.shared import (
    ShardBookings,
    ShardInfrastructure,
    ShardMetrics,
    ShardNotifier,
    ShardRequests,
    SharedPorts,
)
from engine.runtime.shell import LiveShell, Notes
from engine.runtime.watch import LiveMonitor, deliver
from engine.sharding.shards import Shard, layout_of


def made(config: LiveConfig) -> Controller:
    """The controller of the configuration."""
    return controllers.make(config.controller, config.engine, _not_here, _not_here)


def watched(
    config: LiveConfig, specs: Sequence[ServiceSpec]
) -> tuple[LiveMonitor | None, Mapping[str, NoticeSender]]:
    """The monitor of the specs with its alerts, and how to reach who is told.

    None if it is not enabled.
    """
    senders = config.alerts.senders()
    if not config.monitor.enabled:
        return None, senders
    monitor = Monitor(specs, config.platform.monitored(config.monitor))
    return LiveMonitor(MonitorStage(monitor, Alerts(specs, config.alerts))), senders


class SharedStores(NamedTuple):
    """What the stores of all shards share: `log` is the address of the audit log."""

    database: Database
    letters: Letters
    log: str


def shared_shell(
    config: LiveConfig,
    stores: SharedStores,
    *,
    metrics: MetricsSource,
    infrastructure: Infrastructure,
    bookings: Bookings,
    store: Store,
    notifier: Notifier,
    notes: Notes,
) -> ShardedShell:
    """The shell of an engine that shares the platform; raises ConfigError where it cannot."""
    if getattr(infrastructure, "fences_each_service", False) is not True:
        raise ConfigError(
            f'live.lease: "shards" is not allowed with {config.infrastructure.factory}, which does '
            "not say (fences_each_service = True) that it refuses old epochs service by service"
        )
    from engine.adapters.store.shard_leases import PostgresLeaseTable, ShardStore, show

    database, letters, log = stores
    specs = config.platform.specs()
    by_name = {spec.name: spec for spec in specs}
    assert config.live.store is not None
    table = PostgresLeaseTable(config.live.store.get_secret_value())
    keeper = ShardKeeper(table, layout_of(specs), member_name())
    shared = SharedPorts(
        specs, keeper=keeper, metrics=metrics, infrastructure=infrastructure, bookings=bookings,
        requests=store, notifier=notifier, notes=notes,
    )  # fmt: skip

    def make(shard: Shard) -> tuple[LiveShell, Callable[[], None]]:
        own = [by_name[name] for name in shard.services]
        watch, senders = watched(config, own)
        cycle = Cycle(
            made(config),
            own,
            acts=config.engine.mode == "act",
            approver=config.approval,
            question_s=config.engine.approval.expires_s,
            standing=config.live.standing.of(shard.services),
        )
        shell = LiveShell(
            cycle,
            own,
            Ports(
                metrics=ShardMetrics(shared, shard),
                infrastructure=ShardInfrastructure(shared, shard),
                bookings=ShardBookings(shared),
                store=ShardRequests(shared, shard, ShardStore(database, shard.name, letters, log)),
                lease=ShardLease(keeper, shard.name),
                notifier=ShardNotifier(shared),
            ),
            notes=shared.together,
            clock=WallClock(),
            settings=config.live.shell,
            sample_s=config.engine.sample_s,
            watch=watch,
        )
        if watch is None:
            return shell, _nothing
        sending = asyncio.ensure_future(deliver(watch, senders, WallClock().now_s))

        def end() -> None:
            sending.cancel()

        return shell, end

    async def show_all(text: str) -> None:
        await asyncio.wrap_future(database.write(lambda to: show(to, text, letters)))

    return ShardedShell(
        shared,
        make,
        clock=WallClock(),
        settings=config.live.shell,
        sample_s=config.engine.sample_s,
        cycle_s=config.engine.cycle_s,
        show=show_all,
        close=store.close,
    )


def _nothing() -> None:
    """There is nothing beside the shell."""


def _not_here() -> NoReturn:
    raise ValueError("controller: it needs what only the twin has")
