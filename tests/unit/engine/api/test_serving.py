"""The server itself, over real sockets: who is slow, who says nothing, and a stop."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from engine.api.assembly import served
from engine.api.serving import serving
from engine.config.api import ApiConfig, ApiLimits, TlsConfig
from engine.config.strict import ConfigError
from engine.model import Plan
from engine.security.roles import Role
from tests.unit.engine.api.conftest import Engine, action, engine_in

API = "/api/scalability"
HASTY = ApiLimits(request_s=0.4, drain_s=0.05, streams=50)
"""Of a server whose patience is to end; a busy machine may not answer in it either."""
WAITED_S = 300.0
"""For what has to happen some time: a busy machine is no failure."""


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    limits = HASTY.model_copy(update={"request_s": WAITED_S})
    made = engine_in(tmp_path, ApiConfig(port=0, limits=limits))
    made.step()
    return made


@pytest.fixture
def hasty(tmp_path: Path) -> Engine:
    made = engine_in(tmp_path, ApiConfig(port=0, limits=HASTY))
    made.step()
    return made


@contextlib.contextmanager
def connected(url: str) -> Iterator[http.client.HTTPConnection]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=WAITED_S)
    try:
        yield connection
    finally:
        connection.close()


def get(url: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    with connected(url) as connection:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def answers(url: str, path: str, headers: dict[str, str]) -> bool:
    """Whether it does; a hasty server on a busy machine may cut off who asks as well."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        return get(url, path, headers)[0] == 200
    return False


def raw(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((str(parts.hostname), parts.port or 0), timeout=WAITED_S)


def until_closed(client: socket.socket) -> bytes:
    said = b""
    with contextlib.suppress(ConnectionError):
        while part := client.recv(65_536):
            said += part
    return said


def test_it_answers_beside_the_engine(engine: Engine) -> None:
    headers = engine.token("pat", Role.VIEWER)
    with serving(engine.context) as url:
        assert get(url, f"{API}/health", {})[0] == 200
        status, body = get(url, f"{API}/metrics/realtime", headers)
        assert (status, json.loads(body)["services"]["api"]["ready"]) == (200, 4)
        assert get(url, "/nothing", headers)[0] == 404


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /api/scalability/health HTTP/1.1\r\nHost: here\r\nX-A: ",
        b"POST /api/scalability/actions/scale HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\n{",
    ],
)
def test_who_does_not_say_what_he_wants_is_cut_off(hasty: Engine, sent: bytes) -> None:
    with serving(hasty.context) as url, raw(url) as client:
        if sent:
            client.sendall(sent)
        assert until_closed(client) == b""
        _wait(lambda: answers(url, f"{API}/health", {}))


def test_one_byte_at_a_time_is_too_slow(hasty: Engine) -> None:
    with serving(hasty.context) as url, raw(url) as client:
        with contextlib.suppress(ConnectionError):
            for byte in (
                b"GET /api/scalability/health HTTP/1.1\r\nHost: here\r\nX-Long: " + 400 * b"a"
            ):
                client.sendall(bytes([byte]))
                time.sleep(0.01)
        assert until_closed(client) == b""


def test_a_client_that_takes_nothing_is_dropped_and_holds_nobody_up(hasty: Engine) -> None:
    engine = hasty
    headers = engine.token("pat", Role.VIEWER)
    request = (
        f"GET {API}/events HTTP/1.1\r\nHost: here\r\nAuthorization: {headers['authorization']}"
    )
    with serving(engine.context) as url, raw(url) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        slow.sendall(f"{request}\r\n\r\n".encode())
        assert slow.recv(12) == b"HTTP/1.1 200"
        until = time.monotonic() + WAITED_S
        longest_s = 0.0
        count = 0
        while engine.context.streams and time.monotonic() < until:
            before = time.perf_counter()
            count += 1
            engine.step(Plan(actions=tuple(action(f"d{count}-{k}") for k in range(200))))
            longest_s = max(longest_s, time.perf_counter() - before)
        assert engine.context.streams == 0
        assert longest_s < WAITED_S / 2.0
        _wait(lambda: answers(url, f"{API}/services", headers))


def test_a_client_that_is_gone_is_forgotten(engine: Engine) -> None:
    headers = engine.token("pat", Role.VIEWER)
    with serving(engine.context) as url:
        with connected(url) as connection:
            connection.request("GET", f"{API}/events", headers=headers)
            answer = connection.getresponse()
            answer.read(10)
            assert engine.context.streams == 1
        _wait(lambda: engine.context.streams == 0)


def test_a_stream_ends_when_the_token_is_revoked(engine: Engine) -> None:
    headers = engine.token("pat", Role.VIEWER)
    with serving(engine.context) as url, connected(url) as connection:
        connection.request("GET", f"{API}/events", headers=headers)
        answer = connection.getresponse()
        assert answer.read(10)
        engine.tokens.revoke("pat", time.time())
        engine.step(Plan(actions=(action("secret"),)))
        rest = answer.read()
        assert b"not valid any more" in rest
        assert b"secret" not in rest


def test_a_stop_ends_streams_and_loses_no_request(engine: Engine) -> None:
    headers = engine.token("pat", Role.VIEWER)
    answered: list[int] = []
    lost: list[str] = []
    ended: list[bytes] = []
    stopped = threading.Event()

    def ask(url: str) -> None:
        while not stopped.is_set():
            try:
                with connected(url) as connection:
                    connection.connect()
                    try:
                        connection.request("GET", f"{API}/services", headers=headers)
                        answered.append(connection.getresponse().status)
                    except OSError as error:  # it was taken, and not answered
                        lost.append(repr(error))
            except OSError:
                return  # nobody listens any more

    with contextlib.ExitStack() as open_streams, serving(engine.context) as url:
        stream = open_streams.enter_context(connected(url))
        stream.request("GET", f"{API}/events", headers=headers)
        listening = stream.getresponse()
        threads = [threading.Thread(target=ask, args=(url,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        _wait(lambda: len(answered) > 20)
        heard = threading.Thread(target=lambda: ended.append(listening.read()))
        heard.start()
        open_streams.callback(heard.join)
    stopped.set()
    for thread in threads:
        thread.join()
    assert b"reset" in ended[0]
    assert set(answered) == {200}
    assert lost == []


def test_a_port_that_is_taken_is_named(engine: Engine) -> None:
    with serving(engine.context) as url:
        taken = engine.context.config.model_copy(update={"port": urlsplit(url).port})
        engine.context.config = taken
        with pytest.raises(ConfigError, match=r"api\.port: "), serving(engine.context):
            pass


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"address": "0.0.0.0"}, "TLS"),
        ({"address": "::"}, "TLS"),
        (
            {"address": "0.0.0.0", "tls": TlsConfig(certificate=Path("a"), key=Path("b"))},
            "identity",
        ),
    ],
)
def test_others_cannot_reach_an_engine_that_does_not_ask_who_they_are(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    config = ApiConfig().model_copy(update=changes)
    with pytest.raises(ConfigError, match=said):
        engine_in(tmp_path, config)


def test_a_first_token_is_told_once(engine: Engine) -> None:
    said_so: list[tuple[str, str]] = []
    for _ in range(2):
        with served(engine.context, lambda url, token: said_so.append((url, token))):
            url, token = said_so[-1]
            if token:
                headers = {"authorization": f"Bearer {token}"}
                assert get(url, f"{API}/services", headers)[0] == 200
    assert [bool(token) for _, token in said_so] == [True, False]


def _wait(holds: object) -> None:
    until = time.monotonic() + WAITED_S
    assert callable(holds)
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)
