"""A live run, put together from its configuration and driven until its end.

It is long because it names each part once, in the order in which the parts need each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import structlog

from engine.adapters import cabinet_files
from engine.adapters.alert_everybody import Everybody
from engine.adapters.alert_log import AlertLog
from engine.adapters.audit_place import audit_of
from engine.adapters.cabinet_files import FOLDER, FileCabinet
from engine.adapters.lease_file import FileLead, FileLease, take_lead
from engine.adapters.lease_place import LeasePlace, remember_lease
from engine.adapters.store import place
from engine.adapters.store.aside import Aside, StoreWithAside
from engine.adapters.store.credentials import SqlCredentials
from engine.adapters.store.database import Database
from engine.adapters.store.halves import SqlDesk, SqlStore
from engine.adapters.store.resealing import keep_resealed
from engine.adapters.store.sealed import credential_letters_of, letters_of
from engine.adapters.store.sqlite import SqliteFile
from engine.adapters.wall_clock import WallClock
from engine.commands.recording import Recording, RecordPlace
from engine.commands.sharing import SharedStores, made, shared_shell, watched
from engine.config import secrets
from engine.config.live import LiveConfig, handed
from engine.config.load import build, load
from engine.config.strict import ConfigError
from engine.ports import infrastructure as infrastructure_port
from engine.ports import metrics as metrics_port
from engine.ports.bookings import Bookings, KeepsEvents, NamesEvents
from engine.ports.lease import Lease, NotLeadingError
from engine.ports.metrics import MetricsSource
from engine.record.figures import forecaster_figures, horizons
from engine.record.folders import OutputError
from engine.record.journal import JOURNAL, JournalHeading, in_progress
from engine.record.live.notes import LiveRun
from engine.record.live.writing import check_thresholds
from engine.record.schema.summary import MARKS, PlayedDay, Summary
from engine.record.sealed import read_summary
from engine.runtime import log as run_log
from engine.runtime.cycle import Cycle
from engine.runtime.ports import Ports
from engine.runtime.shell import LiveShell, Notes
from engine.runtime.watch import deliver
from engine.security import break_glass
from engine.security.audit.courier import Courier
from engine.security.audit.rows import AuditEntry
from engine.security.break_glass import BreakGlass
from engine.security.sealing import Sealer
from engine.security.weddings import WeddingRegister, keep_to_it

log = structlog.stdlib.get_logger(__name__)

WAIT_S = 0.5
"""Between two tries to take the lead."""


@runtime_checkable
class DescribedBookings(Protocol):
    """Bookings that can say, for the record, what they hold; others need not."""

    awaited_s: tuple[float, ...]
    """When the major ones begin (epoch seconds)."""

    def played(self, from_s: float, to_s: float) -> PlayedDay:
        """What is booked between two times (epoch seconds)."""


class Shell(Protocol):
    """What drives the engine, over the whole platform or its shards."""

    def stop(self) -> None:
        """Finish the step in progress and end."""

    async def run(self) -> None:
        """Step until that."""

    async def close(self) -> None:
        """Let go of every port."""


@runtime_checkable
class KeepsSamples(Protocol):
    """Metrics that keep their samples; others need not."""

    def keep_in(self, folder: Path, sealing: Sealer | None) -> None:
        """Keep them in `folder`, sealed if there is a `sealing`; raises OSError, SealError."""


def run(
    config: LiveConfig, settings: Mapping[str, Any], command: str, *, serves: bool = False
) -> int:
    """Run until the end, with the API if it `serves`; returns the exit code.

    `settings` are what `config` was parsed from.  Raises ConfigError, OutputError, NotLeadingError.
    """
    run_log.set_up()
    secrets.guard()
    specs = config.platform.specs()
    state, output = Path(config.live.state), Path(config.output)
    lead = _lead(state, wait=config.live.wait_for_lead)
    database = _database(config, state)
    with contextlib.ExitStack() as held:
        held.callback(lead.release)
        try:
            controller = made(config)
            now_s = time.time()
            meta = LiveRun(
                scenario=config.scenario.name,
                description=config.scenario.description,
                seed=config.seed,
                controller=config.controller.name,
                foresight=False,
                command=command,
                config=secrets.recordable(settings),
                specs=specs,
                sample_s=config.engine.sample_s,
                started_s=now_s,
                ended_s=now_s,
                partial=False,
                thresholds=config.live.thresholds,
                engine=config.engine,
                forecaster=forecaster_figures(controller, config.engine),
                horizons=horizons(controller),
            )
            check_thresholds(meta)
            watch, senders = watched(config, specs)
            place.remember(state, database)
            remember_lease(state, _lease_place(config))
            weddings = WeddingRegister(cabinet_files.opened(state))
            sealer = cabinet_files.sealer_of(state)
            audit = audit_of(state, key=config.live.audit.key, copies=config.live.audit.copies)
            # One folder has one log; engines that share a database have each its own.
            letters = letters_of(sealer)
            of_log = "" if isinstance(database, SqliteFile) else audit.name
            store = SqlStore(database, letters, of_log)
            desk = SqlDesk(database, letters, of_log)
            courier = Courier(desk, audit)
            aside = Aside(state, letters)
            names = tuple(spec.name for spec in specs)
            heading = JournalHeading(now_s, names, config.engine.sample_s, config.controller.name)
            report = _nobody if config.reporter is None else load(config.reporter, "reporter")
            began_s = (in_progress(state, heading, sealer) or heading).started_s
            booked = _bookings(config, settings, began_s, weddings, sealer=sealer)
            infrastructure = infrastructure_port.connect(
                config.infrastructure.factory, specs, config.infrastructure.options
            )
            metrics = metrics_port.connect(
                config.metrics.factory,
                specs,
                config.engine.sample_s,
                _with_url(config.metrics.options, infrastructure),
            )
            if isinstance(metrics, KeepsSamples):
                metrics.keep_in(state / "samples", sealer)
            notifier = _notifier(config)
            if sealer is not None:
                audit.append(_key_used(sealer, now_s))
            recording = Recording(
                state,
                heading,
                meta,
                RecordPlace(output, report, sealer),
                every_s=config.live.record_every_s,
                audit=audit,
                courier=courier,
            )
            if isinstance(booked, DescribedBookings):
                recording.about(booked.played, booked.awaited_s)
            _check_received(metrics, serves=serves)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        except OSError as error:
            raise OutputError(f"{error.filename or state}: {error.strerror or error}") from error
        notes: Notes = recording
        if serves:
            from engine.api import assembly as api
            from engine.api.others import following
            from engine.api.recalled import recall
            from engine.api.receiving import KeptSamples
            from engine.api.records import Records

            context = api.assembled(
                recording,
                specs,
                config.engine,
                config.api,
                office=api.Office(
                    state=state,
                    desk=desk,
                    courier=courier,
                    credentials=SqlCredentials(database.apart(), credential_letters_of(sealer)),
                    security=config.security,
                ),
                tree=settings,
                offered=api.Offered(
                    receiver=getattr(metrics, "receiver", None),
                    kept=metrics if isinstance(metrics, KeptSamples) else None,
                    aside=aside,
                    records=Records(output, sealer),
                ),
            )
            notes = context.board
            recall(context.board, state / JOURNAL, sealer, now_s)
            held.enter_context(following(database, context.board, letters))
            held.enter_context(api.served(context, _announce))
        cycle = Cycle(
            controller,
            specs,
            acts=config.engine.mode == "act",
            approver=config.approval,
            question_s=config.engine.approval.expires_s,
            budget=config.budget.budget(),
            standing=config.live.standing,
        )
        shell: Shell
        if config.live.lease == "shards":
            shell = shared_shell(
                config, SharedStores(database, letters, of_log),
                metrics=metrics, infrastructure=infrastructure, bookings=booked,
                store=StoreWithAside(store, desk, aside), notifier=notifier,
                notes=notes,
            )  # fmt: skip
            watch = None  # each shard has a monitor of its own
        else:
            shell = LiveShell(
                cycle,
                specs,
                Ports(
                    metrics=metrics,
                    infrastructure=infrastructure,
                    bookings=booked,
                    store=StoreWithAside(store, desk, aside),
                    lease=_lease(config, database, state, lead),
                    notifier=notifier,
                ),
                notes=notes,
                clock=WallClock(),
                settings=config.live.shell,
                sample_s=config.engine.sample_s,
                watch=watch,
            )
        log.info(_beginning(config, lead, recording, now_s), lead=lead.fence)
        refused = meta.forecaster.refused
        if refused:
            recording.event(now_s, "model_refused", "forecaster", "schedule_only", detail=refused)
        limited = config.live.duration_s is not None
        emergency = BreakGlass(FileCabinet(state / FOLDER))
        beside = [
            break_glass.watch(emergency, notifier, WallClock()),
            keep_to_it(weddings, WallClock()),
            courier.keep_carrying(),
        ]
        if sealer is not None:
            beside.append(keep_resealed(database, sealer))
        if watch is not None:
            beside.append(deliver(watch, senders, WallClock().now_s))
        folder, asked = asyncio.run(
            _drive(shell, metrics, recording, beside, courier=courier, limited=limited)
        )
    _show(read_summary(folder, sealer), folder)
    print(folder, flush=True)
    if asked is signal.SIGINT:
        log.info("interrupted: the record so far is kept")
        return 130
    return 0


def _check_received(metrics: MetricsSource, *, serves: bool) -> None:
    if not serves and hasattr(metrics, "receiver"):
        raise ValueError("metrics: samples are received by python -m engine serve; run has no API")


def _bookings(
    config: LiveConfig,
    settings: Mapping[str, Any],
    began_s: float,
    weddings: WeddingRegister,
    *,
    sealer: Sealer | None,
) -> Bookings:
    """The source of bookings of a run that began then; raises ValueError for wrong options."""
    booked: Bookings = build(
        config.bookings.factory,
        config.platform.specs(),
        began_s,
        key="bookings.factory",
        options=handed(config, settings),
        options_key="bookings",
        methods=("outlook", "close"),
    )
    if isinstance(booked, NamesEvents):
        booked.name_by(weddings.naming())
    if isinstance(booked, KeepsEvents):
        booked.keep_in(Path(config.live.state) / "bookings", sealer)
    return booked


def _notifier(config: LiveConfig) -> Everybody:
    """The log and everybody who is to be told; raises ValueError for wrong options."""
    others = [
        build(
            one.factory,
            key=f"notifiers.{k}.factory",
            options=one.options,
            options_key=f"notifiers.{k}.options",
            methods=("notify", "close"),
        )
        for k, one in enumerate(config.notifiers)
    ]
    return Everybody([AlertLog(), *others])


async def _drive(
    shell: Shell,
    metrics: MetricsSource,
    recording: Recording,
    beside: Sequence[Coroutine[Any, Any, None]],
    *,
    courier: Courier,
    limited: bool,
) -> tuple[Path, signal.Signals | None]:
    """Run the shell until its end or a signal; returns the record's folder and the signal.

    What is `beside` it runs as long.
    """
    asked: list[signal.Signals] = []
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        asked.append(number)
        shell.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    over = asyncio.Event()
    rolling = asyncio.create_task(recording.roll_over(metrics, over))
    tasks = [asyncio.create_task(task) for task in beside]
    try:
        await shell.run()
        over.set()
        await rolling
        folder = await recording.finish(metrics, partial=bool(asked) and limited)
    finally:
        rolling.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.to_thread(courier.try_to_carry)
        await shell.close()
    return folder, (asked[0] if asked else None)


def _announce(url: str, token: str) -> None:
    """Where the API is; a token that was made for this is shown here and nowhere else."""
    log.info(f"the page is at {url}/, the API at {url}/api/scalability")
    if token:
        print(f"token: {token}", file=sys.stderr, flush=True)


def _lead(state: Path, *, wait: bool) -> FileLead:
    """The lead; waits for it if that is wanted, else raises NotLeadingError."""
    said = False
    while True:
        try:
            return take_lead(state, time.time())
        except OSError as error:
            raise OutputError(f"live.state: {state}: {error.strerror}") from error
        except NotLeadingError as error:
            if not wait:
                raise
            if not said:
                log.info(f"waiting: {error}")
                said = True
        time.sleep(WAIT_S)


def _database(config: LiveConfig, state: Path) -> Database:
    """What the store is in; raises ConfigError for an address that is none."""
    if config.live.store is None:
        return SqliteFile(state)
    try:
        return place.postgres(config.live.store.get_secret_value())
    except ValueError as error:
        raise ConfigError(f"live.store: {error}") from error


def _lease(config: LiveConfig, database: Database, state: Path, lead: FileLead) -> Lease:
    """Who leads: who has the Lease, the lead in a shared database, or else the folder."""
    if config.live.lease == "kubernetes":
        from engine.adapters.kubernetes.lease import lease_of

        return lease_of(config.live.cluster_lease.name, config.live.cluster_lease.options())
    if isinstance(database, SqliteFile):
        return FileLease(state, lead)
    from engine.adapters.store.postgres import PostgresLease

    return PostgresLease(database, f"the engine with pid {os.getpid()} on {socket.gethostname()}")


def _lease_place(config: LiveConfig) -> LeasePlace | None:
    """By which Lease of a cluster the engine leads, if it does."""
    if config.live.lease != "kubernetes":
        return None
    lease = config.live.cluster_lease
    options = lease.options()
    if lease.kubeconfig is not None:  # whoever asks may be in another folder
        options["kubeconfig"] = str(lease.kubeconfig.absolute())
    return LeasePlace(lease.name, options)


def _with_url(options: dict[str, Any], infrastructure: object) -> dict[str, Any]:
    """Without an address of its own, a source is asked at the one that the infrastructure has."""
    if options.get("url", "") is not None:
        return options
    url = getattr(infrastructure, "metrics_url", None)
    if url is None:
        raise ValueError("metrics.url: is missing, and the infrastructure has none of its own")
    return {**options, "url": url}


def _key_used(sealer: Sealer, now_s: float) -> AuditEntry:
    """Which key the engine seals with from now on; never the key."""
    return AuditEntry(
        at_ms=round(now_s * 1000.0), actor="engine", action="use key", target=sealer.key_id,
        outcome="accepted",
    )  # fmt: skip


def _beginning(config: Any, lead: FileLead, recording: Recording, now_s: float) -> str:
    mode = "acts" if config.engine.mode == "act" else "only recommends"
    since = now_s - recording.started_s
    text = f"lead {lead.fence}: {config.controller.name} {mode}, {config.scenario.name}"
    return f"{text}; goes on with a run begun {since:.0f} s ago" if since > 0.0 else text


def _show(summary: Summary, folder: Path) -> None:
    decision, cost = summary.decision, summary.cost
    log.info(
        f"{summary.scenario}: {decision.cycles} cycles, {decision.actions} actions, "
        f"{decision.emergency_s.count} emergencies, {cost.total_usd:.2f} USD"
    )
    log.info(summary.description)
    for threshold in summary.thresholds:
        value = "not known" if threshold.value is None else f"{threshold.value:.6g}"
        level = log.warning if threshold.outcome == "failed" else log.info
        limit = threshold.reason or f"{threshold.operator} {threshold.limit:g}"
        level(f"{MARKS[threshold.outcome]}  {threshold.metric} = {value} ({limit})")
    log.info(f"report: {folder / 'report.html'}")


def _nobody(_: Path) -> None:
    """Makes no report."""
