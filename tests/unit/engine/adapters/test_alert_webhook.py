"""An alert reaches each who is to be told, once, signed, and nobody else."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from engine.adapters import alert_webhook
from engine.adapters.alert_everybody import Everybody
from engine.adapters.alert_webhook import WebhookNotifier
from engine.adapters.posting import NotTakenError
from engine.ports.notifier import Alert, AlertState

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
ALERT = Alert(1000.0, "break-glass", AlertState.STARTED, "pat has opened it: nobody can log in")


class Receiver(ThreadingHTTPServer):
    """Keeps what it is sent; answers with `statuses` in turn, the last of them from then on."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receiving)
        self.statuses = [204]
        self.got: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/told"


class _Receiving(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        receiver = self.server
        assert isinstance(receiver, Receiver)
        body = self.rfile.read(int(self.headers["content-length"]))
        receiver.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
        status = receiver.statuses[0]
        if len(receiver.statuses) > 1:
            del receiver.statuses[0]
        self.send_response(status)
        self.send_header("location", f"{receiver.url}/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_webhook, "PAUSE_S", 0.0)


def send(url: str, times: int = 1, secret: str = SECRET) -> None:
    async def tell() -> None:
        notifier = WebhookNotifier(url, secret, wall_s=lambda: 2000.7)
        try:
            for _ in range(times):
                await notifier.notify(ALERT)
        finally:
            await notifier.close()

    asyncio.run(tell())


def test_who_is_told_can_tell_who_sent_it_and_a_repetition(receiver: Receiver) -> None:
    send(receiver.url, 2)
    (headers, body), (again, _) = receiver.got
    assert json.loads(body) == {
        "type": "engine.alert", "time_s": 1000.0, "source": "break-glass", "state": "started",
        "detail": ALERT.detail,
    }  # fmt: skip
    signed = f"{headers['webhook-id']}.2000.".encode() + body
    signature = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{signature}"
    assert again["webhook-id"] == headers["webhook-id"]


def test_what_is_not_taken_is_sent_again_a_few_times(receiver: Receiver) -> None:
    receiver.statuses = [500, 429, 200]
    send(receiver.url)
    assert len(receiver.got) == 3
    receiver.statuses = [503]
    with pytest.raises(NotTakenError, match=r"127\.0\.0\.1 answered 503"):
        send(receiver.url)
    assert len(receiver.got) == 6


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.statuses = [307]
    with pytest.raises(NotTakenError, match="answered 307"):
        send(receiver.url)
    assert len(receiver.got) == 3


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/told", "ftp://hooks.example/told", "https://pat:word@hooks.example/",
        "https://hooks.example/#here", "http://10.0.0.1/told", "", "hooks.example",
    ],
)  # fmt: skip
def test_an_address_that_is_not_safe_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="url: is not allowed"):
        WebhookNotifier(url, SECRET)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_c2hvcnQ=", SECRET.removeprefix("whsec_"), "whsec_%%%"]
)
def test_a_secret_that_is_none_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ValueError, match="secret: is not whsec_") as raised:
        WebhookNotifier("https://hooks.example/told", secret)
    assert "c2hvcnQ" not in str(raised.value)


class Listed:
    """Fails as often as `fails` says, and remembers what it was told."""

    def __init__(self, fails: int = 0) -> None:
        self.fails = fails
        self.got: list[Alert] = []
        self.closed = False

    async def notify(self, alert: Alert) -> None:
        if self.fails:
            self.fails -= 1
            raise OSError("nobody is at home")
        self.got.append(alert)

    async def close(self) -> None:
        self.closed = True
        if self.fails:
            raise OSError("it does not close")


def test_each_is_told_once_though_another_fails() -> None:
    async def tell() -> None:
        with pytest.raises(OSError, match="nobody is at home"):
            await everybody.notify(ALERT)
        assert (first.got, second.got) == ([ALERT], [])
        await everybody.notify(ALERT)
        assert (first.got, second.got) == ([ALERT], [ALERT])
        await everybody.notify(ALERT)  # that is another occasion
        assert (first.got, second.got) == ([ALERT] * 2, [ALERT] * 2)
        second.fails = 1
        with pytest.raises(OSError, match="it does not close"):
            await everybody.close()
        assert first.closed and second.closed

    first, second = Listed(), Listed(fails=1)
    everybody = Everybody([first, second])
    asyncio.run(tell())
