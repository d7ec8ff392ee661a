"""How many requests one core can send as a load test: `python benchmarks/load_generator.py`.

A tiny server on the loopback answers at once; `locustfiles/wedsync.py` sends it some minutes of the
peak, at rates that rise.  Counted are requests for each second of the generator's processor time,
so other work on the machine changes little, and whether the generator was late.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SCALES = (0.002, 0.004, 0.008)


class Answer(asyncio.Protocol):
    """As little of a server as the load needs."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.held, self.followed = transport, b"", False

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        if self.followed:
            self.transport.write(b"\x81\x02{}")
            return
        self.held += data
        while (end := self.held.find(b"\r\n\r\n")) >= 0:
            head = self.held[:end]
            length = re.search(rb"Content-Length: (\d+)", head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self.held) < whole:
                return
            self.held = self.held[whole:]
            key = re.search(rb"Sec-WebSocket-Key: (\S+)", head)
            if key is None:
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                continue
            self.followed = True
            proof = base64.b64encode(hashlib.sha1(key[1] + GUID).digest())
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + proof + b"\r\n\r\n"
            )


def serve(listening: socket.socket) -> None:
    """Answer for as long as the process lives."""

    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(Answer, sock=listening)
        await server.serve_forever()

    asyncio.run(forever())


def measure(address: str, scale: float, folder: Path) -> str:
    """One row of the table."""
    subprocess.run(
        [sys.executable, "-m", "locust", "-f", "locustfiles/wedsync.py", "--headless",
         "--only-summary", "--host", address, "--scale", str(scale), "--speed", "180",
         "--window", "30min", "--threshold", "availability >= 0", "--record", str(folder)],
        cwd=REPOSITORY, check=False, capture_output=True,
    )  # fmt: skip
    summary = json.loads((folder / "load_summary.json").read_text())
    rate = summary["requests"]["sent"] / summary["wall_s"]
    generator = summary["generator"]
    return (
        f"| {rate:,.0f} | {generator['cpu_mean']:.0%} | {rate / generator['cpu_mean']:,.0f} | "
        f"{1000 * generator['lateness']['p99_s']:.0f} ms | {generator['late_ratio']:.2%} |"
    )


def main() -> None:
    """Print the table."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    threading.Thread(target=serve, args=(listening,), daemon=True).start()
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    print("| sent per second | of a core | per core second | lateness p99 | late |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for scale in SCALES:
            print(measure(address, scale, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
