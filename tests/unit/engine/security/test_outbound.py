"""Each address that can be configured is asked where it may lead, and nowhere else."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from engine.adapters import alert_webhook
from engine.adapters.alert_webhook import WebhookNotifier
from engine.adapters.notices.alertmanager import AlertmanagerNotices
from engine.adapters.notices.pagerduty import PagerDutyNotices
from engine.adapters.notices.webhook import WebhookNotices
from engine.adapters.prometheus import PrometheusConfig, PrometheusSource
from engine.config.security import OidcConfig
from engine.ingest.scraping import ScrapedSource
from engine.ingest.settings import ScrapedConfig
from engine.model import BootTime, ServiceSpec
from engine.monitoring.alerts.machine import AlertNotice, NoticeKind
from engine.monitoring.findings import Severity
from engine.ports.notifier import Alert, AlertState
from engine.security.addresses import address_of, is_nobodys
from engine.security.oidc import KeySource
from engine.security.outbound import OutboundTransport

SPECS = (ServiceSpec("api", 1, 10, 4, 0.1, 1.0, BootTime(5.0, 9.0), 1.0, 0.5, 0.1),)
NOTICE = AlertNotice(
    id="api/slowness#1.1", key="api/slowness#1", kind=NoticeKind.TRIGGERED,
    severity=Severity.CRITICAL, receivers=("on-call",), time_s=60.0, words="slow", opened_s=0.0,
)  # fmt: skip


class Listener(ThreadingHTTPServer):
    """Counts who comes; answers each with `status`, and with a way to itself."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Counting)
        self.hosts: list[str] = []
        self.paths: list[str] = []
        self.status = 200


class _Counting(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        listener = self.server
        assert isinstance(listener, Listener)
        listener.hosts.append(self.headers["host"])
        listener.paths.append(self.path)
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(listener.status)
        self.send_header("location", f"http://127.0.0.1:{listener.server_port}/elsewhere")
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Where names lead, each time that they are asked for: the last answer stays."""
    leads: dict[str, list[str]] = {}
    really = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *given: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in leads:
            return really(host, port, *given, **more)
        answer = leads[name].pop(0) if len(leads[name]) > 1 else leads[name][0]
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "",
             (one, port))
            for one in answer.split()
        ]  # fmt: skip

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return leads


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_webhook, "PAUSE_S", 0.0)


# --- who asks or tells somebody at an address of the configuration; each says what came of it


def telling(make: Callable[[str], Any], what: str, content: Any) -> Callable[[str], str]:
    def ask(url: str) -> str:
        async def tell() -> str:
            sender = make(url)
            try:
                await getattr(sender, what)(content)
            except OSError as error:
                return str(error)
            finally:
                await sender.close()
            return ""

        return asyncio.run(tell())

    return ask


def keys(url: str) -> str:
    source = KeySource(OidcConfig(issuer="https://idp.example", audience="w", jwks=url))
    try:
        source._published()
    except (httpx.HTTPError, ValueError) as error:
        return str(error)
    return ""


def prometheus(url: str) -> str:
    async def ask() -> str:
        config = PrometheusConfig.model_validate({"url": url, "queries": {"cpu": "cpu"}})
        source = PrometheusSource(SPECS, 5.0, config)
        reading = await source.read(10_000.0)
        await source.close()
        return " ".join(reading.troubles)

    return asyncio.run(ask())


def scraped(url: str) -> str:
    async def ask() -> str:
        given = {
            "figures": {"cpu": {"metric": "cpu", "take": "average"}}, "keep": None,
            "scraped": {"metric": "up", "take": "average"}, "timeout_s": 5.0, "lookback_s": 1.0,
            "targets": [{"urls": [url], "labels": {"service": "api"}}],
        }  # fmt: skip
        source = ScrapedSource(SPECS, 0.1, ScrapedConfig.model_validate(given))
        try:
            await source.read(time.time())
            (target,) = source._targets.values()
            await source._scrape(target)
            return target.trouble
        finally:
            await source.close()

    return asyncio.run(ask())


SECRET = "whsec_" + "QUJD" * 11
ALERT = Alert(1000.0, "break-glass", AlertState.STARTED, "pat has opened it")
TELLERS: dict[str, Callable[[str], str]] = {
    "alertmanager": telling(AlertmanagerNotices, "send", NOTICE),
    "pagerduty": telling(lambda url: PagerDutyNotices("route", url), "send", NOTICE),
    "webhook": telling(lambda url: WebhookNotices(url, "x" * 16), "send", NOTICE),
    "notifier": telling(lambda url: WebhookNotifier(url, SECRET), "notify", ALERT),
    "identity provider": keys,
}
ASKERS = TELLERS | {"prometheus": prometheus, "scrape": scraped}


def each(askers: dict[str, Callable[[str], str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("ask", askers.values(), ids=askers.keys())


SPELLINGS = [
    "169.254.169.254", "169.254.0.1", "0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255",
    "240.0.0.1", "168.63.129.16", "100.100.100.200", "::", "fe80::1", "ff02::1", "fd00:ec2::254",
    "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
    "::a9fe:a9fe", "0000:0000:0000:0000:0000:ffff:a9fe:a9fe",
]  # fmt: skip
NUMBERS = ["2852039166", "0xa9fea9fe", "169.16689662", "0xa9.254.0251.254"]
"""Ways to write 169.254.169.254 that a resolver understands and a parser of addresses does not."""


@pytest.mark.parametrize("address", SPELLINGS)
def test_an_address_that_is_nobodys_is_one_however_it_is_spelled(address: str) -> None:
    assert is_nobodys(address_of(address))


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.0.1.1", "::1", "10.1.2.3", "172.16.0.9", "192.168.0.1", "100.64.0.1",
     "169.253.255.255", "169.255.0.0", "223.255.255.255", "1.1.1.1", "fd00::1", "2600::1",
     "2002:0a01:0203::1", "64:ff9b::0a01:0203"],
)  # fmt: skip
def test_an_address_that_somebody_can_have_is_none_of_those(address: str) -> None:
    assert not is_nobodys(address_of(address))


@each(ASKERS)
def test_an_address_that_is_nobodys_is_refused_before_it_is_asked(ask: Any) -> None:
    for address in SPELLINGS:
        host = f"[{address}]" if ":" in address else address
        with pytest.raises(ValueError, match=r"url|jwks"):
            ask(f"https://{host}/latest/meta-data")


@each(ASKERS)
def test_a_name_that_leads_to_what_is_nobodys_is_not_asked(
    names: dict[str, list[str]], ask: Any
) -> None:
    for answer in ("169.254.169.254", "::ffff:a9fe:a9fe", "127.0.0.1 fe80::1%eth0"):
        names["metrics.example"] = [answer]
        assert "where nobody is asked or told anything" in ask("https://metrics.example/")


def test_a_number_is_looked_at_as_the_address_that_it_is() -> None:
    for number in NUMBERS:
        with pytest.raises(httpx.ConnectError, match="where nobody is asked or told anything"):
            got(f"https://{number}/")


@each(ASKERS)
@pytest.mark.parametrize(
    "host", ["0251.0376.0251.0376", "999.1.1.1", "[fe80", "a\\b", "a%20b", "host:99999"]
)
def test_an_address_that_is_none_is_named(ask: Any, host: str) -> None:
    with pytest.raises(ValueError, match=r"url|jwks"):
        ask(f"https://{host}/")


@each(TELLERS)
def test_a_name_that_leads_to_this_machine_is_told_nothing_unless_it_says_so(
    names: dict[str, list[str]], listener: Listener, ask: Any
) -> None:
    for address in ("127.0.0.1", "::ffff:127.9.9.9"):
        names["hooks.example"] = [address]
        assert "where nobody is asked" in ask(f"https://hooks.example:{listener.server_port}/")
    assert listener.hosts == []
    assert ask(f"http://127.0.0.1:{listener.server_port}/") == ""
    assert ask(f"http://localhost:{listener.server_port}/") == ""
    assert len(listener.hosts) == 2


@each(TELLERS)
@pytest.mark.parametrize("url", [
    "http://hooks.example/", "http://10.0.0.1/", "ftp://127.0.0.1/", "file:///etc/passwd",
    "gopher://127.0.0.1/", "https://pat:word@hooks.example/", "https://hooks.example/#x", "",
    "hooks.example", "http://localhost.evil.example/", "http://127.0.0.1.evil.example/",
    "http://evil.example\\@127.0.0.1/", "http://2130706433/",
])  # fmt: skip
def test_who_is_told_something_is_reached_over_tls_or_on_this_machine(ask: Any, url: str) -> None:
    with pytest.raises(ValueError, match=r"url|jwks"):
        ask(url)


@each(ASKERS)
@pytest.mark.parametrize("status", [302, 308])
def test_an_answer_that_leads_elsewhere_is_not_followed(
    listener: Listener, ask: Any, status: int
) -> None:
    listener.status = status
    assert ask(f"http://127.0.0.1:{listener.server_port}/") != ""
    assert "/elsewhere" not in listener.paths


@each(ASKERS)
def test_no_proxy_of_the_environment_is_asked(
    monkeypatch: pytest.MonkeyPatch, listener: Listener, ask: Any
) -> None:
    for name in (
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    ask(f"http://127.0.0.1:{listener.server_port}/")
    assert listener.hosts != []


def got(url: str, *, verify: ssl.SSLContext | bool = True, to_self: bool = True) -> httpx.Response:
    async def get() -> httpx.Response:
        transport = OutboundTransport(to_self=to_self, verify=verify)
        async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=120.0) as client:
            return await client.get(url)

    return asyncio.run(get())


def test_what_a_name_led_to_when_it_was_looked_at_is_where_the_request_goes(
    names: dict[str, list[str]], listener: Listener
) -> None:
    """A name that answers differently the second time (DNS rebinding) has gained nothing."""
    names["metrics.example"] = ["127.0.0.1", "169.254.169.254"]
    answer = got(f"http://metrics.example:{listener.server_port}/")
    assert answer.status_code == 200
    assert listener.hosts == [f"metrics.example:{listener.server_port}"]
    assert names["metrics.example"] == ["169.254.169.254"]  # asked once


def test_the_next_address_is_tried_where_nobody_takes_the_connection(
    names: dict[str, list[str]], listener: Listener
) -> None:
    names["metrics.example"] = ["127.66.66.66 127.0.0.1"]
    assert got(f"http://metrics.example:{listener.server_port}/").status_code == 200
    names["metrics.example"] = ["127.66.66.66 127.66.66.67"]
    with pytest.raises(httpx.ConnectError):
        got(f"http://metrics.example:{listener.server_port}/")


def test_the_certificate_is_still_that_of_the_name(
    names: dict[str, list[str]], listener: Listener, tmp_path: Path
) -> None:
    ca = trustme.CA()
    shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("metrics.example").configure_cert(shown)
    trusting = ssl.create_default_context()
    ca.configure_trust(trusting)
    listener.socket = shown.wrap_socket(listener.socket, server_side=True)
    names["metrics.example"] = names["other.example"] = ["127.0.0.1"]
    port = listener.server_port
    assert got(f"https://metrics.example:{port}/", verify=trusting).status_code == 200
    with pytest.raises(httpx.ConnectError, match=r"other\.example"):
        got(f"https://other.example:{port}/", verify=trusting)
    with pytest.raises(httpx.ConnectError, match=r"127\.0\.0\.1"):
        got(f"https://127.0.0.1:{port}/", verify=trusting)
