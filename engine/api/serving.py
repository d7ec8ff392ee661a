"""The server: uvicorn in a thread, with timeouts for whoever sends or takes nothing.

It stops so that no request is lost: first it says that it is about to (readiness, `Connection:
close`, streams end), goes on answering for a while, then takes no new connections and finishes what
it has begun.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import ssl
import struct
import threading
from collections.abc import Iterator

import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from engine.api.application import application
from engine.api.context import ApiContext
from engine.api.interpreter import shared_interpreter
from engine.config.api import ApiConfig
from engine.config.strict import ConfigError
from engine.security import tls
from engine.security.certificates import telling

HEADER_BYTES = 16_384
"""Of all headers together."""
KEEP_ALIVE_S = 30
STARTED_S = 30.0
STOPPED_S = 30.0
BACKLOG = 2_048
LAST_S = 0.05
SO_ATTACH_FILTER = 26
"""socket(7); Python has no name for it."""

log = structlog.stdlib.get_logger(__name__)


@contextlib.contextmanager
def serving(context: ApiContext) -> Iterator[str]:
    """Serve the API until the block ends; gives the URL.  Raises ConfigError.

    Everything happens in a thread of its own: the block's own loop never waits for a client.
    """
    secured = _secured(context.config)
    listening = _listening(context.config)
    host, port = listening.getsockname()[:2]
    scheme = "https" if context.config.tls else "http"
    shown = f"[{host}]" if ":" in host else host
    server = _Server(context, listening, secured)
    with shared_interpreter():
        server.start()
        try:
            yield f"{scheme}://{shown}:{port}"
        finally:
            server.stop()


class _Server:
    def __init__(
        self, context: ApiContext, listening: socket.socket, secured: ssl.SSLContext | None
    ) -> None:
        self._context = context
        self._listening = listening
        limits = context.config.limits
        patient = type("PatientProtocol", (_PatientProtocol,), {"patience_s": limits.request_s})
        config = uvicorn.Config(
            application(context),
            http=telling(patient),
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",  # what is no HTTP at all is not worth a line each time
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=limits.connections,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=int(STOPPED_S),
            h11_max_incomplete_event_size=HEADER_BYTES,
            backlog=BACKLOG,
        )
        config.load()
        config.ssl = secured
        self._server = uvicorn.Server(config)
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="api", daemon=True)

    def start(self) -> None:
        """Begin; returns once it answers."""
        self._thread.start()
        self._started.wait(STARTED_S)

    def stop(self) -> None:
        """Finish what was begun, and end."""
        loop = self._loop
        if loop is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):
                asyncio.run_coroutine_threadsafe(self._drain(), loop)
            self._thread.join(STOPPED_S + self._context.config.limits.drain_s + 5.0)
        self._context.predictor.close()
        self._context.trials.close()
        self._context.identity.close()
        self._listening.close()

    async def _drain(self) -> None:
        self._context.draining = True
        self._context.board.events.end()
        await asyncio.sleep(self._context.config.limits.drain_s)
        with contextlib.suppress(OSError, AttributeError):
            _knock_in_vain(self._listening)
            await asyncio.sleep(LAST_S)  # who is at the door comes in
        self._server.should_exit = True

    def _run(self) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            self._context.board.events.serve_in(self._loop)
            serving = asyncio.create_task(self._server.serve(sockets=[self._listening]))
            while not self._server.started and not serving.done():
                await asyncio.sleep(0.005)
            self._started.set()
            await serving

        try:
            asyncio.run(serve())
        except Exception:
            log.exception("the API has ended")
        finally:
            self._started.set()


class _PatientProtocol(H11Protocol):
    """A connection that is cut when its client takes too long to say what it wants."""

    patience_s = 10.0
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request, and let handlers cut the connection."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "abort": transport.abort}
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Take it in; what is no whole request yet has until the first wait is over."""
        super().data_received(data)
        if self._is_idle():
            if self._waiting is None:
                self._expect()
        else:
            self._expect_nothing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._expect_nothing()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Between two requests uvicorn's own time for idle connections counts."""
        super().on_response_complete()
        if not self._is_idle():
            self._expect_nothing()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _expect(self) -> None:
        self._waiting = self.loop.call_later(self.patience_s, self._give_up)

    def _expect_nothing(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        if self._is_idle():
            self.transport.abort()


def _listening(config: ApiConfig) -> socket.socket:
    """The socket; raises ConfigError where it cannot be had."""
    family = socket.AF_INET6 if ":" in config.address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # What is sent and not taken for so long ends the connection, also in the kernel.
            timeout_ms = int(config.limits.request_s * 1000.0)
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)
        listening.bind((config.address, config.port))
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"api.port: {config.port} at {config.address} cannot be had: {error.strerror}"
        ) from error
    return listening


def _knock_in_vain(listening: socket.socket) -> None:
    """Let the kernel drop who begins to connect, and nobody who has begun (Linux).

    Else it would complete connections until the very moment at which the socket is closed, and
    reset those that nobody has accepted by then, with whatever request they had sent.  A dropped
    SYN is sent again a second later, and is refused then.  Raises OSError where it cannot be done.
    """
    # Classic BPF over the TCP header: drop what has SYN without ACK.
    program = ((0x30, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x02), (0x06, 0, 0, 0),
               (0x06, 0, 0, 0xFFFF))  # fmt: skip
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    header = struct.pack("@HP", len(program), ctypes.addressof(code))
    listening.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, header)


def _secured(config: ApiConfig) -> ssl.SSLContext | None:
    if config.tls is None:
        return None
    try:
        return tls.server_context(config.tls.certificate, config.tls.key, config.tls.clients)
    except tls.TlsError as error:
        raise ConfigError(f"api.tls: {error}") from error
