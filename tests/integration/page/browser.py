"""Debian's Chromium, driven over its debugging protocol: nothing else has to be installed.

<https://chromedevtools.github.io/devtools-protocol/> says what the commands are.  Whatever the page
complains of, and whatever it asks for, is kept for the tests to look at.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
INSTALL = "chromium is missing: apt-get install --yes --no-install-recommends chromium"
PATIENCE_S = 240.0
"""For hangs: what works things out steps back behind everything else that a busy machine does."""
MEANWHILE_S = 3.0
"""What is waited for longer than this goes on meanwhile."""
KEYS = {"Enter": 13, "Escape": 27}


class Browser:
    """One tab."""

    def __init__(self, connection: websocket.WebSocket, session: str) -> None:
        self._connection = connection
        self._session = session
        self._number = 0
        self.complaints: list[str] = []
        """What went wrong in the page: exceptions, and what its policy did not allow."""
        self.addresses: list[str] = []
        """All that it asked for."""
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.command(f"{domain}.enable")

    def command(self, method: str, **parameters: Any) -> Mapping[str, Any]:
        """Send a command; returns its result."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters, "sessionId": self._session}
        self._connection.send(json.dumps(message))
        while True:
            answer = json.loads(self._connection.recv())
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                result: Mapping[str, Any] = answer["result"]
                return result
            self._take(answer)

    def _take(self, event: Mapping[str, Any]) -> None:
        parameters = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                thrown = parameters["exceptionDetails"]
                said = thrown.get("exception", {}).get("description", thrown["text"])
                self.complaints.append(said)
            case "Log.entryAdded":
                entry = parameters["entry"]
                if entry["level"] == "error" and entry["source"] != "network":
                    self.complaints.append(entry["text"])
            case "Network.requestWillBeSent":
                self.addresses.append(parameters["request"]["url"])

    # --- looking and doing

    def open(self, address: str) -> None:
        """Go there, and wait for the frame of the page."""
        self.command("Page.navigate", url=address)
        self.until("document.querySelector('#token, header.top') !== null")

    def value(self, expression: str) -> Any:
        """What an expression comes to in the page."""
        answer = self.command(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self, selector: str = "main") -> str:
        """The text that somebody reads there, "" where there is nothing."""
        return str(self.value(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def until(self, expression: str, meanwhile: Callable[[], None] | None = None) -> None:
        """Wait until an expression is true; each few seconds something may be done `meanwhile`."""
        begun_s = again_s = time.monotonic()
        while not self.value(expression):
            now_s = time.monotonic()
            assert now_s < begun_s + PATIENCE_S, (expression, self.text("body"), self.complaints)
            if meanwhile is not None and now_s > again_s + MEANWHILE_S:
                meanwhile()
                again_s = now_s
            time.sleep(0.05)

    def reads(
        self, text: str, selector: str = "main", meanwhile: Callable[[], None] | None = None
    ) -> None:
        """Wait until somebody reads `text` there."""
        where = json.dumps(selector)
        self.until(
            f"(document.querySelector({where})?.innerText ?? '').includes({json.dumps(text)})",
            meanwhile,
        )

    def click(self, selector: str) -> None:
        """Click the first of these that can be."""
        where = json.dumps(selector)
        self.until(f"document.querySelector({where}) && !document.querySelector({where}).disabled")
        self.value(f"document.querySelector({where}).click()")

    def type(self, selector: str, text: str) -> None:
        """Type into a field, as from a keyboard, in place of what is there."""
        where = json.dumps(selector)
        self.until(f"document.querySelector({where}) !== null")
        self.value(
            f"document.querySelector({where}).focus(), document.querySelector({where}).select()"
        )
        self.command("Input.insertText", text=text)

    def choose(self, selector: str, value: str) -> None:
        """Choose the option with this value, once it is there."""
        option = json.dumps(f'{selector} option[value="{value}"]')
        self.until(f"document.querySelector({option}) !== null")
        where, chosen = json.dumps(selector), json.dumps(value)
        self.value(
            f"(() => {{ const one = document.querySelector({where}); one.value = {chosen};"
            " one.dispatchEvent(new Event('change', {bubbles: true})); })()"
        )

    def press(self, key: str) -> None:
        """One key."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        code = KEYS.get(key, ord(key[0].upper()))
        for kind in ("keyDown", "keyUp"):
            self.command(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code,
                **({"text": text} if text and kind == "keyDown" else {}),
            )  # fmt: skip

    def go(self, view: str) -> None:
        """To a view, by its address."""
        self.value(f"location.hash = '#/{view}'")

    # --- how it looks

    def screen(self, width: int, *, dark: bool = False) -> None:
        """A screen of this width (CSS pixels)."""
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1,
            mobile=width < 700,
        )  # fmt: skip
        scheme = "dark" if dark else "light"
        self.command(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )

    def picture(self, file: Path, *, height: int | None = None) -> None:
        """A picture of the whole page, or of its first `height` pixels."""
        # Twice, as a page that grows draws its charts anew.
        self.value("new Promise((done) => setTimeout(done, 300))")
        size = self.command("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"],
                "scale": 1}  # fmt: skip
        taken = self.command("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(taken["data"]))

    def fits(self) -> None:
        """Wait until the page is no wider than the screen: what grows is drawn a moment later."""
        self.until("document.documentElement.scrollWidth <= document.documentElement.clientWidth")

    def offline(self, is_off: bool) -> None:
        """Take the network away, or give it back."""
        self.command(
            "Network.emulateNetworkConditions", offline=is_off, latency=0, downloadThroughput=-1,
            uploadThroughput=-1,
        )  # fmt: skip


@contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """A new browser, which keeps what it keeps in `folder`."""
    assert PROGRAM is not None, INSTALL
    process = subprocess.Popen(
        [
            PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--remote-debugging-port=0", "--remote-allow-origins=*", f"--user-data-dir={folder}",
            "about:blank",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        port = folder / "DevToolsActivePort"
        end_s = time.monotonic() + PATIENCE_S
        while not (port.exists() and port.read_text().count("\n") >= 1):
            assert time.monotonic() < end_s, "chromium does not start"
            time.sleep(0.05)
        number, path = port.read_text().splitlines()[:2]
        connection = websocket.create_connection(
            f"ws://127.0.0.1:{number}{path}", timeout=PATIENCE_S, suppress_origin=True
        )

        def asked(method: str, **parameters: Any) -> dict[str, Any]:
            connection.send(json.dumps({"id": 0, "method": method, "params": parameters}))
            while True:
                answer: dict[str, Any] = json.loads(connection.recv())
                if answer.get("id") == 0:
                    return answer["result"]

        target = asked("Target.createTarget", url="about:blank")["targetId"]
        session = asked("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        yield Browser(connection, session)
        connection.close()
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
