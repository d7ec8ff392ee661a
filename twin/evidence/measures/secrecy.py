"""Rows that are figures which somebody tries to read, and connections that somebody tries to make.

Each figure is a number that is nowhere else.  It is asked of the engine over its own server, or
read from a metrics source, while a tap between the two keeps each byte; or the engine keeps it, and
every file of its state is searched for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import json
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from engine.adapters.prometheus import PrometheusConfig, PrometheusSource
from engine.adapters.store.halves import SqlStore
from engine.adapters.store.sealed import letters_of
from engine.adapters.store.sqlite import SqliteFile
from engine.config.strict import validated
from engine.model import BootTime, ServiceSpec
from engine.ports.lease import Fence
from engine.ports.store import HistoryRow, Kept, RowKind
from engine.record.journal import Journal, JournalHeading
from engine.security.roles import Role
from engine.security.sealing import Sealer, keys_in, made
from engine.security.tls import client_context, server_context
from scenarios.streams import Streams
from twin.evidence.measures.requests import served, step

KINDS = ("asked of the engine", "asked of Prometheus", "kept", "plain text", "TLS 1.2",
         "a stranger's certificate")  # fmt: skip
PATIENCE_S = 30.0
AUTHORITY, SERVER, MACHINE, OTHERS, STRANGER = (
    "authority.pem", "server.pem", "machine.pem", "others.pem", "stranger.pem"
)  # fmt: skip


def tries(*, rows: int, seed: int, tls: bool = True, sealed: bool = True) -> list[dict[str, Any]]:
    """`rows` tries of each kind in turn; columns `readable`, `let_in` and `lost`, 1 or 0.

    `readable`: a figure was seen by the tap or in a file; `let_in`: a connection was made that must
    not be; `lost`: whoever may did not get his figure.  A column that a try says nothing of is
    null.  Without `tls` the engine and the source are asked in plain text, without `sealed` the
    engine keeps things as they are.
    """
    stream = Streams(seed)("evidence.secrecy")
    with (
        tempfile.TemporaryDirectory(prefix="wt-secrecy-") as name,
        _World(Path(name), tls) as world,
    ):
        return [_row(KINDS[row % len(KINDS)], world, stream, sealed) for row in range(rows)]


class _World:
    """An engine's server and a source of metrics, each behind a tap."""

    def __init__(self, folder: Path, tls: bool) -> None:
        self.folder, self.tls = folder, tls
        self.number = 0
        self._held = contextlib.ExitStack()

    def __enter__(self) -> _World:
        _certificates(self.folder)
        given = {
            "certificate": str(self.folder / SERVER), "key": str(self.folder / SERVER),
            "clients": str(self.folder / AUTHORITY),
        }  # fmt: skip
        enter = self._held.enter_context
        state = self.folder / "state"
        self.context, url, tokens = enter(served(state, given if self.tls else None))
        self.port = int(url.rpartition(":")[2])
        self.tap = enter(_tapped(self.port))
        made = {"now_s": time.time(), "for_s": 3600.0, "made_by": "evidence"}
        self.token = tokens.create("pat", [Role.VIEWER], None, **made)[0]  # type: ignore[arg-type]
        self.source = enter(_source(self.folder if self.tls else None))
        self.source_tap = enter(_tapped(self.source.server_port))
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()


class _Tap:
    """Passes bytes on in both directions, and keeps them."""

    def __init__(self, port: int, to: int) -> None:
        self.port, self._to = port, to
        self.kept = bytearray()

    def serve(self, listening: socket.socket) -> None:
        """Until the listening socket is closed."""
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._to))
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while part := one.recv(65_536):
                self.kept += part
                other.sendall(part)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_WR)


def _row(kind: str, world: _World, stream: np.random.Generator, sealed: bool) -> dict[str, Any]:
    figure = int(stream.integers(10**5, 10**6))
    row: dict[str, Any] = {"kind": kind, "readable": None, "let_in": None, "lost": None}
    match kind:
        case "asked of the engine":
            step(world.context, float(figure))
            text = _of_engine(world)
            seen = str(figure).encode() in world.tap.kept
            row |= {"readable": int(seen), "lost": int(str(figure) not in text)}
        case "asked of Prometheus":
            world.source.figure = figure  # type: ignore[attr-defined]
            got = asyncio.run(_of_source(world))
            seen = str(figure).encode() in world.source_tap.kept
            row |= {"readable": int(seen), "lost": int(got != float(figure))}
        case "kept":
            world.number += 1
            row["readable"] = int(_is_kept_readable(world, figure, sealed))
        case "plain text":
            row["let_in"] = int(b"HTTP/1.1" in _in_plain_text(world.port))
        case "TLS 1.2":
            row["let_in"] = int(_is_let_in(world, _old(world.folder)))
        case _:
            stranger = client_context(world.folder / AUTHORITY, world.folder / STRANGER)
            row["let_in"] = int(_is_let_in(world, stranger))
    return row


def _of_engine(world: _World) -> str:
    scheme = "https" if world.tls else "http"
    verify: ssl.SSLContext | bool = client_context(world.folder / AUTHORITY) if world.tls else True
    with httpx.Client(verify=verify, trust_env=False, timeout=PATIENCE_S) as client:
        answer = client.get(
            f"{scheme}://127.0.0.1:{world.tap.port}/api/scalability/metrics/realtime",
            headers={"authorization": f"Bearer {world.token}"},
        )
    return answer.raise_for_status().text


async def _of_source(world: _World) -> float:
    """The request rate that the engine's own adapter reads."""
    shown = {"ca": str(world.folder / AUTHORITY), "certificate": str(world.folder / MACHINE)}
    options: dict[str, Any] = {
        "url": f"{'https' if world.tls else 'http'}://127.0.0.1:{world.source_tap.port}",
        "queries": {"request_rate": "rate"},
        "timeout_s": PATIENCE_S, **(shown if world.tls else {}),
    }  # fmt: skip
    source = PrometheusSource([_SPEC], 5.0, validated(PrometheusConfig, options))
    try:
        reading = await source.read(time.time())
    finally:
        await source.close()
    window = reading.windows[_SPEC.name]
    return float(window["request_rate"][-1]) if len(window) else float("nan")


def _is_kept_readable(world: _World, figure: int, sealed: bool) -> bool:
    """Whether a figure in memory, status, history and journal can be read in any of the files."""
    folder = world.folder / f"kept-{world.number}"
    sealer = Sealer(lambda: keys_in(made(), "made now")) if sealed else None
    content = json.dumps({"request_rate": figure})
    heading = JournalHeading(time.time(), (_SPEC.name,), 5.0, "engine")
    journal = Journal(folder, heading, sealer)
    journal.event(time.time(), "note", _SPEC.name, "rate", detail=content)
    journal.close()

    async def keep() -> None:
        store = SqlStore(SqliteFile(folder), letters_of(sealer))
        row = HistoryRow(RowKind.DECISION, "one", time.time(), content)
        await store.keep(Kept(memory=content, rows=(row,)), Fence(1))
        await store.show_status(content, Fence(1))
        await store.close()

    asyncio.run(keep())
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return any(str(figure).encode() in text for text in files)


def _in_plain_text(port: int) -> bytes:
    answer = b""
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as plain,
    ):
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n")
        while part := plain.recv(65_536):
            answer += part
    return answer


def _is_let_in(world: _World, context: ssl.SSLContext) -> bool:
    """Whether somebody with this context gets an answer."""
    with httpx.Client(verify=context, trust_env=False, timeout=PATIENCE_S) as client:
        try:
            client.get(f"https://127.0.0.1:{world.port}/health")
        except httpx.TransportError:
            return False
    return True


def _old(folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / AUTHORITY))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


@contextlib.contextmanager
def _tapped(port: int) -> Iterator[_Tap]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        tap = _Tap(listening.getsockname()[1], port)
        thread = threading.Thread(target=tap.serve, args=(listening,), daemon=True)
        thread.start()
        yield tap
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        thread.join()


class _Metrics(BaseHTTPRequestHandler):
    """Answers each query with the figure of the server."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer()

    def _answer(self) -> None:
        at_s = (time.time() // 5.0 - 1.0) * 5.0  # over when it is asked about
        figure = str(self.server.figure)  # type: ignore[attr-defined]
        series = {"metric": {"service": _SPEC.name}, "values": [[at_s, figure]]}
        answer = {"status": "success", "data": {"resultType": "matrix", "result": [series]}}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def _source(folder: Path | None) -> Iterator[ThreadingHTTPServer]:
    """A source that speaks as Prometheus does, with certificates on both sides if a folder has."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Metrics)
    if folder is not None:
        context = server_context(folder / SERVER, folder / SERVER, folder / AUTHORITY)
        context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _certificates(folder: Path) -> None:
    """Two authorities, a server and a machine of the one, a stranger of the other."""
    ours, others = _authority(), _authority()
    (folder / AUTHORITY).write_bytes(ours[1].public_bytes(Encoding.PEM))
    (folder / OTHERS).write_bytes(others[1].public_bytes(Encoding.PEM))
    for file, authority in ((SERVER, ours), (MACHINE, ours), (STRANGER, others)):
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("engine.example")]
        certificate = (
            _begun("engine.example", authority[1].subject, key)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(authority[0], hashes.SHA256())
        )
        text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / file).write_bytes(text + certificate.public_bytes(Encoding.PEM))


def _authority() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
    basic = x509.BasicConstraints(ca=True, path_length=0)
    certificate = _begun("authority", name, key).add_extension(basic, critical=True)
    return key, certificate.sign(key, hashes.SHA256())


def _begun(
    name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=3))
    )


_SPEC = ServiceSpec(
    name="api", min_instances=2, max_instances=100, slots=10, service_s=0.1, service_scv=1.0,
    boot=BootTime(10.0, 20.0), warmup_s=2.0, slo_p95_s=0.5, price_per_hour=1.0,
)  # fmt: skip
