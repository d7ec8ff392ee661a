"""What each receiver is sent, over a real connection."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from engine.adapters.notices.alertmanager import AlertmanagerNotices
from engine.adapters.notices.pagerduty import PagerDutyNotices
from engine.adapters.notices.webhook import WebhookNotices
from engine.adapters.posting import NotTakenError
from engine.monitoring.alerts.machine import AlertNotice, NoticeKind
from engine.monitoring.findings import Severity

SECRET = "a secret of some length"


class Receiver:
    """Takes requests on a free port; answers `status`."""

    def __init__(self) -> None:
        self.status = 202
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.requests.append((self.path, headers, body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()


def notice(kind: NoticeKind = NoticeKind.TRIGGERED, **changes: Any) -> AlertNotice:
    usual = AlertNotice(
        id="database/slowness#3.1", key="database/slowness#3", kind=kind,
        severity=Severity.CRITICAL, receivers=("on-call",), time_s=1_781_870_460.0,
        words="database: response_time", opened_s=1_781_870_400.0,
    )  # fmt: skip
    return usual._replace(**changes)


def sent(sender: Any, *notices: AlertNotice) -> None:
    async def send() -> None:
        try:
            for one in notices:
                await sender.send(one)
        finally:
            await sender.close()

    asyncio.run(send())


def test_alertmanager_is_told_when_an_incident_begins_and_when_it_is_over(
    receiver: Receiver,
) -> None:
    over = notice(NoticeKind.RESOLVED, time_s=1_781_870_700.0)
    sent(AlertmanagerNotices(receiver.url + "/", {"team": "weddings"}), notice(), over)
    (path, _, first), (_, _, last) = receiver.requests
    assert path == "/api/v2/alerts"
    (began,), (ended, _) = json.loads(first), json.loads(last)
    assert began["labels"] == ended["labels"]
    assert began["labels"] == {
        "alertname": "slowness", "service": "database", "severity": "critical",
        "incident": "database/slowness#3", "team": "weddings",
    }  # fmt: skip
    assert began["startsAt"] == "2026-06-19T12:00:00.000+00:00"
    assert began["endsAt"] > "2026-06-21"
    assert ended["endsAt"] == "2026-06-19T12:05:00.000+00:00"


W, C = Severity.WARNING, Severity.CRITICAL


@pytest.mark.parametrize(
    "story",
    [
        [(NoticeKind.TRIGGERED, W), (NoticeKind.WORSE, C), (NoticeKind.RESOLVED, C)],
        [(NoticeKind.TRIGGERED, C), (NoticeKind.ESCALATED, C), (NoticeKind.RESOLVED, W)],
        [(NoticeKind.TRIGGERED, C), (NoticeKind.REMINDED, W), (NoticeKind.RESOLVED, W)],
        [(NoticeKind.TRIGGERED, W), (NoticeKind.WORSE, C), (NoticeKind.REMINDED, W),
         (NoticeKind.WORSE, C), (NoticeKind.RESOLVED, W)],
    ],
)  # fmt: skip
def test_an_incident_is_one_alert_of_alertmanager_whatever_its_severity_becomes(
    story: list[tuple[NoticeKind, Severity]],
) -> None:
    sender = AlertmanagerNotices("http://127.0.0.1:9")
    there: dict[str, str] = {}
    for k, (kind, severity) in enumerate(story):
        time_s = 1_781_870_460.0 + 600.0 * k
        for alert in sender.alerts(notice(kind, severity=severity, time_s=time_s)):
            there[json.dumps(alert["labels"], sort_keys=True)] = str(alert["endsAt"])
        now = dt.datetime.fromtimestamp(time_s, dt.UTC).isoformat(timespec="milliseconds")
        active = [labels for labels, ends in there.items() if ends > now]
        assert len(active) == (kind is not NoticeKind.RESOLVED)
        assert all(json.loads(labels)["severity"] == severity.value for labels in active)


def test_the_signature_of_a_webhook_is_of_its_time_and_body(receiver: Receiver) -> None:
    sent(WebhookNotices(receiver.url, SECRET, wall_s=lambda: 1_781_870_461.7), notice())
    ((_, headers, body),) = receiver.requests
    stamp = headers["x-wedtwin-timestamp"]
    assert stamp == "1781870461"
    expected = hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["x-wedtwin-signature"] == f"sha256={expected}"
    assert headers["idempotency-key"] == json.loads(body)["id"] == "database/slowness#3.1"
    assert SECRET.encode() not in body


def test_pagerduty_knows_an_incident_by_its_key(receiver: Receiver) -> None:
    sender = PagerDutyNotices("route", receiver.url)
    kinds = (NoticeKind.ESCALATED, NoticeKind.ACKNOWLEDGED, NoticeKind.RESOLVED)
    sent(sender, notice(), *map(notice, kinds))
    events = [json.loads(body) for _, _, body in receiver.requests]
    actions = [event["event_action"] for event in events]
    assert actions == ["trigger", "trigger", "acknowledge", "resolve"]
    assert {event["dedup_key"] for event in events} == {"database/slowness#3"}
    assert events[0]["payload"]["severity"] == "critical"
    assert events[0]["payload"]["source"] == "database"


def test_a_key_that_is_too_long_for_pagerduty_stays_one_of_its_own() -> None:
    sender = PagerDutyNotices("route", "http://127.0.0.1:9")
    keys = {str(sender.event(notice(key=f"{'x' * 300}/{n}#1"))["dedup_key"]) for n in range(3)}
    assert len(keys) == 3
    assert {len(key) for key in keys} == {255}


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_what_is_no_success_is_not_taken(receiver: Receiver, status: int) -> None:
    receiver.status = status
    with pytest.raises(NotTakenError, match=str(status)):
        sent(WebhookNotices(receiver.url, SECRET), notice())


def test_a_receiver_that_is_gone_is_named(receiver: Receiver) -> None:
    receiver.server.shutdown()
    receiver.server.server_close()
    with pytest.raises(NotTakenError, match=r"127\.0\.0\.1 cannot be reached"):
        sent(WebhookNotices(receiver.url, SECRET), notice())


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: WebhookNotices("ftp://host", SECRET), "url"),
        (lambda: WebhookNotices("https://host", SECRET, ca="/nowhere.pem"), "ca"),
        (lambda: WebhookNotices("http://host", "short"), "secret"),
        (lambda: PagerDutyNotices(""), "routing_key"),
    ],
)
def test_options_that_cannot_work_are_named(make: Any, key: str) -> None:
    with pytest.raises(ValueError, match=f"^{key}: "):
        make()
