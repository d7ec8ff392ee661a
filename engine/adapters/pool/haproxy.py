"""Local worker processes behind HAProxy: the infrastructure of a platform on one machine.

The pool brings the instances of each service to the count that is asked for, as a ReplicaSet does:
it launches workers, lets HAProxy send them requests once they say that they are ready, and takes
them away without breaking off a request.  Leaving goes in steps: HAProxy sends no new requests
(drain); the worker closes its WebSockets, whose clients connect again elsewhere; when nothing is
under way, or patience ends, the server is removed and only then the worker is told to stop.

A thread does this five times a second and looks at what *is*: a worker that died is taken out and
replaced, a server that HAProxy forgot (it was restarted) is added again, an instance whose launch
was interrupted is found by its environment.  So nothing depends on an engine having been there.

What people do in HAProxy by hand stands: an instance in maintenance, on drain or with a weight of 0
is *sidelined*.  It is left as it is, told of, and none of those that are asked for: it is not
ready, is not taken for ill, is not scraped (its idle slots would make the others look less busy),
and a scale-in takes others.  If it stays sidelined, another one takes its place; when it gets
requests again, there may be one too many, and the youngest goes.  What the pool itself leaves half
done when it is killed it has written down before, so that it is not taken for somebody's wish.

It is long because launching, draining, replacing and what people did by hand are one loop over one
book.
"""

from __future__ import annotations

import http.client
import json
import logging
import signal
import socket
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from engine.adapters.blocking import BlockingInfrastructure
from engine.adapters.pool import processes
from engine.adapters.pool.book import Book, Instance, PoolFile, WorkerPhase
from engine.adapters.pool.place import Place, PlaceError, Worker, load
from engine.adapters.pool.runtime_api import BACK, RuntimeApi, RuntimeApiError, ServerState
from engine.model import Action, ActionResult, ServiceSpec, Status
from engine.ports.infrastructure import Counts, Sighting, Unreachable, refused_warm
from engine.ports.lease import Fence
from engine.record.files import write_atomically

SERVER_OPTIONS = (
    "check inter 2s fastinter 500ms downinter 1s fall 2 rise 1 "
    # A server that is added at run time keeps no idle connections unless it is told how many.
    "pool-purge-delay 1s pool-max-conn 1000"
)
PROBE_TIMEOUT_S = 1.0
SEPARATOR = ", "
BACKOFF_S, LONGEST_BACKOFF_S = 1.0, 30.0
"""First and longest wait after a boot that failed."""


def connect(
    specs: Sequence[ServiceSpec],
    folder: str,
    worker: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    drain_s: float = 20.0,
    boot_timeout_s: float = 60.0,
    ill_s: float = 15.0,
    sidelined_s: float = 60.0,
) -> PoolInfrastructure:
    """The pool of the stack in `folder`; raises ValueError when there is none that fits `specs`.

    `worker` is the command that starts an instance and `environment` what it is told, with words in
    braces as `engine.adapters.pool.place.Worker` has them.
    A request may go on for `drain_s` when its instance leaves; an instance that is not ready
    `boot_timeout_s` after its boot should have been over, or whose health check fails for `ill_s`,
    is replaced.  Another one takes the place of an instance that somebody has sidelined by hand for
    `sidelined_s`.
    """
    place = Place(Path(folder))
    try:
        command = Worker(tuple(map(str, worker)), dict(environment or {}))
        services = load(place).services
    except (PlaceError, ValueError) as error:
        raise ValueError(f"infrastructure.options.{error}") from None
    for spec in specs:
        if spec.name not in services:
            there = ", ".join(services)
            raise ValueError(
                f"platform.services.{spec.name}: the stack in {folder} has only {there}"
            )
    log = logging.getLogger(__name__)
    return PoolInfrastructure(
        HaproxyPool(
            place,
            command,
            delays=PoolDelays(drain_s, boot_timeout_s, ill_s, sidelined_s),
            say=log.warning,
        )
    )


class PoolInfrastructure(BlockingInfrastructure):
    """`engine.ports.infrastructure.Infrastructure`, and where the pool's metrics are asked."""

    def __init__(self, pool: HaproxyPool) -> None:
        super().__init__(pool)
        self.metrics_url = pool.metrics_url


@dataclass(frozen=True, slots=True)
class PendingChange:
    """An accepted action that is not completed yet."""

    decision_id: str
    service: str
    target: int


class PoolDelays(NamedTuple):
    """How long the pool waits, seconds; all but `poll_s` are the options of `connect`."""

    drain_s: float = 20.0
    boot_timeout_s: float = 60.0
    ill_s: float = 15.0
    sidelined_s: float = 60.0
    poll_s: float = 0.2
    """Between two looks at the instances."""


USUAL_DELAYS = PoolDelays()


class HaproxyPool:
    """The instances of all services; the last one that was made looks after them (`keeper`)."""

    def __init__(
        self,
        place: Place,
        worker: Worker,
        *,
        delays: PoolDelays = USUAL_DELAYS,
        boot_at_once: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._place = place
        self._worker = worker
        self._stack = load(place)
        self._api = RuntimeApi(place.admin_socket)
        self._file = PoolFile(place.pool)
        self._delays = delays
        self._boot_at_once = boot_at_once
        self._say = say
        self._results: deque[ActionResult] = deque()
        self._pending: dict[str, PendingChange] = {}
        self._quiet_since: dict[str, float] = {}
        self._trouble = ""
        self._unanswered = ""
        """Why HAProxy says nothing, "" while it does."""
        self._stopped = threading.Event()
        with self._file.change() as book:
            book.keeper += 1
            self.keeper = book.keeper
            self.newest_fence = Fence(book.fence)
            """The newest when it was made; whoever asks by hand asks under the next."""
        self._thread = threading.Thread(target=self._follow, name="haproxy-pool", daemon=True)
        self._thread.start()

    @property
    def metrics_url(self) -> str:
        """Where the stack's own Prometheus is asked."""
        return self._stack.metrics_url

    # --- the port

    def observe(self) -> Sighting:
        """The counts as the book has them, with what people did by hand as notices.

        Raises Unreachable when the stack is gone.
        """
        try:
            book = self._file.read()
        except (OSError, ValueError) as error:
            raise Unreachable(f"the stack in {self._place.folder} is gone: {error}") from None
        if book.closed:
            raise Unreachable(f"the stack in {self._place.folder} is being taken down")
        results = []
        while self._results:
            results.append(self._results.popleft())
        unanswered = (self._unanswered,) if self._unanswered else ()
        notices = (*unanswered, *_by_hand(book))
        return Sighting(counts(book), tuple(results), Fence(book.fence), notices)

    def apply(self, actions: Sequence[Action], fence: Fence) -> tuple[ActionResult, ...]:
        """Ask for other counts; each result says at once whether that is accepted."""
        if not actions:
            return ()
        try:
            with self._file.change() as book:
                return tuple(self._accept(book, action, fence) for action in actions)
        except (OSError, ValueError) as error:
            why = f"the stack in {self._place.folder} is gone: {error}"
            return tuple(_result(a.decision_id, Status.FAILED, why) for a in actions)

    def close(self) -> None:
        """Stop following; the instances stay."""
        self._stopped.set()
        self._thread.join()

    def _accept(self, book: Book, action: Action, fence: Fence) -> ActionResult:
        if book.fence <= fence and book.keeper == self.keeper:
            book.fence = fence  # seen, whether or not the command can be carried out
        if (no := refused_warm(action, time.time())) is not None:
            return no
        refusal = self._refusal(book, action, fence)
        if refusal:
            return _result(action.decision_id, Status.FAILED, refusal)
        wanted = book.services[action.service]
        if action.decision_id not in wanted.decisions:
            wanted.remember(action.decision_id)
            wanted.desired = action.to_instances
            wanted.failures, wanted.retry_s = 0, 0.0
            self._pending[action.service] = PendingChange(
                action.decision_id, action.service, action.to_instances
            )
        return _result(action.decision_id, Status.ACCEPTED)

    def _refusal(self, book: Book, action: Action, fence: Fence) -> str:
        """Why an action cannot be carried out, or nothing."""
        if book.closed:
            return "the stack is being taken down"
        if fence < book.fence:
            return f"fence {fence} is over, {book.fence} leads"
        if book.keeper != self.keeper:
            return f"keeper {self.keeper} is over, {book.keeper} looks after the pool"
        wanted = book.services.get(action.service)
        if wanted is None:
            return f'there is no service "{action.service}"'
        if action.decision_id in wanted.decisions:
            return ""
        if wanted.desired != action.from_instances:
            return f"conflict: {wanted.desired} are desired, not {action.from_instances}"
        spec = self._stack.services[action.service]
        if not spec.min_instances <= action.to_instances <= spec.max_instances:
            return (
                f"{action.to_instances} instances are not allowed "
                f"({spec.min_instances} … {spec.max_instances})"
            )
        try:
            self._api.ask("show version")
        except RuntimeApiError as error:
            return str(error)
        return ""

    # --- bringing the instances to the count

    def _follow(self) -> None:
        while not self._stopped.wait(self._delays.poll_s):
            processes.reap()
            try:
                if not self._look():
                    return
            except FileNotFoundError:
                return  # the stack was taken down
            except Exception as error:
                # Whatever it was, the other instances still have to be looked after.
                self._complain(f"{type(error).__name__}: {error}")

    def _complain(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._say(trouble)
        self._trouble = trouble

    def _look(self) -> bool:
        """One look at everything; False when it is somebody else's turn to look."""
        booting = [i for i in self._file.read().instances if i.phase is WorkerPhase.BOOTING]
        answering = {i.id for i in booting if _is_ready(i.port)}  # slow, so before the lock
        with self._file.change() as book:
            if book.closed or book.keeper != self.keeper:
                return False
            before = _targets(book)
            self._bury(book)
            servers = self._servers()
            for instance in list(book.instances):
                with self._noting_trouble():
                    self._advance(book, instance, servers, ready=instance.id in answering)
            for service in book.services:
                with self._noting_trouble():
                    self._count(book, service)
            self._complete(book)
            if _targets(book) != before or not (self._place.targets / "workers.json").exists():
                write_targets(self._place, book)
        return True

    @contextmanager
    def _noting_trouble(self) -> Iterator[None]:
        """HAProxy's trouble with one instance leaves the others to be looked after."""
        try:
            yield
        except RuntimeApiError as error:
            self._complain(str(error))

    def _servers(self) -> dict[str, ServerState] | None:
        """HAProxy's servers, or None when it does not answer: its part has to wait then."""
        try:
            servers = self._api.servers()
            self._trouble = self._unanswered = ""
            return servers
        except RuntimeApiError as error:
            self._unanswered = str(error)
            self._complain(str(error))
            return None

    def _bury(self, book: Book) -> None:
        """Take note of the dead, and find those whose launch was interrupted."""
        for instance in list(book.instances):
            if instance.process is None:
                left = processes.marked(self._stack.token, instance.id)
                if not left:
                    book.instances.remove(instance)
                    continue
                instance.process = left[0]
            if instance.process.alive:
                continue
            if instance.phase is WorkerPhase.BOOTING:
                self._failed(book, instance, f"ended in its boot: {self._last_words(instance)}")
            elif instance.phase is not WorkerPhase.STOPPING:
                self._say(f"{instance.id} died: {self._last_words(instance)}")
            if instance.phase is WorkerPhase.BOOTING or self._out(instance):
                book.instances.remove(instance)
            elif instance.phase is not WorkerPhase.STOPPING:
                _enter(
                    instance, WorkerPhase.STOPPING
                )  # not to be counted on, while HAProxy lets go

    def _out(self, instance: Instance) -> bool:
        try:
            return self._api.remove(instance.server)
        except RuntimeApiError as error:
            self._complain(str(error))
            return False

    def _advance(
        self, book: Book, instance: Instance, servers: dict[str, ServerState] | None, *, ready: bool
    ) -> None:
        """Take an instance to its next phase when it is time to."""
        now_s = time.time()
        match instance.phase:
            case WorkerPhase.BOOTING:
                spec = self._stack.services[instance.service]
                due_s = spec.boot.quantile_s(3.0) + spec.warmup_s + self._delays.boot_timeout_s
                if ready and servers is not None:
                    self._api.add(instance.server, f"127.0.0.1:{instance.port}", SERVER_OPTIONS)
                    _enter(instance, WorkerPhase.READY)
                    book.services[instance.service].failures = 0
                elif now_s - instance.launched_s > due_s:
                    self._failed(book, instance, f"was not ready after {due_s:.0f} s")
                    self._kill(instance)
                    book.instances.remove(instance)
            case WorkerPhase.READY:
                if servers is not None:
                    self._keep_serving(book, instance, servers.get(instance.server), now_s)
            case WorkerPhase.DRAINING:
                if servers is not None:
                    self._go_on_draining(instance, servers.get(instance.server), now_s)
            case WorkerPhase.STOPPING:
                if now_s - instance.since_s > self._delays.drain_s:
                    self._kill(instance)  # its end is noted, as any, at the next look

    def _go_on_draining(self, instance: Instance, state: ServerState | None, now_s: float) -> None:
        """End it once HAProxy has let go of it."""
        if state is not None and state.up and now_s - instance.since_s <= self._delays.drain_s:
            # It was interrupted, or somebody let it have requests again.
            self._drain(instance)
            _enter(instance, WorkerPhase.DRAINING)
            return
        if state is not None and not self._idle(instance, state, now_s):
            return
        if self._api.remove(instance.server):
            _enter(instance, WorkerPhase.STOPPING)
            self._signal(instance, signal.SIGTERM)

    def _keep_serving(
        self, book: Book, instance: Instance, state: ServerState | None, now_s: float
    ) -> None:
        """HAProxy has to have a ready instance; one that stays ill is ended, and so replaced.

        One that is sidelined is nobody's business but theirs who sidelined it.
        """
        if state is None or instance.adding:
            self._add_again(book, instance)
            return
        instance.by_hand = SEPARATOR.join(state.by_hand)
        if state.sidelined:
            instance.sidelined_s = instance.sidelined_s or now_s
            instance.down_s = 0.0
            return
        instance.sidelined_s = 0.0
        if not state.down:
            instance.down_s = 0.0
            return
        instance.down_s = instance.down_s or now_s
        if now_s - instance.down_s > self._delays.ill_s:
            self._say(f"{instance.id} has been ill for {self._delays.ill_s:.0f} s")
            self._kill(instance)

    def _add_again(self, book: Book, instance: Instance) -> None:
        """Give HAProxy a server that it lost; one that was sidelined stays so."""
        instance.adding = True
        self._file.keep(book)  # or half of it would look like somebody's wish
        self._api.add(
            instance.server,
            f"127.0.0.1:{instance.port}",
            SERVER_OPTIONS,
            serving=not instance.sidelined_s,
        )
        instance.adding = False

    def _drain(self, instance: Instance) -> None:
        """No new requests for an instance that leaves, and its WebSockets go elsewhere."""
        self._api.drain(instance.server)
        _tell_to_drain(instance.port)

    def _idle(self, instance: Instance, state: ServerState, now_s: float) -> bool:
        """Nothing under way for two looks, or no more patience."""
        if now_s - instance.since_s > self._delays.drain_s:
            return True
        if state.used:
            self._quiet_since.pop(instance.id, None)
            return False
        return now_s - self._quiet_since.setdefault(instance.id, now_s) >= self._delays.poll_s

    def _count(self, book: Book, service: str) -> None:
        """Launch what is missing, or let go what is too many."""
        wanted = book.services[service]
        there = book.of(service, WorkerPhase.BOOTING, WorkerPhase.READY)
        now_s = time.time()
        # Who was sidelined a moment ago is waited for, and not missing yet; but never one too many.
        counted = [i for i in there if now_s - (i.sidelined_s or now_s) <= self._delays.sidelined_s]
        in_service = book.in_service(service, WorkerPhase.BOOTING, WorkerPhase.READY)
        if now_s >= wanted.retry_s:
            for _ in range(wanted.desired - len(counted)):
                self._launch(book, service)
        for _ in range(len(in_service) - wanted.desired):
            self._let_go(book, service)

    def _launch(self, book: Book, service: str) -> None:
        """Start one worker, in the zone that has fewest."""
        wanted = book.services[service]
        wanted.numbered += 1
        held = Counter(dict.fromkeys(self._stack.zones, 0))
        held.update(
            i.zone for i in book.in_service(service, WorkerPhase.BOOTING, WorkerPhase.READY)
        )
        zone = min(self._stack.zones, key=lambda z: held[z])
        now_s = time.time()
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as reserved:
            # Bound and not listened on: the port is the worker's, and refuses until it listens.
            reserved.bind(("127.0.0.1", 0))
            instance = Instance(
                id=f"{service}-{wanted.numbered}",
                service=service,
                zone=zone,
                port=reserved.getsockname()[1],
                phase=WorkerPhase.BOOTING,
                launched_s=now_s,
                since_s=now_s,
            )
            book.instances.append(instance)
            self._file.keep(book)  # entered before it is started, so that it cannot be lost
            try:
                command, environment = self._worker.started_with(
                    python=sys.executable,
                    folder=self._place.folder,
                    instance=instance.id,
                    service=service,
                    zone=zone,
                    launched=repr(now_s),
                    booted=int(self._boot_at_once),
                    socket=reserved.fileno(),
                )
                instance.process = processes.launch(
                    command,
                    self._place.logs / f"{instance.id}.log",
                    token=self._stack.token,
                    environment={**environment, processes.INSTANCE: instance.id},
                    keep_open=[reserved.fileno()],
                )
            except OSError as error:
                book.instances.remove(instance)
                self._failed(book, instance, f"cannot be started: {error}")

    def _let_go(self, book: Book, service: str) -> None:
        """Give up the youngest boot, or drain the youngest instance of the fullest zone."""
        booting = book.of(service, WorkerPhase.BOOTING)
        if booting:
            self._kill(booting[-1])
            book.instances.remove(booting[-1])
            return
        ready = book.in_service(service, WorkerPhase.READY)
        held = Counter(i.zone for i in ready)
        leaving = max(ready, key=lambda i: (held[i.zone], i.launched_s))
        _enter(leaving, WorkerPhase.DRAINING)
        self._file.keep(book)  # or a drain that was interrupted would look like somebody's wish
        self._drain(leaving)

    def _failed(self, book: Book, instance: Instance, why: str) -> None:
        """A boot came to nothing: wait longer each time, and say so to whoever asked for it."""
        wanted = book.services[instance.service]
        wanted.retry_s = time.time() + min(BACKOFF_S * 2.0**wanted.failures, LONGEST_BACKOFF_S)
        wanted.failures += 1
        self._say(f"{instance.id} {why}")
        pending = self._pending.get(instance.service)
        if pending is not None:
            detail = f"{instance.id} {why}; it is replaced"
            self._results.append(_result(pending.decision_id, Status.FAILED, detail))

    def _complete(self, book: Book) -> None:
        for service, pending in list(self._pending.items()):
            if book.services[service].desired != pending.target:
                del self._pending[service]
            elif book.serving(service) == pending.target:
                del self._pending[service]
                self._results.append(_result(pending.decision_id, Status.COMPLETED))

    def _signal(self, instance: Instance, number: signal.Signals) -> None:
        if instance.process is not None:
            instance.process.send(number)

    def _kill(self, instance: Instance) -> None:
        self._signal(instance, signal.SIGKILL)

    def _last_words(self, instance: Instance) -> str:
        return processes.last_words(self._place.logs / f"{instance.id}.log")


def counts(book: Book) -> dict[str, Counts]:
    """What there is of each service.

    What is ill counts as booting: it does not serve and either comes back or is replaced.  What
    stops, or was sidelined by hand, has no requests any more but is still paid for.
    """
    present = (WorkerPhase.BOOTING, WorkerPhase.READY)
    leaving = (WorkerPhase.DRAINING, WorkerPhase.STOPPING)
    return {
        name: Counts(
            desired=wanted.desired,
            ready=book.serving(name),
            booting=len(book.in_service(name, *present)) - book.serving(name),
            draining=len(book.of(name, *present, *leaving)) - len(book.in_service(name, *present)),
        )
        for name, wanted in book.services.items()
    }


def _by_hand(book: Book) -> Iterator[str]:
    """What people did in HAProxy, what the pool makes of it, and how it is taken back."""
    for instance in book.instances:
        if instance.phase is WorkerPhase.READY and instance.by_hand:
            means = (
                "it is left so, counts as not ready and is not scraped"
                if instance.sidelined_s
                else "it counts as ready, and nobody notices when it hangs"
            )
            back = "; ".join(
                dict.fromkeys(
                    BACK[way].format(server=instance.server)
                    for way in instance.by_hand.split(SEPARATOR)
                )
            )
            yield (
                f"{instance.server} was changed by hand in HAProxy ({instance.by_hand}): {means}; "
                f"to take it back: {back}"
            )


def write_targets(place: Place, book: Book) -> None:
    """Tell Prometheus where the workers are (its file-based service discovery)."""
    text = json.dumps(
        [
            {
                "targets": [f"127.0.0.1:{port}"],
                "labels": {"service": service, "instance": instance, "zone": zone},
            }
            for service, instance, zone, port in _targets(book)
        ],
        indent=1,
    )
    write_atomically(place.targets / "workers.json", text + "\n")


def _targets(book: Book) -> list[tuple[str, str, str, int]]:
    return [
        (i.service, i.id, i.zone, i.port)
        for i in book.instances
        if i.phase in (WorkerPhase.READY, WorkerPhase.DRAINING) and not i.sidelined_s
    ]


def _enter(instance: Instance, phase: WorkerPhase) -> None:
    instance.phase = phase
    instance.since_s = time.time()


def _is_ready(port: int) -> bool:
    return _status("GET", port, "/health") == 200


def _tell_to_drain(port: int) -> None:
    _status("POST", port, "/drain")


def _status(method: str, port: int, path: str) -> int:
    """The status of one request to a worker, 0 when there is no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request(method, path, headers={"Connection": "close"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def _result(decision_id: str, status: Status, detail: str = "") -> ActionResult:
    return ActionResult(decision_id, status, time.time(), detail)
