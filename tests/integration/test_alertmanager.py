"""Notices to the real Alertmanager, which is killed and comes back."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.adapters.notices.alertmanager import AlertmanagerNotices
from engine.monitoring.alerts.machine import AlertNotice, Alerts, NoticeKind
from engine.monitoring.alerts.settings import AlertSettings
from engine.monitoring.beside import Delivery, MonitorStage
from engine.monitoring.findings import Severity
from engine.runtime import watch as watching
from engine.runtime.watch import LiveMonitor, deliver
from tests.unit.engine.monitoring.conftest import API, DATABASE, make_monitor
from twin.staging.ports import free_ports

BINARY = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
pytestmark = pytest.mark.skipif(
    BINARY is None,
    reason="Alertmanager is missing: sudo apt-get install --yes prometheus-alertmanager",
)
HANGS_S = 300.0


class Alertmanager:
    """A process of it on a free port, whose memory lasts in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "config.yml").write_text(
            "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
        )

    def start(self) -> None:
        assert BINARY is not None
        self._process = subprocess.Popen(
            [
                BINARY, f"--config.file={self.folder / 'config.yml'}",
                f"--storage.path={self.folder}", f"--web.listen-address=127.0.0.1:{self.port}",
                "--cluster.listen-address=",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until(lambda: httpx.get(f"{self.url}/-/ready").status_code == 200)

    def kill(self) -> None:
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def alerts(self) -> list[dict[str, Any]]:
        alerts: list[dict[str, Any]] = httpx.get(
            f"{self.url}/api/v2/alerts", timeout=HANGS_S
        ).json()
        return alerts


def until(holds: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + HANGS_S
    while time.monotonic() < ends_s:
        try:
            if holds():
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    pytest.fail("it hangs")


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    made = Alertmanager(tmp_path)
    made.start()
    yield made
    made.kill()


def notice(
    number: int, kind: NoticeKind = NoticeKind.TRIGGERED, severity: Severity = Severity.CRITICAL
) -> AlertNotice:
    key = f"database/slowness#{number}"
    return AlertNotice(
        f"{key}.{'2' if kind is NoticeKind.RESOLVED else '1'}", key, kind, severity,
        ("on-call",), time.time(), "database: slow", time.time() - 60.0,
    )  # fmt: skip


def test_it_gets_each_incident_once_though_it_is_killed_meanwhile(
    alertmanager: Alertmanager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "AGAIN_S", 0.05)
    monkeypatch.setattr(watching, "LONGEST_S", 0.2)
    stage = MonitorStage(make_monitor(), Alerts((API, DATABASE), AlertSettings()))
    live = LiveMonitor(stage)

    def wait_for(*notices: AlertNotice) -> None:
        stage._waiting += tuple(Delivery("on-call", one, 0.0) for one in notices)

    async def story() -> None:
        sender = AlertmanagerNotices(alertmanager.url)
        task = asyncio.create_task(deliver(live, {"on-call": sender}, time.time))
        wait_for(notice(1))
        await asyncio.to_thread(until, lambda: not stage.waiting)
        alertmanager.kill()
        wait_for(notice(2), notice(3), notice(1, NoticeKind.RESOLVED))
        while not live.troubles:
            await asyncio.sleep(0.05)
        assert len(stage.waiting) == 3
        await asyncio.to_thread(alertmanager.start)
        await asyncio.to_thread(until, lambda: not stage.waiting)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(story())
    active = [alert["labels"]["incident"] for alert in alertmanager.alerts()]
    assert sorted(active) == ["database/slowness#2", "database/slowness#3"]
    assert live.troubles == {}


def test_what_got_worse_and_is_over_is_no_alert_of_another_severity(
    alertmanager: Alertmanager,
) -> None:
    async def send(one: AlertNotice) -> list[str]:
        sender = AlertmanagerNotices(alertmanager.url)
        await sender.send(one)
        await sender.close()
        return [str(alert["labels"]["severity"]) for alert in alertmanager.alerts()]

    assert asyncio.run(send(notice(1, severity=Severity.WARNING))) == ["warning"]
    assert asyncio.run(send(notice(1, NoticeKind.WORSE))) == ["critical"]
    assert asyncio.run(send(notice(1, NoticeKind.RESOLVED, Severity.WARNING))) == []
